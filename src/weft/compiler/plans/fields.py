"""``Field``: a value of a JSON file with its path, so that errors can name the place in the file.

All values of a saved plan are read through fields; each reader checks the value that it returns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.errors import FormatError, mistake

LONGEST = 60
"""The most characters of a wrong value that a message shows."""


@dataclass(frozen=True)
class Field:
    """A value of a JSON file, and its path, such as ``graph.nodes[3].op``."""

    value: Any
    path: str
    source: str

    def error(self, expected: str, given: str = "") -> FormatError:
        """Return the ``FormatError`` for a wrong value of this field."""
        return FormatError(
            mistake(self.source, self.path or "the file", given or _shown(self.value), expected)
        )

    def members(self, *names: str, optional: Sequence[str] = ()) -> dict[str, Field]:
        """Return the fields of an object, which must have all ``names`` and may have the ``optional`` names."""
        if not isinstance(self.value, dict):
            raise self.error(f"an object with {', '.join(names)}")
        missing = [name for name in names if name not in self.value]
        if missing:
            raise self.at(missing[0], None).error("a value", "missing")
        unknown = [name for name in self.value if name not in names and name not in optional]
        if unknown:
            expected = ", ".join((*names, *optional)) or "no names"
            raise self.at(unknown[0], None).error(f"one of {expected}", "an unknown name")
        return {name: self.at(name, value) for name, value in self.value.items()}

    def entries(self) -> dict[str, Field]:
        """Return the fields of an object with any names."""
        if not isinstance(self.value, dict):
            raise self.error("an object")
        return {name: self.at(name, value) for name, value in self.value.items()}

    def items(self, count: int | None = None) -> list[Field]:
        """Return the fields of a list, which must have ``count`` elements where that is given."""
        if not isinstance(self.value, list) or (count is not None and len(self.value) != count):
            raise self.error("a list" if count is None else f"a list of {count}")
        return [Field(value, f"{self.path}[{at}]", self.source) for at, value in enumerate(self.value)]

    def at(self, name: str, value: Any) -> Field:
        """Return the field of a member."""
        return Field(value, f"{self.path}.{name}" if self.path else name, self.source)

    def text(self, choices: Sequence[str] = ()) -> str:
        """Return a printable string, which must be one of ``choices`` where these are given."""
        if not isinstance(self.value, str) or (choices and self.value not in choices):
            raise self.error(f"one of {', '.join(choices)}" if choices else "a string")
        if not self.value.isprintable():
            raise self.error("a string of printable characters")
        return self.value

    def integer(self, low: int = 0, high: int = 2**53) -> int:
        """Return an integer from ``low`` to below ``high``."""
        if type(self.value) is not int or not low <= self.value < high:
            raise self.error(f"a whole number of at least {low} and below {high}")
        return self.value

    def flag(self) -> bool:
        """Return a boolean."""
        if type(self.value) is not bool:
            raise self.error("true or false")
        return self.value


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def parse(text: bytes, source: str) -> Field:
    """Return the top field of a JSON text; ``FormatError`` for invalid JSON, a repeated key, NaN or infinity."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key {twice!r} occurs twice in an object")
        return made

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    try:
        value = json.loads(text, object_pairs_hook=members, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(mistake(source, "the file", f"damaged ({error})", "JSON")) from None
    return Field(value, "", source)
