"""Saving: inferred schemas, positions of parts, refused values, and atomic writes."""

from __future__ import annotations

import datetime
import os
import stat
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.metatensor.test_golden import plain
from weft import metatensor as mt
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, IndexOutOfRangeError


def saved(path: Path, *arguments: Any, **options: Any) -> mt.File:
    mt.save(path / "a.mt", *arguments, **options)
    return mt.open(path / "a.mt")


TREE: dict[str, Any] = {
    "model": {"conv1.weight": np.arange(6, dtype="f4").reshape(2, 3), "conv1.bias": np.zeros(2, ml_dtypes.bfloat16)},
    "epoch": 3, "seed": 2**63, "loss": 0.5, "worst": float("inf"), "done": True, "name": "weft", "raw": b"\0\1",
    "when": datetime.datetime(2026, 11, 21, 8, 30, tzinfo=datetime.UTC), "scalar": np.float16(1.5), "none": np.zeros((0, 3)),
    "words": ["a", "två", ""], "numbers": [1, 2, 3], "floats": [1, 2.5, float("nan")], "flags": [True, False], "empty": [],
    "ragged": [np.arange(3), np.arange(0), np.arange(2)], "blobs": [b"", b"x"],
    "rows": [{"text": "one", "x": 1.0, "v": np.arange(2)}, {"text": "two", "x": 2.0, "v": np.arange(3)}],
    "table": np.array([(1, 0.5, [1, 2], b"ab"), (2, np.nan, [3, 4], b"")], [("id", "u2"), ("y", "f8"), ("v", "i4", 2), ("s", "S4")]),
    "zero_d": np.array(7),
}  # fmt: skip


def test_a_tree_there_and_back(tmp_path: Path) -> None:
    file = saved(tmp_path, TREE)
    tree = file.tree()
    assert tree.keys() == TREE.keys()
    assert plain(tree["model"]) == {"conv1.weight": [[0, 1, 2], [3, 4, 5]], "conv1.bias": [0, 0]}
    for name in ("epoch", "seed", "loss", "worst", "done", "name", "raw"):
        assert tree[name] == TREE[name]
        assert type(tree[name]) is type(TREE[name])
    assert tree["when"] == TREE["when"].isoformat()
    assert tree["scalar"] == 1.5
    assert tree["zero_d"].shape == ()
    for name in ("words", "numbers", "flags", "empty", "blobs", "ragged"):
        assert plain(tree[name]) == plain(list(TREE[name]))
    np.testing.assert_array_equal(tree["floats"], TREE["floats"])
    assert plain(tree["rows"]) == plain(TREE["rows"])
    np.testing.assert_array_equal(tree["table"].array["v"], TREE["table"]["v"])
    assert tree["table"].array["s"].tolist() == [b"ab", b""]


def test_a_file_saved_from_its_own_tree_is_the_same(tmp_path: Path) -> None:
    """``save`` accepts the values of ``tree`` (views, rows, blobs)."""
    first = saved(tmp_path, TREE, metadata={"a": [1, None]})
    mt.save(tmp_path / "b.mt", first.tree(), first.schema, first.metadata)
    assert (tmp_path / "b.mt").read_bytes() == (tmp_path / "a.mt").read_bytes()


def test_names_with_dots(tmp_path: Path) -> None:
    assert saved(tmp_path, {"a.b": 1, "a.c": 2}).tree() == {"a": {"b": 1, "c": 2}}
    clash = saved(tmp_path, {"a.b": 1, "a": 2})
    assert (list(clash), clash["a.b"]) == (["a.b", "a"], 1)
    assert list(saved(tmp_path, {"": 1, "x.": 2, ".": 3})) == ["", "x.", "."]
    both = saved(
        tmp_path,
        {"m": {"x": 1}, "m.y": 2},
        mt.Struct(mt.Field("m", mt.Struct(mt.Field("x", "Int8"), mt.Field("y", "Int8")))),
    )
    assert both.tree() == {"m": {"x": 1, "y": 2}}


def test_alignment_on_request(tmp_path: Path) -> None:
    tree = {"a": np.zeros(3, "f4"), "b": np.zeros(3, "f4")}
    assert [start for start, _ in saved(tmp_path, tree).offsets.values()] == [0, 64]
    assert [start for start, _ in saved(tmp_path, tree, align=256).offsets.values()] == [0, 256]
    for mapped in (True, False):
        with mt.open(tmp_path / "a.mt", mmap=mapped) as file:
            assert file["b"].ctypes.data % 64 == 0
    with pytest.raises(ArgumentError, match="align is 256"):
        mt.save(tmp_path / "a.mt", tree, mt.schema_of(tree), align=256)


