"""The GGUF container: metadata and a table of tensors, read with every count checked against the file's size.

The layout is that of the specification in ggml's repository (docs/gguf.md), versions 2 and 3, little-endian: a header,
key and value pairs, tensor infos, padding, data. The file is memory-mapped; a tensor's bytes are read when it is used.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weft.errors import FormatError, mistake
from weft.metatensor.regular import open_regular
from weft.models.quant import FORMATS, QuantFormat

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_DIMENSIONS = 4
MOST_LEVELS = 4
"""Arrays within arrays."""
MOST_ALIGNMENT = 1 << 20

_SCALARS: Mapping[int, tuple[str, str]] = {
    0: ("uint8", "B"), 1: ("int8", "b"), 2: ("uint16", "H"), 3: ("int16", "h"), 4: ("uint32", "I"),
    5: ("int32", "i"), 6: ("float32", "f"), 7: ("bool", "?"), 10: ("uint64", "Q"), 11: ("int64", "q"),
    12: ("float64", "d"),
}  # fmt: skip
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class GGUFTensor:
    """One tensor of a file: ``shape`` outermost dimension first, as PyTorch has it, and its bytes' place."""

    name: str
    shape: tuple[int, ...]
    format: QuantFormat
    offset: int
    nbytes: int


class GGUFFile:
    """An open GGUF file: ``metadata``, ``tensors``, and ``read(name)``. Raises ``FormatError`` for what is no GGUF.

    Use it in a ``with`` statement, or ``close()`` it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with os.fdopen(open_regular("GGUF", str(path)), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 24:
                raise FormatError(
                    mistake(repr(str(path)), "size", f"{size} bytes", "a GGUF file, at least 24")
                )
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            reader = _Reader(self._map, str(path))
            self.version, tensors, pairs = reader.header()
            self.metadata: dict[str, Any] = reader.pairs(pairs)
            self.tensors = reader.tensors(tensors, self.metadata)
        except BaseException:
            self.close()
            raise

    def read(self, name: str) -> np.ndarray[Any, Any]:
        """The bytes of a tensor, without a copy: uint8 (rows, bytes of a row); a vector has one row."""
        tensor = self.tensors[name]
        rows = math.prod(tensor.shape[:-1])
        data = np.frombuffer(self._map, np.uint8, tensor.nbytes, tensor.offset)
        return data.reshape(rows, -1) if tensor.nbytes else data.reshape(rows, 0)

    def close(self) -> None:
        """Release the file; arrays that ``read`` gave keep it mapped until they go."""
        try:
            self._map.close()
        except BufferError:  # arrays still look into it: the map goes with the last of them
            return

    def __enter__(self) -> GGUFFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Reader:
    """A cursor over the header; each read checks that the file holds it."""

    def __init__(self, data: mmap.mmap, path: str) -> None:
        self.data, self.path, self.at = data, path, 0
        self.size = len(data)

    def error(self, part: str, given: object, expected: str) -> FormatError:
        """A mistake in the file, with the place."""
        return FormatError(mistake(repr(self.path), part, given, f"{expected} (at byte {self.at})"))

    def take(self, count: int, part: str) -> bytes:
        """The next ``count`` bytes."""
        if count > self.size - self.at:
            raise self.error(part, f"{count} bytes", f"at most the {self.size - self.at} that are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, code: str, part: str) -> Any:
        """A scalar, by its letter in ``struct``."""
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code), part))[0]

    def string(self, part: str) -> str:
        """A length and UTF-8 text."""
        text = self.take(self.number("Q", part), part)
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise self.error(part, repr(text[:40]), "UTF-8 text") from None

    def header(self) -> tuple[int, int, int]:
        """Version, and the numbers of tensors and of pairs."""
        if (magic := self.take(4, "magic")) != MAGIC:
            raise self.error("magic", repr(magic), repr(MAGIC))
        version = self.number("I", "version")
        if version not in VERSIONS:
            known = " or ".join(map(str, VERSIONS))
            expected = f"{known}, little-endian" if version >> 16 else known
            raise self.error("version", version, expected)
        counts = []
        for part, least in (("number of tensors", 24), ("number of metadata pairs", 13)):
            count = self.number("Q", part)
            if count * least > self.size:
                raise self.error(part, count, f"at most {self.size // least}, in a file of {self.size} bytes")
            counts.append(count)
        return version, counts[0], counts[1]

    def pairs(self, count: int) -> dict[str, Any]:
        """Metadata by key."""
        found: dict[str, Any] = {}
        for _ in range(count):
            key = self.string("metadata key")
            if key in found:
                raise self.error("metadata key", repr(key), "keys that differ")
            found[key] = self.value(self.number("I", f"type of {key!r}"), f"metadata {key!r}", 0)
        return found

    def value(self, kind: int, part: str, level: int) -> Any:
        """A metadata value of a type."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind][1], part)
        if kind == _STRING:
            return self.string(part)
        if kind != _ARRAY:
            raise self.error(f"type of {part}", kind, "0 to 12")
        if level >= MOST_LEVELS:
            raise self.error(part, f"{level + 1} levels of arrays", f"at most {MOST_LEVELS}")
        element, count = self.number("I", part), self.number("Q", part)
        if element in _SCALARS:
            name = _SCALARS[element][0]
            data = self.take(count * np.dtype(name).itemsize, part)
            return np.frombuffer(data, np.dtype(name).newbyteorder("<")).tolist()
        if count * 8 > self.size - self.at:
            raise self.error(part, f"{count} elements", f"at most {(self.size - self.at) // 8}")
        return self.strings(count, part) if element == _STRING else [
            self.value(element, part, level + 1) for _ in range(count)
        ]  # fmt: skip

    def strings(self, count: int, part: str) -> list[str]:
        """Many strings: a vocabulary has hundreds of thousands."""
        data, at, size, unpack = self.data, self.at, self.size, struct.Struct("<Q").unpack_from
        found: list[str] = []
        for _ in range(count):
            if at + 8 > size or (end := at + 8 + unpack(data, at)[0]) > size:
                self.at = at
                raise self.error(part, f"{count} strings", f"fewer: number {len(found)} ends after the file")
            try:
                found.append(data[at + 8 : end].decode())
            except UnicodeDecodeError:
                self.at = at
                raise self.error(part, repr(data[at + 8 : end][:40]), "UTF-8 text") from None
            at = end
        self.at = at
        return found

    def tensors(self, count: int, metadata: Mapping[str, Any]) -> dict[str, GGUFTensor]:
        """The table of tensors; offsets become those from the file's start."""
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= MOST_ALIGNMENT or alignment & (alignment - 1):
            raise self.error(
                "general.alignment", repr(alignment)[:40], f"a power of 2 up to {MOST_ALIGNMENT}"
            )
        infos = [self.info() for _ in range(count)]
        start = -(-self.at // alignment) * alignment
        found: dict[str, GGUFTensor] = {}
        for name, shape, form, offset in infos:
            if name in found:
                raise self.error("tensor", repr(name), "names that differ")
            nbytes = math.prod(shape) // form.elements * form.nbytes
            if offset % alignment or start + offset + nbytes > self.size:
                raise self.error(
                    f"tensor {name!r}",
                    f"{nbytes} bytes at {start + offset}",
                    f"a multiple of {alignment}, within the file's {self.size} bytes",
                )
            found[name] = GGUFTensor(name, shape, form, start + offset, nbytes)
        return found

    def info(self) -> tuple[str, tuple[int, ...], QuantFormat, int]:
        """Name, shape, format and offset of a tensor."""
        name = self.string("tensor name")
        part = f"tensor {name[:80]!r}"
        rank = self.number("I", part)
        if not 0 < rank <= MOST_DIMENSIONS:
            raise self.error(part, f"{rank} dimensions", f"1 to {MOST_DIMENSIONS}")
        shape = tuple(self.number("Q", part) for _ in range(rank))[::-1]
        if 0 in shape:
            raise self.error(part, f"shape {shape}", "dimensions of at least 1")
        kind = self.number("I", part)
        if kind not in FORMATS:
            known = ", ".join(form.name for form in FORMATS.values())
            raise self.error(part, f"type {kind}", f"one of {known}")
        form = FORMATS[kind]
        if math.prod(shape) // form.elements * form.nbytes > self.size or shape[-1] % form.elements:
            raise self.error(
                part, f"shape {shape}", f"rows of whole blocks of {form.elements} within the file"
            )
        return name, shape, form, self.number("Q", part)
