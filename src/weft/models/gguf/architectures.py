"""GGUF's architectures: which metadata makes which ``config.json``, and which tensor has which name.

A row of ``ARCHITECTURES`` is one value of ``general.architecture``. A file's metadata become the fields of its family's
``config.json``, which the family's row reads. Metadata of the architecture that no row reads is an error: nothing that
changes results is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from weft.errors import FormatError, UnsupportedError, mistake
from weft.models.config import DecoderConfig, RopeConfig
from weft.models.families import FAMILIES, config_from
from weft.models.families.layout import GPT2, PHI3, Fused, Layout
from weft.models.rope import frequencies

NAMES = {
    "embed_tokens": "token_embd",
    "embed_positions": "position_embd",
    "norm": "output_norm",
    **{
        f"layers.*.{ours}": f"blk.*.{theirs}"
        for ours, theirs in {
            "input_layernorm": "attn_norm",
            "self_attn.q_proj": "attn_q",
            "self_attn.k_proj": "attn_k",
            "self_attn.v_proj": "attn_v",
            "self_attn.o_proj": "attn_output",
            "self_attn.q_norm": "attn_q_norm",
            "self_attn.k_norm": "attn_k_norm",
            "post_attention_layernorm": "ffn_norm",
            "mlp.gate_proj": "ffn_gate",
            "mlp.up_proj": "ffn_up",
            "mlp.down_proj": "ffn_down",
        }.items()
    },
}
FREQUENCY_FACTORS, SHORT_FACTORS, LONG_FACTORS = (
    f"{name}.weight" for name in ("rope_freqs", "rope_factors_short", "rope_factors_long")
)
IGNORED = frozenset({FREQUENCY_FACTORS, SHORT_FACTORS, LONG_FACTORS})
"""Tensors that become part of the configuration."""
AROUND = {
    "layers.*.post_attention_layernorm": "blk.*.post_attention_norm",
    "layers.*.pre_feedforward_layernorm": "blk.*.ffn_norm",
    "layers.*.post_feedforward_layernorm": "blk.*.post_ffw_norm",
}
"""Names of norms in families that also normalise what a part gives."""
LARGE_GEMMAS = {"gemma2": 46, "gemma3": 62}
"""The layers of the models of 27 billion weights, whose scores are scaled by hidden size over heads."""
LLAMA3_POSITIONS = 8192


def _layout(names: Mapping[str, str] | None = None, fused: tuple[Fused, ...] = ()) -> Layout:
    return Layout({**NAMES, **(names or {})}, fused, bases=("",), heads=("output",))


USUAL = _layout()
Fields = dict[str, Any]


@dataclass(frozen=True)
class Architecture:
    """How a family lies in GGUF.

    Args:
        family: its name in ``FAMILIES``.
        interleaved: rows of the query and key weights are ordered for rotation in neighbouring pairs, and are put back
            into halves.
        keys: further metadata: the field of ``config.json`` and its type, by the key without its prefix.
        adapt: completes the fields.
        layout: the names of tensors, and those that hold several weights.
        epsilon: the key of the norms' epsilon.
    """

    family: str
    interleaved: bool = False
    keys: Mapping[str, tuple[str, type[int] | type[float]]] = field(default_factory=dict)
    adapt: Callable[[_Keys, Mapping[str, Any], Fields], None] = lambda keys, tensors, fields: None
    layout: Layout = USUAL
    epsilon: str = "attention.layer_norm_rms_epsilon"


def _llama(keys: _Keys, tensors: Mapping[str, Any], fields: Fields) -> None:
    fields["attention_bias"] = all(f"blk.0.attn_{part}.bias" in tensors for part in ("q", "k", "v", "output"))
    fields["mlp_bias"] = "blk.0.ffn_up.bias" in tensors


def _granite(keys: _Keys, tensors: Mapping[str, Any], fields: Fields) -> None:
    _llama(keys, tensors, fields)
    fields.setdefault("attention_multiplier", fields["head_dim"] ** -0.5)


def _gemma(keys: _Keys, tensors: Mapping[str, Any], fields: Fields) -> None:
    large = LARGE_GEMMAS[keys.prefix.removesuffix(".")] == fields["num_hidden_layers"]
    whole = fields["hidden_size"] // fields["num_attention_heads"]
    fields["query_pre_attn_scalar"] = whole if large else fields["head_dim"]


def _phi3(keys: _Keys, tensors: Mapping[str, Any], fields: Fields) -> None:
    dims = keys("rope.dimension_count", int, fields["head_dim"])
    fields["partial_rotary_factor"] = min((dims + 0.5) / fields["head_dim"], 1.0)
    if SHORT_FACTORS in tensors:
        # the numbers are in the tensors, which are read with the weights
        plain = [1.0] * (dims // 2)
        fields["rope_scaling"] = {"type": "longrope", "short_factor": plain, "long_factor": plain}
        fields["rope_scaling"]["attention_factor"] = keys("rope.scaling.attn_factor", float, 1.0)


GEMMA_KEYS: Mapping[str, tuple[str, type[int] | type[float]]] = {
    "attention.sliding_window": ("sliding_window", int),
    "attn_logit_softcapping": ("attn_logit_softcapping", float),
    "final_logit_softcapping": ("final_logit_softcapping", float),
}
QKV = Fused("blk.*.attn_qkv", PHI3.fused[0].parts)
ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture("llama", interleaved=True, adapt=_llama),
    "qwen2": Architecture("qwen2"),
    "qwen3": Architecture("qwen3"),
    "smollm3": Architecture("smollm3", interleaved=True, adapt=_llama),
    "granite": Architecture(
        "granite",
        interleaved=True,
        keys={
            "attention.scale": ("attention_multiplier", float),
            "embedding_scale": ("embedding_multiplier", float),
            "residual_scale": ("residual_multiplier", float),
            "logit_scale": ("logits_scaling", float),
        },
        adapt=_granite,
    ),
    "olmo2": Architecture("olmo2", layout=_layout(AROUND)),
    "gemma2": Architecture("gemma2", keys=GEMMA_KEYS, adapt=_gemma, layout=_layout(AROUND)),
    "gemma3": Architecture(
        "gemma3_text",
        keys={
            "attention.sliding_window": ("sliding_window", int),
            "final_logit_softcapping": ("final_logit_softcapping", float),
            "rope.freq_base_swa": ("rope_local_base_freq", float),
        },
        adapt=_gemma,
        layout=_layout(AROUND),
    ),
    "phi3": Architecture(
        "phi3",
        keys={
            "attention.sliding_window": ("sliding_window", int),
            "rope.scaling.original_context_length": ("original_max_position_embeddings", int),
        },
        adapt=_phi3,
        layout=_layout(fused=(QKV, Fused("blk.*.ffn_up", PHI3.fused[1].parts))),
    ),
    "gpt2": Architecture(
        "gpt2", layout=_layout(fused=(replace(QKV, parts=GPT2.fused[0].parts),)),
        epsilon="attention.layer_norm_epsilon",
    ),
}  # fmt: skip

ROPE_SCALINGS = {"none": "default", "linear": "linear", "longrope": "longrope"}


def architecture_of(metadata: Mapping[str, Any], path: str) -> Architecture:
    """The row of a file; ``UnsupportedError`` names one that weft lacks."""
    name = metadata.get("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise UnsupportedError(
            mistake(repr(path), "general.architecture", repr(name)[:60], f"one of {known}")
        )
    return ARCHITECTURES[name]


class _Keys:
    """The architecture's metadata; notes which keys were read."""

    def __init__(self, metadata: Mapping[str, Any], path: str) -> None:
        self.prefix = metadata["general.architecture"] + "."
        self.metadata, self.path = metadata, path
        self.read: set[str] = set()

    def __call__(self, key: str, kind: type[int] | type[float], default: Any = None) -> Any:
        """A value of a kind; a missing one without a default is an error."""
        self.read.add(key)
        value: Any = self.metadata.get(self.prefix + key, default)
        if kind is float and type(value) is int:
            value = float(value)
        if not isinstance(value, kind) or isinstance(value, bool) or not 0 < value < math.inf:
            raise self.error(key, value, f"a {kind.__name__} above 0")
        return value

    def error(self, key: str, value: object, expected: str) -> FormatError:
        """An impossible value."""
        return FormatError(mistake(repr(self.path), self.prefix + key, repr(value)[:60], expected))

    def repeated(self, key: str, value: int) -> None:
        """Check a key that repeats what others say."""
        if (found := self(key, int, value)) != value:
            raise self.error(key, found, f"{value}, as the rest of the file says")

    def finish(self) -> None:
        """Refuse what was not read."""
        known = self.read
        for key in self.metadata:
            if key.startswith(self.prefix) and key.removeprefix(self.prefix) not in known:
                raise UnsupportedError(
                    mistake(
                        repr(self.path),
                        key,
                        repr(self.metadata[key])[:60],
                        "no such key",
                        "weft does not cover it",
                    )
                )


