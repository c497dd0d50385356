"""Encode plain values (attributes, static arguments, numbers in graphs) as JSON, and decode them.

JSON has no tuples, types and infinities: a tuple becomes a list, and the others become objects with one member.
"""

from __future__ import annotations

import math
from types import GenericAlias, UnionType
from typing import Any, get_args

from weft import dtypes
from weft.compiler.plans.fields import Field
from weft.dtypes import DType
from weft.errors import UnsupportedError, mistake
from weft.ops.registry.attributes import fits
from weft.tensors.described import Size

UNUSUAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
MOST_LEVELS = 64
"""The deepest nesting of values and trees."""


def written(value: Any, label: str) -> Any:
    """Return a value as JSON; ``UnsupportedError`` for a value that is not plain data, which ``label`` names."""
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, DType):
        return {"dtype": value.name}
    if type(value) in (tuple, Size):
        return [written(item, label) for item in value]
    if type(value) is slice:
        return {"slice": [written(bound, label) for bound in (value.start, value.stop, value.step)]}
    if type(value) is range:
        return {"range": [value.start, value.stop, value.step]}
    raise UnsupportedError(
        mistake("save", label, f"a {type(value).__module__}.{type(value).__qualname__}",
                "plain data: None, bool, numbers, strings, data types and tuples of these",
                "a saved plan holds no Python objects; reach them by closure")
    )  # fmt: skip


def read(field: Field, level: int = 0) -> Any:
    """Return the value of encoded JSON."""
    value = field.value
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise field.error("a number of 64 bits")
        return value
    if level > MOST_LEVELS:
        raise field.error(f"a value of at most {MOST_LEVELS} levels")
    if isinstance(value, list):
        return tuple(read(item, level + 1) for item in field.items())
    for name, reader in _OBJECTS.items():
        if isinstance(value, dict) and set(value) == {name}:
            return reader(field.at(name, value[name]))
    raise field.error(f"plain data, or an object with one of {', '.join(_OBJECTS)}")


def read_dtype(field: Field) -> DType:
    """Return a data type by its name."""
    return dtypes.BY_NAME[field.text(tuple(dtypes.BY_NAME))]


def read_shape(field: Field) -> tuple[int, ...]:
    """Return a shape, whose number of elements must be below 2**48."""
    if len(field.items()) > MOST_LEVELS:
        raise field.error(f"at most {MOST_LEVELS} dimensions")
    shape = tuple(size.integer() for size in field.items())
    if math.prod(max(size, 1) for size in shape) >= 2**48:
        raise field.error("sizes of fewer than 2**48 elements together")
    return shape


def read_as(field: Field, kind: Any) -> Any:
    """Return the value of an attribute of a declared type."""
    found = read(field)
    if not fits(found, kind):
        raise field.error(_named(kind))
    return found


def _named(kind: Any) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(map(_named, get_args(kind)))
    if isinstance(kind, GenericAlias):
        parts = get_args(kind)
        inner = f"{_named(parts[0])}, …" if parts[-1] is ... else ", ".join(map(_named, parts))
        return f"[{inner}]"
    names = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a string",
        DType: "a data type",
    }
    return names.get(kind, getattr(kind, "__name__", "plain data"))


def _read_slice(field: Field) -> slice:
    parts = [read(item) for item in field.items(3)]
    if any(type(part) not in (int, type(None)) for part in parts):
        raise field.error("three values, each a whole number or null")
    return slice(*parts)


def _read_range(field: Field) -> range:
    start, stop, step = (item.integer(-(2**53)) for item in field.items(3))
    if not step:
        raise field.error("a step other than 0")
    return range(start, stop, step)


_OBJECTS = {
    "float": lambda field: UNUSUAL[field.text(tuple(UNUSUAL))], "dtype": read_dtype, "slice": _read_slice,
    "range": _read_range,
}  # fmt: skip
