"""``StopTexts``: a stream of text that ends before the first stop text, wherever the pieces are cut."""

from __future__ import annotations

from collections.abc import Sequence


class StopTexts:
    """Passes text on, but holds back what may become the start of a stop text.

    >>> stops = StopTexts(["END"])
    >>> stops.push("to the E"), stops.push("ND and on"), stops.found
    ('to the ', '', 'END')
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops, self._held = tuple(stops), ""
        self.found: str | None = None

    def push(self, text: str) -> str:
        """Take a piece; return what may be shown."""
        held = self._held + text
        places = [(place, stop) for stop in self._stops if (place := held.find(stop)) >= 0]
        if places:
            place, self.found = min(places)
            self._held = ""
            return held[:place]
        keep = max((_overlap(held, stop) for stop in self._stops), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def finish(self) -> str:
        """What is still held back when the text ends."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Letters at the end of the text that begin the stop text."""
    return next(
        (size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0
    )
