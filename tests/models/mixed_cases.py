"""Cases of families with mixtures of experts or recurrent layers."""

from __future__ import annotations

from tests.models.checkpoints import Case

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
}  # fmt: skip
