"""Plain Python values that a program depends on: numbers, strings, ``None``, enums, data types, and tuples of these.

Plain values are compared by type and value, since ``1 == True == 1.0``. Small lists, sets and dicts of plain values are
compared with a copy of their earlier contents.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from weft.dtypes import DType

SIMPLE = (bool, int, float, complex, str, bytes, type(None), Enum, DType, slice, range, type(Ellipsis))
LARGEST = 64
"""The most entries of a container that is compared by its contents."""


def is_plain(value: Any) -> bool:
    """Return whether a value is plain, hence immutable."""
    if isinstance(value, SIMPLE):
        return True
    return isinstance(value, tuple | frozenset) and len(value) <= LARGEST and all(map(is_plain, value))


def snapshot(value: Any) -> Any:
    """Return a plain value itself, a copy of a container of plain values, and ``None`` for other values."""
    if is_plain(value):
        return value
    kind = type(value)
    if kind in (list, set) and len(value) <= LARGEST and all(map(is_plain, value)):
        return kind(value)
    if kind is dict and len(value) <= LARGEST and all(map(is_plain, (*value, *value.values()))):
        return dict(value)
    return None


def same(value: Any, known: Any) -> bool:
    """Return whether two plain values, or containers of plain values, have the same type and are equal.

    >>> same(1, True), same((1, 2), (1, 2)), same(float("nan"), float("nan")), same(0.0, -0.0)
    (False, True, True, False)
    """
    if type(value) is not type(known):
        return False
    if isinstance(value, list | tuple):
        return len(value) == len(known) and all(map(same, value, known))
    if isinstance(value, dict):
        return list(value) == list(known) and all(map(same, value.values(), known.values()))
    if isinstance(value, float):
        return bool(value.hex() == known.hex())
    return bool(value == known)
