"""``FAMILIES``: a row for each ``model_type``, which maps a ``config.json`` to a ``DecoderConfig`` and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.errors import FormatError, UnsupportedError, mistake
from weft.models.config import ACTIVATION_NAMES, DecoderConfig, LayerConfig
from weft.models.families import layout
from weft.models.families.family import (
    ATTENTION_BIAS,
    MLP_BIAS,
    TIED,
    Derived,
    Family,
    Field,
    defaults_of,
    epsilon,
    key_heads,
    positions,
    shared_heads,
    softcap,
    value_of,
    whole_head_dim,
)
from weft.models.families.fields import INERT, Fields
from weft.models.families.layers import SMOLLM3, SWITCHED, alike, every, windowed
from weft.models.families.mixtures import MIXTURES
from weft.models.families.recurrent import RECURRENT
from weft.models.families.rope import RopeRule, read_rope, write_rope
from weft.models.families.wrappers import WRAPPERS, unwrapped


def _scale_of(scalar: Any) -> float:
    scale: float = scalar**-0.5
    return scale


def _scalar_of(scale: float) -> int:
    return round(scale**-2)


def _root(fields: Fields) -> float:
    root: float = fields("hidden_size", int) ** 0.5
    return root


def _four_times(fields: Fields) -> int:
    inner: int = 4 * fields("hidden_size", int)
    return inner


def _scale_if(scaled: Any) -> float | None:
    return None if scaled else 1.0


def _is_scaled(scale: float | None) -> bool:
    return scale is None


PLAIN: Mapping[str, Any] = {
    "norm": "layer",
    "mlp_bias": True,
    "num_kv_heads": Derived(shared_heads),
    "head_dim": Derived(whole_head_dim),
}
"""Constants of families with ungated feed-forward parts."""
WHOLE_HEADS_ONLY = frozenset({"num_key_value_heads", "head_dim"})
GEMMA_FIELDS: Mapping[str, Field] = {
    "attention_bias": ATTENTION_BIAS,
    "head_dim": Field(("head_dim",), int, 256),
    "num_key_value_heads": key_heads(4),
    "hidden_act": Field(("activation",), str, "gelu_pytorch_tanh"),
    "tie_word_embeddings": TIED,
    "query_pre_attn_scalar": Field(("scale",), int, 256, read=_scale_of, write=_scalar_of),
}
GEMMA: Mapping[str, Any] = {
    "norm": "rms_plus_one",
    "placement": "around",
    "embedding_scale": Derived(_root),
}
GEMMA_ALIASES = {"hidden_act": "hidden_activation"}
MINISTRAL_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 1000000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}

FAMILIES: Mapping[str, Family] = {
    "llama": Family("LlamaForCausalLM", {"attention_bias": ATTENTION_BIAS, "mlp_bias": MLP_BIAS}),
    "mistral": Family(
        "MistralForCausalLM",
        {"num_key_value_heads": key_heads(8), "max_position_embeddings": positions(131072)},
        pattern=windowed(4096),
    ),
    "qwen2": Family(
        "Qwen2ForCausalLM",
        {"num_key_value_heads": key_heads(32), "max_position_embeddings": positions(32768)},
        {"qkv_bias": True},
        SWITCHED,
    ),
    "qwen3": Family(
        "Qwen3ForCausalLM",
        {
            "attention_bias": ATTENTION_BIAS,
            "num_key_value_heads": key_heads(32),
            "head_dim": Field(("head_dim",), int, 128),
            "max_position_embeddings": positions(32768),
        },
        {"qk_norm": "head"},
        SWITCHED,
    ),
    "smollm3": Family(
        "SmolLM3ForCausalLM",
        {
            "attention_bias": ATTENTION_BIAS,
            "mlp_bias": MLP_BIAS,
            "num_key_value_heads": key_heads(4),
            "max_position_embeddings": positions(32768),
            "tie_word_embeddings": TIED,
        },
        pattern=SMOLLM3,
        rope=RopeRule(2000000.0),
    ),
    "granite": Family(
        "GraniteForCausalLM",
        {
            "attention_bias": ATTENTION_BIAS,
            "mlp_bias": MLP_BIAS,
            "embedding_multiplier": Field(("embedding_scale",), float, 1.0),
            "residual_multiplier": Field(("residual_scale",), float, 1.0),
            "attention_multiplier": Field(("scale",), float, 1.0),
            "logits_scaling": Field(("logits_divisor",), float, 1.0),
        },
    ),
    "olmo2": Family(
        "Olmo2ForCausalLM",
        {"attention_bias": ATTENTION_BIAS, "rms_norm_eps": epsilon(1e-5)},
        {"placement": "after", "qk_norm": "width"},
    ),
    "olmo3": Family(
        "Olmo3ForCausalLM",
        {"attention_bias": ATTENTION_BIAS, "rms_norm_eps": epsilon(1e-5)},
        {"placement": "after", "qk_norm": "width"},
        every(4),
        RopeRule(500000.0, window_theta=500000.0),
    ),
    "phi3": Family(
        "Phi3ForCausalLM",
        {"rms_norm_eps": epsilon(1e-5), "max_position_embeddings": positions(4096)},
        pattern=windowed(None),
        rope=RopeRule(partial=1.0, scalings=("default", "longrope"), original=4096),
        layout=layout.PHI3,
    ),
    "gpt2": Family(
        "GPT2LMHeadModel",
        {
            "hidden_act": Field(("activation",), str, "gelu_new"),
            "intermediate_size": Field(("intermediate_size",), int, Derived(_four_times)),
            "rms_norm_eps": epsilon(1e-5),
            "max_position_embeddings": positions(1024),
            "tie_word_embeddings": TIED,
            "scale_attn_weights": Field(("scale",), bool, True, read=_scale_if, write=_is_scaled),
            "scale_attn_by_inverse_layer_idx": Field(("scale_by_layer",), bool, False),
        },
        {**PLAIN, "qkv_bias": True, "out_bias": True, "learned_positions": True},
        alike(LayerConfig(rope=False, feed_forward="plain")),
        None,
        {
            "hidden_size": "n_embd",
            "num_hidden_layers": "n_layer",
            "num_attention_heads": "n_head",
            "intermediate_size": "n_inner",
            "max_position_embeddings": "n_positions",
            "hidden_act": "activation_function",
            "rms_norm_eps": "layer_norm_epsilon",
        },
        layout=layout.GPT2,
        absent=WHOLE_HEADS_ONLY,
        inert=frozenset({"n_ctx", "reorder_and_upcast_attn"}),
    ),
    "gpt_neox": Family(
        "GPTNeoXForCausalLM",
        {
            "attention_bias": Field(("qkv_bias", "out_bias"), bool, True),
            "hidden_act": Field(("activation",), str, "gelu"),
            "rms_norm_eps": epsilon(1e-5),
            "use_parallel_residual": Field(("parallel",), bool, True),
        },
        PLAIN,
        alike(LayerConfig(feed_forward="plain")),
        RopeRule(partial=0.25),
        {
            "rms_norm_eps": "layer_norm_eps",
            "partial_rotary_factor": "rotary_pct",
            "rope_theta": "rotary_emb_base",
        },
        layout=layout.GPT_NEOX,
        absent=WHOLE_HEADS_ONLY,
    ),
    "gemma2": Family(
        "Gemma2ForCausalLM",
        {
            **GEMMA_FIELDS,
            "max_position_embeddings": positions(8192),
            "attn_logit_softcapping": softcap("attention_softcap", 50.0),
            "final_logit_softcapping": softcap("logits_softcap", 30.0),
        },
        GEMMA,
        every(2),
        aliases=GEMMA_ALIASES,
        inert=frozenset({"hidden_act"}),
    ),
    "gemma3_text": Family(
        "Gemma3ForCausalLM",
        {
            **GEMMA_FIELDS,
            "vocab_size": Field(("vocab_size",), int, 262208),
            "num_attention_heads": Field(("num_heads",), int, 8),
            "max_position_embeddings": positions(131072),
            "final_logit_softcapping": softcap("logits_softcap", None),
        },
        {**GEMMA, "qk_norm": "head"},
        every(6, "sliding_window_pattern"),
        RopeRule(1000000.0, window_theta=10000.0),
        GEMMA_ALIASES,
        layout=layout.WRAPPED,
        inert=frozenset({"hidden_act", "_sliding_window_pattern"}),
    ),
    "ministral3": Family(
        "Ministral3ForCausalLM",
        {
            "num_key_value_heads": key_heads(8),
            "head_dim": Field(("head_dim",), int, 128),
            "rms_norm_eps": epsilon(1e-5),
            "max_position_embeddings": positions(262144),
        },
        pattern=windowed(None),
        rope=RopeRule(query_scale=True, absent=MINISTRAL_ROPE),
        layout=layout.WRAPPED,
    ),
    **MIXTURES,
    **RECURRENT,
}


def config_from(given: Mapping[str, Any], path: str) -> DecoderConfig:
    """Return the configuration that a ``config.json`` says.

    Raises:
        UnsupportedError: for an unknown ``model_type``, or fields that the family's row does not cover; all are named.
        FormatError: for a value of the wrong kind.

    >>> config_from({"model_type": "llama", "vocab_size": 11, "hidden_size": 8, "intermediate_size": 16,
    ...     "num_attention_heads": 2, "num_hidden_layers": 1}, "config.json").head_dim
    4
    """
    given = unwrapped(given, path)
    name = Fields(given, path).one_of("model_type", [*FAMILIES, *WRAPPERS])
    family = FAMILIES[name]
    fields = Fields(given, path, INERT | family.inert, aliases=family.aliases)
    found: dict[str, Any] = {}
    for key, row in family.rows().items():
        value = fields(key, row.kind, *defaults_of(key, row, fields))
        found |= dict.fromkeys(row.attributes, None if value is None else row.read(value))
    found |= {key: value_of(value, fields) for key, value in family.constant.items()}
    if found["activation"] not in ACTIVATION_NAMES:
        fields.one_of("hidden_act", ACTIVATION_NAMES)
    if found["num_heads"] % found["num_kv_heads"]:
        expected = f"a divisor of the {found['num_heads']} heads"
        raise fields.error("num_key_value_heads", found["num_kv_heads"], expected)
    if found.get("experts_chosen", 0) > found.get("experts", 0):
        expected = f"at most the {found['experts']} experts"
        raise fields.error("num_experts_per_tok", found["experts_chosen"], expected)
    rope, window_rope = None, None
    if family.rope is not None:
        rope, window_rope = read_rope(fields, family.rope, found["head_dim"], found["max_positions"])
    layers = family.pattern.read(fields, fields("num_hidden_layers", int))
    fields.finish()
    return DecoderConfig(
        family=name,
        layers=layers,
        rope=rope,
        window_rope=window_rope,
        eos=end_tokens(given, path),
        bos=given.get("bos_token_id"),
        **found,
    )


def end_tokens(given: Mapping[str, Any], path: str) -> tuple[int, ...]:
    """Return the end tokens of a ``config.json`` or ``generation_config.json``: none, one or a list."""
    value = given.get("eos_token_id")
    ends = [] if value is None else value if isinstance(value, list) else [value]
    if not all(type(token) is int for token in ends):
        raise FormatError(
            mistake(repr(path), "eos_token_id", repr(value)[:60], "a token id or a list of them")
        )
    return tuple(ends)


def config_to(config: DecoderConfig) -> dict[str, Any]:
    """Return the ``config.json`` of a configuration; ``UnsupportedError`` where the family has no words for it."""
    if config.family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UnsupportedError(mistake("save", "family", repr(config.family), f"one of {known}"))
    family = FAMILIES[config.family]
    written: dict[str, Any] = {"architectures": [family.classname], "model_type": config.family}
    for key, row in family.rows().items():
        value = getattr(config, row.attributes[0])
        written[key] = None if value is None and row.null is None else row.write(value)
    written |= {"num_hidden_layers": len(config.layers), **family.pattern.write(config.layers)}
    if family.rope is not None:
        written |= write_rope(config, family.rope)
    written = {family.aliases.get(key, key): value for key, value in written.items()}
    written |= {
        "bos_token_id": config.bos,
        "pad_token_id": None,
        "eos_token_id": list(config.eos) or None,
    }
    again = config_from(written, "config.json")
    if again != config:
        lost = [name for name in vars(config) if getattr(again, name) != getattr(config, name)]
        raise UnsupportedError(
            f"save: a config.json of the family {config.family!r} cannot say {', '.join(lost)} of this model"
        )
    return written
