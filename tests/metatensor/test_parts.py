"""Copies of parts between files, byte by byte; parts that cannot be combined are named in an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weft import metatensor as mt
from weft.errors import FormatError
from weft.metatensor.parts import Stored, copy

BOTH = {
    "TypeDef:Struct": True,
    "required": ["a", "b"],
    "$defs": {"W": {"TypeDef:Tensor": {"dtype": "F32", "shape": [2], "align": 256}}},
    "properties": {
        "a": {"TypeDef:Struct": True, "properties": {"w": {"$ref": "W"}, "n": {"TypeDef:Int8": True}}},
        "b": {"$ref": "W"},
    },
}


def test_a_selection_keeps_types_and_drops_what_is_empty(tmp_path: Path) -> None:
    mt.save(tmp_path / "a.mt", {"a": {"w": np.ones(2, "f4"), "n": 3}, "b": np.zeros(2, "f4")}, BOTH)
    with mt.open(tmp_path / "a.mt") as file:
        copy(tmp_path / "b.mt", {"b": Stored(file, "b")}, {"x": 1})
        copy(tmp_path / "n.mt", {"a.n": Stored(file, "a.n")})
        assert Stored(file, "b").nbytes == 8
    with mt.open(tmp_path / "b.mt") as b, mt.open(tmp_path / "n.mt") as n:
        assert (list(b), b["b"].tolist(), b.metadata, b.kinds["b"].align) == (["b"], [0, 0], {"x": 1}, 256)
        assert b.schema["required"] == ["b"]
        assert (dict(n), n.schema["required"]) == ({"a.n": 3}, ["a"])
        copy(tmp_path / "c.mt", {"b": Stored(b, "b"), "a.n": Stored(n, "a.n")})
    with mt.open(tmp_path / "c.mt") as c:
        assert c.schema["required"] == ["b", "a"]
        assert mt.diff(c.schema, BOTH).added == {"a.w": "Tensor(dtype=F32, shape=[2], align=256)"}


def test_nothing_is_a_file_too(tmp_path: Path) -> None:
    copy(tmp_path / "a.mt", {})
    with mt.open(tmp_path / "a.mt") as file:
        assert dict(file) == {}


def test_what_cannot_stand_together(tmp_path: Path) -> None:
    schema = {"TypeDef:Struct": True, "properties": {"a": {"TypeDef:Int8": True}}}
    mt.save(tmp_path / "little.mt", {"a": 1}, schema)
    mt.save(
        tmp_path / "big.mt",
        {"b": 1},
        {**schema, "endian": "big", "properties": {"b": {"TypeDef:Int8": True}}},
    )
    mt.save(tmp_path / "inner.mt", {"a": {"c": 1}})
    with (
        mt.open(tmp_path / "little.mt") as little,
        mt.open(tmp_path / "big.mt") as big,
        pytest.raises(FormatError, match="byte order is big and little, expected one"),
    ):
        copy(tmp_path / "c.mt", {"a": Stored(little, "a"), "b": Stored(big, "b")})
    with (
        mt.open(tmp_path / "little.mt") as little,
        mt.open(tmp_path / "inner.mt") as inner,
        pytest.raises(FormatError, match="'a' is in two of the files"),
    ):
        copy(tmp_path / "c.mt", {"a": Stored(little, "a"), "a.c": Stored(inner, "a.c")})
    assert not (tmp_path / "c.mt").exists()
