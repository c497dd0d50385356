"""``Fields``: a ``config.json`` whose fields are checked when they are read, and of which none may be left over."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from weft.errors import FormatError, UnsupportedError, WeftError, mistake

REQUIRED: Any = object()
"""The default of a field that must be there."""
INERT = frozenset(
    "_attn_implementation _attn_implementation_autoset _name_or_path _num_labels architectures "
    "attention_dropout attn_pdrop bos_token_id cache_implementation chunk_size_feed_forward classifier_dropout "
    "dtype embd_pdrop eos_token_id finetuning_task hidden_dropout id2label initializer_range label2id "
    "model_type output_attentions output_hidden_states output_router_logits pad_token_id pretraining_tp "
    "problem_type resid_pdrop return_dict router_aux_loss_coef router_jitter_noise summary_activation "
    "summary_first_dropout summary_proj_to_labels summary_type summary_use_proj tokenizer_class torch_dtype "
    "transformers_version unsloth_fixed unsloth_version use_cache".split()
)
"""Fields that do not change the logits of inference, and those that are read elsewhere."""
SWITCHED_OFF = frozenset(
    {"add_cross_attention", "is_decoder", "is_encoder_decoder", "use_bidirectional_attention"}
)
"""Fields that change nothing while they are false."""
KINDS = {
    int: "an integer above 0",
    float: "a finite number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    dict: "an object",
}


class Fields:
    """The fields of one object of a ``config.json``; notes which were read."""

    def __init__(
        self, given: Mapping[str, Any], path: str, inert: Iterable[str] = (), prefix: str = "",
        aliases: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """``aliases`` maps names of fields to those that the file has in their place."""
        self.given, self.path, self.prefix, self.aliases = given, path, prefix, aliases or {}
        self.read = {*inert, *(name for name in SWITCHED_OFF if given.get(name) is False)}

    def __contains__(self, name: str) -> bool:
        return self.given.get(self.aliases.get(name, name)) is not None

    def is_null(self, name: str) -> bool:
        """Return whether the file has the field, as null."""
        name = self.aliases.get(name, name)
        return name in self.given and self.given[name] is None

    def __call__(self, name: str, kind: type, default: Any = REQUIRED, null: Any = REQUIRED) -> Any:
        """Return a field of a kind.

        Null gives ``null``, or counts as absent without it. A missing field without a default is an error.
        """
        name = self.aliases.get(name, name)
        self.read.add(name)
        value: Any = self.given.get(name)
        if value is None:
            if null is not REQUIRED and name in self.given:
                return null
            if default is REQUIRED:
                raise self.error(name, "missing", KINDS[kind])
            return default
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or not _in_range(value):
            raise self.error(name, repr(value)[:60], KINDS[kind])
        return value

    def one_of(self, name: str, known: Iterable[str], default: Any = REQUIRED) -> str:
        """Return a text out of a table; ``UnsupportedError`` names another."""
        value: str = self(name, str, default)
        if value not in (known := list(known)):
            raise self.error(name, repr(value)[:60], f"one of {', '.join(known)}", UnsupportedError)
        return value

    def error(
        self, name: str, given: object, expected: str, kind: type[WeftError] = FormatError
    ) -> WeftError:
        """An impossible value."""
        name = self.prefix + self.aliases.get(name, name)
        return kind(mistake(repr(self.path), name, given, expected))

    def finish(self) -> None:
        """Raise ``UnsupportedError`` that names every field that was not read."""
        unread = [name for name, value in self.given.items() if name not in self.read and value is not None]
        if unread:
            named = ", ".join(f"{self.prefix}{name} = {self.given[name]!r:.60}" for name in unread)
            raise UnsupportedError(
                f"{self.path!r}: fields that this family's row does not cover: {named}; they may change the results"
            )


def _in_range(value: Any) -> bool:
    """Return whether a whole number is at least 1, and any other number finite."""
    if type(value) is int:
        return value >= 1
    return math.isfinite(value) if type(value) is float else True
