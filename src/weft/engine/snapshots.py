"""``Snapshots``: copies of the state of recurrent layers after the first pages of texts, for reuse by content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weft.engine.pages import Key


class Snapshots:
    """Says which row of the cache holds the state after which pages; the one unused for longest gives way.

    >>> snapshots = Snapshots([7])
    >>> snapshots.put(b"key"), snapshots.put(b"key"), snapshots.longest([b"key", b"next"])
    (7, None, 1)
    """

    def __init__(self, rows: Iterable[int]) -> None:
        self._free = list(rows)
        self._known: dict[Key, int] = {}

    def put(self, key: Key) -> int | None:
        """Return the row that takes the state; None where it is known already."""
        if self._touch(key) is not None:
            return None
        row = self._free.pop() if self._free else self._known.pop(next(iter(self._known)))
        self._known[key] = row
        return row

    def longest(self, keys: Sequence[Key]) -> int:
        """Return after how many of the pages a state is known, at most all."""
        return next((count for count in range(len(keys), 0, -1) if keys[count - 1] in self._known), 0)

    def row(self, key: Key) -> int:
        """Return the row of a known state."""
        row = self._touch(key)
        if row is None:
            raise KeyError(key)
        return row

    def _touch(self, key: Key) -> int | None:
        row = self._known.pop(key, None)
        if row is not None:
            self._known[key] = row
        return row
