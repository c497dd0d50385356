"""``RECURRENT``: the families with layers that keep a state for each sequence between layers of attention."""

from __future__ import annotations

from collections.abc import Mapping

from weft.models.families.family import ATTENTION_BIAS, TIED, Derived, Family, Field, epsilon, positions
from weft.models.families.fields import Fields
from weft.models.families.layers import mixers
from weft.models.families.layout import Layout
from weft.models.families.rope import RopeRule

SMALLER = "block_auto_adjust_ff_dim"


def _lfm2_inner(fields: Fields) -> int:
    """Return the inner features of LFM2's feed-forward parts: two thirds of the stated number, rounded up."""
    inner: int = fields("block_ff_dim", int, fields("intermediate_size", int))
    smaller, factor = fields(SMALLER, bool, True), fields("block_ffn_dim_multiplier", float, 1.0, null=None)
    multiple: int = fields("block_multiple_of", int, 256)
    if not smaller:
        return inner
    inner = 2 * inner // 3
    return inner if factor is None else -(-int(factor * inner) // multiple) * multiple


def _lfm2_tied(fields: Fields) -> bool:
    tied: bool = fields("tie_embedding", bool, fields("tie_word_embeddings", bool, True))
    return tied


def _lfm2_types(fields: Fields, count: int) -> list[str]:
    attending = fields("full_attn_idxs", list, [*range(count)])
    return ["full_attention" if index in attending else "conv" for index in range(count)]


def _qwen3_5_types(fields: Fields, count: int) -> list[str]:
    interval = fields("full_attention_interval", int, 4)
    return ["linear_attention" if (index + 1) % interval else "full_attention" for index in range(count)]


def _value_heads(fields: Fields) -> int:
    keys, values = fields("linear_num_key_heads", int, 16), fields("linear_num_value_heads", int, 32)
    if values % keys:
        raise fields.error("linear_num_value_heads", values, f"a multiple of the {keys} key heads")
    heads: int = values
    return heads


LFM2 = Layout(
    names={
        "norm": "embedding_norm",
        "layers.*.input_layernorm": "layers.*.operator_norm",
        "layers.*.post_attention_layernorm": "layers.*.ffn_norm",
        "layers.*.self_attn.o_proj": "layers.*.self_attn.out_proj",
        "layers.*.self_attn.q_norm": "layers.*.self_attn.q_layernorm",
        "layers.*.self_attn.k_norm": "layers.*.self_attn.k_layernorm",
        "layers.*.mlp.gate_proj": "layers.*.feed_forward.w1",
        "layers.*.mlp.up_proj": "layers.*.feed_forward.w3",
        "layers.*.mlp.down_proj": "layers.*.feed_forward.w2",
    }
)
QWEN3_5 = Layout(bases=("model.", "model.language_model."), ignored=("mtp.", "model.visual."))

RECURRENT: Mapping[str, Family] = {
    "lfm2": Family(
        "Lfm2ForCausalLM",
        {
            "num_key_value_heads": Field(("num_kv_heads",), int, 8),
            "rms_norm_eps": epsilon(1e-5),
            "max_position_embeddings": positions(128000),
            "tie_word_embeddings": TIED,
            "conv_L_cache": Field(("conv_size",), int, 3),
            "conv_bias": Field(("conv_bias",), bool, False),
        },
        {
            "activation": "silu",
            "qk_norm": "head",
            "tied": Derived(_lfm2_tied),
            "intermediate_size": Derived(_lfm2_inner),
        },
        mixers({"full_attention": "attention", "conv": "convolution"}, _lfm2_types, **{SMALLER: False}),
        RopeRule(1000000.0),
        {"rms_norm_eps": "norm_eps"},
        LFM2,
        frozenset({"hidden_act"}),
        frozenset(
            "block_dim block_mlp_init_scale block_norm_eps block_out_init_scale block_use_swiglu "
            "block_use_xavier_init conv_dim conv_dim_out conv_use_xavier_init num_heads use_pos_enc".split()
        ),
    ),
    "qwen3_5_text": Family(
        "Qwen3_5ForCausalLM",
        {
            "attention_bias": ATTENTION_BIAS,
            "attn_output_gate": Field(("attention_gate",), bool, True),
            "num_key_value_heads": Field(("num_kv_heads",), int, 4),
            "head_dim": Field(("head_dim",), int, 256),
            "max_position_embeddings": positions(32768),
            "linear_conv_kernel_dim": Field(("conv_size",), int, 4),
            "linear_key_head_dim": Field(("delta_key_size",), int, 128),
            "linear_value_head_dim": Field(("delta_value_size",), int, 128),
            "linear_num_key_heads": Field(("delta_key_heads",), int, 16),
            "linear_num_value_heads": Field(("delta_value_heads",), int, 32),
        },
        {"norm": "rms_plus_one", "qk_norm": "head", "delta_value_heads": Derived(_value_heads)},
        mixers({"full_attention": "attention", "linear_attention": "delta"}, _qwen3_5_types),
        RopeRule(partial=0.25, inert=frozenset({"mrope_section", "mrope_interleaved"})),
        layout=QWEN3_5,
        inert=frozenset({"mamba_ssm_dtype", "mtp_num_hidden_layers", "mtp_use_dedicated_embeddings"}),
    ),
}
