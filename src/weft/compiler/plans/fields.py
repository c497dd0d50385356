"""``Field``: a value of a JSON file together with where it stands, so that every mistake in the file can be named.

Nothing is taken from a file but through here: each reader checks what it gives.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.errors import FormatError, mistake

LONGEST = 60
"""Characters of a wrong value that a message shows."""


@dataclass(frozen=True)
class Field:
    """A value that was read, and the path to it: ``graph.nodes[3].op``."""

    value: Any
    path: str
    source: str

    def error(self, expected: str, given: str = "") -> FormatError:
        """The mistake that this field is."""
        return FormatError(
            mistake(self.source, self.path or "the file", given or _shown(self.value), expected)
        )

    def members(self, *names: str, optional: Sequence[str] = ()) -> dict[str, Field]:
        """The fields of an object that has all of these names and, but for ``optional`` ones, no others."""
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
        """The fields of an object with any names."""
        if not isinstance(self.value, dict):
            raise self.error("an object")
        return {name: self.at(name, value) for name, value in self.value.items()}

    def items(self, count: int | None = None) -> list[Field]:
        """The fields of a list, of ``count`` elements where that is said."""
        if not isinstance(self.value, list) or (count is not None and len(self.value) != count):
            raise self.error("a list" if count is None else f"a list of {count}")
        return [Field(value, f"{self.path}[{at}]", self.source) for at, value in enumerate(self.value)]

    def at(self, name: str, value: Any) -> Field:
        """The field of a member."""
        return Field(value, f"{self.path}.{name}" if self.path else name, self.source)

    def text(self, choices: Sequence[str] = ()) -> str:
        """A string that a terminal shows as it is, one of ``choices`` where there are such."""
        if not isinstance(self.value, str) or (choices and self.value not in choices):
            raise self.error(f"one of {', '.join(choices)}" if choices else "a string")
        if not self.value.isprintable():
            raise self.error("a string of printable characters")
        return self.value

    def integer(self, low: int = 0, high: int = 2**53) -> int:
        """A whole number from ``low`` to below ``high``."""
        if type(self.value) is not int or not low <= self.value < high:
            raise self.error(f"a whole number of at least {low} and below {high}")
        return self.value

    def flag(self) -> bool:
        """True or false."""
        if type(self.value) is not bool:
            raise self.error("true or false")
        return self.value


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def parse(text: bytes, source: str) -> Field:
    """The top of a JSON file; ``FormatError`` for one that is no JSON, names a key twice or holds NaN."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key {twice!r} stands twice in one object")
        return made

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    try:
        value = json.loads(text, object_pairs_hook=members, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(mistake(source, "the file", f"damaged ({error})", "JSON")) from None
    return Field(value, "", source)
