"""A cache of views by an index expression: their geometry and path, by the layout of the source and the index.

An index of ints and slices is several view ops. A second time it is one look-up, where no op is recorded.
"""

from __future__ import annotations

from types import EllipsisType, NoneType
from typing import Any, NamedTuple

from weft.tensors.array import Array

CAPACITY = 8192
"""The most entries of the cache, which is cleared beyond it."""


class IndexView(NamedTuple):
    """A view by an index: its geometry relative to the source's offset, its layout, and the view ops to it."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    moved: int
    layout: int
    path: tuple[Any, ...]


_known: dict[Any, IndexView] = {}
_PLAIN = frozenset((int, NoneType))


def key_of(data: Array, index: Any) -> Any:
    """Return the key of an index of ints, slices, ``None`` and ``...``; ``None`` for any other index."""
    if type(index) is int:
        return data.key, index
    items: list[Any] = []
    for item in index if type(index) is tuple else (index,):
        kind = type(item)
        if kind is int:
            items.append(item)
        elif kind is slice:
            start, stop, step = parts = item.start, item.stop, item.step
            if type(start) not in _PLAIN or type(stop) not in _PLAIN or type(step) not in _PLAIN:
                return None
            items.append(parts)
        elif kind is NoneType or kind is EllipsisType:
            items.append(kind)
        else:
            return None
    return data.key, tuple(items)


find = _known.get


def remember(key: Any, source: Array, view: Array, path: tuple[Any, ...]) -> None:
    """Keep the result of an index, if it is a view."""
    if view.storage is source.storage:
        if len(_known) >= CAPACITY:
            _known.clear()
        _known[key] = IndexView(view.shape, view.strides, view.offset - source.offset, view.key, path)


def applied(view: IndexView, source: Array) -> Array:
    """Return the same view of another array of the same layout."""
    shape, strides, moved, layout, _ = view
    known = layout if moved & 15 == 0 else None
    return Array(source.storage, source.dtype, shape, strides, source.offset + moved, known)
