"""``MIXTURES``: the families with mixtures of experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.models.families.family import ATTENTION_BIAS, Derived, Family, Field, epsilon, positions
from weft.models.families.fields import REQUIRED, Fields
from weft.models.families.layers import QWEN3_MOE, every, mixed, windowed
from weft.models.families.layout import Layout
from weft.models.families.rope import RopeRule


def _experts(fields: Fields) -> Any:
    return fields("num_experts", int) if "num_experts" in fields else REQUIRED


MIXTRAL = Layout(
    names={
        "layers.*.mlp.router": "layers.*.block_sparse_moe.gate",
        "layers.*.mlp.experts.*.gate_proj": "layers.*.block_sparse_moe.experts.*.w1",
        "layers.*.mlp.experts.*.up_proj": "layers.*.block_sparse_moe.experts.*.w3",
        "layers.*.mlp.experts.*.down_proj": "layers.*.block_sparse_moe.experts.*.w2",
    }
)

GPT_OSS_ROPE = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}

MIXTURES: Mapping[str, Family] = {
    "mixtral": Family(
        "MixtralForCausalLM",
        {
            "intermediate_size": Field(("intermediate_size", "expert_size"), int),
            "num_key_value_heads": Field(("num_kv_heads",), int, 8),
            "rms_norm_eps": epsilon(1e-5),
            "max_position_embeddings": positions(131072),
            "num_local_experts": Field(("experts",), int, 8),
            "num_experts_per_tok": Field(("experts_chosen",), int, 2),
        },
        pattern=mixed(windowed(None)),
        rope=RopeRule(1000000.0),
        layout=MIXTRAL,
    ),
    "qwen3_moe": Family(
        "Qwen3MoeForCausalLM",
        {
            "attention_bias": ATTENTION_BIAS,
            "num_key_value_heads": Field(("num_kv_heads",), int, 4),
            "max_position_embeddings": positions(32768),
            "num_local_experts": Field(("experts",), int, Derived(_experts)),
            "num_experts_per_tok": Field(("experts_chosen",), int, 8),
            "moe_intermediate_size": Field(("expert_size",), int, 768),
            "norm_topk_prob": Field(("renormalise",), bool, False),
        },
        {"qk_norm": "head"},
        QWEN3_MOE,
        inert=frozenset({"max_window_layers"}),
        layout=Layout(names={"layers.*.mlp.router": "layers.*.mlp.gate"}),
    ),
    "gpt_oss": Family(
        "GptOssForCausalLM",
        {
            "intermediate_size": Field(("intermediate_size", "expert_size"), int),
            "attention_bias": Field(("qkv_bias", "out_bias"), bool, True),
            "num_key_value_heads": Field(("num_kv_heads",), int, 8),
            "head_dim": Field(("head_dim",), int, 64),
            "rms_norm_eps": epsilon(1e-5),
            "max_position_embeddings": positions(131072),
            "num_local_experts": Field(("experts",), int, 128),
            "num_experts_per_tok": Field(("experts_chosen",), int, 4),
            "swiglu_alpha": Field(("gate_slope",), float, 1.702),
            "swiglu_limit": Field(("gate_limit",), float, 7.0),
        },
        {"sinks": True, "expert_bias": True, "expert_stacking": "interleaved"},
        mixed(every(2, absent=128)),
        RopeRule(150000.0, absent=GPT_OSS_ROPE),
        inert=frozenset({"initial_context_length", "experts_per_token"}),
    ),
}
