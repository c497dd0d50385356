"""Components: trees of elements that describe a layout as a struct declaration does, and convert to schemas.

Struct(Field("label", "Uint8"), TensorField("image", "F32", (28, 28)), ArrayOf("marks", "Float32", count=4))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from weft.elements import Element, element
from weft.errors import ArgumentTypeError, FormatError, mistake
from weft.metatensor.schema import ANNOTATIONS, PREFIX, keyword, resolve

Type = str | Element
"""A field's type: a TypeDef keyword without its prefix, or an element."""

BESIDE = ("minItems", "maxItems", "enum", "discriminator")
"""Properties of elements that become keywords beside the TypeDef keyword, as do all that are no annotations."""


def Struct(*fields: Any, key: str | None = None, **annotations: Any) -> Element:
    """Describe a struct of named fields in order; ``align`` and other keywords of the schema are annotations.

    >>> Struct(Field("a", "Uint8"), TensorField("w", "F32", (3,)))
    Struct(Uint8(key='a'), Tensor(dtype='F32', shape=(3,), key='w'))
    """
    for field in fields:
        if isinstance(field, Element) and field.key is None:
            raise ArgumentTypeError(
                mistake("Struct", "a field", repr(field), "one with a name: Field, TensorField, ArrayOf")
            )
    return element("Struct", *fields, key=key, **annotations)


def Field(name: str, type: Type, **annotations: Any) -> Element:
    """Describe a field whose type is a TypeDef keyword (``"Float32"``) or an element.

    >>> Field("position", Struct(Field("x", "Float32")))
    Struct(Float32(key='x'), key='position')
    """
    if isinstance(type, str):
        if type not in ANNOTATIONS:
            raise ArgumentTypeError(
                mistake(f"Field {name!r}", "type", repr(type), f"one of {', '.join(ANNOTATIONS)}")
            )
        return element(type, key=name, **annotations)
    return type.with_(key=name, props={**type.props, **annotations})


def TensorField(name: str, dtype: str, shape: tuple[int, ...] | list[int], **annotations: Any) -> Element:
    """Describe a tensor by safetensors' name of its type and its shape; ``align=`` replaces the alignment of 64 bytes.

    >>> TensorField("w", "F32", (3, 4))
    Tensor(dtype='F32', shape=(3, 4), key='w')
    """
    return element("Tensor", key=name, dtype=dtype, shape=tuple(shape), **annotations)


def ArrayOf(name: str | None, items: Type, count: int | None = None, **annotations: Any) -> Element:
    """Describe an array of ``count`` items of one type, or of any number of items if ``count`` is None.

    >>> to_schema(ArrayOf(None, "Uint8", 4))
    {'TypeDef:Array': True, 'minItems': 4, 'maxItems': 4, 'items': {'TypeDef:Uint8': True}}
    """
    inner = element(items) if isinstance(items, str) else items
    bounds = {} if count is None else {"minItems": count, "maxItems": count}
    return element("Array", inner.with_(key="items"), key=name, **bounds, **annotations)


MOST_REFERRED = 100_000
"""The most elements that references may add: each reference becomes a copy in the tree, and copies multiply."""

_CHILDREN = {"Struct": "properties", "Union": "mapping"}
_CHILD = {"Array": "items", "Record": "values"}


def to_schema(tree: Element) -> dict[str, Any]:
    """Return the JSON Schema of a tree of components.

    >>> to_schema(Struct(Field("a", "Uint8"), ArrayOf("b", "Float32", 2)))["properties"]["b"]
    {'TypeDef:Array': True, 'minItems': 2, 'maxItems': 2, 'items': {'TypeDef:Float32': True}}
    """
    if tree.type not in ANNOTATIONS:
        raise FormatError(mistake("to_schema", "element", tree.type, f"one of {', '.join(ANNOTATIONS)}"))
    notes = {
        name: _plain(value)
        for name, value in tree.props.items()
        if name in ANNOTATIONS[tree.type] | {"align"}
    }
    beside = {name: _plain(value) for name, value in tree.props.items() if name not in notes}
    schema: dict[str, Any] = {f"{PREFIX}{tree.type}": notes or True, **beside}
    if tree.type in _CHILDREN:
        schema[_CHILDREN[tree.type]] = {child.key: to_schema(child) for child in tree.children}
    elif tree.type in _CHILD and tree.children:
        schema[_CHILD[tree.type]] = to_schema(tree.children[0])
    return schema


def from_schema(schema: Mapping[str, Any]) -> Element:
    """Return a JSON Schema as a tree of components, with its references resolved. ``diff`` compares such trees.

    Raises ``FormatError`` if references lead to more than 100,000 elements.
    """
    return _element(schema, schema, None, iter(range(MOST_REFERRED)), False)


def _element(
    root: Mapping[str, Any], schema: Mapping[str, Any], key: str | None, copies: Iterator[int], copied: bool
) -> Element:
    copied = copied or "$ref" in schema
    if copied and next(copies, None) is None:
        raise FormatError(
            mistake("metatensor", "the schema", "references that multiply", f"at most {MOST_REFERRED} copies")
        )
    while "$ref" in schema:
        schema = {**resolve(root, schema["$ref"]), **{k: v for k, v in schema.items() if k != "$ref"}}
    name, notes = keyword(schema)
    below = {"$defs", "properties", "mapping", "items", "values", f"{PREFIX}{name}"}
    props = {part: value for part, value in schema.items() if part not in below}
    props.update({part: value for part, value in notes.items() if part != "mapping"})
    children = []
    if name in _CHILDREN:
        inner = notes.get("mapping", schema.get(_CHILDREN[name], {}))
        children = [_element(root, part, field, copies, copied) for field, part in inner.items()]
    elif name in _CHILD:
        children = [_element(root, schema[_CHILD[name]], _CHILD[name], copies, copied)]
    return Element(name, props, tuple(children), key)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value
