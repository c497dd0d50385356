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
}
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


def tensors(made: Any) -> dict[str, Array]:
    """Return the weights under GGUF's names."""
    config = made.config
    names = gguf.get_tensor_name_map(
        {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2, "qwen3": gguf.MODEL_ARCH.QWEN3}[
            config.model_type
        ],
        config.num_hidden_layers,
    )
    result = {}
    for name, weight in made.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        data = weight.detach().numpy()
        if config.model_type == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            data = permuted(data, heads)
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert theirs is not None
        result[theirs] = np.ascontiguousarray(data)
    return result


def keys(made: Any) -> dict[str, Any]:
    """Return the metadata of the architecture, without its prefix."""
    config = made.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    result = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "rope.dimension_count": head_dim,
        "rope.freq_base": float(rope["rope_theta"]),
        "vocab_size": config.vocab_size,
    }
    if rope["rope_type"] == "linear":
        result |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
    return result


def write(
    path: Path, made: Any, *,
    weights: Mapping[str, Array] | None = None, metadata: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None, architecture: str | None = None,
) -> Path:  # fmt: skip
    """Write a model as GGUF; ``weights`` and ``metadata`` replace the model's, ``extra`` are whole keys."""
    architecture = made.config.model_type if architecture is None else architecture
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
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
