"""Plain values (numbers, strings, flags, ``None``, enums, data types, tuples of these) that a program was made for.

They are compared by type and value, since ``1 == True == 1.0``. Small lists, sets and dicts of plain values are
compared with a copy of what they held.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from weft.dtypes import DType

SIMPLE = (bool, int, float, complex, str, bytes, type(None), Enum, DType, slice, range, type(Ellipsis))
LARGEST = 64
"""Entries of a container that is compared."""


def is_plain(value: Any) -> bool:
    """Whether a value is plain: nothing of it can change."""
    if isinstance(value, SIMPLE):
        return True
    return isinstance(value, tuple | frozenset) and len(value) <= LARGEST and all(map(is_plain, value))


def snapshot(value: Any) -> Any:
    """What a value is compared with later: itself, or for a container of plain values a copy; ``None`` for others."""
    if is_plain(value):
        return value
    kind = type(value)
    if kind in (list, set) and len(value) <= LARGEST and all(map(is_plain, value)):
        return kind(value)
    if kind is dict and len(value) <= LARGEST and all(map(is_plain, (*value, *value.values()))):
        return dict(value)
    return None


def same(value: Any, known: Any) -> bool:
    """Whether two plain values, or containers of them, are of one type and equal.

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