ROW = mt.Struct(
    mt.Field("text", "String", encoding="offset-indirect"),
    mt.Field("y", "Int8"),
    mt.Field("e", "Enum", enum=["p", "q"]),
)
ROWS = [{"text": "one", "y": 1, "e": "q"}, {"text": "två", "y": -1, "e": "p"}]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        tuple(ROWS),
        {"records": ROWS},
        {"records": {"text": ["one", "två"], "y": np.array([1, -1]), "e": ["q", "p"]}},
    ],
)
def test_datasets_by_rows_and_by_columns(rows: Any, tmp_path: Path) -> None:
    schema: Any = ROW if not isinstance(rows, dict) else mt.Struct(mt.ArrayOf("records", ROW))
    file = saved(tmp_path, rows, schema)
    records = file.records()
    assert [row.to_dict() for row in records] == ROWS
    assert (len(records), records[1].text, records[-2].e, records[1:][0].y) == (2, "två", "q", -1)
    assert plain(records.column("text")) == ["one", "två"]
    assert records.column("e") == ["q", "p"]
    assert records.array["y"].tolist() == [1, -1]
    assert records.array.base is not None, "a view, not a copy"
    assert file.layout.schema["properties"]["records"]["TypeDef:Array"] is True


def test_what_records_and_blobs_say_of_wrong_names(tmp_path: Path) -> None:
    file = saved(tmp_path, ROWS, ROW)
    with pytest.raises(IndexOutOfRangeError, match="index is 2"):
        file.records()[2]
    with pytest.raises(IndexOutOfRangeError):
        file.records().column("text")[-3]
    with pytest.raises(AttributeError, match="'label', expected one of text, y, e"):
        file.records()[0].label  # noqa: B018
    with pytest.raises(KeyError, match="'label'"):
        file.records().column("label")
    with pytest.raises(KeyError, match="'train'"):
        file.records("train")
    with pytest.raises(FormatError, match="expected an array of offset-indirect"):
        file.blob("records")
    file = saved(tmp_path, {"w": np.zeros(3)})
    with pytest.raises(FormatError, match="expected an array of structs"):
        file.records("w")


def test_structured_arrays_are_written_from_where_they_lie(tmp_path: Path) -> None:
    rows = np.zeros(3, [("a", "u1"), ("b", "f4")])
    rows["b"] = [1, np.nan, 3]
    file = saved(tmp_path, rows)
    np.testing.assert_array_equal(file.records().array["b"], rows["b"])
    strict = mt.Struct(mt.Field("a", "Uint8"), mt.Field("b", "Float32"))
    with pytest.raises(FormatError, match=r"records\[1\].b is nan|records.b\[1\] is nan"):
        mt.save(tmp_path / "a.mt", file.records().array, strict)
    flags = np.frombuffer(b"\0\2", [("on", "?")])
    with pytest.raises(FormatError, match="expected a byte 0 or 1"):
        mt.save(tmp_path / "a.mt", flags)


def test_tensors_of_any_layout_in_memory(tmp_path: Path) -> None:
    whole = np.arange(24, dtype="f4").reshape(4, 6)
    tree = {
        "t": whole.T,
        "s": whole[::2, ::-1],
        "big": whole.astype(">f4"),
        "ro": np.broadcast_to(np.float32(1), (3, 2)),
    }
    file = saved(tmp_path, tree)
    for name, array in tree.items():
        np.testing.assert_array_equal(file[name], array)


def test_pending_tensors_are_made_when_their_turn_comes(tmp_path: Path) -> None:
    made: list[str] = []

    def pending(name: str, array: Any, shape: tuple[int, ...] = (4,)) -> mt.Pending:
        return mt.Pending("F32", shape, lambda: (made.append(name), array)[1])

    file = saved(tmp_path, {"a": pending("a", np.ones(4, "f4")), "b": pending("b", np.zeros(4, "f4"))})
    assert made == ["a", "b"]
    assert file["a"].sum() == 4
    before = (tmp_path / "a.mt").read_bytes()
    with pytest.raises(FormatError, match=r"save: b is float64 of shape \(4,\)"):
        mt.save(tmp_path / "a.mt", {"a": pending("a", np.ones(4, "f4")), "b": pending("b", np.zeros(4))})
    with pytest.raises(FormatError, match=r"F32 of shape \[4\]"):
        mt.save(tmp_path / "a.mt", {"a": pending("a", None)}, mt.Struct(mt.TensorField("a", "F32", (5,))))
    assert (tmp_path / "a.mt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.mt"]


