"""Cases of families with mixtures of experts or recurrent layers."""

from __future__ import annotations

from tests.models.checkpoints import Case

GPT_OSS = {
    "sliding_window": 6,
    "head_dim": 8,
    "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 150.0, "factor": 4.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
        "original_max_position_embeddings": 24,
    },
}  # fmt: skip
DELTA = {
    "linear_key_head_dim": 6,
    "linear_value_head_dim": 10,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
MIXED = {
    "mixtral": Case("mixtral", {"num_local_experts": 5, "num_experts_per_tok": 2}, seed=1),
    "mixtral-window": Case(
        "mixtral", {"num_local_experts": 3, "num_experts_per_tok": 3, "sliding_window": 5, "head_dim": 10, "tie_word_embeddings": True}
    ),
    "qwen3_moe": Case("qwen3_moe", {"num_experts": 7, "num_experts_per_tok": 3, "moe_intermediate_size": 22, "head_dim": 14}),
    "qwen3_moe-mixed": Case(
        "qwen3_moe",
        {
            "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 20, "head_dim": 6, "norm_topk_prob": True,
            "decoder_sparse_step": 2, "num_hidden_layers": 4, "mlp_only_layers": [3], "attention_bias": True,
            "use_sliding_window": True, "sliding_window": 6,
        },
    ),
    "gpt_oss": Case("gpt_oss", {**GPT_OSS, "num_local_experts": 5, "num_experts_per_tok": 2}),
    "gpt_oss-whole": Case(
        "gpt_oss",
        {
            **GPT_OSS, "num_local_experts": 3, "num_experts_per_tok": 3, "swiglu_limit": 0.7, "swiglu_alpha": 1.3, "head_dim": 14,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"], "sliding_window": 128, "attention_bias": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
        },
    ),
    "lfm2": Case("lfm2", {"layer_types": ["conv", "full_attention", "conv"], "block_multiple_of": 20}),
    "lfm2-biases": Case(
        "lfm2",
        {
            "full_attn_idxs": [2], "conv_bias": True, "conv_L_cache": 4, "block_auto_adjust_ff_dim": False,
            "tie_word_embeddings": True, "num_hidden_layers": 4,
        },
    ),
    "qwen3_5": Case(
        "qwen3_5_text",
        {**DELTA, "layer_types": ["linear_attention", "full_attention", "linear_attention"], "head_dim": 8},
    ),
    "qwen3_5-tied": Case(
        "qwen3_5_text",
        {
            **DELTA, "linear_num_value_heads": 2, "linear_conv_kernel_dim": 2, "num_hidden_layers": 4, "head_dim": 12,
            "tie_word_embeddings": True, "attention_bias": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.5},
        },
    ),
}  # fmt: skip
