"""Validation of values by the ``jsonschema-rs`` engine: patterns, ranges, and all else that kinds do not check.

The engine gets the schema with each TypeDef keyword translated to standard keywords, and custom keyword classes where
those do not suffice. It fetches nothing from outside of the document, and the size of patterns is limited.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy

from weft.errors import FormatError
from weft.metatensor.composite import ArrayKind, Record, Struct
from weft.metatensor.kinds import Kind
from weft.metatensor.misfit import Misfit, place, short
from weft.metatensor.numbers import Number
from weft.metatensor.scalars import SCALARS
from weft.metatensor.schema import PREFIX, keyword
from weft.metatensor.tensors import TensorKind
from weft.metatensor.union import ByteUnion, FieldUnion
from weft.metatensor.variable import FORMS, Indirect, Reserved, Text, check_timestamp

PATTERN_BYTES = 1 << 20
"""The most memory that one compiled pattern may take."""

OURS = ("properties", "items", "values", "mapping", "discriminator", "$defs", "minItems", "maxItems")


def spelled(schema: Any) -> Any:
    """Return the schema in standard keywords; definitions that are no layouts stay as they are."""
    if not isinstance(schema, Mapping):
        return schema
    translated = {name: value for name, value in schema.items() if name not in OURS}
    if "$defs" in schema:
        translated["$defs"] = {name: spelled(inner) for name, inner in schema["$defs"].items()}
    if "$ref" in schema:
        reference = schema["$ref"]
        translated["$ref"] = reference if reference.startswith("#") else f"#/$defs/{reference}"
        return translated
    if not any(name.startswith(PREFIX) for name in schema):
        return {**schema, **translated}
    name, notes = keyword(schema)
    translated.update(_TYPES.get(name, {"type": "number"}))
    if name in SCALARS and SCALARS[name].integral:
        translated["type"] = "integer"
    if name == "Struct":
        translated["properties"] = {
            part: spelled(inner) for part, inner in schema.get("properties", {}).items()
        }
        translated["required"] = list(translated["properties"])
    elif name == "Array":
        translated["items"] = spelled(schema["items"])
        if schema.get("minItems") != schema.get("maxItems"):
            translated.update({bound: schema[bound] for bound in ("minItems", "maxItems") if bound in schema})
    elif name == "Record":
        translated["additionalProperties"] = spelled(schema["values"])
    elif name == "Union":
        translated.update(_union({**schema, **notes}))
    return translated


_TYPES: dict[str, dict[str, Any]] = {
    "Boolean": {"type": "boolean"}, "Enum": {}, "Tensor": {"type": "object"}, **{n: {"type": "string"} for n in FORMS},
    "Struct": {"type": "object"}, "Record": {"type": "object"}, "Union": {"type": "object"}, "Array": {"type": "array"},
}  # fmt: skip


def _union(schema: Mapping[str, Any]) -> dict[str, Any]:
    variants = {key: spelled(inner) for key, inner in schema["mapping"].items()}
    chooser = schema["discriminator"]
    if chooser["kind"] == "byte":
        return {"properties": variants, "additionalProperties": False, "minProperties": 1, "maxProperties": 1}
    name = chooser["name"]
    cases = [
        {"if": {"properties": {name: {"enum": _spellings(key)}}}, "then": variant}
        for key, variant in variants.items()
    ]
    return {"required": [name], "allOf": [*schema.get("allOf", []), *cases]}


def _spellings(key: str) -> list[Any]:
    """Return the values of a discriminator's field that select a variant: its name, or the integer of that name."""
    return [key, int(key)] if key.removeprefix("-").isdecimal() and len(key) < 20 else [key]


class _Finite:
    """The keyword class of numbers: ranges, and floats that are finite."""

    scalar: Any
    name: str

    def __init__(self, parent: Any, notes: Any, path: Any) -> None:
        finite = not isinstance(notes, Mapping) or notes.get("finite", True)
        self.kind = Number(self.name, SCALARS[self.name], "little", 1, finite)

    def validate(self, instance: Any) -> None:
        """Raise ``ValueError`` unless the type has the value."""
        if isinstance(instance, int | float) and not self.kind.takes(instance):
            raise ValueError(f"{instance!r} is not {self.kind.expected}")


