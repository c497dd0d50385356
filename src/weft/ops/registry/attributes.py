"""Names and types of an op's attributes, by which calls of ops that are read from untrusted data are validated."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from types import GenericAlias, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from weft.dtypes import DType
from weft.ops.registry.spec import OpSpec


@lru_cache(maxsize=None)
def attribute_types(op: OpSpec) -> tuple[Mapping[str, Any], ...]:
    """Return the sets of attributes, types by name, of which a call of the op has exactly one.

    The op's declaration gives them, or else the annotations of its ``view`` or ``infer``.

    >>> from weft.ops import lookup
    >>> attribute_types(lookup("cat"))
    ({'dim': <class 'int'>},)
    """
    if op.attributes:
        return op.attributes
    rule = op.view or op.infer
    names = [
        parameter.name
        for parameter in inspect.signature(rule).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    if not names:
        return ({},)
    hints = get_type_hints(rule)
    return ({name: hints[name] for name in names},)


def fits(value: Any, kind: Any) -> bool:
    """Return whether a value is exactly of a type that an attribute may have; an int is a float too.

    >>> fits((1, 2), tuple[int, ...]), fits((1, True), tuple[int, ...]), fits(1, float), fits(True, float)
    (True, False, True, False)
    """
    if isinstance(kind, UnionType):
        return any(fits(value, argument) for argument in get_args(kind))
    if isinstance(kind, GenericAlias) and get_origin(kind) is tuple:
        parts = get_args(kind)
        if type(value) is not tuple:
            return False
        if len(parts) == 2 and parts[1] is ...:
            return all(fits(element, parts[0]) for element in value)
        return len(value) == len(parts) and all(map(fits, value, parts))
    if kind is Any:
        return is_plain(value)
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind or (kind not in (bool, int, str) and isinstance(value, kind))


def is_plain(value: Any) -> bool:
    """Return whether a value is plain data: a number, a string, a data type, ``None``, or a tuple of plain data."""
    if type(value) is tuple:
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str, DType)
