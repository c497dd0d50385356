"""Configurations of every family: defaults, older fields and impossible values, against transformers' own reading."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import transformers

from weft.errors import FormatError, UnsupportedError
from weft.models.families import FAMILIES, config_from, config_to

SIZES = {
    "vocab_size": 131,
    "hidden_size": 256,
    "intermediate_size": 52,
    "num_hidden_layers": 13,
    "num_attention_heads": 32,
}
"""With as many heads as transformers has by default."""
NAMES = {
    "hidden_size": "n_embd",
    "intermediate_size": "n_inner",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
}
"""What gpt2 calls them."""


def least(family: str) -> dict[str, Any]:
    """Return a ``config.json`` of a family that says sizes only."""
    names = NAMES if family == "gpt2" else {}
    experts = {"num_experts": 8} if family == "qwen3_moe" else {}
    return {
        "model_type": family,
        **{names.get(name, name): value for name, value in SIZES.items()},
        **experts,
    }


def theirs(given: dict[str, Any]) -> Any:
    """Return what weft reads of the fields that transformers fills in, without tokens."""
    made = transformers.AutoConfig.for_model(**given)
    return plain({"model_type": given["model_type"], **made.to_dict()})


def plain(given: dict[str, Any]) -> Any:
    """Return a configuration without the tokens that begin and end."""
    return replace(config_from(given, "config.json"), eos=(), bos=None)


@pytest.mark.parametrize("family", FAMILIES)
def test_defaults_equal_those_of_transformers(family: str) -> None:
    given = least(family)
    assert plain(given) == theirs(given)


LONGROPE = {"short_factor": [1.0, 1.5, 2.0, 2.5], "long_factor": [2.0, 3.0, 4, 5]}
OLDER: dict[str, dict[str, Any]] = {
    "llama": {"rope_theta": 900.0, "rope_scaling": {"type": "dynamic", "factor": 3.0}},
    "mistral": {"sliding_window": None, "rope_theta": 300.0},
    "qwen2": {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}},
    "olmo2": {"rope_theta": 300.0, "attention_bias": True},
    "olmo3": {
        "rope_scaling": {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64},
        "rope_theta": 500000.0,
    },
    "gemma2": {
        "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "rope_theta": 300.0,
        "cache_implementation": "hybrid", "attn_logit_softcapping": None, "query_pre_attn_scalar": 224,
    },
    "gemma3_text": {
        "rope_theta": 2000000.0, "rope_local_base_freq": 300.0, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 512, "sliding_window_pattern": 5, "query_pre_attn_scalar": 168,
    },
    "phi3": {
        "rope_scaling": {"type": "longrope", **LONGROPE}, "original_max_position_embeddings": 512,
        "max_position_embeddings": 4096, "sliding_window": 77, "rope_theta": 300.0,
    },
    "gpt2": {"n_ctx": 1024, "n_inner": None, "scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
    "gpt_neox": {"rotary_pct": 0.5, "rotary_emb_base": 300, "use_parallel_residual": False},
    "mixtral": {"rope_theta": 300.0, "sliding_window": 77, "num_local_experts": 4},
    "qwen3_moe": {
        "max_window_layers": 48, "norm_topk_prob": True, "use_sliding_window": True, "sliding_window": 99,
        "decoder_sparse_step": 2, "mlp_only_layers": [1, 4], "rope_theta": 300.0,
    },
    "gpt_oss": {
        "initial_context_length": 4096, "num_local_experts": 32, "rope_theta": 300, "swiglu_limit": 5.0,
        "rope_scaling": {
            "beta_fast": 32.0, "beta_slow": 1.0, "factor": 16.0, "original_max_position_embeddings": 4096,
            "rope_type": "yarn", "truncate": False,
        },
    },
    "lfm2": {
        "block_dim": 256, "block_ff_dim": 400, "block_ffn_dim_multiplier": 1.3, "block_multiple_of": 32, "rope_theta": 300.0,
        "block_use_swiglu": True, "conv_dim": 256, "conv_L_cache": 4, "full_attn_idxs": [2, 5, 8], "tie_embedding": False,
    },
    "qwen3_5_text": {
        "full_attention_interval": 3, "mamba_ssm_dtype": "float32", "mtp_num_hidden_layers": 1, "linear_num_value_heads": 16,
        "rope_parameters": {
            "mrope_interleaved": True, "mrope_section": [11, 11, 10], "rope_type": "default", "rope_theta": 300,
            "partial_rotary_factor": 0.5,
        },
    },
    "ministral3": {
        "rope_scaling": {"type": "yarn", "factor": 4.0, "llama_4_scaling_beta": 0.2, "max_position_embeddings": 99}
    },
}  # fmt: skip


@pytest.mark.parametrize("family", OLDER)
def test_older_fields_and_nulls_are_read_as_transformers_reads_them(family: str) -> None:
    given = least(family) | OLDER[family]
    assert plain(given) == theirs(given)
    assert plain(given) != plain(least(family))


def test_null_for_the_heads_of_keys_means_those_of_queries() -> None:
    assert plain(least("mistral")).num_kv_heads == 8
    assert plain(least("mistral") | {"num_key_value_heads": None}).num_kv_heads == 32


def test_the_older_name_of_longrope_is_read() -> None:
    given = least("phi3") | OLDER["phi3"]
    older = given | {"rope_scaling": {"type": "su", **LONGROPE}}
    assert plain(older) == plain(given)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_is_read_the_same_here_and_there(family: str) -> None:
    config = plain(least(family) | OLDER.get(family, {}))
    written = config_to(config)
    assert plain(written) == config
    assert theirs({name: value for name, value in written.items() if name != "architectures"}) == config


@pytest.mark.parametrize("family", FAMILIES)
def test_a_field_that_a_row_does_not_read_is_named(family: str) -> None:
    with pytest.raises(UnsupportedError, match=r"config\.json.*twist = \[3\]"):
        config_from(least(family) | {"twist": [3]}, "config.json")
    with pytest.raises(UnsupportedError, match=r"rope_parameters.*twist"):
        config_from(least(family) | {"rope_parameters": twisted(family)}, "config.json")


def twisted(family: str) -> dict[str, Any]:
    """Return rotation fields of a family, with one that is not known."""
    rope = FAMILIES[family].rope
    own: dict[str, Any] = {"rope_type": "default", "twist": 3}
    if rope is not None and rope.query_scale:
        own["llama_4_scaling_beta"] = 0.1
    return own if rope is None or rope.window_theta is None else {"sliding_attention": own}


PER_TYPE = {"full_attention": {"rope_type": "default"}}


@pytest.mark.parametrize(
    ("family", "changed", "part", "kind"),
    [
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor", UnsupportedError),
        ("llama", {"rope_parameters": PER_TYPE}, "rope_parameters.*type of layer", UnsupportedError),
        ("llama", {"llama_4_scaling_beta": 0.1}, "llama_4_scaling_beta", UnsupportedError),
        ("llama", {"head_dim": 2, "rope_scaling": {"type": "dynamic", "factor": 2}}, "dynamic", FormatError),
        ("gemma3_text", {"rope_parameters": {"rope_type": "default"}}, "rope_type", UnsupportedError),
        ("gemma3_text", {"attn_logit_softcapping": 3.0}, "attn_logit_softcapping", UnsupportedError),
        ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention", UnsupportedError),
        ("gemma2", {"layer_types": ["full_attention"]}, "layer_types is 1 entries", FormatError),
        ("gemma2", {"layer_types": ["spiral"] * 13}, "layer_types is 'spiral'", FormatError),
        ("gemma2", {"sliding_window": None}, "no window", FormatError),
        ("gemma2", {"hidden_activation": "wave"}, "hidden_activation is 'wave'", UnsupportedError),
        ("phi3", {"rope_scaling": {"type": "yarn", "factor": 2}}, "rope_parameters.type is 'yarn'", UnsupportedError),
        ("phi3", {"rope_scaling": {"type": "longrope"}}, "short_factor is missing", FormatError),
        (
            "phi3", {"rope_scaling": {"type": "longrope", **LONGROPE, "long_factor": [1.0]}},
            "long_factor.*4 numbers above 0", FormatError,
        ),
        ("phi3", {"rope_scaling": {"type": "longrope", **LONGROPE, "short_factor": [1.0, 1, 1, 0]}}, "short", FormatError),
        ("ministral3", {"rope_parameters": {"rope_type": "default"}}, "llama_4_scaling_beta is missing", FormatError),
        ("gpt2", {"n_head": "12"}, "n_head is '12'", FormatError),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention", UnsupportedError),
        ("gpt2", {"rope_parameters": {"rope_type": "default"}}, "rope_parameters", UnsupportedError),
        ("gpt_neox", {"rotary_pct": 0.2}, "partial_rotary_factor", FormatError),
        ("gpt_neox", {"num_key_value_heads": 2}, "num_key_value_heads", UnsupportedError),
        ("mixtral", {"num_experts_per_tok": 9}, "num_experts_per_tok is 9.*8 experts", FormatError),
        ("qwen3_moe", {"num_experts": None}, "num_local_experts is missing", FormatError),
        ("qwen3_moe", {"mlp_only_layers": ["a"]}, "mlp_only_layers", FormatError),
        ("qwen3_moe", {"decoder_sparse_step": 0}, "decoder_sparse_step", FormatError),
        ("gpt_oss", {"quantization_config": {"quant_method": "mxfp4"}}, "quantization_config", UnsupportedError),
        ("lfm2", {"layer_types": ["conv"] * 12 + ["linear"]}, "layer_types is 'linear'.*conv", FormatError),
        ("lfm2", {"hidden_act": "silu"}, "hidden_act", UnsupportedError),
        ("qwen3_5_text", {"linear_num_value_heads": 24}, "linear_num_value_heads is 24.*16 key heads", FormatError),
        ("qwen3_5_text", {"layer_types": ["sliding_attention"] * 13}, "layer_types", FormatError),
        ("granite", {"logits_scaling": "2"}, "logits_scaling", FormatError),
        ("olmo2", {"clip_qkv": 3.0}, "clip_qkv", UnsupportedError),
    ],
)  # fmt: skip
def test_fields_that_are_not_covered_or_impossible_are_named(
    family: str, changed: dict[str, Any], part: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=part) as raised:
        config_from(least(family) | changed, "config.json")
    assert "config.json" in str(raised.value)
