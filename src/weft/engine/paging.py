"""``Paging``: the pages of each sequence, in a pool for all layers of the same window.

Layers with a window need only the pages that it reaches: those before are given back while the sequence grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from weft.engine.pages import Key, PagePool
from weft.models.cache import PAGE, pages_for

Window = int | None
Put = Callable[[Window, int, int, Sequence[int]], None]
"""Tells the device: window, slot, the first page's place in the sequence, pages."""


@dataclass
class Pages:
    """The pages of a sequence by window, in order of its positions; 0 for one that was given back."""

    of: dict[Window, list[int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.of.values())


def first_page(window: Window, position: int) -> int:
    """Return the first page that a token at ``position`` sees.

    >>> first_page(None, 100), first_page(32, 100)
    (0, 2)
    """
    return 0 if window is None else max(0, position - window + 1) // PAGE


class Paging:
    """Hands pages of every pool to sequences."""

    def __init__(self, pools: Mapping[Window, PagePool], chunk: int, put: Put) -> None:
        self.pools, self.chunk, self._put = dict(pools), chunk, put

    @property
    def total(self) -> int:
        """Pages of all pools."""
        return sum(pool.pages - 1 for pool in self.pools.values())

    @property
    def free(self) -> int:
        """Pages of all pools that nobody uses."""
        return sum(pool.free for pool in self.pools.values())

    def match(self, keys: Sequence[Key]) -> int:
        """Return how many pages of a text are known, as far back as each window reaches from there."""
        return next(count for count in range(len(keys), -1, -1) if self._known(keys, count))

    def _known(self, keys: Sequence[Key], count: int) -> bool:
        return all(
            pool.knows(keys[first_page(window, count * PAGE) : count]) for window, pool in self.pools.items()
        )

    def begin(self, keys: Sequence[Key], count: int, tokens: int) -> Pages | None:
        """Take the known first ``count`` pages; None where there is no room for the text of ``tokens``."""
        pages = Pages()
        for window, pool in self.pools.items():
            first = first_page(window, count * PAGE)
            pages.of[window] = [0] * first + pool.match(keys[first:count])
        for window, pool in self.pools.items():
            most = pages_for(tokens) - count
            if window is not None:
                most = min(most, pages_for(window + self.chunk) + 1)
            if most > pool.free:
                self.give(pages)
                return None
        return pages

    def grow(self, pages: Pages, slot: int, tokens: int) -> bool:
        """Add pages for the first ``tokens`` positions; False where a pool is empty."""
        for window, own in pages.of.items():
            while len(own) < pages_for(tokens):
                page = self.pools[window].take()
                if page is None:
                    return False
                self._put(window, slot, len(own), [page])
                own.append(page)
        return True

    def drop(self, pages: Pages, position: int) -> None:
        """Give back the pages that no token at ``position`` or later sees."""
        for window, own in pages.of.items():
            place = first_page(window, position) - 1
            while place >= 0 and own[place]:
                self.pools[window].give([own[place]])
                own[place] = 0
                place -= 1

    def publish(self, pages: Pages, keys: Sequence[Key]) -> None:
        """Make the first pages known, whose positions are all computed."""
        for window, own in pages.of.items():
            for page, key in zip(own, keys, strict=False):
                if page:
                    self.pools[window].publish(page, key)

    def give(self, pages: Pages) -> None:
        """End a sequence's use of its pages."""
        for window, own in pages.of.items():
            self.pools[window].give([page for page in own if page])
        pages.of = {}

    def show(self, pages: Pages, slot: int) -> None:
        """Tell the device all pages of a sequence."""
        for window, own in pages.of.items():
            self._put(window, slot, 0, own)
