"""Inference of a schema from a tree of values."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from weft.errors import ArgumentTypeError, mistake
from weft.metatensor.misfit import place
from weft.metatensor.scalars import SCALARS, TENSOR_NAMES

Schema = dict[str, Any]
INDIRECT = {"encoding": "offset-indirect"}


@dataclass(frozen=True)
class Pending:
    """A tensor that is read only when it is written, so that a large model is never in memory as a whole.

    ``dtype`` is safetensors' name of the type ("F32"); ``read`` returns a NumPy array of this type and shape.
    """

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], Any]


def schema_of(tree: Mapping[str, Any], align: int | None = None) -> Schema:
    """Return the schema of a tree of arrays, numbers, texts and lists; dots in names make structs.

    ``save`` infers schemas by this function. ``align`` is the alignment of every tensor in bytes. Raises
    ``ArgumentTypeError`` naming a value that has no type in the format.

    >>> schema_of({"layer.bias": numpy.zeros(3, "float32")})["properties"]["layer"]["properties"]
    {'bias': {'TypeDef:Tensor': {'dtype': 'F32', 'shape': [3]}}}
    """
    return _struct(nested(tree), [], align)


def nested(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a tree with dotted names as structs; names that clash (``a`` beside ``a.b``) stay as they are."""
    root: dict[str, Any] = {}
    for name, value in tree.items():
        *groups, last = name.split(".") if isinstance(name, str) else [name]
        inner = root
        for group in groups:
            inner = inner.setdefault(group, _Group())
            if not isinstance(inner, _Group):
                return tree
        if last in inner or not all(groups) or not last:
            return tree
        inner[last] = value
    return root


class _Group(dict[str, Any]):
    """A struct that comes from a dotted name, not from a mapping in the tree."""


def _struct(tree: Mapping[Any, Any], path: list[str | int], align: int | None) -> Schema:
    properties = {}
    for name, value in tree.items():
        if not isinstance(name, str):
            raise ArgumentTypeError(
                mistake("save", f"a key of {place(path) or 'the tree'}", repr(name), "a string")
            )
        properties[name] = _schema(value, [*path, name], align)
    return {"TypeDef:Struct": True, "properties": properties}


def _schema(value: Any, path: list[str | int], align: int | None) -> Schema:
    for types, make in _RULES:
        if isinstance(value, types):
            return make(value, path, align)
    if hasattr(value, "__array__"):
        return _array(numpy.asarray(value), path, align)
    raise ArgumentTypeError(
        mistake(
            "save",
            place(path),
            f"a {type(value).__name__}",
            "an array, number, string, bytes, list or mapping",
        )
    )


def _tensor(dtype: str, shape: Any, align: int | None) -> Schema:
    notes = {"dtype": dtype, "shape": [int(size) for size in shape]}
    return {"TypeDef:Tensor": notes if align is None else {**notes, "align": align}}


def _array(value: Any, path: list[str | int], align: int | None) -> Schema:
    if value.dtype.names is not None:
        return {"TypeDef:Array": True, "items": _row(value.dtype, path)}
    return _tensor(_name(value.dtype, TENSOR_NAMES, path), value.shape, align)


def _name(dtype: Any, names: Mapping[str, str], path: list[str | int]) -> str:
    name = dtype.name
    if name not in names:
        raise ArgumentTypeError(
            mistake("save", f"dtype of {place(path)}", dtype, f"one of {', '.join(names)}")
        )
    return names[name]


_SCALAR_NAMES = {scalar.numpy: name for name, scalar in SCALARS.items()} | {"bool": "Boolean"}


def _row(dtype: Any, path: list[str | int]) -> Schema:
    """Return the struct of rows of a structured type; its floats may be infinite or NaN."""
    properties = {}
    for name in dtype.names:
        inner = dtype.fields[name][0]
        properties[name] = _field(inner, [*path, name])
    return {"TypeDef:Struct": True, "properties": properties}


def _field(dtype: Any, path: list[str | int]) -> Schema:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        schema = _field(base, path)
        for size in reversed(shape):
            schema = {"TypeDef:Array": True, "minItems": size, "maxItems": size, "items": schema}
        return schema
    if dtype.names is not None:
        return _row(dtype, path)
    if dtype.kind == "S":
        return {"TypeDef:Bytes": True, "maxLength": dtype.itemsize}
    return number(_name(dtype, _SCALAR_NAMES, path), finite=False)


def number(name: str, finite: bool = True) -> Schema:
    """Return the schema of a number type; with ``finite=False`` floats may be infinite or NaN."""
    free = not finite and name in SCALARS and not SCALARS[name].integral
    return {f"TypeDef:{name}": {"finite": False} if free else True}


def _integer(value: int, path: list[str | int], align: int | None) -> Schema:
    return number("Uint64" if value >= 2**63 else "Int64")


def _list(value: Any, path: list[str | int], align: int | None) -> Schema:
    """Return the schema of a list of items of the same kind: numbers, texts, rows, or arrays of differing lengths."""
    if not value:
        return {"TypeDef:Array": True, "items": {"TypeDef:Uint8": True}}
    items = [_indirect(_schema(item, [*path, index], None)) for index, item in enumerate(value[:1])]
    if isinstance(value[0], Mapping):
        items = [_rows(value, path)]
    elif isinstance(value[0], int | float) and not isinstance(value[0], bool):
        free = not all(map(math.isfinite, value)) if all(isinstance(v, int | float) for v in value) else False
        exact = all(isinstance(item, int) for item in value)
        wide = exact and max(value) >= 2**63
        items = [number("Uint64" if wide else "Int64" if exact else "Float64", finite=not free)]
    elif hasattr(value[0], "shape") and len(value[0].shape) == 1:
        name = _name(value[0].dtype, _SCALAR_NAMES, [*path, 0])
        items = [{"TypeDef:Array": INDIRECT, "items": number(name, finite=False)}]
    return {"TypeDef:Array": True, "items": items[0]}


def _indirect(schema: Schema) -> Schema:
    """Return the schema of texts in rows and lists with an index, so that each text is read directly."""
    return {
        key: INDIRECT if key in ("TypeDef:String", "TypeDef:Bytes") else value
        for key, value in schema.items()
    }


def _rows(rows: Any, path: list[str | int]) -> Schema:
    """Return the struct of rows: the field names of the first row, the types of each field's values in all rows."""
    properties = {}
    for name in rows[0]:
        column = [row[name] for row in rows if isinstance(row, Mapping) and name in row]
        properties[name] = _list(column, [*path, name], None)["items"]
    return {"TypeDef:Struct": True, "properties": properties}


_RULES: list[tuple[Any, Callable[[Any, list[str | int], int | None], Schema]]] = [
    (Mapping, _struct),
    (Pending, lambda value, path, align: _tensor(value.dtype, value.shape, align)),
    (bool, lambda value, path, align: {"TypeDef:Boolean": True}),
    (numpy.ndarray, _array),
    (numpy.generic, lambda value, path, align: number(_name(value.dtype, _SCALAR_NAMES, path), finite=False)),
    (int, _integer),
    (float, lambda value, path, align: number("Float64", finite=math.isfinite(value))),
    (str, lambda value, path, align: {"TypeDef:String": True}),
    ((bytes, bytearray), lambda value, path, align: {"TypeDef:Bytes": True}),
    (datetime.datetime, lambda value, path, align: {"TypeDef:Timestamp": True}),
    ((list, tuple), _list),
]  # fmt: skip
