"""Conversion of Arrow tables to datasets and back: numbers, texts, fixed and ragged lists. Needs pyarrow (an extra)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy

from weft.errors import FormatError, UnsupportedError, mistake
from weft.metatensor.composite import ArrayKind, Struct
from weft.metatensor.file import File, open
from weft.metatensor.infer import INDIRECT, number
from weft.metatensor.kinds import Kind
from weft.metatensor.numbers import Boolean, Enum, Number
from weft.metatensor.saving import ROWS, save
from weft.metatensor.variable import Indirect, Reserved, Text

NUMBERS = {
    "int8": "Int8", "int16": "Int16", "int32": "Int32", "int64": "Int64", "uint8": "Uint8", "uint16": "Uint16",
    "uint32": "Uint32", "uint64": "Uint64", "halffloat": "Float16", "float": "Float32", "double": "Float64",
}  # fmt: skip
"""The TypeDef keyword of each of Arrow's number types."""


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise UnsupportedError(
            mistake("metatensor", "pyarrow", "not installed", "installed", "pip install 'weft[arrow]'")
        ) from error
    return pyarrow


def from_arrow(
    table: Any, path: str | os.PathLike[str], name: str = ROWS, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write an Arrow table as the dataset ``name`` of a metatensor file.

    Numbers and booleans keep their type (floats may be NaN), strings and bytes are stored through an index,
    dictionaries of strings become enums, lists become ragged arrays. Raises ``FormatError`` naming a column that has
    nulls or a type that the format lacks.
    """
    pa = _pyarrow()
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if len(set(table.column_names)) != len(table.column_names):
        raise FormatError(mistake("from_arrow", "columns", table.column_names, "names of their own"))
    properties, columns = {}, {}
    for column_name in table.column_names:
        column = table.column(column_name)
        if column.null_count:
            raise FormatError(
                mistake("from_arrow", f"column {column_name!r}", f"with {column.null_count} nulls", "none",
                        "fill_null() puts one there")
            )  # fmt: skip
        properties[column_name] = _schema(pa, column_name, column)
        columns[column_name] = _values(pa, column)
    items = {"TypeDef:Struct": True, "properties": properties}
    schema = {"TypeDef:Struct": True, "properties": {name: {"TypeDef:Array": True, "items": items}}}
    save(path, {name: columns}, schema, metadata)


def _schema(pa: Any, name: str, column: Any) -> dict[str, Any]:
    """Return the schema of a column's values."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        members = column.combine_chunks().dictionary.to_pylist() if len(column) else []
        if (
            members
            and all(isinstance(member, str) for member in members)
            and len(set(members)) == len(members)
        ):
            return {"TypeDef:Enum": True, "enum": members}
        return _type(pa, name, kind.value_type)
    return _type(pa, name, kind)


def _type(pa: Any, name: str, kind: Any) -> dict[str, Any]:
    if str(kind) in NUMBERS:
        return number(NUMBERS[str(kind)], finite=False)
    if pa.types.is_boolean(kind):
        return {"TypeDef:Boolean": True}
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return {"TypeDef:String": INDIRECT}
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return {"TypeDef:Bytes": INDIRECT}
    if pa.types.is_fixed_size_list(kind):
        inner = _type(pa, name, kind.value_type)
        return {"TypeDef:Array": True, "minItems": kind.list_size, "maxItems": kind.list_size, "items": inner}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"TypeDef:Array": INDIRECT, "items": _type(pa, name, kind.value_type)}
    raise FormatError(
        mistake("from_arrow", f"column {name!r}", f"of type {kind}", "numbers, booleans, texts, or lists of them",
                "cast it first")
    )  # fmt: skip


def _values(pa: Any, column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        return column.to_pylist()
    if str(column.type) in NUMBERS or pa.types.is_boolean(column.type):
        return column.to_numpy()
    if pa.types.is_fixed_size_list(column.type) and str(column.type.value_type) in NUMBERS:
        flat = column.combine_chunks().flatten()
        if flat.null_count:
            raise FormatError(mistake("from_arrow", "a list", "with nulls", "a value in each place"))
        return flat.to_numpy().reshape(len(column), column.type.list_size)
    return column.to_pylist()


def to_arrow(source: str | os.PathLike[str] | File, name: str = ROWS) -> Any:
    """Return the dataset ``name`` of a metatensor file as a ``pyarrow.Table``, with one column for each field.

    Raises ``FormatError`` for a field whose type Arrow lacks.
    """
    pa = _pyarrow()
    file = source if isinstance(source, File) else open(source)
    records = file.records(name)
    columns = {}
    for field in records.kind.fields:
        columns[field.name] = _column(pa, f"{name}.{field.name}", field.kind, records.column(field.name))
    return pa.table(columns)


def _column(pa: Any, name: str, kind: Kind, values: Any) -> Any:
    for base, make in _COLUMNS:
        if isinstance(kind, base):
            return make(pa, name, kind, values)
    raise FormatError(
        mistake("to_arrow", name, kind.describe(), "numbers, booleans, texts, enums, or arrays of them")
    )


def _number(pa: Any, name: str, kind: Any, values: Any) -> Any:
    values = numpy.asarray(values)
    if kind.name == "BFloat16":  # Arrow has none; every value of it is a Float32
        return pa.array(values.astype(numpy.float32))
    return pa.array(numpy.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))))


def _arrow_type(pa: Any, name: str, kind: Kind) -> Any:
    back = {ours: theirs for theirs, ours in NUMBERS.items()} | {"BFloat16": "float"}
    if isinstance(kind, Number):
        return pa.type_for_alias(back[kind.name])
    if isinstance(kind, Boolean):
        return pa.bool_()
    if isinstance(kind, Indirect | Reserved):
        return _arrow_type(pa, name, kind.target)
    if isinstance(kind, Text):
        return pa.binary() if kind.name == "Bytes" else pa.string()
    if isinstance(kind, ArrayKind) and not isinstance(kind.item, Struct):
        inner = _arrow_type(pa, name, kind.item)
        return pa.list_(inner) if kind.count is None else pa.list_(inner, kind.count)
    raise FormatError(
        mistake("to_arrow", name, kind.describe(), "numbers, booleans, texts, enums, or arrays of them")
    )


def _listed(pa: Any, name: str, kind: Kind, values: Any) -> Any:
    plain = [value.tolist() if isinstance(value, numpy.ndarray) else list(value) for value in values]
    return pa.array(plain, _arrow_type(pa, name, kind))


def _texts(pa: Any, name: str, kind: Any, values: Any) -> Any:
    if isinstance(kind.target, ArrayKind):
        return _listed(pa, name, kind.target, values)
    return pa.array(list(values), _arrow_type(pa, name, kind))


def _enum(pa: Any, name: str, kind: Any, values: Any) -> Any:
    if not all(isinstance(member, str) for member in kind.members):
        raise FormatError(mistake("to_arrow", name, kind.describe(), "an enum of strings"))
    indices = numpy.array([kind.index(value) for value in values], numpy.int32)
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(kind.members))


_COLUMNS: list[tuple[Any, Callable[[Any, str, Any, Any], Any]]] = [
    (Number, _number),
    (Boolean, lambda pa, name, kind, values: pa.array(numpy.asarray(values))),
    (Enum, _enum),
    (Indirect | Reserved, _texts),
    (ArrayKind, _listed),
]
