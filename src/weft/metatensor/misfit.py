"""How a mistake deep in a value, a schema or a file learns its place: each level adds its name on the way up.

The happy path pays nothing for it, and messages still say ``train[3].label``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from weft.errors import FormatError, mistake

MOST_SHOWN = 200
"""Characters of a place or a value that a message repeats; a file may hold names of any length."""


class Misfit(Exception):
    """Something that does not fit: what it is, what was expected, and the path to it, grown from the inside."""

    def __init__(self, given: object, expected: object, fix: str = "") -> None:
        super().__init__(given, expected)
        self.given, self.expected, self.fix = given, expected, fix
        self.path: list[str | int] = []

    def within(self, part: str | int) -> Misfit:
        """The same misfit, seen from one level further out."""
        self.path.append(part)
        return self


def place(parts: list[str | int]) -> str:
    """A path from the outside in, in words.

    >>> place(["train", 3, "label"])
    'train[3].label'
    """
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return short(text)


def short(text: object) -> str:
    """A text that a message can hold."""
    words = str(text)
    return words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]}…"


@contextmanager
def named(where: str, name: str = "") -> Iterator[None]:
    """A misfit inside becomes a ``FormatError`` that says where it was found."""
    try:
        yield
    except Misfit as misfit:
        parts = [*([name] if name else []), *reversed(misfit.path)]
        text = mistake(
            where, place(parts) or "the value", short(misfit.given), short(misfit.expected), misfit.fix
        )
        raise FormatError(text) from misfit.__cause__
