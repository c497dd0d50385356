"""``Parser``: turn a JSON Schema with ``TypeDef:*`` keywords, annotations and ``$ref`` into a tree of kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal

from weft.metatensor.composite import ArrayKind, Record, Struct
from weft.metatensor.kinds import Kind
from weft.metatensor.misfit import Misfit
from weft.metatensor.numbers import Boolean, Enum, Number
from weft.metatensor.scalars import SCALARS, TENSORS, Endian, native
from weft.metatensor.tensors import TensorKind
from weft.metatensor.union import ByteUnion, FieldUnion
from weft.metatensor.variable import FORMS, Indirect, Reserved, Text, Variable

Mode = Literal["aligned", "packed"]
PREFIX = "TypeDef:"
OBJECT = (dict, Mapping)  # dict first: its check is faster
MOST_LEVELS = 64
"""The deepest nesting of schemas: more than layouts need, and far below the interpreter's recursion limit."""
MOST_DIMENSIONS = 64
MOST_HOLLOW = 1000
MOST_FIELDS = 100_000
MOST_BYTES = 2**62
TENSOR_ALIGN = 64

ANNOTATIONS: dict[str, frozenset[str]] = {
    **{name: frozenset() if scalar.integral else frozenset({"finite"}) for name, scalar in SCALARS.items()},
    **{name: frozenset({"encoding", "maxLength"}) for name in FORMS},
    "Boolean": frozenset(), "Enum": frozenset(), "Struct": frozenset(),
    "Record": frozenset({"encoding", "maxLength"}), "Array": frozenset({"encoding"}),
    "Tensor": frozenset({"dtype", "shape"}), "Union": frozenset({"discriminator", "mapping"}),
}  # fmt: skip
"""The annotations that each keyword allows besides ``align``."""

ALLOWED = {name: notes | {"align"} for name, notes in ANNOTATIONS.items()}
ENCODINGS = ("length-prefixed", "offset-indirect")


class Parser:
    """Turns a schema into kinds, in one mode and byte order."""

    def __init__(self, schema: Any, mode: Mode, endian: Endian) -> None:
        self.schema, self.packed, self.endian = schema, mode == "packed", endian
        self.known: dict[str, tuple[Kind, int]] = {}  # the kind of each reference, with its number of levels
        self.deepest = 0
        self.open: list[str] = []
        self.left: int | None = None

    def kind(self, schema: Any, level: int = 0) -> Kind:
        """Return the kind of a schema or sub-schema; ``Misfit`` names the place of a mistake."""
        self._reach(level)
        if not isinstance(schema, OBJECT):
            raise Misfit(repr(schema), "a schema, which is an object")
        if "$ref" in schema:
            return self._referred(schema, level)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Misfit("larger than the document, by references that repeat it", "fewer of them")
        if "$defs" in schema:
            self._definitions(schema["$defs"], level)
        name, notes = keyword(schema)
        kind = BUILDERS[name](self, name, notes, schema, level)
        kind.hollow += not kind.least
        kind.asserts = kind.asserts or asserts(schema, kind)
        return kind

    def _definitions(self, definitions: Any, level: int) -> None:
        """Refuse invalid layouts among the definitions, also unused ones: validation expands all of them."""
        if not isinstance(definitions, OBJECT):
            raise Misfit(f"$defs {definitions!r}", "an object")
        for name, inner in definitions.items():
            if isinstance(inner, OBJECT) and any(str(key).startswith(PREFIX) for key in inner):
                self.child(f"$defs.{name}", inner, level)

    def _reach(self, level: int) -> None:
        if level > MOST_LEVELS:
            raise Misfit("nested too deep", f"at most {MOST_LEVELS} levels")
        self.deepest = max(self.deepest, level)

    def child(self, part: str, schema: Any, level: int) -> Kind:
        """Return the kind of the sub-schema with the name ``part``."""
        try:
            return self.kind(schema, level + 1)
        except Misfit as misfit:
            raise misfit.within(part) from misfit.__cause__

    def _referred(self, schema: Mapping[str, Any], level: int) -> Kind:
        reference = schema["$ref"]
        if not isinstance(reference, str):
            raise Misfit(f"$ref {reference!r}", "a string")
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        if any(name.startswith(PREFIX) for name in beside):
            raise Misfit("a $ref beside a TypeDef keyword", "one of them")
        key = f"{reference} {beside!r}" if beside else reference
        if key in self.known:
            kind, levels = self.known[key]
            self._reach(level + levels)
            return kind
        if beside and self.left is None:
            self.left = 1000 + 4 * values_in(self.schema)
        if reference in self.open:
            raise Misfit(f"$ref {reference!r}, which leads back to itself", "a schema that is not recursive")
        target = resolve(self.schema, reference)
        self.open.append(reference)
        before, self.deepest = self.deepest, level
        try:
            kind = self.kind({**target, **beside}, level + 1)
        except Misfit as misfit:
            raise misfit.within(f"({reference})") from misfit.__cause__
        finally:
            self.open.pop()
        self.known[key] = kind, self.deepest - level
        self.deepest = max(self.deepest, before)
        return kind

    def align(self, notes: Mapping[str, Any], schema: Mapping[str, Any], natural: int) -> int:
        """Return the alignment: that of the annotation, else the natural one; 1 in a packed layout."""
        given = notes.get("align", schema.get("align"))
        if given is None:
            return 1 if self.packed else natural
        if not _count(given) or given < natural or given & (given - 1) or given > 2**20:
            raise Misfit(f"align {given!r}", f"a power of two from {natural} to {2**20}")
        return 1 if self.packed else int(given)


