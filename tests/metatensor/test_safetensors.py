"""safetensors files, checked with the safetensors library: reading, and conversion in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weft import metatensor as mt
from weft.errors import FormatError
from weft.metatensor.scalars import TENSORS, native

TYPES = [
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
]


@settings(max_examples=40)
@given(
    tree=st.dictionaries(
        st.text(min_size=1).filter(lambda name: name != "__metadata__"),
        st.sampled_from(TYPES).flatmap(lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))),
        max_size=5,
    ),
    metadata=st.dictionaries(st.text(), st.text(), max_size=2),
)  # fmt: skip
def test_there_and_back(
    tree: dict[str, Any], metadata: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("files")
    given_file, ours, back = folder / "a.safetensors", folder / "a.mt", folder / "b.safetensors"
    given_file.write_bytes(safetensors.numpy.save(tree, metadata=metadata or None))
    mt.from_safetensors(given_file, ours)
    with mt.open(ours) as file, mt.open(given_file) as direct:
        assert file.metadata == direct.metadata == metadata
        assert set(file) == set(direct) == set(tree)
        for name, want in tree.items():
            for got in (file[name], direct[name]):
                assert (got.dtype, got.shape) == (want.dtype, want.shape)
                assert got.tobytes() == want.tobytes()
                assert got.flags.aligned
            assert file.offsets[name][0] % 64 == 0
    mt.to_safetensors(ours, back)
    with safetensors.safe_open(back, "numpy") as file:
        assert (file.metadata() or {}) == metadata
        assert set(file.keys()) == set(tree)
        for name, want in tree.items():
            assert file.get_tensor(name).tobytes() == want.tobytes()


def test_an_unaligned_file_is_copied_into_aligned_memory(tmp_path: Path) -> None:
    """The format permits unaligned tensors: here a float64 after a byte, and a header of odd length."""
    header = {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "b": {"dtype": "F64", "shape": [2], "data_offsets": [1, 17]},
              "c": {"dtype": "F32", "shape": [], "data_offsets": [17, 21]}}  # fmt: skip
    values = np.array([1.5, -2.5])
    text = json.dumps(header).encode() + b" "
    text += b" " * (len(text) % 2 == 0)
    path = tmp_path / "odd.safetensors"
    path.write_bytes(
        len(text).to_bytes(8, "little") + text + b"\7" + values.tobytes() + np.float32(3).tobytes()
    )
    assert safetensors.numpy.load_file(path)["b"].tolist() == values.tolist()
    for mapped in (True, False):
        with mt.open(path, mmap=mapped) as file:
            assert file["b"].tolist() == values.tolist()
            assert file["c"] == 3
            assert all(file[name].flags.aligned and not file[name].flags.writeable for name in file)
    mt.from_safetensors(path, tmp_path / "a.mt")
    with mt.open(tmp_path / "a.mt") as file:
        assert file["b"].tolist() == values.tolist()


@pytest.mark.parametrize("name", ["BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "C64"])
def test_types_that_numpy_lacks(name: str, tmp_path: Path) -> None:
    values = np.array([1, 2, 4]).astype(native(TENSORS[name]))
    raw = {"w": {"dtype": name, "shape": [3], "data_offsets": [0, values.nbytes]}}
    text = json.dumps(raw).encode()
    (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + values.tobytes())
    assert safetensors.deserialize((tmp_path / "a.safetensors").read_bytes())[0][1]["dtype"] == name
    mt.from_safetensors(tmp_path / "a.safetensors", tmp_path / "a.mt")
    mt.to_safetensors(tmp_path / "a.mt", tmp_path / "b.safetensors")
    with mt.open(tmp_path / "a.mt") as file:
        assert file["w"].dtype == values.dtype
        assert file["w"].tobytes() == values.tobytes()
    ((_, entry),) = safetensors.deserialize((tmp_path / "b.safetensors").read_bytes())
    assert (entry["dtype"], bytes(entry["data"])) == (name, values.tobytes())


def test_a_big_endian_file_becomes_little(tmp_path: Path) -> None:
    schema = {
        **mt.to_schema(mt.Struct(mt.TensorField("a", "I16", (2,)), mt.TensorField("b", "BF16", (2,)))),
        "endian": "big",
    }
    mt.save(
        tmp_path / "a.mt", {"a": np.array([1, -2], "i2"), "b": np.array([1, -2], ml_dtypes.bfloat16)}, schema
    )
    mt.to_safetensors(tmp_path / "a.mt", tmp_path / "a.safetensors")
    entries = dict(safetensors.deserialize((tmp_path / "a.safetensors").read_bytes()))
    assert bytes(entries["a"]["data"]) == np.array([1, -2], "<i2").tobytes()
    assert bytes(entries["b"]["data"]) == np.array([1, -2], ml_dtypes.bfloat16).tobytes()


def test_what_has_no_place_there(tmp_path: Path) -> None:
    mt.save(tmp_path / "a.mt", {"w": np.zeros(2), "epoch": 3})
    with pytest.raises(FormatError, match="epoch is Int64, expected a tensor"):
        mt.to_safetensors(tmp_path / "a.mt", tmp_path / "b.safetensors")
    mt.save(tmp_path / "a.mt", {"w": np.zeros(2)}, metadata={"step": 3})
    with pytest.raises(FormatError, match="'step' is 3, expected a string"):
        mt.to_safetensors(tmp_path / "a.mt", tmp_path / "b.safetensors")
    with pytest.raises(FormatError, match="a metatensor file, expected a safetensors file"):
        mt.from_safetensors(tmp_path / "a.mt", tmp_path / "b.mt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mt"]


def entry(**changes: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    ("header", "size", "words"),
    [
        (entry(dtype="F31"), 8, "w is of dtype 'F31'"),
        (entry(shape=[3]), 8, "8 bytes, expected 12"),
        (entry(shape=[2**62, 4]), 8, "w is shape"),
        (entry(shape=[-2]), 8, "w is shape"),
        (entry(data_offsets=[0, 9]), 9, "9 bytes, expected 8"),
        (entry(data_offsets=[0, 8, 9]), 8, "[start, end]"),
        (entry(), 7, "end <= 7"),
        (entry(), 9, "9 bytes long, expected the tensors' bytes and no others"),
        ({"w": {"dtype": "F32", "shape": [2]}}, 8, "an object with dtype, shape and data_offsets"),
        ({"w": 3}, 8, "w is 3"),
        ({**entry(), "__metadata__": {"a": 1}}, 8, "an object of strings"),
        ({**entry(), "v": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, 8, "no bytes of"),
        ({"w": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, 2, "no others"),
    ],
)
def test_wrong_files_are_refused_as_by_the_library(
    header: Any, size: int, words: str, tmp_path: Path
) -> None:
    text = json.dumps(header).encode()
    data = len(text).to_bytes(8, "little") + text + bytes(size)
    (tmp_path / "bad.safetensors").write_bytes(data)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(data)
    with pytest.raises(FormatError) as caught:
        mt.open(tmp_path / "bad.safetensors")
    assert words in str(caught.value)
