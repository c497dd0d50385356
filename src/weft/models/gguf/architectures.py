"""GGUF's architectures: which metadata makes which configuration, and which tensor has which name.

A row of ``ARCHITECTURES`` is one value of ``general.architecture``. Metadata of the architecture that no row reads is
an error: nothing that changes results is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from weft.errors import FormatError, UnsupportedError, mistake
from weft.models.config import DecoderConfig, LayerConfig, RopeConfig, RopeScaling

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
LAYER_NAMES = {
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
}
IGNORED = frozenset({"rope_freqs.weight"})
"""Tensors that the configuration already says."""


@dataclass(frozen=True)
class Architecture:
    """How a family lies in GGUF.

    ``interleaved``: rows of the query and key weights are ordered for rotation in neighbouring pairs, and are put
    back into halves. ``adapt`` completes the configuration.
    """

    family: str
    interleaved: bool = False
    adapt: Callable[[DecoderConfig, Mapping[str, Any]], DecoderConfig] = lambda config, tensors: config


def _qwen2(config: DecoderConfig, tensors: Mapping[str, Any]) -> DecoderConfig:
    return replace(config, qkv_bias=True)


def _qwen3(config: DecoderConfig, tensors: Mapping[str, Any]) -> DecoderConfig:
    return replace(config, qk_norm="head")


ARCHITECTURES = {
    "llama": Architecture("llama", interleaved=True),
    "qwen2": Architecture("qwen2", adapt=_qwen2),
    "qwen3": Architecture("qwen3", adapt=_qwen3),
}

ROPE_SCALINGS: Mapping[str, RopeScaling] = {"none": "default", "linear": "linear"}


def tensor_name(name: str) -> str:
    """GGUF's name of a weight.

    >>> tensor_name("model.layers.3.mlp.up_proj.weight")
    'blk.3.ffn_up.weight'
    """
    if name in NAMES:
        return NAMES[name]
    _, _, index, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{index}.{LAYER_NAMES[part]}.{kind}"


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
    keys = _Keys(metadata, path)
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
    config = DecoderConfig(
        family=architecture.family,
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=keys("feed_forward_length", int),
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        layers=(LayerConfig(),) * layers,
        rope=_rope(keys, head_dim),
        norm_eps=keys("attention.layer_norm_rms_epsilon", float),
        max_positions=keys("context_length", int),
        tied="output.weight" not in tensors,
        bos=metadata.get("tokenizer.ggml.bos_token_id"),
        eos=tuple(
            metadata[f"tokenizer.ggml.{name}_token_id"]
            for name in ("eos", "eot")
            if f"tokenizer.ggml.{name}_token_id" in metadata
        ),
    )
    if "rope_freqs.weight" in tensors:
        raise UnsupportedError(
            mistake(repr(path), "rope_freqs.weight", "a tensor", "no frequencies of its own")
        )
    keys.finish()
    return architecture.adapt(config, tensors)


def _rope(keys: _Keys, head_dim: int) -> RopeConfig:
    prefix, dims = keys.prefix, keys("rope.dimension_count", int, head_dim)
    if dims % 2 or dims > head_dim:
        raise keys.error("rope.dimension_count", dims, f"an even number up to {head_dim}, the size of a head")
    keys.read |= {"rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length"}
    scaling = keys.metadata.get(prefix + "rope.scaling.type", "none")
    if not isinstance(scaling, str) or scaling not in ROPE_SCALINGS:
        known = ", ".join(ROPE_SCALINGS)
        raise UnsupportedError(
            mistake(repr(keys.path), prefix + "rope.scaling.type", repr(scaling)[:60], f"one of {known}")
        )
    factor = keys("rope.scaling.factor", float, 1.0)
    return RopeConfig(keys("rope.freq_base", float, 10000.0), dims, ROPE_SCALINGS[scaling], factor)
