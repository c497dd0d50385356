"""Tiny random models of transformers, and GGUF files of the same weights as its converter writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A family in sizes that no tile divides; ``changed`` are fields of its configuration."""

    family: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


SIZES = {
    "vocab_size": 131,
    "hidden_size": 36,
    "intermediate_size": 52,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "attention_dropout": 0.0,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.5, 2.0], "long_factor": [1.0, 4.0, 7.0],
}  # fmt: skip
CASES = {
    "llama": Case("llama"),
    "llama-tied": Case("llama", {"tie_word_embeddings": True, "num_key_value_heads": 6}),
    "llama-head_dim": Case("llama", {"head_dim": 10, "num_key_value_heads": 3}),
    "llama-linear": Case(
        "llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0}}
    ),
    "qwen2": Case("qwen2"),
    "qwen2-tied": Case("qwen2", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
    "qwen3": Case("qwen3", {"head_dim": 14}),
    "qwen3-tied": Case("qwen3", {"head_dim": 6, "tie_word_embeddings": True, "rms_norm_eps": 1e-5}),
    "llama-llama3": Case("llama", {"rope_parameters": LLAMA3, "head_dim": 14}),
    "llama-biases": Case("llama", {"attention_bias": True, "mlp_bias": True}),
    "smollm3": Case("smollm3", {"num_hidden_layers": 5}),
    "granite": Case(
        "granite",
        {"embedding_multiplier": 3.0, "residual_multiplier": 0.25, "attention_multiplier": 0.3, "logits_scaling": 2.0},
    ),
    "olmo2": Case("olmo2"),
    "gemma2": Case("gemma2", {"head_dim": 8, "sliding_window": 7, "query_pre_attn_scalar": 8, "tie_word_embeddings": True}),
    "gemma3": Case(
        "gemma3_text",
        {"head_dim": 8, "sliding_window": 7, "query_pre_attn_scalar": 8, "num_hidden_layers": 7},
    ),
    "phi3": Case("phi3", {"sliding_window": 9}),
    "phi3-longrope": Case("phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 16}),
    "gpt2": Case("gpt2", {"tie_word_embeddings": True}),
}  # fmt: skip
CLASSES: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
    "smollm3": (transformers.SmolLM3Config, transformers.SmolLM3ForCausalLM),
    "mixtral": (transformers.MixtralConfig, transformers.MixtralForCausalLM),
    "gpt_oss": (transformers.GptOssConfig, transformers.GptOssForCausalLM),
    "lfm2": (transformers.Lfm2Config, transformers.Lfm2ForCausalLM),
    "qwen3_5_text": (transformers.Qwen3_5TextConfig, transformers.Qwen3_5ForCausalLM),
    "qwen3_moe": (transformers.Qwen3MoeConfig, transformers.Qwen3MoeForCausalLM),
    "granite": (transformers.GraniteConfig, transformers.GraniteForCausalLM),
    "gemma2": (transformers.Gemma2Config, transformers.Gemma2ForCausalLM),
    "gemma3_text": (transformers.Gemma3TextConfig, transformers.Gemma3ForCausalLM),
    "ministral3": (transformers.Ministral3Config, transformers.Ministral3ForCausalLM),
    "phi3": (transformers.Phi3Config, transformers.Phi3ForCausalLM),
    "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel),
    "gpt_neox": (transformers.GPTNeoXConfig, transformers.GPTNeoXForCausalLM),
    "olmo2": (transformers.Olmo2Config, transformers.Olmo2ForCausalLM),
    "olmo3": (transformers.Olmo3Config, transformers.Olmo3ForCausalLM),
}


def ready(made: Any) -> Any:
    """Return a model of transformers for inference, in odd sizes too."""
    if hasattr(made.config, "num_local_experts"):
        made.set_experts_implementation("eager")  # the default wants rows of a multiple of 16 bytes
    return made.eval()


def model(case: Case) -> Any:
    """Return the model with random weights, float32, norms and biases included."""
    torch.manual_seed(case.seed)
    config, kind = CLASSES[case.family]
    own = {*config().to_dict(), *config.attribute_map}
    sizes = {name: value for name, value in SIZES.items() if name in own}
    made = ready(kind(config(**{"tie_word_embeddings": False, **sizes, **case.changed}))).float()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
            elif name.endswith(("bias", "sinks")):
                weight.normal_(0.0, 0.5)
            else:
                weight.normal_(0.0, 0.15 if "embed" not in name else 0.5)
    return made


def permuted(weight: Array, heads: int) -> Array:
    """Return the rows of a query or key weight in GGUF's order, as the converter of llama models puts them."""
    size = weight.shape[0] // heads
    return weight.reshape(heads, 2, size // 2, -1).swapaxes(1, 2).reshape(weight.shape)


ARCHITECTURES: Mapping[str, tuple[str, gguf.MODEL_ARCH]] = {
    "llama": ("llama", gguf.MODEL_ARCH.LLAMA),
    "qwen2": ("qwen2", gguf.MODEL_ARCH.QWEN2),
    "qwen3": ("qwen3", gguf.MODEL_ARCH.QWEN3),
    "smollm3": ("smollm3", gguf.MODEL_ARCH.SMOLLM3),
    "granite": ("granite", gguf.MODEL_ARCH.GRANITE),
    "olmo2": ("olmo2", gguf.MODEL_ARCH.OLMO2),
    "gemma2": ("gemma2", gguf.MODEL_ARCH.GEMMA2),
    "gemma3_text": ("gemma3", gguf.MODEL_ARCH.GEMMA3),
    "phi3": ("phi3", gguf.MODEL_ARCH.PHI3),
    "gpt2": ("gpt2", gguf.MODEL_ARCH.GPT2),
}
"""GGUF's architecture of each ``model_type``."""
PERMUTED = ("llama", "smollm3", "granite")


def _factors(config: Any) -> dict[str, Array]:
    """Return the tensors of the rotation's factors, as the converter computes them."""
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        return {
            f"rope_factors_{name}.weight": np.array(rope[f"{name}_factor"], np.float32)
            for name in ("short", "long")
        }
    if rope.get("rope_type") != "llama3":
        return {}
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    factors = []
    for power in np.arange(0, config.head_dim, 2) / config.head_dim:
        length = 2 * np.pi * rope["rope_theta"] ** power
        smooth = (low / length * rope["low_freq_factor"] - rope["low_freq_factor"]) / (
            rope["high_freq_factor"] - rope["low_freq_factor"]
        )
        between = 1 / ((1 - smooth) / rope["factor"] + smooth)
        factors.append(1.0 if length < high else rope["factor"] if length > low else between)
    return {"rope_freqs.weight": np.array(factors, np.float32)}


def tensors(made: Any) -> dict[str, Array]:
    """Return the weights under GGUF's names."""
    config = made.config
    names = gguf.get_tensor_name_map(ARCHITECTURES[config.model_type][1], config.num_hidden_layers)
    result = _factors(config)
    for name, weight in made.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        data = weight.detach().numpy()
        if config.model_type in PERMUTED and ("q_proj" in name or "k_proj" in name):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            data = permuted(data, heads)
        if config.model_type.startswith("gemma") and name.endswith("norm.weight"):
            data = data + 1
        if config.model_type == "gpt2" and "c_" in name and data.ndim == 2:
            data = data.T
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert theirs is not None, name
        result[theirs] = np.ascontiguousarray(data)
    return result


EXTRA_KEYS = {
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "attention_multiplier": "attention.scale",
    "embedding_multiplier": "embedding_scale",
    "residual_multiplier": "residual_scale",
    "logits_scaling": "logit_scale",
    "original_max_position_embeddings": "rope.scaling.original_context_length",
    "sliding_window": "attention.sliding_window",
}


def keys(made: Any) -> dict[str, Any]:
    """Return the metadata of the architecture, without its prefix."""
    config = made.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    result = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        "attention.head_count": config.num_attention_heads,
        "vocab_size": config.vocab_size,
    }
    if config.model_type == "gpt2":
        return {**result, "attention.layer_norm_epsilon": float(config.layer_norm_epsilon)}
    rope = config.rope_parameters.get("full_attention", config.rope_parameters)
    result |= {
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "rope.dimension_count": head_dim,
        "rope.freq_base": float(rope["rope_theta"]),
    }
    if rope["rope_type"] == "linear":
        result |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
    if rope["rope_type"] == "longrope":
        ratio = config.max_position_embeddings / config.original_max_position_embeddings
        factor = np.sqrt(1 + np.log(ratio) / np.log(config.original_max_position_embeddings))
        result["rope.scaling.attn_factor"] = float(factor)
    if config.model_type not in ("llama", "qwen2", "qwen3", "smollm3"):
        for name, key in EXTRA_KEYS.items():
            if getattr(config, name, None) is not None:
                result[key] = getattr(config, name)
    return result


def write(
    path: Path, made: Any, *,
    weights: Mapping[str, Array] | None = None, metadata: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None, architecture: str | None = None,
    quants: gguf.GGMLQuantizationType | None = None,
) -> Path:  # fmt: skip
    """Write a model as GGUF; ``weights`` and ``metadata`` replace the model's, ``extra`` are whole keys.

    Matrices are quantised as ``quants`` says.
    """
    architecture = ARCHITECTURES[made.config.model_type][0] if architecture is None else architecture
    writer = gguf.GGUFWriter(path, architecture)
    given = {
        f"{architecture}.{key}": value
        for key, value in (keys(made) if metadata is None else metadata).items()
    }
    for key, value in {**given, **(extra or {})}.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_string(key, value)
    for name, data in (tensors(made) if weights is None else weights).items():
        if quants is not None and data.ndim == 2:
            writer.add_tensor(name, gguf.quants.quantize(data.astype(np.float32), quants), raw_dtype=quants)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