class _Moment:
    """The keyword class of timestamps."""

    def __init__(self, parent: Any, notes: Any, path: Any) -> None:
        pass

    def validate(self, instance: Any) -> None:
        """Raise ``ValueError`` unless the text is a timestamp of RFC 3339."""
        try:
            check_timestamp(instance)
        except Misfit as misfit:
            raise ValueError(f"{misfit.given} is not {misfit.expected}") from None


KEYWORDS: dict[str, Any] = {
    **{f"{PREFIX}{name}": type(name, (_Finite,), {"name": name}) for name in SCALARS},
    f"{PREFIX}Timestamp": _Moment,
}


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is outside of the document")


class Validator:
    """A schema, compiled by the engine."""

    def __init__(self, schema: Mapping[str, Any], kind: Kind) -> None:
        import jsonschema_rs

        self.kind = kind
        limits = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES, dfa_size_limit=PATTERN_BYTES)
        try:
            self.engine = jsonschema_rs.Draft202012Validator(
                spelled(schema),
                retriever=_refuse,
                pattern_options=limits,
                keywords=KEYWORDS,
                validate_formats=True,
            )
        except (jsonschema_rs.ValidationError, ValueError) as error:
            message = str(error).splitlines()[0]
            raise FormatError(f"metatensor: the schema is not valid: {short(message)}") from None

    def check(self, where: str, value: Any) -> None:
        """Raise ``FormatError`` naming the first part of a value that the schema does not allow."""
        for error in self.engine.iter_errors(shadow(self.kind, value)):
            path = place([int(part) if isinstance(part, int) else part for part in error.instance_path])
            raise FormatError(f"{where}: {path or 'the value'}: {short(error.message)}")


def shadow(kind: Kind, value: Any) -> Any:
    """Return a value as JSON for the engine, without the arrays that kinds alone check."""
    if not kind.asserts and isinstance(kind, ArrayKind):
        return []
    maker = next((make for base, make in _SHADOWS if isinstance(kind, base)), None)
    return _plain(value) if maker is None else maker(kind, value)


def _plain(value: Any) -> Any:
    if isinstance(value, numpy.generic | numpy.ndarray):
        return value.tolist()
    return value


def _tensor(kind: Any, value: Any) -> Any:
    return {"dtype": kind.name, "shape": list(kind.shape)}


def _number(kind: Any, value: Any) -> Any:
    """Return a number as JSON; infinity and NaN, which JSON lacks, are left out if the kind allows them."""
    value = _plain(value)
    return value if kind.finite or not isinstance(value, float) or math.isfinite(value) else 0.0


def _text(kind: Any, value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("latin-1")
    return value.isoformat() if hasattr(value, "isoformat") else value


def _array(kind: Any, value: Any) -> Any:
    if isinstance(value, Mapping):  # columns
        names = list(value)
        value = [dict(zip(names, row, strict=True)) for row in zip(*value.values(), strict=True)]
    return [shadow(kind.item, item) for item in value]


def _struct(kind: Any, value: Any) -> Any:
    if isinstance(value, numpy.void) and value.dtype.names:
        value = {name: value[name] for name in value.dtype.names}
    elif hasattr(value, "to_dict"):
        value = value.to_dict()
    if not isinstance(value, Mapping):
        return _plain(value)
    known = {name: shadow(field.kind, value[name]) for name, field in kind.by_name.items() if name in value}
    return {**known, **{name: None for name in value if name not in known}}


def _record(kind: Any, value: Any) -> Any:
    return (
        {key: shadow(kind.item, item) for key, item in value.items()} if isinstance(value, Mapping) else value
    )


def _variant(kind: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if isinstance(kind, ByteUnion):
        return {
            str(k): shadow(kind.variants[str(k)], v) if str(k) in kind.variants else v
            for k, v in value.items()
        }
    variant = kind.variants.get(str(value.get(kind.name)))
    return dict(value) if variant is None else shadow(variant, value)


_SHADOWS: list[tuple[Any, Any]] = [
    (Number, _number), (TensorKind, _tensor), (Text, _text), (ArrayKind, _array), (Struct, _struct), (Record, _record),
    (ByteUnion, _variant), (FieldUnion, _variant),
    (Reserved | Indirect, lambda kind, value: shadow(kind.target, value)),
]  # fmt: skip
