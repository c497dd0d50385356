"""``PagePool``: pages of the cache for sequences that come and go, with the full pages of ended ones kept for reuse.

A full page is known by its content: a hash of its tokens and of all tokens before them. A sequence that begins with
the same tokens takes the page instead of computing it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from weft.models.cache import PAGE

Key = bytes


def chain(tokens: Sequence[int], count: int, before: Sequence[Key] = (), period: int = 0) -> list[Key]:
    """Return the keys of the first ``count`` pages of a text, of which the first are known as ``before``.

    Texts whose rotations differ have different ``period``s (``DecoderConfig.rope_period``).
    """
    first = period.to_bytes(1)
    keys = list(before[:count])
    for page in range(len(keys), count):
        own = np.asarray(tokens[page * PAGE : (page + 1) * PAGE], np.int64).tobytes()
        keys.append(blake2b((keys[-1] if keys else first) + own, digest_size=16).digest())
    return keys


class PagePool:
    """Counts the users of each page; a page without users stays known until its room is needed, the oldest first.

    >>> pool = PagePool(4)
    >>> page = pool.take()
    >>> pool.publish(page, b"key")
    >>> pool.give([page])
    >>> pool.match([b"key"]) == [page], pool.free
    (True, 2)
    """

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self._empty = list(range(pages - 1, 0, -1))
        self._idle: dict[int, None] = {}
        self._users = [0] * pages
        self._keys: dict[int, Key] = {}
        self._known: dict[Key, int] = {}

    @property
    def free(self) -> int:
        """Pages that nobody uses."""
        return len(self._empty) + len(self._idle)

    def take(self) -> int | None:
        """Return a page for writing; None where all are in use."""
        if self._empty:
            page = self._empty.pop()
        elif self._idle:
            page = next(iter(self._idle))
            del self._idle[page], self._known[self._keys.pop(page)]
        else:
            return None
        self._users[page] = 1
        return page

    def match(self, keys: Sequence[Key]) -> list[int]:
        """Return the known pages of the longest beginning of ``keys``; they are in use from now on."""
        pages = []
        for key in keys:
            page = self._known.get(key)
            if page is None:
                break
            self._idle.pop(page, None)
            self._users[page] += 1
            pages.append(page)
        return pages

    def knows(self, keys: Sequence[Key]) -> bool:
        """Whether the pages of all keys are known."""
        return all(key in self._known for key in keys)

    def publish(self, page: int, key: Key) -> None:
        """Make a full page known; where another holds the same content, that one stays known."""
        if key not in self._known and page not in self._keys:
            self._keys[page], self._known[key] = key, page

    def give(self, pages: Sequence[int]) -> None:
        """End a sequence's use of its pages. The last pages are forgotten first, since each needs those before it."""
        for page in reversed(pages):
            self._users[page] -= 1
            if self._users[page]:
                continue
            if page in self._keys:
                self._idle[page] = None
            else:
                self._empty.append(page)
