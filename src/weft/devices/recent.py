"""``Recent``: a bounded cache that costs a hit nothing. Devices keep compiled kernels in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K")
V = TypeVar("V")

KERNELS = 256
"""Compiled kernels that a device keeps beside those in use: each takes up to 150 KB.

Compiled programs and prepared calls hold their kernels themselves; these are the kernels that nobody holds.
"""


class Recent(Generic[K, V]):
    """At most ``limit`` values by key, those used lately: two generations, and the older one goes as a whole.

    What is found in the older generation moves to the younger one, so whatever is used stays. Ready hits are looked up
    in ``young`` directly. With ``alive`` a value that somebody else holds is found beyond the limit too.

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
        """The value of a key, ``None`` where it is not kept."""
        value = self.young.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is None and self._alive is not None:
                value = self._alive.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value; the older generation goes where the younger is full."""
        if len(self.young) >= self._half:
            self._old, self.young = self.young, {}
        self.young[key] = value
        if self._alive is not None:
            self._alive[key] = value

    def clear(self) -> None:
        """Forget all."""
        self.young, self._old = {}, {}
        if self._alive is not None:
            self._alive.clear()

    def __iter__(self) -> Iterator[K]:  # the longest unused first
        return iter([*self._old, *self.young])

    def __len__(self) -> int:
        return len(self.young) + len(self._old)
