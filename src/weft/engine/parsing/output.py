"""``Output``: collects the events of an answer, joins neighbours, and drops white space around markers."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Mapping
from typing import Any

from weft.engine.parsing.events import Content, Event, Reasoning, ToolArguments, ToolEnd, ToolStart
from weft.engine.parsing.source import Malformed, Source

LETTERS = string.ascii_letters + string.digits
MOST_NAME = 256
"""Characters of a tool's name."""


def random_id() -> str:
    """Return a new id of a call."""
    return "call_" + secrets.token_hex(12)


def short_id() -> str:
    """Return a new id of nine letters and digits, which Mistral's templates ask for."""
    return "".join(secrets.choice(LETTERS) for _ in range(9))


class Output:
    """The events of an answer, so far.

    The source holds its text from the last event of a call on, so that text that belongs to no call can be read again.

    White space is dropped before a call or reasoning, after reasoning, and at the end after a call; elsewhere it stays.
    """

    def __init__(
        self, source: Source, tools: Mapping[str, Any], new_id: Callable[[], str] = random_id
    ) -> None:
        self.tools = tools
        self._source, self._new_id = source, new_id
        self._events: list[Event] = []
        self._pieces: list[str] = []
        self._kind: type[Content | Reasoning | ToolArguments] = Content
        self._space = ""
        self._after = ""
        self._gap = False
        self._seen: set[type] = set()
        self.calls = 0
        self.open = False
        self.fresh = True
        """Whether nothing but white space has come since the start, since reasoning or since a call."""

    def take(self) -> list[Event]:
        """Return the events since the last ``take``."""
        self._join()
        events, self._events = self._events, []
        return events

    def content(self, text: str) -> None:
        """Append text for the reader."""
        self._text(Content, text)

    def reasoning(self, text: str) -> None:
        """Append text of the reasoning."""
        self._text(Reasoning, text)

    def mark(self, after: str) -> None:
        """Drop white space before a marker, and after it where it opens or closes reasoning."""
        self._space, self._after, self.fresh = "", after, True

    def separate(self) -> None:
        """Put a blank line between the text so far and further text of the same kind."""
        self._space, self._gap = "", True

    def finish(self) -> None:
        """End the answer."""
        if self._after != "call":
            self._flush()
        self._join()

    def start(self, name: str, *, id: str = "", known: bool = False) -> None:
        """Begin a call; ``Malformed`` for a name that is none, and with ``known`` for one that is no tool's."""
        if not name or len(name) > MOST_NAME or not name.isprintable():
            raise Malformed(f"{name[:40]!r} is not a name of a tool")
        if known and name not in self.tools:
            raise Malformed(f"{name[:40]!r} is not one of the tools")
        self.mark("call")
        self._join()
        self._events.append(ToolStart(self.calls, id or self._new_id(), name))
        self.open = True
        self._source.hold()

    def arguments(self, text: str) -> None:
        """Append a piece of the arguments' JSON text."""
        if self._kind is not ToolArguments:
            self._join()
            self._kind = ToolArguments
        self._pieces.append(text)
        self._source.hold()

    def end(self, problem: str | None = None) -> None:
        """End the call."""
        self._join()
        self._events.append(ToolEnd(self.calls, problem))
        self.calls += 1
        self.open = False
        self._source.hold()

    def _text(self, kind: type[Content | Reasoning], text: str) -> None:
        if not text:
            return
        if self._after == "reasoning":
            text = text.lstrip()
            if not text:
                return
        if kind is not self._kind:
            self._join()
            self._kind = kind
        solid = text.rstrip()
        if not solid:
            self._space += text
            return
        if self._gap:
            self._space = "\n\n" if kind in self._seen else ""
        self._after, self.fresh, self._gap = "", False, False
        self._seen.add(kind)
        self._flush()
        self._pieces.append(solid)
        self._space = text[len(solid) :]

    def _flush(self) -> None:
        """Keep the white space that was held back."""
        if self._space:
            self._pieces.append(self._space)
            self._space = ""

    def _join(self) -> None:
        """Make an event of the pieces."""
        text = "".join(self._pieces)
        self._pieces = []
        if text and self._kind is ToolArguments:
            self._events.append(ToolArguments(self.calls, text))
        elif text:
            self._events.append(Reasoning(text) if self._kind is Reasoning else Content(text))
