"""Differences of two schemas, and migration of files from one to the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weft import metatensor as mt
from weft.errors import FormatError
from weft.metatensor import ArrayOf, Field, Struct, TensorField


def test_diff_names_what_changed() -> None:
    old = Struct(
        Field("conv", Struct(TensorField("weight", "F32", (2, 3)), TensorField("bias", "F32", (2,)))),
        Field("epoch", "Int32"), Field("gone", Struct(Field("a", "Int8"), Field("b", "Int8"))),
        ArrayOf("rows", Struct(Field("x", "Float32"))),
    )  # fmt: skip
    new = Struct(
        Field("conv", Struct(TensorField("weight", "BF16", (2, 3)), TensorField("bias", "F32", (2,)))),
        Field("epoch", "Int64"), ArrayOf("rows", Struct(Field("x", "Float32"), Field("y", "Uint8"))),
        Field("head", Struct(TensorField("weight", "F32", (4,)))),
    )  # fmt: skip
    delta = mt.diff(old, new)
    assert delta.added == {"rows.items.y": "Uint8", "head.weight": "Tensor(dtype=F32, shape=[4])"}
    assert delta.removed == {"gone.a": "Int8", "gone.b": "Int8"}
    assert delta.changed == {
        "conv.weight": ("Tensor(dtype=F32, shape=[2, 3])", "Tensor(dtype=BF16, shape=[2, 3])"), "epoch": ("Int32", "Int64"),
    }  # fmt: skip
    assert not mt.diff(old, old)
    assert mt.diff(old, old) == mt.Delta({}, {}, {})
    back = mt.diff(new, old)
    assert (back.added, back.removed) == (delta.removed, delta.added)


def test_diff_takes_schemas_layouts_and_files(tmp_path: Path) -> None:
    mt.save(tmp_path / "a.mt", {"w": np.zeros(3)})
    mt.save(tmp_path / "b.mt", {"w": np.zeros(4)})
    with mt.open(tmp_path / "a.mt") as a, mt.open(tmp_path / "b.mt") as b:
        deltas = [mt.diff(a, b), mt.diff(a.schema, b.schema), mt.diff(a.layout, b.layout)]
    assert all(delta.changed.keys() == {"w"} for delta in deltas)
    assert str(deltas[0]) == "~ w: Tensor(dtype=F64, shape=[3]) → Tensor(dtype=F64, shape=[4])"


def test_diff_sees_moves_and_what_became_a_struct() -> None:
    old = Struct(Field("a", "Int8"), Field("b", "Int8"))
    assert mt.diff(old, Struct(Field("b", "Int8"), Field("a", "Int8"))).moved in (("a",), ("b",))
    delta = mt.diff(old, Struct(Field("a", Struct(Field("x", "Int8"))), Field("b", "Int8")))
    assert (delta.removed, delta.added) == ({"a": "Int8"}, {"a.x": "Int8"})


def test_diff_refuses_what_has_no_layout() -> None:
    with pytest.raises(FormatError, match="leads back"):
        mt.diff({"TypeDef:Struct": True, "properties": {"a": {"$ref": "#"}}}, {"TypeDef:Struct": True})


OLD = Struct(
    TensorField("w", "F32", (2,)), Field("epoch", "Int32"), Field("note", "String"),
    ArrayOf("rows", Struct(Field("x", "Float32"), Field("text", "String", encoding="offset-indirect"), Field("drop", "Int8"))),
)  # fmt: skip


@pytest.fixture
def old(tmp_path: Path) -> Path:
    rows = [{"x": 1.5, "text": "one", "drop": 0}, {"x": -2.0, "text": "två", "drop": 1}]
    tree = {"w": np.array([1, 2], "f4"), "epoch": 3, "note": "hej", "rows": rows}
    mt.save(tmp_path / "old.mt", tree, OLD, {"kept": True})
    return tmp_path / "old.mt"


def test_migrate(old: Path) -> None:
    schema = Struct(
        TensorField("w", "F64", (2,)), Field("epoch", "Int64"), TensorField("head", "F32", (1,)),
        ArrayOf("rows", Struct(Field("text", "String", encoding="offset-indirect"), Field("x", "Float64"), Field("n", "Uint8"),
                               Field("on", "Boolean"))),
    )  # fmt: skip
    delta = mt.migrate(
        old, schema, defaults={"head": np.zeros(1, "f4"), "rows.n": [7, 8], "rows.on": True},
        convert={"rows.text": lambda texts: [text.upper() for text in texts]},
    )  # fmt: skip
    assert {"head", "rows.items.n"} <= delta.added.keys()
    with mt.open(old) as file:
        assert file.metadata == {"kept": True}
        assert file["w"].dtype == np.float64
        assert file["w"].tolist() == [1, 2]
        assert (file["epoch"], "note" in file) == (3, False)
        assert [row.to_dict() for row in file.records("rows")] == [
            {"text": "ONE", "x": 1.5, "n": 7, "on": True}, {"text": "TVÅ", "x": -2.0, "n": 8, "on": True},
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "rules", "words"),
    [
        (Struct(Field("new", "Int8")), {}, "new is new, without a value"),
        (Struct(TensorField("w", "F32", (3,))), {}, "w is F32"),
        (Struct(TensorField("w", "F16", (2,))), {}, "w is F32"),
        (Struct(Field("note", "Int8")), {}, "note is String"),
        (Struct(Field("epoch", "Int8")), {"defaults": {"epoch": 1}}, "'epoch' is unused"),
        (Struct(ArrayOf("rows", Struct(Field("y", "Int8")))), {}, "rows.y is new"),
        (Struct(Field("epoch", "Int8")), {"convert": {"epoch": lambda epoch: 1000}}, "epoch is 1000"),
    ],
)
def test_migrate_refuses_and_leaves_the_file(
    schema: Any, rules: dict[str, Any], words: str, old: Path
) -> None:
    before = old.read_bytes()
    with pytest.raises(FormatError, match=words):
        mt.migrate(old, schema, **rules)
    assert old.read_bytes() == before
    assert [path.name for path in old.parent.iterdir()] == ["old.mt"]


def test_migrate_to_another_file(old: Path, tmp_path: Path) -> None:
    before = old.read_bytes()
    mt.migrate(old, Struct(Field("epoch", "Float32")), convert={"epoch": float}, target=tmp_path / "new.mt")
    assert old.read_bytes() == before
    with mt.open(tmp_path / "new.mt") as file:
        assert dict(file) == {"epoch": 3.0}


def test_a_schema_whose_references_multiply_is_refused() -> None:
    defs: dict[str, Any] = {"L17": {"TypeDef:Struct": True}}
    for level in range(17):
        both = {"a": {"$ref": f"L{level + 1}"}, "b": {"$ref": f"L{level + 1}"}}
        defs[f"L{level}"] = {"TypeDef:Struct": True, "properties": both}
    with pytest.raises(FormatError, match="references that multiply"):
        mt.diff({"TypeDef:Struct": True, "properties": {"r": {"$ref": "L0"}}, "$defs": defs}, Struct())


def test_components_and_schemas_are_the_same() -> None:
    tree = Struct(
        Field("a", "Uint8"), TensorField("w", "F32", (3,), align=256), ArrayOf("b", "Float32", 2),
        Field("s", "String", maxLength=4), Field("e", "Enum", enum=["x"]), Field("in", Struct(Field("z", "Int8"), align=16)),
    )  # fmt: skip
    schema = mt.to_schema(tree)
    assert mt.to_schema(mt.from_schema(schema)) == schema
    assert mt.compile(tree).offsets() == mt.compile(schema).offsets()
    assert mt.compile(tree).offsets() == {
        "a": (0, 1), "w": (256, 268), "b": (268, 276), "s": (276, 280), "e": (280, 284), "in.z": (288, 289),
    }  # fmt: skip
