"""GGUF files of the ``gguf`` package read back, and damaged files: always a ``FormatError`` that names the part."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from weft.errors import FormatError
from weft.models.gguf import GGUFFile

TENSOR_TYPES = ("F32", "F16", "BF16", "Q4_0", "Q8_0", "Q4_K")


def write(path: Path, alignment: int | None = None) -> dict[str, np.ndarray[Any, Any]]:
    """Write a file with every kind of metadata and several types of tensors; return the tensors' bytes."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    kinds = gguf.GGUFValueType
    for name, value in VALUES.items():
        writer.add_key_value(f"test.{name}", value, getattr(kinds, name))
    writer.add_array("test.strings", ["", "é", "日本", "a" * 300])
    writer.add_array("test.numbers", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -1.5])
    writer.add_array("test.flags", [True, False])
    writer.add_array("test.nested", [[1, 2], [3], [4, 5, 6]])
    writer.add_array("test.texts_nested", [["a", "b"], ["c"]])
    written = {}
    for name in TENSOR_TYPES:
        kind = gguf.GGMLQuantizationType[name]
        elements, nbytes = gguf.GGML_QUANT_SIZES[kind]
        data = rng.integers(0, 256, (3, 256 // elements * nbytes), dtype=np.uint8)
        writer.add_tensor(f"tensor.{name}", data, raw_dtype=kind)
        written[f"tensor.{name}"] = data
    writer.add_tensor("vector", np.arange(5, dtype=np.float32))
    writer.add_tensor("three", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return written


VALUES: dict[str, Any] = {
    "UINT8": 255, "INT8": -128, "UINT16": 65535, "INT16": -32768, "UINT32": 2**32 - 1, "INT32": -(2**31),
    "UINT64": 2**64 - 1, "INT64": -(2**63), "FLOAT32": 0.25, "FLOAT64": 0.1, "BOOL": True, "STRING": "text é\n",
}  # fmt: skip


@pytest.mark.parametrize("alignment", [None, 64, 8])
def test_a_file_of_the_gguf_package(tmp_path: Path, alignment: int | None) -> None:
    written = write(tmp_path / "a.gguf", alignment)
    with GGUFFile(tmp_path / "a.gguf") as file:
        assert file.version == 3
        for name, value in VALUES.items():
            assert file.metadata[f"test.{name}"] == value
            assert type(file.metadata[f"test.{name}"]) is type(value)
        assert file.metadata["general.architecture"] == "llama"
        assert file.metadata["test.strings"] == ["", "é", "日本", "a" * 300]
        assert file.metadata["test.numbers"] == [1, -2, 3]
        assert file.metadata["test.floats"] == [0.5, -1.5]
        assert file.metadata["test.flags"] == [True, False]
        assert file.metadata["test.nested"] == [[1, 2], [3], [4, 5, 6]]
        assert file.metadata["test.texts_nested"] == [["a", "b"], ["c"]]
        assert list(file.tensors) == [*written, "vector", "three"]
        for name, data in written.items():
            assert file.tensors[name].shape == (3, 256)
            assert file.tensors[name].format.name == name.removeprefix("tensor.")
            np.testing.assert_array_equal(file.read(name), data)
        assert file.tensors["three"].shape == (2, 3, 4)
        assert file.read("three").view(np.float32).tolist() == np.arange(24.0).reshape(6, 4).tolist()
        assert file.read("vector").view(np.float32).tolist() == [np.arange(5.0).tolist()]
        if alignment is not None:
            assert all(tensor.offset % alignment == 0 for tensor in file.tensors.values())


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def info(name: str, shape: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<{len(shape)}Q", *reversed(shape))
    return text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, offset)


def build(
    pairs: list[bytes] | None = None,
    infos: list[bytes] | None = None,
    *,
    counts: tuple[int, int] | None = None,
    version: int = 3,
    order: str = "<",
    data: int = 64,
) -> bytes:
    """Return a file's bytes, valid unless the parts are not."""
    pairs = [pair("general.architecture", 8, text("llama"))] if pairs is None else pairs
    infos = [info("a"), info("b", (2, 2), offset=32)] if infos is None else infos
    tensors, keys = (len(infos), len(pairs)) if counts is None else counts
    body = b"GGUF" + struct.pack(f"{order}IQQ", version, tensors, keys) + b"".join(pairs + infos)
    return body + bytes(-len(body) % 32 + data)


def string_array(count: int, *strings: bytes) -> bytes:
    return struct.pack("<IQ", 8, count) + b"".join(strings)


DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "magic": (lambda: b"GGML" + build()[4:], "magic"),
    "empty": (lambda: b"", "size"),
    "version 1": (lambda: build(version=1), "version"),
    "version 4": (lambda: build(version=4), "version"),
    "big-endian": (lambda: build(order=">"), "little-endian"),
    "tensors": (lambda: build(counts=(2**63, 1)), "number of tensors"),
    "a tensor too many": (lambda: build(counts=(3, 1)), "tensor"),
    "pairs": (lambda: build(counts=(2, 2**40)), "number of metadata pairs"),
    "key": (lambda: build([struct.pack("<Q", 2**62) + b"abc"]), "metadata key"),
    "key's bytes": (
        lambda: build([pair("a", 0, b"1")[:8] + b"\xff" + pair("a", 0, b"1")[9:]]),
        "metadata key",
    ),
    "key twice": (lambda: build([pair("a", 0, b"1")] * 2), "metadata key"),
    "string": (lambda: build([pair("k", 8, struct.pack("<Q", 2**64 - 1))]), "'k'"),
    "string's bytes": (lambda: build([pair("k", 8, text(b"\xc3"))]), "'k'"),
    "type": (lambda: build([pair("k", 13, b"")]), "type of metadata 'k'"),
    "array of numbers": (lambda: build([pair("k", 9, struct.pack("<IQ", 4, 2**62))]), "'k'"),
    "array of strings": (lambda: build([pair("k", 9, string_array(2**61))]), "'k'"),
    "array's last string": (lambda: build([pair("k", 9, string_array(2, text("a"), b"\xff" * 8))]), "'k'"),
    "array's string's bytes": (lambda: build([pair("k", 9, string_array(1, text(b"\xff")))]), "'k'"),
    "array of unknown": (lambda: build([pair("k", 9, struct.pack("<IQ", 99, 1))]), "'k'"),
    "arrays without end": (lambda: build([pair("k", 9, struct.pack("<IQ", 9, 1) * 5000)]), "'k'"),
    "alignment 0": (lambda: build([pair("general.alignment", 4, bytes(4))]), "general.alignment"),
    "alignment 33": (
        lambda: build([pair("general.alignment", 4, struct.pack("<I", 33))]),
        "general.alignment",
    ),
    "alignment 2**30": (
        lambda: build([pair("general.alignment", 4, struct.pack("<I", 2**30))]),
        "general.alignment",
    ),
    "alignment text": (lambda: build([pair("general.alignment", 8, text("32"))]), "general.alignment"),
    "alignment true": (lambda: build([pair("general.alignment", 7, b"\1")]), "general.alignment"),
    "tensor's name": (lambda: build(infos=[struct.pack("<Q", 2**50)]), "tensor name"),
    "tensor twice": (lambda: build(infos=[info("a")] * 2), "'a'"),
    "tensor's type": (lambda: build(infos=[info("a", kind=99)]), "'a'"),
    "removed type": (lambda: build(infos=[info("a", kind=4)]), "'a'"),
    "no dimensions": (lambda: build(infos=[info("a", ())]), "'a'"),
    "five dimensions": (lambda: build(infos=[info("a", (1,) * 5)]), "'a'"),
    "a dimension of 0": (lambda: build(infos=[info("a", (2**40, 0))]), "'a'"),
    "a large dimension": (lambda: build(infos=[info("a", (2**63, 2**63))]), "'a'"),
    "half a block": (lambda: build(infos=[info("a", (48,), kind=2)]), "'a'"),
    "offset": (lambda: build(infos=[info("a", offset=2**63)]), "'a'"),
    "offset of its own": (lambda: build(infos=[info("a", offset=4)]), "'a'"),
    "after the end": (lambda: build(infos=[info("a", (17,))]), "'a'"),
}


def opened(path: Path) -> None:
    """Open a file and read all tensors of it."""
    with GGUFFile(path) as file:
        for name, tensor in file.tensors.items():
            assert file.read(name).nbytes == tensor.nbytes


def damage(path: Path) -> str | None:
    """Return what the reader says of a damaged file; None where it reads the file."""
    try:
        opened(path)
    except FormatError as error:
        return str(error)
    return None


def test_the_file_that_is_damaged_is_valid_before(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(build())
    opened(tmp_path / "a.gguf")


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_named(tmp_path: Path, case: str) -> None:
    made, part = DAMAGED[case]
    path = tmp_path / "damaged.gguf"
    path.write_bytes(made())
    tracemalloc.start()
    try:
        with pytest.raises(FormatError) as raised:
            opened(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert part in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert peak < 1 << 20


def test_truncated_at_every_seventh_byte(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.gguf", tmp_path / "cut.gguf"
    write(whole)
    data = whole.read_bytes()
    for end in [*range(0, len(data), 7), len(data) - 32]:
        cut.write_bytes(data[:end])
        with pytest.raises(FormatError, match=r"cut\.gguf"):
            opened(cut)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    from weft.errors import MissingFileError, WeftError

    with pytest.raises(MissingFileError, match=r"none\.gguf"):
        GGUFFile(tmp_path / "none.gguf")
    with pytest.raises((WeftError, OSError)):
        GGUFFile(tmp_path)


def test_bytes_stay_readable_after_the_file_is_closed(tmp_path: Path) -> None:
    written = write(tmp_path / "a.gguf")
    with GGUFFile(tmp_path / "a.gguf") as file:
        kept = file.read("tensor.Q8_0")
    np.testing.assert_array_equal(kept, written["tensor.Q8_0"])


def mutated(data: bytes, header: int, rng: random.Random) -> bytes:
    """Return the file with some bits, bytes, or 32- and 64-bit numbers of its header changed, or its end cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, kind = rng.randrange(4 if rng.random() < 0.98 else 0, header), rng.randrange(6)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            number = rng.choice((0, 1, 2**31, 2**32 - 1, rng.randrange(16), rng.randrange(2**32)))
            changed[at : at + 4] = struct.pack("<I", number)
        elif kind == 3:
            number = rng.choice(
                (0, 2**32, 2**63, 2**64 - 1, len(data), rng.randrange(1 << rng.randrange(1, 64)))
            )
            changed[at : at + 8] = struct.pack("<Q", number)
        elif kind == 4:
            del changed[at : at + rng.randrange(1, 9)]
        else:
            source = rng.randrange(header)
            changed[at:at] = changed[source : source + rng.randrange(1, 25)]
    return bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.05 else changed)


def test_five_thousand_mutated_headers_end_in_a_file_or_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "fuzzed.gguf"
    write(path)
    with GGUFFile(path) as file:
        header = min(tensor.offset for tensor in file.tensors.values())
    rng = random.Random(0)
    seeds = [(path.read_bytes(), header), (build(data=96), len(build(data=0)))]
    ends = {True: 0, False: 0}
    tracemalloc.start()
    try:
        for _ in range(5000):
            data = mutated(*rng.choice(seeds), rng)
            path.write_bytes(data)
            tracemalloc.reset_peak()
            start = tracemalloc.get_traced_memory()[0]
            message = damage(path)
            ends[message is None] += 1
            assert message is None or str(path) in message
            assert tracemalloc.get_traced_memory()[1] - start < 16 * len(data) + (64 << 10)
    finally:
        tracemalloc.stop()
    assert min(ends.values()) > 500, ends
