"""Files laid out by hand, one for each feature: writing gives exactly these bytes, and reading their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.metatensor.golden_cases import FILES, FOLDER, FRAMES, Frame, Golden
from weft import metatensor as mt
from weft.metatensor.tensors import TensorKind

TYPES = {"F32": "f4", "F64": "f8", "I16": "i2", "I32": "i4", "BOOL": "?", "BF16": ml_dtypes.bfloat16,
         "F8_E4M3": ml_dtypes.float8_e4m3fn}  # fmt: skip


def plain(value: Any) -> Any:
    """Return a value that was read as the lists and dictionaries of the cases."""
    if isinstance(value, mt.Row):
        return plain(value.to_dict())
    if isinstance(value, np.ndarray | np.generic):
        return value.astype(float).tolist() if value.dtype.kind == "V" else value.tolist()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | mt.Records | mt.Blob):
        return [plain(inner) for inner in value]
    return value


def writable(schema: Any, tree: Any) -> Any:
    """Return the tree with its tensors as arrays."""
    if "TypeDef:Tensor" in schema:
        notes = schema["TypeDef:Tensor"]
        return np.array(tree, TYPES[notes["dtype"]]).reshape(notes["shape"])
    if isinstance(tree, dict) and "properties" in schema:
        return {name: writable(schema["properties"][name], inner) for name, inner in tree.items()}
    return tree


@pytest.mark.parametrize("golden", FILES, ids=lambda golden: golden.name)
class TestFiles:
    def test_committed_bytes_are_the_layout_by_hand(self, golden: Golden) -> None:
        assert (FOLDER / f"{golden.name}.mt").read_bytes() == golden.file_bytes()
        assert (len(golden.file_bytes()) - len(golden.payload())) % 64 == 0

    def test_save_writes_them(self, golden: Golden, tmp_path: Path) -> None:
        mt.save(tmp_path / "a.mt", writable(golden.schema, golden.tree), golden.schema, golden.metadata)
        assert (tmp_path / "a.mt").read_bytes() == golden.file_bytes()

    @pytest.mark.parametrize("mapped", [True, False])
    def test_open_reads_them(self, golden: Golden, mapped: bool) -> None:
        with mt.open(FOLDER / f"{golden.name}.mt", mmap=mapped) as file:
            assert {name: list(span) for name, span in file.offsets.items()} == golden.offsets
            assert file.metadata == golden.metadata
            assert file.schema == golden.schema
            expected = dict(_leaves(golden.schema, golden.tree, []))
            assert list(file) == list(expected)
            for name, value in file.items():
                got = plain(value)
                if isinstance(file.kinds[name], TensorKind):
                    assert value.shape == file.kinds[name].shape
                    assert not value.flags.writeable
                    got, want = np.ravel(got).tolist(), np.ravel(expected[name]).tolist()
                    assert got == want
                else:
                    assert got == expected[name]


def _leaves(schema: Any, tree: Any, path: list[str]) -> Any:
    for name, inner in schema["properties"].items():
        inner = schema["$defs"][inner["$ref"].split("/")[-1]] if "$ref" in inner else inner
        if "TypeDef:Struct" in inner:
            yield from _leaves(inner, tree[name], [*path, name])
        else:
            yield ".".join([*path, name]), tree[name]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.name)
def test_frames(frame: Frame) -> None:
    data = (FOLDER / f"{frame.name}.frame").read_bytes()
    assert data == bytes.fromhex(frame.data)
    layout = mt.compile(frame.schema, mode="packed")
    value = {**frame.value}
    if "weight" in value:
        value["weight"] = np.array(value["weight"], "f4")
    assert layout.pack(value) == data
    assert plain(layout.unpack(data)) == frame.value


def test_every_keyword_has_a_golden_file() -> None:
    from weft.metatensor.schema import ANNOTATIONS

    text = "".join(str(golden.schema) for golden in FILES)
    assert [name for name in ANNOTATIONS if f"TypeDef:{name}'" not in text] == []


def test_the_specification_of_offsets() -> None:
    """``u8, u32, f32`` aligned, and ``u8, u32, string`` packed, as in the description of the format."""
    aligned = mt.compile(mt.Struct(mt.Field("a", "Uint8"), mt.Field("b", "Uint32"), mt.Field("c", "Float32")))
    assert aligned.offsets() == {"a": (0, 1), "b": (4, 8), "c": (8, 12)}
    assert (aligned.size, aligned.stride) == (12, 12)
    packed = mt.compile(
        mt.Struct(mt.Field("a", "Uint8"), mt.Field("b", "Uint32"), mt.Field("c", "String")), "packed"
    )
    value = {"a": 1, "b": 2, "c": "0123456789"}
    assert packed.offsets(value) == {"a": (0, 1), "b": (1, 5), "c": (5, 19)}
    assert len(packed.pack(value)) == 19
