"""Arrow tables, written as datasets and read back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weft import metatensor as mt
from weft.errors import FormatError, UnsupportedError

pa = pytest.importorskip("pyarrow", reason="pyarrow is an extra: pip install 'weft[arrow]'")

COLUMNS: dict[str, Any] = {
    **{name: pa.array([0, 1, 100], getattr(pa, name)()) for name in
       ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
    "half": pa.array(np.array([0.5, np.inf, -1], "float16")), "single": pa.array([0.5, float("inf"), -1.0], pa.float32()),
    "double": pa.array([0.1, float("-inf"), 3.0]), "flag": pa.array([True, False, True]),
    "text": pa.array(["a", "", "två"]), "large": pa.array(["a", "", "två"], pa.large_string()), "raw": pa.array([b"\0", b"", b"\xff"]),
    "fixed": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int16(), 2)), "ragged": pa.array([[1.5], [], [2.5, 3.5]], pa.list_(pa.float32())),
    "texts": pa.array([["a"], [], ["b", "c"]], pa.list_(pa.string())),
    "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(name: str, tmp_path: Path) -> None:
    table = pa.table({name: COLUMNS[name], "n": [1, 2, 3]})
    mt.from_arrow(table, tmp_path / "a.mt", metadata={"source": "test"})
    with mt.open(tmp_path / "a.mt") as file:
        assert len(file.records()) == 3
        assert file.metadata == {"source": "test"}
        back = mt.to_arrow(file)
    assert back.column_names == [name, "n"]
    want = COLUMNS[name].cast(pa.string()) if name == "large" else COLUMNS[name]
    assert back.column(name).type == want.type
    assert back.column(name).to_pylist() == want.to_pylist()
    mt.from_arrow(back, tmp_path / "b.mt")
    assert mt.to_arrow(tmp_path / "b.mt").equals(back)


def test_chunked_tables_batches_and_none(tmp_path: Path) -> None:
    table = pa.concat_tables([pa.table({"a": [1, 2], "t": ["x", "y"]}), pa.table({"a": [3], "t": ["z"]})])
    mt.from_arrow(table, tmp_path / "a.mt", name="train")
    assert mt.to_arrow(tmp_path / "a.mt", "train").to_pylist() == table.to_pylist()
    mt.from_arrow(table.to_batches()[0], tmp_path / "a.mt")
    assert mt.to_arrow(tmp_path / "a.mt").num_rows == 2
    mt.from_arrow(table.slice(0, 0), tmp_path / "a.mt")
    assert mt.to_arrow(tmp_path / "a.mt").schema == table.schema


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([1, None]), "1 nulls"),
        (pa.array([None, None]), "nulls"),
        (pa.array([{"a": 1}, {"a": 2}]), "of type struct"),
        (pa.array([1, 2], pa.timestamp("us")), "of type timestamp"),
        (pa.array([[1, None], [2, 3]], pa.list_(pa.int64(), 2)), "nulls"),
    ],
)
def test_what_has_no_type_here(column: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=words):
        mt.from_arrow(pa.table({"c": column}), tmp_path / "a.mt")
    assert not list(tmp_path.iterdir())


def test_a_field_that_arrow_lacks(tmp_path: Path) -> None:
    row = mt.Struct(mt.Field("in", mt.Struct(mt.Field("a", "Int8"))))
    mt.save(tmp_path / "a.mt", [{"in": {"a": 1}}], row)
    with pytest.raises(FormatError, match=r"records\.in is struct"):
        mt.to_arrow(tmp_path / "a.mt")


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnsupportedError, match=r"weft\[arrow\]"):
        mt.from_arrow(None, tmp_path / "a.mt")