def config_of(metadata: Mapping[str, Any], tensors: Mapping[str, Any], path: str) -> DecoderConfig:
    """The configuration that a file's metadata says."""
    architecture = architecture_of(metadata, path)
    family, keys = FAMILIES[architecture.family], _Keys(metadata, path)
    if "token_embd.weight" not in tensors:
        raise FormatError(mistake(repr(path), "tensor 'token_embd.weight'", "none", "the embedding"))
    hidden, heads = keys("embedding_length", int), keys("attention.head_count", int)
    head_dim = keys("attention.key_length", int, hidden // heads)
    kv_heads, layers = keys("attention.head_count_kv", int, heads), keys("block_count", int)
    vocabulary = tensors["token_embd.weight"].shape[0]
    if heads % kv_heads:
        raise keys.error("attention.head_count_kv", kv_heads, f"a divisor of the {heads} heads")
    if layers > len(tensors):
        raise keys.error("block_count", layers, f"at most {len(tensors)}, the file's tensors")
    keys.repeated("attention.value_length", head_dim)
    keys.repeated("vocab_size", vocabulary)
    fields: Fields = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": keys("feed_forward_length", int),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "num_hidden_layers": layers,
        "rms_norm_eps": keys(architecture.epsilon, float),
        "max_position_embeddings": keys("context_length", int),
        "tie_word_embeddings": "output.weight" not in tensors,
    }
    if family.rope is not None:
        fields |= _rope(keys, head_dim, family.rope.partial is not None)
    for key, (name, kind) in architecture.keys.items():
        keys.read.add(key)
        if keys.prefix + key in metadata:
            fields[name] = keys(key, kind)
    architecture.adapt(keys, tensors, fields)
    keys.finish()
    known = {
        family.aliases.get(name, name): value for name, value in fields.items() if name not in family.absent
    }
    ends = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    return config_from(
        {
            **known,
            "model_type": architecture.family,
            "bos_token_id": metadata.get("tokenizer.ggml.bos_token_id"),
            "eos_token_id": list(dict.fromkeys(end for end in ends if end is not None)),
        },
        path,
    )


