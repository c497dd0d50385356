"""``FAMILIES``: a row for each ``model_type``, which maps a ``config.json`` to a ``DecoderConfig`` and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.errors import FormatError, UnsupportedError, mistake
from weft.models.config import ACTIVATION_NAMES, DecoderConfig
from weft.models.families.fields import INERT, REQUIRED, Fields
from weft.models.families.layers import ALIKE, SMOLLM3, SWITCHED, WINDOWED, Pattern
from weft.models.families.rope import read_rope, write_rope


@dataclass(frozen=True)
class Field:
    """A field of ``config.json`` that one or more ``attributes`` of ``DecoderConfig`` take as it is."""

    attributes: tuple[str, ...]
    kind: type
    default: Any = REQUIRED


def _shared(fields: Fields) -> Any:
    return fields("num_attention_heads", int)


def _head_dim(fields: Fields) -> Any:
    return fields("hidden_size", int) // fields("num_attention_heads", int)


@dataclass(frozen=True)
class Derived:
    """A default that depends on other fields."""

    value: Callable[[Fields], Any]


COMMON: Mapping[str, Field] = {
    "vocab_size": Field(("vocab_size",), int),
    "hidden_size": Field(("hidden_size",), int),
    "intermediate_size": Field(("intermediate_size",), int),
    "num_attention_heads": Field(("num_heads",), int),
    "num_key_value_heads": Field(("num_kv_heads",), int, Derived(_shared)),
    "head_dim": Field(("head_dim",), int, Derived(_head_dim)),
    "hidden_act": Field(("activation",), str, "silu"),
    "rms_norm_eps": Field(("norm_eps",), float, 1e-6),
    "max_position_embeddings": Field(("max_positions",), int, 2048),
    "tie_word_embeddings": Field(("tied",), bool, False),
}
ATTENTION_BIAS = Field(("qkv_bias", "out_bias"), bool, False)
MLP_BIAS = Field(("mlp_bias",), bool, False)


@dataclass(frozen=True)
class Family:
    """How a family's ``config.json`` and weights are read.

    Args:
        fields: what ``COMMON`` lacks, or has with another default.
        constant: attributes of ``DecoderConfig`` that are the same in the whole family.
        pattern: windows and rotations from layer to layer.
        theta: the base of the rotation where the file names none.
        classname: the class that transformers loads a checkpoint into.
    """

    classname: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    constant: Mapping[str, Any] = field(default_factory=dict)
    pattern: Pattern = ALIKE
    theta: float = 10000.0


FAMILIES: Mapping[str, Family] = {
    "llama": Family("LlamaForCausalLM", {"attention_bias": ATTENTION_BIAS, "mlp_bias": MLP_BIAS}),
    "mistral": Family("MistralForCausalLM", pattern=WINDOWED),
    "qwen2": Family("Qwen2ForCausalLM", constant={"qkv_bias": True}, pattern=SWITCHED),
    "qwen3": Family(
        "Qwen3ForCausalLM",
        {"attention_bias": ATTENTION_BIAS, "head_dim": Field(("head_dim",), int, 128)},
        {"qk_norm": True},
        SWITCHED,
    ),
    "smollm3": Family(
        "SmolLM3ForCausalLM",
        {
            "attention_bias": ATTENTION_BIAS,
            "mlp_bias": MLP_BIAS,
            "tie_word_embeddings": Field(("tied",), bool, True),
        },
        pattern=SMOLLM3,
        theta=2000000.0,
    ),
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
    fields = Fields(given, path, INERT)
    name = fields.one_of("model_type", FAMILIES)
    family = FAMILIES[name]
    found: dict[str, Any] = {}
    for key, row in {**COMMON, **family.fields}.items():
        default = row.default.value(fields) if isinstance(row.default, Derived) else row.default
        found |= dict.fromkeys(row.attributes, fields(key, row.kind, default))
    if found["activation"] not in ACTIVATION_NAMES:
        fields.one_of("hidden_act", ACTIVATION_NAMES)
    if found["num_heads"] % found["num_kv_heads"]:
        expected = f"a divisor of the {found['num_heads']} heads"
        raise fields.error("num_key_value_heads", found["num_kv_heads"], expected)
    ropes = read_rope(fields, found["head_dim"], found["max_positions"], family.theta)
    if len(ropes) != 1:
        raise fields.error("rope_parameters", "one for each type of layer", "one for all", UnsupportedError)
    layers = family.pattern.read(fields, fields("num_hidden_layers", int))
    fields.finish()
    return DecoderConfig(
        family=name,
        layers=layers,
        rope=ropes["full_attention"],
        eos=end_tokens(given, path),
        bos=given.get("bos_token_id"),
        **found,
        **family.constant,
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
    for key, row in {**COMMON, **family.fields}.items():
        written[key] = getattr(config, row.attributes[0])
    written |= {
        "num_hidden_layers": len(config.layers),
        "rope_parameters": write_rope(config.rope, config.head_dim),
        **family.pattern.write(config.layers),
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
