"""``Misfit``: an exception that collects the path to a mistake in a value, a schema or a file while it propagates.

Code without a mistake pays nothing for it, and messages still say ``train[3].label``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from weft.errors import FormatError, mistake

MOST_SHOWN = 200
"""The most characters of a path or a value that a message repeats; a file may hold names of any length."""


class Misfit(Exception):
    """A value that does not fit: what was given, what was expected, and the path to it, innermost part first."""

    def __init__(self, given: object, expected: object, fix: str = "") -> None:
        super().__init__(given, expected)
        self.given, self.expected, self.fix = given, expected, fix
        self.path: list[str | int] = []

    def within(self, part: str | int) -> Misfit:
        """Add the name or index of the enclosing level to the path; return the misfit."""
        self.path.append(part)
        return self


def place(parts: list[str | int]) -> str:
    """Return a path, outermost part first, as text.

    >>> place(["train", 3, "label"])
    'train[3].label'
    """
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return short(text)


def short(text: object) -> str:
    """Return a text for a message, cut to ``MOST_SHOWN`` characters."""
    words = str(text)
    return words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]}…"


@contextmanager
def named(where: str, name: str = "") -> Iterator[None]:
    """Turn a ``Misfit`` raised in the block into a ``FormatError`` that names the place."""
    try:
        yield
    except Misfit as misfit:
        parts = [*([name] if name else []), *reversed(misfit.path)]
        text = mistake(
            where, place(parts) or "the value", short(misfit.given), short(misfit.expected), misfit.fix
        )
        raise FormatError(text) from misfit.__cause__
