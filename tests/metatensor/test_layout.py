"""Layouts: valid and invalid schemas, both modes of a schema, and conversion of values to bytes and back."""

from __future__ import annotations

import datetime
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metatensor.test_golden import plain
from weft import metatensor as mt
from weft.errors import ArgumentError, FormatError


def record(**fields: Any) -> dict[str, Any]:
    return {"TypeDef:Struct": True, "properties": fields}


def number(name: str, **beside: Any) -> dict[str, Any]:
    return {f"TypeDef:{name}": True, **beside}


def array(items: Any, **beside: Any) -> dict[str, Any]:
    return {"TypeDef:Array": True, "items": items, **beside}


def union(chooser: Any, mapping: Any, **beside: Any) -> dict[str, Any]:
    return {"TypeDef:Union": True, "discriminator": chooser, "mapping": mapping, **beside}


BYTE = {"kind": "byte"}

WRONG: dict[str, tuple[Any, str]] = {
    "no keyword": ({"type": "integer"}, "schema.a is no TypeDef keyword"),
    "keyword of no value": ({"TypeDef:Int8": 3}, "true or an object of annotations"),
    "unknown annotation": ({"TypeDef:Int8": {"size": 2}}, "schema.a.TypeDef:Int8 is the annotation 'size'"),
    "unknown keyword": ({"TypeDef:Int9": True}, "'TypeDef:Int9'"),
    "finite": ({"TypeDef:Float32": {"finite": 1}}, "finite 1"),
    "align of 3": ({"TypeDef:Int8": {"align": 3}}, "align 3, expected a power of two from 1"),
    "align below nature": ({"TypeDef:Int32": {"align": 2}}, "align 2, expected a power of two from 4"),
    "align of text": ({"TypeDef:Int8": {"align": "4"}}, "align '4'"),
    "align of a struct below its fields'": ({**record(x=number("Int64")), "align": 4}, "align 4"),
    "align too large": ({"TypeDef:Int8": {"align": 2**30}}, "align 1073741824"),
    "enum of nothing": (number("Enum"), "enum None"),
    "enum with a value twice": (number("Enum", enum=["a", "a"]), "names a value twice"),
    "encoding": ({"TypeDef:String": {"encoding": "utf-16"}}, "encoding 'utf-16'"),
    "maxLength": (number("String", maxLength=-1), "maxLength -1"),
    "items": (number("Array"), "schema.a.items is None"),
    "minItems": (array(number("Int8"), minItems="2", maxItems="2"), "minItems or maxItems '2'"),
    "properties": ({"TypeDef:Struct": True, "properties": []}, "properties []"),
    "values": (number("Record"), "schema.a.values is None"),
    "mapping": (union(BYTE, {}), "mapping {}"),
    "discriminator": (union({"kind": "magic"}, {"1": record()}), "discriminator {'kind': 'magic'}"),
    "discriminator type": (union({"kind": "byte", "type": "Int64"}, {"1": record()}), "type Uint8, Uint16 or Uint32"),
    "discriminator offset": (union({"kind": "byte", "type": "Uint16", "offset": 1}, {"1": record()}), "offset 1"),
    "variant above its type": (union(BYTE, {"256": record()}), "the variant '256'"),
    "variant of no number": (union(BYTE, {"one": record()}), "the variant 'one'"),
    "variant of leading zeros": (union(BYTE, {"01": record()}), "the variant '01'"),
    "variant that is no struct": (union(BYTE, {"1": number("Int8")}), "schema.a.1 is Int8, expected a Struct"),
    "field union without a name": (union({"kind": "field"}, {"1": record()}), "discriminator name None"),
    "discriminator not first": (
        union({"kind": "field", "name": "t"}, {"x": record(a=number("Int8"), t=number("Int8"))}), "the field 'a'"
    ),
    "discriminators that differ": (
        union({"kind": "field", "name": "t"}, {"x": record(t=number("Int8")), "y": record(t=number("Int16"))}), "differ in type"
    ),
    "reference of no text": ({"$ref": 3}, "$ref 3"),
    "reference to nothing": ({"$ref": "Nothing"}, "$ref 'Nothing'"),
    "reference to an anchor": ({"$ref": "#name"}, "$ref '#name'"),
    "reference beside a keyword": ({"$ref": "#", "TypeDef:Int8": True}, "one of them"),
    "reference to a list": ({"$ref": "#/list"}, "a schema, which is an object"),
    "70 levels": (eval("array(" * 70 + "number('Int8')" + ")" * 70), "nested too deep"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_has_no_layout(case: str) -> None:
    schema, words = WRONG[case]
    with pytest.raises(FormatError) as caught:
        mt.compile({**record(a=schema), "list": []})
    assert words in str(caught.value)
    assert str(caught.value).startswith("compile: schema.a")


def test_arguments() -> None:
    with pytest.raises(ArgumentError, match="mode is 'loose'"):
        mt.compile(record(), mode="loose")  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="endian is 'middle'"):
        mt.compile({**record(), "endian": "middle"})
    with pytest.raises(FormatError, match="schema is 3"):
        mt.compile(3)  # type: ignore[arg-type]


SCHEMA = record(
    a=number("Uint8"), s=number("String"), r=number("String", maxLength=6), n=number("Int64"),
    t={"TypeDef:Tensor": {"dtype": "I16", "shape": [2, 2]}}, e=number("Enum", enum=["x", 7, None]),
    u=union(BYTE, {"1": record(p=number("Float32")), "2": record(q=number("String"))}),
    m={"TypeDef:Record": True, "values": array(number("Uint16"))}, b=number("Boolean"),
)  # fmt: skip
VALUES = st.fixed_dictionaries(
    {
        "a": st.integers(0, 255), "s": st.text(max_size=9), "n": st.integers(-(2**63), 2**63 - 1), "b": st.booleans(),
        "r": st.text(max_size=6).filter(lambda text: len(text.encode()) <= 6 and not text.endswith("\0")),
        "t": st.lists(st.integers(-(2**15), 2**15 - 1), min_size=4, max_size=4).map(lambda v: np.array(v, "i2").reshape(2, 2)),
        "e": st.sampled_from(["x", 7, None]),
        "u": st.one_of(st.fixed_dictionaries({"1": st.fixed_dictionaries({"p": st.floats(width=32, allow_nan=False, allow_infinity=False)})}),
                       st.fixed_dictionaries({"2": st.fixed_dictionaries({"q": st.text(max_size=5)})})),
        "m": st.dictionaries(st.text(max_size=4), st.lists(st.integers(0, 2**16 - 1), max_size=3), max_size=3),
    }
)  # fmt: skip


@given(value=VALUES, mode=st.sampled_from(["aligned", "packed"]), endian=st.sampled_from(["little", "big"]))
def test_values_there_and_back(value: Any, mode: Any, endian: Any) -> None:
    layout = mt.compile(SCHEMA, mode, endian)
    data = layout.pack(value)
    assert plain(layout.unpack(data)) == plain(value)
    spans = layout.offsets(value)
    assert spans["s"][1] - spans["s"][0] == 4 + len(value["s"].encode())
    order = "<" if endian == "little" else ">"
    start, end = spans["n"]
    assert struct.unpack(f"{order}q", data[start:end]) == (value["n"],)
    if mode == "aligned":
        assert start % 8 == 0
        assert spans["t"][0] % 64 == 0
    for short in (data[:-1], data + b"\0"):
        with pytest.raises(FormatError):
            layout.unpack(short)


def test_packed_and_aligned_of_one_schema() -> None:
    schema = record(a=number("Uint8"), b=number("Uint32"), c=number("Float32"))
    value = {"a": 1, "b": 2, "c": 0.5}
    assert mt.compile(schema).pack(value) == struct.pack("<BxxxIf", 1, 2, 0.5)
    assert mt.compile(schema, "packed").pack(value) == struct.pack("<BIf", 1, 2, 0.5)
    assert mt.compile(schema, "packed", "big").pack(value) == struct.pack(">BIf", 1, 2, 0.5)
    assert mt.compile(schema).dtype == np.dtype(
        {"names": "abc", "formats": ["u1", "<u4", "<f4"], "offsets": [0, 4, 8], "itemsize": 12}
    )
    assert mt.compile({**schema, "align": 16}).size == 16


def test_an_index_and_its_data_in_one_value() -> None:
    layout = mt.compile(record(a={"TypeDef:String": {"encoding": "offset-indirect"}}, b=number("Uint8")))
    assert layout.pack({"a": "xyz", "b": 1}) == struct.pack("<IIBxxx", 0, 3, 1) + b"xyz"
    assert layout.unpack(layout.pack({"a": "xyz", "b": 1})) == {"a": "xyz", "b": 1}
    mixed = mt.compile(record(a={"TypeDef:String": {"encoding": "offset-indirect"}}, b=number("String")))
    with pytest.raises(ArgumentError, match="offset-indirect beside"):
        mixed.pack({"a": "", "b": ""})
    with pytest.raises(FormatError, match="differ in length"):
        mixed.dtype  # noqa: B018


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        (number("Int8"), 128, "a is 128, expected an integer from -128 to 127"),
        (number("Int8"), True, "a is True"),
        (number("Int8"), 1.5, "a is 1.5"),
        (number("Uint64"), 2**64, "a is 18446744073709551616"),
        (number("Float32"), float("nan"), "a is nan, expected a finite number"),
        (number("Float32"), 1e39, "a is 1e+39"),
        (number("Float16"), 65505, "a is 65505"),
        (number("BFloat16"), float("inf"), "a is inf"),
        (number("Float64"), "1", "a is '1'"),
        (number("Boolean"), 1, "a is 1, expected True or False"),
        (number("Enum", enum=[1, "1"]), True, "a is True, expected one of 1, '1'"),
        (number("String"), b"x", "a is b'x', expected a string"),
        (number("Bytes"), "x", "a is 'x', expected bytes"),
        (number("Timestamp"), "2026-13-01T00:00:00Z", "a is '2026-13-01T00:00:00Z'"),
        (number("Timestamp"), "2026-02-29T00:00:00Z", "expected a date and time"),
        (number("Timestamp"), datetime.datetime(2026, 11, 21), "expected a date and time"),
        (number("String", maxLength=3), "åå", "a is 4 bytes long, expected at most 3"),
        (number("Bytes", maxLength=3), b"a\0", "ends in a zero byte"),
        (array(number("Int8"), minItems=2, maxItems=2), [1], "a is 1 values, expected 2 values"),
        (array(number("Int8")), 3, "a is a int, expected a sequence"),
        (array(number("Int8")), [1, 200], "a[1] is 200"),
        (array(number("Int8")), [1, "x"], "a[1] is 'x'"),
        (array(number("Float32")), [1.0, 1e39], "a[1] is 1e+39"),
        (array(number("Boolean")), [1, 0], "expected booleans"),
        (array(number("String")), ["x", 3], "a[1] is 3"),
        (array(record(x=number("Int8"))), [{"x": 1}, {}], "a[1].x is missing"),
        (array(record(x=number("Int8"))), {"x": [1, 300]}, "a[1].x is 300"),
        (array(record(x=number("Int8"), y=number("Int8"))), {"x": [1], "y": [1, 2]}, "a.x is 1 values"),
        (array(number("Enum", enum=["p"])), ["p", "q"], "a[1] is 'q'"),
        (record(x=number("Int8")), {"x": 1, "y": 2}, "a.y is unknown"),
        (record(x=number("Int8")), 3, "a is a int"),
        ({"TypeDef:Record": True, "values": number("Int8")}, {"k": 300}, "a.k is 300"),
        ({"TypeDef:Record": True, "values": number("Int8")}, {3: 3}, "a is 3, expected a string"),
        ({"TypeDef:Record": True, "values": number("Int8")}, [], "expected a mapping"),
        (union(BYTE, {"1": record(x=number("Int8"))}), {"2": {}}, "the variant '2'"),
        (union(BYTE, {"1": record(x=number("Int8"))}), {"1": {"x": 300}}, "a.1.x is 300"),
        (union(BYTE, {"1": record()}), {"1": {}, "2": {}}, "a mapping of one variant"),
        (union({"kind": "field", "name": "t"}, {"p": record()}), {"x": 1}, "'t', which names the variant"),
        ({"TypeDef:Tensor": {"dtype": "F32", "shape": [2]}}, np.zeros(2), "a is float64 of shape (2,)"),
        ({"TypeDef:Tensor": {"dtype": "F32", "shape": [2]}}, np.zeros(3, "f4"), "of shape (3,), expected float32 of shape (2,)"),
        # constraints of the schema that only its engine checks
        (number("Int8", minimum=0), -1, "a: -1 is less than the minimum of 0"),
        (number("Float32", exclusiveMaximum=1), 1.0, "a: 1.0 is greater than"),
        (number("String", pattern="^w+$"), "x", 'a: "x" does not match'),
        (number("String", format="email"), "x", 'a: "x" is not a "email"'),
        (number("Bytes", minLength=2), b"x", "a: "),
        (array(number("Int8"), maxItems=1), [1, 2], "a: [1,2] has more than 1 item"),
        (array(number("Int8", multipleOf=2)), [2, 3], "a[1]: 3 is not a multiple of 2"),
        (array(number("Int8"), uniqueItems=True), [2, 2], "non-unique"),
        (array(record(x=number("Int8", minimum=0))), {"x": [1, -1]}, "a[1].x: -1"),
        ({"TypeDef:Record": True, "values": number("Int8", minimum=0)}, {"k": -1}, "a.k: -1"),
        ({"TypeDef:Array": {"encoding": "offset-indirect"}, "items": number("Int8", minimum=0)}, [0, -1], "a[1]: -1"),
        ({"TypeDef:Record": {"maxLength": 32}, "values": number("Int8", minimum=0)}, {"k": -1}, "a.k: -1"),
        ({"TypeDef:Record": True, "values": number("Int8"), "maxProperties": 0}, {"k": 1}, "more than 0"),
        (union(BYTE, {"1": record(x=number("Int8", minimum=0))}), {"1": {"x": -1}}, "x: -1 is less"),
        (union({"kind": "field", "name": "t"}, {"p": record(x=number("Int8", minimum=0))}), {"t": "p", "x": -1}, "a.x: -1"),
        (union({"kind": "field", "name": "t"}, {"7": record(t=number("Uint8"), x=number("Int8", minimum=0))}), {"t": 7, "x": -1}, "a.x: -1"),
        (union({"kind": "field", "name": "t"}, {"p": record()}, allOf=[{"maxProperties": 0}]), {"t": "p"}, "more than 0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["aligned", "packed"])
def test_values_that_do_not_fit(schema: Any, value: Any, words: str, mode: Any) -> None:
    layout = mt.compile(record(a=schema), mode)
    if mode == "packed" and "maxLength" in schema:
        words = words if "bytes long" not in words else "a: "
        if words.startswith("ends in"):
            return  # inline texts may end in zeros
    if words == "a: " and mode == "packed" and value == "åå":
        return  # two characters, of three allowed
    with pytest.raises(FormatError) as caught:
        layout.pack({"a": value})
    assert words in str(caught.value), str(caught.value)


def test_free_floats_and_numpy_scalars() -> None:
    layout = mt.compile(
        record(
            a={"TypeDef:Float32": {"finite": False}},
            b=number("Int16"),
            c=number("Float32"),
            d=number("Boolean"),
        )
    )
    value = {"a": float("inf"), "b": np.int64(7), "c": np.float16(0.5), "d": np.bool_(True)}
    assert layout.unpack(layout.pack(value)) == {"a": float("inf"), "b": 7, "c": 0.5, "d": True}


@pytest.mark.parametrize("endian", ["little", "big"])
def test_bfloat16_rounds_to_nearest_even(endian: Any) -> None:
    layout = mt.compile(record(a=array(number("BFloat16"))), "packed", endian)
    values = [1.0, 1.00390625, 1.01171875, -3.1415927]
    expected = np.array(values, ml_dtypes.bfloat16).astype("f4").tolist()
    assert np.asarray(layout.unpack(layout.pack({"a": values}))["a"]).astype("f4").tolist() == expected


@pytest.mark.parametrize("reference", ["http://localhost:1/x.json", "file:///etc/passwd", "other.json#/a"])
def test_the_engine_fetches_nothing(reference: str) -> None:
    """Plain parts of a schema may contain any reference, but the engine fetches nothing from outside of the document."""
    schema = record(a=number("Int8", allOf=[{"$ref": reference}]))
    with pytest.raises(
        FormatError, match=r"the schema is not valid.*(outside of the document|retrieving it failed)"
    ):
        mt.compile(schema).pack({"a": 1})


def test_patterns_have_limits() -> None:
    with pytest.raises(FormatError, match="the schema is not valid"):
        mt.compile(record(a=number("String", pattern="(a{1000}){1000}"))).pack({"a": "a"})
    layout = mt.compile(record(a=number("String", pattern="^(a+)+$")))
    with pytest.raises(FormatError):
        layout.pack({"a": "a" * 50_000 + "b"})  # a backtracking engine would not return in time


def test_table() -> None:
    layout = mt.compile(record(id=number("Uint8"), name=number("String"), x=number("Float32")))
    lines = layout.table().splitlines()
    assert lines[0].split() == ["offset", "size", "align", "type", "name"]
    assert lines[1].split() == ["0", "1", "1", "Uint8", "id"]
    assert lines[3].split() == ["varies", "4", "4", "Float32", "x"]
    assert "size varies" in lines[4]
