"""``Family`` and its parts: how one family's ``config.json`` is read and written, and where its weights lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.models.families import layout
from weft.models.families.fields import REQUIRED, Fields
from weft.models.families.layers import ALIKE, Pattern
from weft.models.families.layout import Layout
from weft.models.families.rope import RopeRule


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Field:
    """A field of ``config.json`` for one or more ``attributes`` of ``DecoderConfig``.

    Args:
        attributes: those that take the value.
        kind: the type of the value.
        default: the value where the file has none; a ``Derived`` depends on other fields.
        null: the value where the file says null, which may be ``Derived``; without it null counts as absent.
        read: the attributes' value from the field's, ``write`` the reverse; None stays None.
    """

    attributes: tuple[str, ...]
    kind: type
    default: Any = REQUIRED
    null: Any = REQUIRED
    read: Callable[[Any], Any] = _unchanged
    write: Callable[[Any], Any] = _unchanged


def shared_heads(fields: Fields) -> Any:
    """Return the number of query heads: each has keys of its own."""
    return fields("num_attention_heads", int)


def whole_head_dim(fields: Fields) -> Any:
    """Return the size of heads that share the hidden size."""
    return fields("hidden_size", int) // fields("num_attention_heads", int)


@dataclass(frozen=True)
class Derived:
    """A value that depends on other fields."""

    value: Callable[[Fields], Any]


COMMON: Mapping[str, Field] = {
    "vocab_size": Field(("vocab_size",), int),
    "hidden_size": Field(("hidden_size",), int),
    "intermediate_size": Field(("intermediate_size",), int),
    "num_attention_heads": Field(("num_heads",), int),
    "num_key_value_heads": Field(("num_kv_heads",), int, Derived(shared_heads)),
    "head_dim": Field(("head_dim",), int, Derived(whole_head_dim)),
    "hidden_act": Field(("activation",), str, "silu"),
    "rms_norm_eps": Field(("norm_eps",), float, 1e-6),
    "max_position_embeddings": Field(("max_positions",), int, 2048),
    "tie_word_embeddings": Field(("tied",), bool, False),
}
ATTENTION_BIAS = Field(("qkv_bias", "out_bias"), bool, False)
MLP_BIAS = Field(("mlp_bias",), bool, False)
WHOLE_HEADS = RopeRule()
TIED = Field(("tied",), bool, True)


def value_of(given: Any, fields: Fields) -> Any:
    """Return a value of a row, which may be ``Derived``."""
    return given.value(fields) if isinstance(given, Derived) else given


def defaults_of(key: str, row: Field, fields: Fields) -> tuple[Any, Any]:
    """Return what a field is where the file has none, and where it says null; both only if they are needed."""
    if key in fields:
        return REQUIRED, REQUIRED
    null = value_of(row.null, fields) if fields.is_null(key) else REQUIRED
    return (value_of(row.default, fields) if null is REQUIRED else REQUIRED), null


def key_heads(default: int) -> Field:
    """Return the row of the heads of keys with a default; null means as many as heads of queries."""
    return Field(("num_kv_heads",), int, default, null=Derived(shared_heads))


def epsilon(default: float) -> Field:
    """Return the row of the norm's epsilon with a default."""
    return Field(("norm_eps",), float, default)


def positions(default: int) -> Field:
    """Return the row of the longest context with a default."""
    return Field(("max_positions",), int, default)


def softcap(attribute: str, default: float | None) -> Field:
    """Return the row of a soft cap; null means none."""
    return Field((attribute,), float, default, null=None)


@dataclass(frozen=True)
class Family:
    """How a family's ``config.json`` and weights are read.

    Args:
        classname: the class that transformers loads a checkpoint into.
        fields: what ``COMMON`` lacks, or has with another default.
        constant: attributes of ``DecoderConfig`` that are the same in the whole family, or ``Derived``.
        pattern: what differs from layer to layer.
        rope: how the family rotates; None where it does not.
        aliases: the family's own names of fields, by their names here.
        layout: where the family's checkpoints hold the weights.
        absent: fields of ``COMMON`` that the family does not have.
        inert: fields that do not change the family's results.
    """

    classname: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    constant: Mapping[str, Any] = field(default_factory=dict)
    pattern: Pattern = ALIKE
    rope: RopeRule | None = WHOLE_HEADS
    aliases: Mapping[str, str] = field(default_factory=dict)
    layout: Layout = layout.SAME
    absent: frozenset[str] = frozenset()
    inert: frozenset[str] = frozenset()

    def rows(self) -> dict[str, Field]:
        """Return every field with its row."""
        return {key: row for key, row in {**COMMON, **self.fields}.items() if key not in self.absent}