def _rope(keys: _Keys, head_dim: int, partial: bool) -> Fields:
    prefix, dims = keys.prefix, keys("rope.dimension_count", int, head_dim)
    if dims % 2 or dims > head_dim or (dims < head_dim and not partial):
        expected = f"an even number up to {head_dim}" if partial else str(head_dim)
        raise keys.error("rope.dimension_count", dims, f"{expected}, the size of a head")
    keys.read |= {"rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length"}
    scaling = keys.metadata.get(prefix + "rope.scaling.type", "none")
    if not isinstance(scaling, str) or scaling not in ROPE_SCALINGS:
        known = ", ".join(ROPE_SCALINGS)
        raise UnsupportedError(
            mistake(repr(keys.path), prefix + "rope.scaling.type", repr(scaling)[:60], f"one of {known}")
        )
    fields: Fields = {"rope_theta": keys("rope.freq_base", float, 10000.0)}
    if scaling == "linear":
        fields["rope_scaling"] = {"rope_type": "linear", "factor": keys("rope.scaling.factor", float, 1.0)}
    return fields


def with_factors(
    config: DecoderConfig, read: Callable[[str], Any], names: Mapping[str, Any]
) -> DecoderConfig:
    """Return the configuration with the rotation that a file's tensors of factors say.

    ``rope_freqs.weight`` divides each frequency: Llama 3.1's scaling where its formula gives the same numbers.
    """
    rope = config.rope
    if rope is None or not IGNORED & names.keys():
        return config
    found = {name: np.asarray(read(name), np.float64).reshape(-1) for name in IGNORED & names.keys()}
    for name, factors in found.items():
        if len(factors) != rope.dims // 2 or not (np.isfinite(factors) & (factors > 0)).all():
            raise FormatError(mistake("rope", name, f"{len(factors)} numbers", f"{rope.dims // 2} above 0"))
    if FREQUENCY_FACTORS in found:
        return replace(config, rope=_divided(rope, found[FREQUENCY_FACTORS], config.max_positions))
    if len(found) != 2:
        raise FormatError(mistake("rope", ", ".join(found), "alone", f"{SHORT_FACTORS} and {LONG_FACTORS}"))
    short, long = (tuple(map(float, found[name])) for name in (SHORT_FACTORS, LONG_FACTORS))
    return replace(config, rope=replace(rope, short=short, long=long))


def _divided(rope: RopeConfig, factors: Any, positions: int) -> RopeConfig:
    """Return a rotation whose frequencies are divided by factors."""
    llama3 = RopeConfig(
        rope.theta, rope.dims, "llama3", round(float(factors.max()), 4), original_positions=LLAMA3_POSITIONS
    )
    if np.allclose(frequencies(rope) / factors, frequencies(llama3), rtol=1e-4):
        return llama3
    shares = tuple(map(float, factors))
    return replace(rope, scaling="longrope", short=shares, long=shares, original_positions=positions)