PLAIN = {f"{PREFIX}{name}": name for name in ANNOTATIONS}


def keyword(schema: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the TypeDef keyword of a schema, without its prefix, and its annotations."""
    if len(schema) == 1:
        ((name, value),) = schema.items()
        if value is True and name in PLAIN:
            return PLAIN[name], {}
    keywords = [name for name in schema if isinstance(name, str) and name.startswith(PREFIX)]
    unknown = next((name for name in keywords if name[len(PREFIX) :] not in ANNOTATIONS), None)
    if unknown is not None:
        raise Misfit(f"the keyword {unknown!r}", f"TypeDef: and one of {', '.join(ANNOTATIONS)}")
    if len(keywords) != 1:
        raise Misfit(f"{', '.join(keywords) or 'no TypeDef keyword'}", "exactly one TypeDef keyword")
    name, notes = keywords[0][len(PREFIX) :], schema[keywords[0]]
    if notes is True:
        notes = {}
    if not isinstance(notes, OBJECT):
        raise Misfit(f"{keywords[0]} {notes!r}", "true or an object of annotations")
    allowed = ALLOWED[name]
    if not notes.keys() <= allowed:
        strange = next(note for note in notes if note not in allowed)
        raise Misfit(f"the annotation {strange!r}", f"one of {', '.join(sorted(allowed))}").within(
            keywords[0]
        )
    return name, notes


QUIET = {
    "$defs", "$ref", "$schema", "$id", "$comment", "title", "description", "default", "examples", "type", "properties",
    "required", "items", "values", "mapping", "discriminator", "enum", "endian", "align", "encoding",
}  # fmt: skip
"""Keywords that constrain values no further than kinds do."""


def values_in(tree: Any) -> int:
    """Return the number of objects, lists and values in plain data."""
    if isinstance(tree, Mapping):
        return 1 + sum(map(values_in, tree.values()))
    return 1 + sum(map(values_in, tree)) if isinstance(tree, list | tuple) else 1


def repeatable(kind: Kind) -> None:
    """Raise ``Misfit`` if a value takes long to read for its bytes: it has very many fields, or fields of no bytes."""
    if kind.nodes > MOST_FIELDS:
        raise Misfit(f"of {kind.nodes} fields", f"at most {MOST_FIELDS} in a value that repeats")
    if kind.hollow > MOST_HOLLOW + kind.least:
        raise Misfit(f"{kind.hollow} fields of no bytes", f"at most {MOST_HOLLOW} more than bytes")


def asserts(schema: Mapping[str, Any], kind: Kind) -> bool:
    """Return whether a schema, apart from its parts, constrains values more than the kind does (``minimum``)."""
    if len(schema) == 1:
        return False
    checked = {"maxLength"} if isinstance(kind, Reserved) else set()
    if schema.get("minItems") == schema.get("maxItems"):
        checked |= {"minItems", "maxItems"}
    return any(not (name in QUIET or name in checked or name.startswith(PREFIX)) for name in schema)


def resolve(schema: Any, reference: str) -> Mapping[str, Any]:
    """Return the schema that a ``$ref`` names in the document: ``#/…`` (a JSON Pointer) or the name of a definition."""
    pointer = reference == "#" or reference.startswith("#/")
    parts = reference[1:].split("/")[1:] if pointer else ["$defs", reference]
    target = schema
    for part in parts:
        name = part.replace("~1", "/").replace("~0", "~") if pointer else part
        if not isinstance(target, Mapping) or name not in target:
            raise Misfit(
                f"$ref {reference!r}", "a definition in this document; nothing outside of it is fetched"
            )
        target = target[name]
    if not isinstance(target, Mapping):
        raise Misfit(f"$ref {reference!r}", "a schema, which is an object")
    return target


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _number(parser: Parser, name: str, notes: Any, schema: Any, level: int) -> Kind:
    scalar, finite = SCALARS[name], notes.get("finite", True)
    if not isinstance(finite, bool):
        raise Misfit(f"finite {finite!r}", "true or false")
    make = _shared if len(schema) == 1 else Number  # no keyword beside either of them constrains it further
    return make(name, scalar, parser.endian, parser.align(notes, schema, scalar.size), finite)


_shared = lru_cache(maxsize=1024)(Number)


def _boolean(parser: Parser, name: str, notes: Any, schema: Any, level: int) -> Kind:
    return Boolean(parser.align(notes, schema, 1))


def _enum(parser: Parser, name: str, notes: Any, schema: Any, level: int) -> Kind:
    members = schema.get("enum")
    if not isinstance(members, list | tuple) or not members:
        raise Misfit(f"enum {members!r}", "the list of values")
    plain = [(type(member).__name__, str(member)) for member in members]
    if len(set(plain)) != len(plain):
        raise Misfit("an enum that names a value twice", "each value once")
    return Enum(members, parser.endian, parser.align(notes, schema, 4))


def _text(parser: Parser, name: str, notes: Any, schema: Any, level: int) -> Kind:
    return _sized(parser, Text(name, parser.endian, 1 if parser.packed else 4), notes, schema)


def _sized(parser: Parser, kind: Variable, notes: Any, schema: Any) -> Kind:
    """Return the kind with its strategy: inline in packed layouts; a named encoding takes precedence over maxLength."""
    encoding, most = notes.get("encoding"), notes.get("maxLength", schema.get("maxLength"))
    if encoding is not None and encoding not in ENCODINGS:
        raise Misfit(f"encoding {encoding!r}", f"one of {', '.join(ENCODINGS)}")
    if most is not None and (not _count(most) or most > MOST_BYTES):
        raise Misfit(f"maxLength {most!r}", f"a number of bytes up to {MOST_BYTES}")
    if parser.packed:
        return kind
    if encoding == "offset-indirect":
        return Indirect(kind, parser.endian, parser.align(notes, schema, 4))
    if most is not None and encoding is None and not isinstance(kind, ArrayKind):
        return Reserved(kind, most, parser.align(notes, schema, 1))
    kind.align = parser.align(notes, schema, kind.align)
    return kind


def _tensor(parser: Parser, name: str, notes: Any, schema: Any, level: int) -> Kind:
    element, shape = notes.get("dtype"), notes.get("shape")
    if not isinstance(element, str) or element not in TENSORS:
        raise Misfit(f"dtype {element!r}", f"one of {', '.join(TENSORS)}")
    check_shape(shape, native(TENSORS[element]).itemsize)
    natural = native(TENSORS[element]).itemsize
    align = parser.align(notes, schema, natural)
    if notes.get("align", schema.get("align")) is None and not parser.packed:
        align = TENSOR_ALIGN
    return TensorKind(element, TENSORS[element], tuple(shape), parser.endian, align)


def check_shape(shape: Any, itemsize: int) -> None:
    """Raise ``Misfit`` unless a shape is a list of sizes whose product in bytes does not overflow."""
    if not isinstance(shape, list | tuple) or not all(map(_count, shape)):
        raise Misfit(f"shape {shape!r}", "a list of sizes from 0 to 2**63 - 1")
    if len(shape) > MOST_DIMENSIONS:
        raise Misfit(f"{len(shape)} dimensions", f"at most {MOST_DIMENSIONS}")
    # sizes beside a 0 are multiplied too, because NumPy multiplies them
    if math.prod([size or 1 for size in shape]) * itemsize > MOST_BYTES:
        raise Misfit(f"shape {shape!r}", f"at most {MOST_BYTES} bytes")


def _array(parser: Parser, name: str, notes: Any, schema: Any, level: int) -> Kind:
    item = parser.child("items", schema.get("items"), level)
    if not item.least:
        raise Misfit("items that take no bytes", "items of at least one byte")
    repeatable(item)
    least, most = schema.get("minItems"), schema.get("maxItems")
    for bound in (least, most):
        if bound is not None and not _count(bound):
            raise Misfit(f"minItems or maxItems {bound!r}", "a count")
    count = least if least is not None and least == most else None
    if (
        count is not None
        and count * max(item.least, item.stride if item.size is not None else 0) > MOST_BYTES
    ):
        raise Misfit(f"{count} items", f"at most {MOST_BYTES} bytes of them")
    natural = item.align if count is not None else max(1 if parser.packed else 4, item.align)
    kind = ArrayKind(item, count, parser.endian, natural, parser.packed)
    return _sized(parser, kind, notes, schema)


def _struct(parser: Parser, name: str, notes: Any, schema: Any, level: int) -> Kind:
    properties = schema.get("properties", {})
    if not isinstance(properties, OBJECT):
        raise Misfit(f"properties {properties!r}", "an object of schemas")
    fields = [(part, parser.child(part, inner, level)) for part, inner in properties.items()]
    natural = max((kind.align for _, kind in fields), default=1)
    struct = Struct(fields, parser.align(notes, schema, natural))
    if (struct.size or struct.least) > MOST_BYTES:
        raise Misfit(f"a struct of {struct.size or struct.least} bytes", f"at most {MOST_BYTES}")
    return struct


def _record(parser: Parser, name: str, notes: Any, schema: Any, level: int) -> Kind:
    item = parser.child("values", schema.get("values"), level)
    repeatable(item)
    text = Text("String", parser.endian, 1 if parser.packed else 4)
    natural = 1 if parser.packed else max(4, item.align)
    return _sized(parser, Record(text, item, parser.endian, natural, parser.packed), notes, schema)


def _union(parser: Parser, name: str, notes: Any, schema: Any, level: int) -> Kind:
    chooser = notes.get("discriminator", schema.get("discriminator"))
    mapping = notes.get("mapping", schema.get("mapping"))
    if not isinstance(mapping, Mapping) or not mapping:
        raise Misfit(f"mapping {mapping!r}", "an object of variants by discriminator")
    if not isinstance(chooser, Mapping) or chooser.get("kind") not in ("byte", "field"):
        raise Misfit(f"discriminator {chooser!r}", 'an object with "kind": "byte" or "field"')
    align = parser.align(notes, schema, 1)
    if chooser["kind"] == "field":
        return _field_union(parser, chooser.get("name"), mapping, align, level)
    variants = {key: _variant(parser, key, inner, level) for key, inner in mapping.items()}
    type_name = str(chooser.get("type", "Uint8")).removeprefix(PREFIX)
    offset = chooser.get("offset", 0)
    if type_name not in ("Uint8", "Uint16", "Uint32") or not _count(offset) or offset > 2**16:
        raise Misfit(f"discriminator {chooser!r}", "type Uint8, Uint16 or Uint32, and an offset below 65,537")
    scalar = SCALARS[type_name]
    if not parser.packed and offset % scalar.size:
        raise Misfit(f"discriminator offset {offset}", f"a multiple of {scalar.size}")
    for key in mapping:
        if (
            not key.isascii()
            or not key.isdigit()
            or len(key) > 10
            or str(int(key)) != key
            or int(key) > scalar.high
        ):
            raise Misfit(f"the variant {key!r}", f"a number from 0 to {scalar.high}, in decimal")
    tag = Number(type_name, scalar, parser.endian, 1 if parser.packed else scalar.size)
    return ByteUnion(variants, tag, offset, parser.packed, align)


def _variant(parser: Parser, key: str, schema: Any, level: int) -> Struct:
    variant = parser.child(key, schema, level)
    if not isinstance(variant, Struct):
        raise Misfit(variant.describe(), "a Struct, as all variants").within(key)
    repeatable(variant)
    return variant


def _field_union(parser: Parser, name: Any, mapping: Mapping[str, Any], align: int, level: int) -> Kind:
    """Return a union by field; a variant that lacks the discriminator gets it, as an Enum of the mapping's keys."""
    if not isinstance(name, str):
        raise Misfit(f"discriminator name {name!r}", "the name of a field")
    tag = Enum(list(mapping), parser.endian, 1 if parser.packed else 4)
    variants, spelled = {}, set()
    for key, inner in mapping.items():
        variant = _variant(parser, key, inner, level)
        if name not in variant.by_name:
            given, fields = variant, [(field.name, field.kind) for field in variant.fields]
            variant = Struct([(name, tag), *fields], max(given.align, tag.align))
            variant.asserts = given.asserts
        first = variant.fields[0]
        allowed = (
            isinstance(first.kind, Enum | Text)
            or isinstance(first.kind, Number)
            and first.kind.scalar.integral
        )
        if first.name != name or not allowed:
            raise Misfit(
                f"the field {first.name!r}", f"{name!r}, an Enum, String or integer, as first field"
            ).within(key)
        spelled.add((type(first.kind), first.kind.describe(), getattr(first.kind, "members", None)))
        variants[key] = variant
    if len(spelled) > 1:
        raise Misfit(f"variants whose {name!r} differ in type", "one type in all of them")
    return FieldUnion(variants, name, parser.packed, align)


Builder = Callable[[Parser, str, Any, Any, int], Kind]
BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(SCALARS, _number), **dict.fromkeys(FORMS, _text),
    "Boolean": _boolean, "Enum": _enum, "Tensor": _tensor, "Array": _array, "Struct": _struct, "Record": _record,
    "Union": _union,
}  # fmt: skip
"""The function that builds the kind of each keyword."""
