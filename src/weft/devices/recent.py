"""``Recent``: a bounded cache whose hits are plain dictionary lookups. Devices keep compiled kernels in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K")
V = TypeVar("V")

KERNELS = 256
"""Compiled kernels that a device keeps besides those in use; a kernel takes up to 150 KB.

Compiled programs and prepared calls hold references to their kernels; the limit applies to unreferenced kernels.
"""


class Recent(Generic[K, V]):
    """A cache of at most ``limit`` values, those used recently, in two generations; the older is dropped as a whole.

    A value found in the older generation moves to the younger one, so values in use stay. Callers on a hot path look
    in ``young`` first. With ``alive`` a dropped value is still found while it is referenced elsewhere.

    >>> kept = Recent(4)
    >>> for key in "abcd":
    ...     kept.put(key, key.upper())
    >>> kept.get("a"), kept.put("e", "E"), kept.get("b"), kept.get("a")
    ('A', None, None, 'A')
    """

    def __init__(self, limit: int, alive: bool = False) -> None:
        self._alive: WeakValueDictionary[K, Any] | None = WeakValueDictionary() if alive else None
        self._half = max(1, limit // 2)
        self.young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return the value of a key, ``None`` where it is not cached."""
        value = self.young.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is None and self._alive is not None:
                value = self._alive.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Add a value; where the younger generation is full, it becomes the older, which is dropped."""
        if len(self.young) >= self._half:
            self._old, self.young = self.young, {}
        self.young[key] = value
        if self._alive is not None:
            self._alive[key] = value

    def clear(self) -> None:
        """Remove all values."""
        self.young, self._old = {}, {}
        if self._alive is not None:
            self._alive.clear()

    def __iter__(self) -> Iterator[K]:  # least recently used first
        return iter([*self._old, *self.young])

    def __len__(self) -> int:
        return len(self.young) + len(self._old)
