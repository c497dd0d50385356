"""Untrusted files: each rule is broken once, and an error names the field before any view is returned."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.metatensor.hostile import built, header, touch_all
from weft import metatensor as mt
from weft.errors import FormatError

F32 = {"TypeDef:Tensor": {"dtype": "F32", "shape": [4]}}
U8 = {"TypeDef:Uint8": True}
INDIRECT = {"TypeDef:String": {"encoding": "offset-indirect"}}


def tensor(dtype: str, shape: Any, **notes: Any) -> dict[str, Any]:
    return {"TypeDef:Tensor": {"dtype": dtype, "shape": shape, **notes}}


def array(items: Any, notes: Any = True, **beside: Any) -> dict[str, Any]:
    return {"TypeDef:Array": notes, "items": items, **beside}


def refused(tmp_path: Path, data: bytes, words: str) -> None:
    """Assert that ``open``, with and without ``mmap``, and a receiver refuse the file, with the words in the message."""
    path = tmp_path / "bad.mt"
    path.write_bytes(data)
    for mapped in (True, False):
        with pytest.raises(FormatError) as caught:
            mt.open(path, mmap=mapped)
        assert words in str(caught.value)
        assert len(str(caught.value)) < 1000


GOOD = header({"w": F32}, {"w": [0, 16]})
DEEP = b'{"metatensor":1,"schema":' + b'{"a":' * 300 + b"1" + b"}" * 301
BOMB = b'{"metatensor":1,"schema":' + b"[" * 200_000

AT_OPEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "0 bytes long"),
    "no length": (b"\1\2\3", "3 bytes long"),
    "length beyond the file": (built(GOOD, bytes(16), length=1 << 20), "header's length is 1048576"),
    "length above the cap": (built(GOOD, bytes(16), length=(1 << 63) + 7), "header's length is"),
    "header is no UTF-8": (built(b'{"a": "\xff"}'), "not UTF-8 at byte 7"),
    "header is no JSON": (built(b'{"metatensor": 1,'), "no JSON"),
    "header is no object": (built(b"[1]"), "a list"),
    "a number of too many digits": (built(b'{"metatensor": ' + b"9" * 5000 + b"}"), "no JSON"),
    "a number that is none": (built(b'{"metatensor": NaN}'), "the number NaN"),
    "a key twice": (built(b'{"metatensor": 1, "metatensor": 1}'), "'metatensor' twice"),
    "a name twice": (built(json.dumps(GOOD).replace('"w": [0, 16]', '"w": [0, 16], "w": [0, 16]').encode()), "'w' twice"),
    "nested deep": (built(DEEP), "nested too deep"),
    "nested past the parser": (built(BOMB), "nested too deep"),
    "too many values": (built(b'{"metatensor": [' + b"0," * 4_000_001 + b"0]}"), "too many values"),
    "version of no kind": (built({**GOOD, "metatensor": "1"}), "(the version) is '1'"),
    "version true": (built({**GOOD, "metatensor": True}), "(the version) is True"),
    "newer version": (built({**GOOD, "metatensor": 2}), "upgrade"),
    "unknown key": (built({**GOOD, "extra": 1}), "the key 'extra'"),
    "endian": (built({**GOOD, "endian": "middle"}), "endian is 'middle'"),
    "two endians": (built({**GOOD, "schema": {**GOOD["schema"], "endian": "big"}}, bytes(16)), "schema.endian is 'big'"),
    "no schema": (built({"metatensor": 1, "offsets": {}}), "schema is None"),
    "no offsets": (built({"metatensor": 1, "schema": GOOD["schema"]}), "offsets is None"),
    "metadata": (built({**GOOD, "metadata": 7}), "metadata is 7"),
    "root is no struct": (built({**GOOD, "schema": U8}, bytes(16)), "root is Uint8"),
    "an entry too few": (built(header({"w": F32, "v": F32}, {"w": [0, 16]}), bytes(16)), "1 ranges"),
    "an entry of another name": (built(header({"w": F32}, {"v": [0, 16]}), bytes(16)), "'w' is missing"),
    "an entry too many": (built(header({"w": F32}, {"w": [0, 16], "v": [16, 17]}), bytes(17)), "'v' is given"),
    "an entry that is no pair": (built(header({"w": F32}, {"w": [0]}), bytes(16)), "offsets of 'w'"),
    "an entry of floats": (built(header({"w": F32}, {"w": [0.0, 16.0]}), bytes(16)), "offsets of 'w'"),
    "an entry of booleans": (built(header({"w": U8}, {"w": [False, True]}), bytes(1)), "offsets of 'w'"),
    "an entry of text": (built(header({"w": F32}, {"w": "ab"}), bytes(16)), "offsets of 'w'"),
    "beyond the end": (built(header({"w": F32}, {"w": [0, 16]}), bytes(15)), "end <= 15"),
    "backwards": (built(header({"w": F32}, {"w": [16, 0]}), bytes(16)), "offsets of 'w' is [16, 0]"),
    "negative": (built(header({"w": F32}, {"w": [-16, 0]}), bytes(16)), "offsets of 'w' is [-16, 0]"),
    "huge": (built(header({"w": F32}, {"w": [0, 2**70]}), bytes(16)), "offsets of 'w'"),
    "unaligned": (built(header({"w": F32}, {"w": [4, 20]}), bytes(20)), "a start of 4, expected a multiple of 64"),
    "too short for its shape": (built(header({"w": F32}, {"w": [0, 12]}), bytes(12)), "12 bytes, expected 16"),
    "overlap": (built(header({"w": F32, "v": F32}, {"w": [0, 16], "v": [0, 16]}), bytes(16)), "which has [0, 16]"),
    "data region inside its index": (
        built(header({"t": array(INDIRECT, minItems=1, maxItems=1)}, {"t": [0, 8], "t.$data": [4, 8]}), bytes(8)), "'t.$data'"
    ),
    "no data region": (built(header({"t": INDIRECT, "u": U8}, {"t": [0, 8], "u": [8, 9]}), bytes(9)), "'t.$data' is missing"),
    "bytes behind the last part": (built(header({"w": F32}, {"w": [0, 16]}), bytes(17)), "17 bytes long, expected 16"),
    "two parts of one path": (
        built(header({"a.b": U8, "a": {"TypeDef:Struct": True, "properties": {"b": U8}}}, {"a.b": [0, 1], "x": [1, 2]}), bytes(2)),
        "two parts with the path 'a.b'",
    ),
    "shape times size over 64 bits": (built(header({"w": tensor("F32", [2**32, 2**32])}, {"w": [0, 16]}), bytes(16)), "schema.w is shape"),
    "shape over 64 bits beside a 0": (built(header({"w": tensor("F32", [0, 2**62, 2**62])}, {"w": [0, 0]})), "schema.w is shape"),
    "shape negative": (built(header({"w": tensor("F32", [-4])}, {"w": [0, 16]}), bytes(16)), "schema.w is shape"),
    "shape of floats": (built(header({"w": tensor("F32", [4.0])}, {"w": [0, 16]}), bytes(16)), "schema.w is shape"),
    "shape of booleans": (built(header({"w": tensor("F32", [True])}, {"w": [0, 4]}), bytes(4)), "schema.w is shape"),
    "shape of text": (built(header({"w": tensor("F32", "44")}, {"w": [0, 64]}), bytes(64)), "schema.w is shape"),
    "65 dimensions": (built(header({"w": tensor("F32", [1] * 65)}, {"w": [0, 4]}), bytes(4)), "65 dimensions"),
    "dtype": (built(header({"w": tensor("F33", [4])}, {"w": [0, 16]}), bytes(16)), "dtype 'F33'"),
    "dtype of no text": (built(header({"w": tensor([], [4])}, {"w": [0, 16]}), bytes(16)), "dtype []"),
    "count over 64 bits": (built(header({"w": array(U8, minItems=2**62 + 1, maxItems=2**62 + 1)}, {"w": [0, 1]}), bytes(1)), "items"),
    "items of no bytes": (
        built(header({"w": array({"TypeDef:Struct": True}, minItems=2**40, maxItems=2**40)}, {"w": [0, 0]})), "take no bytes"
    ),
    "recursive": (
        built({**GOOD, "schema": {"TypeDef:Struct": True, "properties": {"a": {"$ref": "A"}},
                                  "$defs": {"A": {"TypeDef:Struct": True, "properties": {"a": {"$ref": "#/$defs/A"}}}}}}),
        "leads back to itself",
    ),
    "reference to itself": (
        built({**GOOD, "schema": {"TypeDef:Struct": True, "properties": {"a": {"$ref": "#/properties/a"}}}}), "leads back to itself"
    ),
    "reference to a file": (
        built({**GOOD, "schema": {"TypeDef:Struct": True, "properties": {"a": {"$ref": "file:///etc/passwd"}}}}), "nothing outside"
    ),
    "unknown keyword": (built(header({"w": {"TypeDef:Float33": True}}, {"w": [0, 4]}), bytes(4)), "'TypeDef:Float33'"),
    "two keywords": (built(header({"w": {"TypeDef:Int8": True, "TypeDef:Uint8": True}}, {"w": [0, 1]}), bytes(1)), "exactly one"),
    "a schema that is text": (built(header({"w": "Uint8"}, {"w": [0, 1]}), bytes(1)), "a schema, which is an object"),
}  # fmt: skip


@pytest.mark.parametrize("case", AT_OPEN)
def test_refused_when_opened(case: str, tmp_path: Path) -> None:
    data, words = AT_OPEN[case]
    refused(tmp_path, data, words)


def doubling(levels: int) -> dict[str, Any]:
    """Return structs that refer twice to the next level: 2**levels fields in a few kilobytes."""
    defs: dict[str, Any] = {f"L{levels}": U8}
    for level in range(levels):
        both = {"a": {"$ref": f"L{level + 1}"}, "b": {"$ref": f"L{level + 1}"}}
        defs[f"L{level}"] = {"TypeDef:Struct": True, "properties": both}
    return {"TypeDef:Struct": True, "properties": {"r": {"$ref": "L0"}}, "$defs": defs}


def test_schemas_that_double_take_no_time(tmp_path: Path) -> None:
    refused(
        tmp_path,
        built({"metatensor": 1, "schema": doubling(30), "offsets": {"x": [0, 1]}}, bytes(1)),
        "offsets is 1 ranges",
    )
    empty = json.loads(
        json.dumps(doubling(30)).replace('{"TypeDef:Uint8": true}', '{"TypeDef:Struct": true}')
    )
    (tmp_path / "empty.mt").write_bytes(built({"metatensor": 1, "schema": empty, "offsets": {}}))
    assert len(mt.open(tmp_path / "empty.mt")) == 0
    titled = json.loads(
        json.dumps(doubling(30)).replace('"}, "b": {"$ref"', '", "title": "a"}, "b": {"$ref"')
    )
    assert "title" in titled["$defs"]["L3"]["properties"]["a"]
    refused(
        tmp_path, built({"metatensor": 1, "schema": titled, "offsets": {"x": [0, 1]}}, bytes(1)), "1 ranges"
    )


def test_definitions_used_one_after_another_are_no_way_to_nest_deeper(tmp_path: Path) -> None:
    defs: dict[str, Any] = {"L0": U8}
    for level in range(1, 600):
        defs[f"L{level}"] = {
            "TypeDef:Struct": True,
            "properties": {"a": {"$ref": f"L{level - 1}"}},
        }
    uses = {f"p{level}": {"$ref": f"L{level}"} for level in range(600)}
    schema = {"TypeDef:Struct": True, "properties": uses, "$defs": defs}
    refused(tmp_path, built({"metatensor": 1, "schema": schema, "offsets": {}}), "nested too deep")


AT_ACCESS: dict[str, tuple[dict[str, Any], dict[str, Any], bytes, str]] = {
    "boolean of 2": ({"b": {"TypeDef:Boolean": True}}, {"b": [0, 1]}, b"\2", "b is the byte 2"),
    "boolean tensor of 2": ({"b": tensor("BOOL", [3])}, {"b": [0, 3]}, b"\0\1\2", "b[2] is 2, expected a byte 0 or 1"),
    "boolean array of 2": ({"b": array({"TypeDef:Boolean": True}, minItems=2, maxItems=2)}, {"b": [0, 2]}, b"\0\2", "b[1] is 2"),
    "enum": ({"e": {"TypeDef:Enum": True, "enum": ["a"]}}, {"e": [0, 4]}, b"\1\0\0\0", "e is the index 1, expected one below 1"),
    "infinite": ({"f": {"TypeDef:Float32": True}}, {"f": [0, 4]}, b"\0\0\x80\x7f", "f is inf"),
    "text that is no UTF-8": ({"s": {"TypeDef:String": True}}, {"s": [0, 5]}, b"\1\0\0\0\xff", "s is the byte 0xff at 0, expected UTF-8"),
    "text beyond its part": ({"s": {"TypeDef:String": True}}, {"s": [0, 5]}, b"\2\0\0\0a", "s is 1 bytes long, expected 2"),
    "text shorter than its part": ({"s": {"TypeDef:String": True}}, {"s": [0, 6]}, b"\1\0\0\0ab", "s is 6 bytes long, expected 5"),
    "part too short for a length": ({"s": {"TypeDef:String": True}}, {"s": [0, 3]}, b"\1\0\0", "s is 3 bytes long"),
    "reserved text": ({"s": {"TypeDef:String": True, "maxLength": 2}}, {"s": [0, 2]}, b"\xc3\0", "expected UTF-8"),
    "timestamp": ({"s": {"TypeDef:Timestamp": True}}, {"s": [0, 5]}, b"\1\0\0\0x", "'x', expected a date and time"),
    "timestamp of no day": (
        {"s": {"TypeDef:Timestamp": True}}, {"s": [0, 24]}, b"\x14\0\0\0" + b"2026-02-30T00:00:00Z", "expected a date and time"
    ),
    "count beyond the part": ({"a": array(U8)}, {"a": [0, 8]}, b"\xff\xff\xff\xff\0\0\0\0", "a is the count 4294967295"),
    "count below the part": ({"a": array(U8)}, {"a": [0, 8]}, b"\1\0\0\0\0\0\0\0", "a is 8 bytes long, expected 5"),
    "count of texts": ({"a": array({"TypeDef:String": True})}, {"a": [0, 8]}, b"\2\0\0\0\0\0\0\0", "a is the count 2"),
    "count of map entries": ({"m": {"TypeDef:Record": True, "values": U8}}, {"m": [0, 4]}, b"\1\0\0\0", "m is the count 1"),
    "a map's key twice": (
        {"m": {"TypeDef:Record": True, "values": U8}}, {"m": [0, 20]}, b"\2\0\0\0" + b"\1\0\0\0a\0\0\0\1\0\0\0a\0\0\0"[:16], "the key 'a' twice"
    ),
    "index beyond its data": ({"t": INDIRECT}, {"t": [0, 8], "t.$data": [8, 9]}, b"\0\0\0\0\2\0\0\0a", "t is offset 0 and length 2"),
    "index of huge numbers": ({"t": INDIRECT}, {"t": [0, 8], "t.$data": [8, 9]}, b"\xff" * 8 + b"a", "t is offset 4294967295"),
    "ragged of no whole items": (
        {"t": array(array({"TypeDef:Int16": True}, {"encoding": "offset-indirect"}), minItems=1, maxItems=1)},
        {"t": [0, 8], "t.$data": [8, 11]}, b"\0\0\0\0\3\0\0\0abc", "3 bytes long, expected a multiple of 2"
    ),
    "ragged unaligned": (
        {"t": array(array({"TypeDef:Int16": True}, {"encoding": "offset-indirect"}), minItems=1, maxItems=1)},
        {"t": [0, 8], "t.$data": [8, 11]}, b"\1\0\0\0\2\0\0\0abc", "offset 1, expected a multiple of 2"
    ),
    "entries that overlap": (
        {"t": array(INDIRECT, minItems=3, maxItems=3)}, {"t": [0, 24], "t.$data": [24, 26]}, b"\0\0\0\0\2\0\0\0" * 3 + b"ab", "do not overlap"
    ),
    "entries that overlap, inline": (
        {"t": {"TypeDef:Record": True, "values": INDIRECT}}, {"t": [0, 36], "t.$data": [36, 38]},
        b"\2\0\0\0" + b"\1\0\0\0a\0\0\0\0\0\0\0\2\0\0\0" + b"\1\0\0\0b\0\0\0\0\0\0\0\2\0\0\0" + b"ab", "entries overlap"
    ),
    "union of no variant": (
        {"u": {"TypeDef:Union": True, "discriminator": {"kind": "byte"},
               "mapping": {"1": {"TypeDef:Struct": True, "properties": {"a": U8}}}}}, {"u": [0, 2]}, b"\2\0", "the variant '2'"
    ),
    "union with bytes before": (
        {"u": {"TypeDef:Union": True, "discriminator": {"kind": "byte", "offset": 1},
               "mapping": {"1": {"TypeDef:Struct": True, "properties": {"a": U8}}}}}, {"u": [0, 3]}, b"\1\1\0", "before the discriminator"
    ),
    "field union of no variant": (
        {"u": {"TypeDef:Union": True, "discriminator": {"kind": "field", "name": "k"},
               "mapping": {"1": {"TypeDef:Struct": True, "properties": {"a": U8}}}}}, {"u": [0, 8]}, b"\2" + bytes(7), "u.k is the index 2"
    ),
    "data behind a reserved map": (
        {"m": {"TypeDef:Record": {"maxLength": 6}, "values": U8}}, {"m": [0, 6]}, b"\0\0\0\0\1\0", "data behind the value"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", AT_ACCESS)
def test_refused_when_read(case: str, tmp_path: Path) -> None:
    properties, offsets, data, words = AT_ACCESS[case]
    (tmp_path / "bad.mt").write_bytes(built(header(properties, offsets), data))
    for mapped in (True, False):
        with mt.open(tmp_path / "bad.mt", mmap=mapped) as file, pytest.raises(FormatError) as caught:
            touch_all(file)
        assert words in str(caught.value)


ROW = {"TypeDef:Struct": True, "properties": {
    "t": INDIRECT, "on": {"TypeDef:Boolean": True}, "e": {"TypeDef:Enum": True, "enum": ["a"]},
    "f": {"TypeDef:Float32": True}, "s": {"TypeDef:String": True, "maxLength": 2}}}  # fmt: skip


@pytest.mark.parametrize(
    ("index", "field", "at", "wrong"),
    [
        (1, "t", 4, b"\x09"),
        (0, "on", 8, b"\2"),
        (0, "e", 12, b"\1"),
        (1, "e", 12, b"\1"),
        (1, "f", 18, b"\x80\x7f"),
        (0, "s", 20, b"\xc3"),
    ],
)
def test_a_row_is_refused_by_place(index: int, field: str, at: int, wrong: bytes, tmp_path: Path) -> None:
    """Errors of the row, the column and the whole array name the same place."""
    path = tmp_path / "a.mt"
    mt.save(path, [{"t": "x", "on": False, "e": "a", "f": 1.0, "s": ""}] * 2, ROW)
    data = bytearray(path.read_bytes())
    with mt.open(path) as file:
        start = file.start + 4 + index * file.records().kind.stride + at
    data[start : start + len(wrong)] = wrong
    path.write_bytes(data)
    with mt.open(path) as file:
        records = file.records()
        records[1 - index].to_dict()
        with pytest.raises(FormatError) as caught:
            records[index].to_dict()
        assert f"records[{index}]: {field} is" in str(caught.value)
        with pytest.raises(FormatError) as caught:
            list(records.column(field))
        assert f"[{index}]" in str(caught.value)
        if field != "t":  # an index is checked when its entry is read
            with pytest.raises(FormatError) as caught:
                records.array  # noqa: B018
            assert f"{field}[{index}] is" in str(caught.value)


@pytest.mark.parametrize("endian", ["little", "big"])
def test_an_entry_whose_end_wraps_around(endian: Any, tmp_path: Path) -> None:
    """Offset and length are 32-bit numbers whose sum wraps around to a small number."""
    entry = (2**32 - 4).to_bytes(4, endian) + (6).to_bytes(4, endian)
    properties = {"t": array(INDIRECT, minItems=1, maxItems=1)}
    claimed = header(properties, {"t": [0, 8], "t.$data": [8, 12]}, endian=endian)
    (tmp_path / "a.mt").write_bytes(built(claimed, entry + b"abcd"))
    with mt.open(tmp_path / "a.mt") as file:
        blob = file.blob("t")
        for read in (lambda: blob[0], blob.tolist, lambda: blob[:1].tolist()):
            with pytest.raises(FormatError):
                read()


@pytest.mark.parametrize("mapped", [True, False])
def test_a_file_cut_short_under_us_is_an_error_and_no_signal(mapped: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.mt"
    mt.save(path, {"a": np.ones(1000), "b": np.ones(100_000)})
    with mt.open(path, mmap=mapped) as file:
        file["a"]
        os.truncate(path, 10_000)
        with pytest.raises(FormatError, match="cut it short"):
            file["b"]


def test_closed(tmp_path: Path) -> None:
    mt.save(tmp_path / "a.mt", {"a": np.arange(3)})
    file = mt.open(tmp_path / "a.mt")
    kept = file["a"]
    file.close()
    assert kept.tolist() == [0, 1, 2]
    with pytest.raises(FormatError, match="closed"):
        file["a"]


def test_views_cannot_be_written(tmp_path: Path) -> None:
    mt.save(tmp_path / "a.mt", {"a": np.arange(3), "r": np.zeros(2, [("x", "i4")])})
    with mt.open(tmp_path / "a.mt") as file:
        for view in (file["a"], file.records("r").array, file.records("r").column("x")):
            with pytest.raises(ValueError, match="read-only"):
                view[0] = 1


REFERENCES = {
    "beside a title": lambda level: {
        "a": {"$ref": f"L{level + 1}", "title": "x"},
        "b": {"$ref": f"L{level + 1}", "title": "y"},
    },
    "beside an align": lambda level: {
        "a": {"$ref": f"L{level + 1}", "align": 64},
        "b": {"$ref": f"L{level + 1}", "align": 64, "title": "b"},
    },
}


@pytest.mark.parametrize("way", REFERENCES)
def test_references_with_siblings_take_no_time(way: str) -> None:
    levels = 30
    defs: dict[str, Any] = {f"L{levels}": U8}
    for level in range(levels):
        defs[f"L{level}"] = {"TypeDef:Struct": True, "properties": REFERENCES[way](level)}
    start = time.process_time()
    layout = mt.compile({"TypeDef:Struct": True, "properties": {"r": {"$ref": "L0"}}, "$defs": defs})
    assert layout.size is not None
    assert layout.size >= 2**levels
    for use in (layout.offsets, layout.table, lambda: mt.diff(layout, layout)):
        with pytest.raises(FormatError, match=r"fields, expected at most"):
            use()
    assert time.process_time() - start < 2


def test_references_that_multiply_are_refused() -> None:
    """Many references each add a keyword to the same large target, which would be laid out once for each."""
    target = {"TypeDef:Struct": True, "properties": {f"f{n}": U8 for n in range(1000)}}
    many = {f"r{n}": {"$ref": "T", "x": n} for n in range(5000)}
    start = time.process_time()
    with pytest.raises(FormatError, match="references that repeat it"):
        mt.compile({"TypeDef:Struct": True, "properties": many, "$defs": {"T": target}})
    assert time.process_time() - start < 2


def test_fields_that_multiply(tmp_path: Path) -> None:
    """A repeated item may not have very many fields, nor many fields without bytes."""
    for levels, leaf, words in (
        (20, U8, "fields, expected at most"),
        (12, {"TypeDef:Struct": True}, "fields of no bytes"),
    ):
        defs = {**doubling(levels)["$defs"], f"L{levels}": leaf}
        item = {"TypeDef:Struct": True, "properties": {"x": U8, "more": {"$ref": "L0"}}}
        for properties in (
            {"a": array(item)}, {"m": {"TypeDef:Record": True, "values": item}},
            {"u": {"TypeDef:Union": True, "discriminator": {"kind": "byte"}, "mapping": {"1": item}}},
        ):  # fmt: skip
            bad = {"TypeDef:Struct": True, "properties": properties, "$defs": defs}
            refused(tmp_path, built({"metatensor": 1, "schema": bad, "offsets": {"x": [0, 0]}}), words)


def test_definitions_are_checked_whether_used_or_not() -> None:
    """With a pattern, validation expands the whole schema, including definitions that no reference uses."""
    properties = {"a": {"TypeDef:String": True, "pattern": "x"}}
    for defs, words in (
        ("TypeDef:String", r"\$defs 'TypeDef:String', expected an object"),
        ({"T": {"TypeDef:Struct": True, "properties": "x"}}, r"\$defs.T"),
        ({"T": {"TypeDef:Array": True}}, r"\$defs.T"),
    ):
        with pytest.raises(FormatError, match=words):
            mt.compile({"TypeDef:Struct": True, "properties": properties, "$defs": defs})
    plain = {"T": {"anyOf": [{"type": "string"}]}, "U": True}
    layout = mt.compile({"TypeDef:Struct": True, "properties": properties, "$defs": plain})
    assert layout.unpack(layout.pack({"a": "x"})) == {"a": "x"}
