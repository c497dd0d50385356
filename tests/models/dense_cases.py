"""Cases of the families without mixtures and recurrent layers, in odd sizes."""

from __future__ import annotations

from tests.models.checkpoints import Case

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 24,
}
YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 24,
    "beta_fast": 8,
    "rope_theta": 900.0,
}
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 500.0, "factor": 3.0,
    "short_factor": [1.0, 1.25, 1.5], "long_factor": [2.0, 3.0, 5.0],
}  # fmt: skip
DENSE = {
    "llama": Case("llama"),
    "llama-biases": Case("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 10}),
    "llama-tied": Case("llama", {"tie_word_embeddings": True, "hidden_act": "gelu"}),
    "llama-linear": Case(
        "llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0}}
    ),
    "llama-llama3": Case("llama", {"rope_parameters": LLAMA3, "head_dim": 14}),
    "mistral": Case("mistral", {"sliding_window": 7, "head_dim": 8}),
    "mistral-whole": Case("mistral", {"sliding_window": None, "tie_word_embeddings": True}),
    "qwen2": Case("qwen2"),
    "qwen2-window": Case("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
    "qwen3": Case("qwen3", {"head_dim": 14, "attention_bias": True}),
    "qwen3-tied": Case("qwen3", {"head_dim": 6, "tie_word_embeddings": True}),
    "smollm3": Case("smollm3", {"no_rope_layers": [1, 0, 1]}),
    "smollm3-window": Case(
        "smollm3", {"use_sliding_window": True, "sliding_window": 6, "no_rope_layer_interval": 2, "mlp_bias": True}
    ),
    "granite": Case(
        "granite",
        {
            "embedding_multiplier": 3.0, "residual_multiplier": 0.4, "attention_multiplier": 0.3, "logits_scaling": 2.0,
            "attention_bias": True,
        },
    ),
    "olmo2": Case("olmo2"),
    "olmo2-tied": Case("olmo2", {"tie_word_embeddings": True, "num_key_value_heads": 6, "attention_bias": True}),
    "olmo3": Case("olmo3", {"sliding_window": 6, "num_hidden_layers": 4}),
    "olmo3-yarn": Case(
        "olmo3",
        {
            "sliding_window": 9, "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "rope_parameters": {
                "full_attention": {**YARN, "rope_theta": 3000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 200.0},
            },
        },
    ),
    "gemma2": Case(
        "gemma2",
        {
            "head_dim": 10, "query_pre_attn_scalar": 7, "sliding_window": 6, "attn_logit_softcapping": 3.0,
            "final_logit_softcapping": 4.0, "tie_word_embeddings": True,
        },
    ),
    "gemma2-uncapped": Case(
        "gemma2",
        {
            "head_dim": 6, "attn_logit_softcapping": None, "final_logit_softcapping": None, "attention_bias": True,
            "layer_types": ["full_attention", "full_attention", "sliding_attention"], "sliding_window": 4,
        },
    ),
    "gemma3": Case(
        "gemma3_text",
        {
            "head_dim": 14, "query_pre_attn_scalar": 9, "sliding_window": 5, "sliding_window_pattern": 2,
            "tie_word_embeddings": True,
        },
    ),
    "gemma3-linear": Case(
        "gemma3_text",
        {
            "head_dim": 6, "sliding_window": 5, "final_logit_softcapping": 5.0, "num_attention_heads": 4,
            "layer_types": ["full_attention", "sliding_attention"], "num_hidden_layers": 2,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 70.0},
            },
        },
    ),
    "phi3": Case("phi3", {"sliding_window": 9}),
    "phi3-partial": Case(
        "phi3", {"tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.67}}
    ),
    "phi3-short": Case("phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 90}),
    "phi3-long": Case("phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 12}),
    "gpt2": Case("gpt2", {"n_inner": 52, "tie_word_embeddings": True}),
    "gpt2-scaled": Case(
        "gpt2", {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True, "activation_function": "gelu"}
    ),
    "gpt_neox": Case("gpt_neox", {"rotary_pct": 0.34}),
    "gpt_neox-serial": Case(
        "gpt_neox",
        {"use_parallel_residual": False, "attention_bias": False, "rotary_pct": 1.0, "tie_word_embeddings": True},
    ),
    "ministral3": Case(
        "ministral3",
        {"head_dim": 10, "rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.3}},
    ),
    "ministral3-window": Case(
        "ministral3",
        {
            "head_dim": 6, "sliding_window": 8,
            "rope_parameters": {
                "rope_type": "yarn", "factor": 3.0, "original_max_position_embeddings": 10, "truncate": False,
                "attention_factor": 1.2, "rope_theta": 500.0, "llama_4_scaling_beta": 0.5,
            },
        },
    ),
    "llama-dynamic": Case(
        "llama",
        {
            "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 500.0},
            "max_position_embeddings": 13,
        },
    ),
    "llama-yarn": Case("llama", {"rope_parameters": {**YARN, "mscale": 0.7, "mscale_all_dim": 1.3}}),
}  # fmt: skip