@pytest.mark.parametrize(
    ("tree", "options", "error", "words"),
    [
        (3, {}, ArgumentTypeError, "tree is a int"),
        ({"a": object()}, {}, ArgumentTypeError, "a is a object"),
        ({"a": None}, {}, ArgumentTypeError, "a is a NoneType"),
        ({"a": {3: 1}}, {}, ArgumentTypeError, "a key of a is 3"),
        ({"a": np.array(["x"])}, {}, ArgumentTypeError, "dtype of a"),
        ({"a": np.array([object()])}, {}, ArgumentTypeError, "dtype of a"),
        ({"a": [1, "x"]}, {}, FormatError, "a[1] is"),
        ({"a": [{"x": 1}, {"y": 1}]}, {}, FormatError, "a[1].x is missing"),
        ({"a": 2**64}, {}, FormatError, "a is 18446744073709551616"),
        ({"a": 1}, {"schema": {"TypeDef:Int8": True}}, FormatError, "the schema's root is Int8"),
        ({"a": 1}, {"schema": mt.Struct(mt.Field("b", "Int8"))}, FormatError, "a is unknown to the schema"),
        ({}, {"schema": mt.Struct(mt.Field("b", "Int8"))}, FormatError, "b is missing"),
        ({"a": 3}, {"schema": mt.Struct(mt.Field("a", mt.Struct(mt.Field("x", "Int8"))))}, FormatError, "a is a int, expected a mapping"),
        ({"a": 1}, {"metadata": 3}, ArgumentTypeError, "metadata is a int"),
        ({"a": 1}, {"metadata": {"x": object()}}, ArgumentTypeError, "metadata or schema is no JSON"),
        ({"a": 1}, {"metadata": {"x": float("nan")}}, ArgumentTypeError, "metadata or schema is no JSON"),
    ],
)  # fmt: skip
def test_refused_and_the_older_file_stays(
    tree: Any, options: Any, error: type, words: str, tmp_path: Path
) -> None:
    mt.save(tmp_path / "a.mt", {"old": 1})
    with pytest.raises(error) as caught:
        mt.save(tmp_path / "a.mt", tree, **options)
    assert words in str(caught.value)
    assert saved_names(tmp_path) == ["a.mt"]
    assert mt.open(tmp_path / "a.mt").tree() == {"old": 1}


def saved_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_older_file_and_nothing_else(
    call: str, failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mt.save(tmp_path / "a.mt", {"old": 1})

    def fail(*arguments: Any) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(type(failure)):
            mt.save(tmp_path / "a.mt", {"new": np.zeros(1000)})
    assert saved_names(tmp_path) == ["a.mt"]
    assert mt.open(tmp_path / "a.mt").tree() == {"old": 1}


def test_bytes_are_on_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flushed(handle: int) -> None:
        events.append(
            "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"file of {os.fstat(handle).st_size}"
        )
        fsync(handle)

    def renamed(old: Any, new: Any) -> None:
        events.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    mt.save(tmp_path / "a.mt", {"w": np.zeros(1000)})
    assert events == [f"file of {(tmp_path / 'a.mt').stat().st_size}", "rename", "folder"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_permissions_and_links_stay(tmp_path: Path) -> None:
    mt.save(tmp_path / "real.mt", {"a": 1})
    os.chmod(tmp_path / "real.mt", 0o600)
    (tmp_path / "link.mt").symlink_to(tmp_path / "real.mt")
    mt.save(tmp_path / "link.mt", {"a": 2})
    assert (tmp_path / "link.mt").is_symlink()
    assert mt.open(tmp_path / "real.mt")["a"] == 2
    assert stat.S_IMODE((tmp_path / "real.mt").stat().st_mode) == 0o600
    with pytest.raises(IsADirectoryError):
        mt.save(tmp_path, {"a": 1})


def test_files_are_compared_by_identity(tmp_path: Path) -> None:
    file, again = saved(tmp_path, {"a": np.zeros(3)}), mt.open(tmp_path / "a.mt")
    assert file != again
    assert len({file, again, file}) == 2


def test_open_names_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match="path is a int"):
        mt.open(3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        mt.open(tmp_path / "none.mt")
    mt.save(tmp_path / "a.mt", {"a": 1})
    with mt.open(tmp_path / "a.mt") as file, pytest.raises(KeyError, match="'b', expected one of a"):
        file["b"]


def test_validate_reads_all_and_asks_what_the_schema_asks(tmp_path: Path) -> None:
    row = mt.Struct(mt.Field("text", "String", encoding="offset-indirect"), mt.Field("y", "Int8", minimum=0))
    file = saved(tmp_path, {"w": np.zeros(2), "rows": [{"text": "one", "y": 1}]}, mt.Struct(
        mt.TensorField("w", "F64", (2,)), mt.ArrayOf("rows", row)))  # fmt: skip
    file.validate()
    start, end = file.offsets["rows"]
    (text, _), base = file.offsets["rows.$data"], file.start
    whole = (tmp_path / "a.mt").read_bytes()
    for at, byte, words in ((end - 4, 0xFF, r"rows\[0\].y: -1 is less"), (text, 0xFF, "expected UTF-8")):
        changed = bytearray(whole)
        changed[base + at] = byte
        (tmp_path / "b.mt").write_bytes(changed)
        with mt.open(tmp_path / "b.mt") as bad, pytest.raises(FormatError, match=words):
            bad.validate()
    assert start < end
