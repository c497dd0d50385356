"""``Source``: a text that arrives in pieces, read by generators that pause where it ends for now.

A reader is a generator: ``yield from source.peek()`` gives the next character, however the text is cut, and pauses
until there is one. What a reader does depends on characters alone, so that every cutting of a text gives the same
events.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator
from typing import TypeVar

T = TypeVar("T")
Reader = Generator[None, None, T]


class Malformed(Exception):
    """A text that is no call of the format; its message says why. It does not leave this package."""


def complete(reader: Reader[T]) -> T:
    """Return the result of a reader whose source has ended, which never pauses."""
    try:
        next(reader)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("the source has not ended")


class Source:
    """A text of which the first part is there, and a position in it."""

    def __init__(self) -> None:
        self._text, self._at = "", 0
        self._held: int | None = None
        self._ended = False

    def feed(self, text: str) -> None:
        """Append a piece of the text."""
        first = self._at if self._held is None else self._held
        self._text, self._at = self._text[first:] + text, self._at - first
        if self._held is not None:
            self._held = 0

    def end(self) -> None:
        """Take note that the text is complete."""
        self._ended = True

    def ahead(self, count: int) -> Reader[str]:
        """Return the next ``count`` characters without reading on; fewer where the text ends."""
        while len(self._text) - self._at < count and not self._ended:
            yield
        return self._text[self._at : self._at + count]

    def peek(self) -> Reader[str]:
        """Return the next character without reading on; an empty string where the text ends."""
        while self._at >= len(self._text):
            if self._ended:
                return ""
            yield
        return self._text[self._at]

    def skip(self, count: int = 1) -> None:
        """Read on by characters that ``peek`` or ``ahead`` has given."""
        self._at += count

    def run(self, pattern: re.Pattern[str]) -> str:
        """Read and return what matches the pattern in the part that is there; maybe nothing."""
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def hold(self) -> None:
        """Keep the text from here on, so that ``rewind`` returns to this position."""
        self._held = self._at

    def release(self) -> None:
        """Keep no text."""
        self._held = None

    def rewind(self) -> None:
        """Return to the position of ``hold``, and keep no text from now on."""
        if self._held is not None:
            self._at, self._held = self._held, None

    def space(self) -> Reader[str]:
        """Read white space; return the character after it, which is not read."""
        while True:
            char = yield from self.peek()
            if not char or not char.isspace():
                return char
            self.skip()

    def expect(self, text: str) -> Reader[None]:
        """Read this text; raise ``Malformed`` where another one stands."""
        found = yield from self.ahead(len(text))
        if found != text:
            raise Malformed(f"{found[:20]!r} stands where {text!r} was expected")
        self.skip(len(text))

    def matching(self, pattern: re.Pattern[str]) -> Reader[str]:
        """Read the longest run of characters that match ``pattern``, a pattern of single characters repeated."""
        found = ""
        while True:
            char = yield from self.peek()
            run = self.run(pattern) if char else ""
            if not run:
                return found
            found += run


class Markers:
    """Texts that end a run of text. None of them is part of another."""

    def __init__(self, texts: Collection[str]) -> None:
        self.texts = frozenset(texts)
        self._starts = {text[:size] for text in texts for size in range(1, len(text))}
        first = "".join(sorted({re.escape(text[0]) for text in texts}))
        self._plain = re.compile(f"[^{first}]+" if first else r"(?s:.+)")

    def find(self, source: Source, emit: Callable[[str], None]) -> Reader[str]:
        """Pass text to ``emit`` up to the first marker; return the marker, which is read, or "" at the text's end."""
        held = ""
        while True:
            char = yield from source.peek()
            if not char:
                if held:
                    emit(held)
                return ""
            if not held and (plain := source.run(self._plain)):
                emit(plain)
                continue
            source.skip()
            held += char
            while held and held not in self._starts:
                if held in self.texts:
                    return held
                emit(held[0])
                held = held[1:]
