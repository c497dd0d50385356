"""``open``: map a file into memory and check its header; values are read and checked when they are accessed."""

from __future__ import annotations

import io
import mmap as mapping
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any, cast

from weft.errors import FormatError, mistake
from weft.metatensor import header as headers
from weft.metatensor import tensorfile
from weft.metatensor.blob import Blob
from weft.metatensor.composite import ArrayKind, Struct
from weft.metatensor.kinds import Kind, Region, Source, aligned_room
from weft.metatensor.layout import Layout, compiled
from weft.metatensor.misfit import Misfit, named, short
from weft.metatensor.records import Records
from weft.metatensor.regular import name_of, open_regular
from weft.metatensor.scalars import Endian
from weft.metatensor.tensors import TensorKind
from weft.metatensor.variable import Indirect

DATA = ".$data"
"""The suffix of a part's path that names its data region in the offset table."""


class Contents:
    """A checked header: the layout, the metadata, and the range of each part in the data."""

    def __init__(self, where: str, header: dict[str, Any], size: int) -> None:
        self.where, self.size = where, size
        self.safetensors = headers.is_safetensors(header)
        if self.safetensors:
            schema, self.metadata, self.offsets = tensorfile.translate(where, header, size)
            self.layout = compiled(where, schema)
            self.kinds: dict[str, Kind] = self.layout.sections
            return
        headers.check(where, header)
        self.metadata = header.get("metadata", {})
        endian = header.get("endian", "little")
        if header["schema"].get("endian", endian) != endian:
            raise FormatError(
                mistake(where, "schema.endian", repr(header["schema"]["endian"]), f"the header's, {endian!r}")
            )
        self.layout = compiled(where, header["schema"], endian=cast(Endian, endian))
        self.offsets = {
            name: headers.span(where, name, given, size) for name, given in header["offsets"].items()
        }
        self._compare(where)

    def _compare(self, where: str) -> None:
        """Compare the offset table with the schema: names, sizes, alignment, overlap, and the end of the file."""
        kind = self.layout.kind
        if isinstance(kind, Struct) and kind.parts > len(self.offsets):
            raise FormatError(
                mistake(
                    where,
                    "offsets",
                    f"{len(self.offsets)} ranges",
                    f"the {short(kind.parts)} that the schema has",
                )
            )
        self.kinds = self.layout.sections
        expected: dict[str, tuple[int, int | None]] = {}
        for path, kind in self.kinds.items():
            expected[path] = (kind.align, kind.size)
            if kind.region_align:
                expected[path + DATA] = (kind.region_align, None)
        for path in expected:
            if path not in self.offsets:
                raise FormatError(
                    mistake(where, f"offsets of {short(repr(path))}", "missing", "[start, end]")
                )
        for path, (start, end) in self.offsets.items():
            entry = f"offsets of {short(repr(path))}"
            if path not in expected:
                raise FormatError(mistake(where, entry, "given", "only what the schema has"))
            align, size = expected[path]
            if start % align:
                raise FormatError(mistake(where, entry, f"a start of {start}", f"a multiple of {align}"))
            if size is not None and end - start != size:
                raise FormatError(mistake(where, entry, f"{end - start} bytes", f"{size} by the schema"))
        headers.no_overlap(where, self.offsets)
        last = max((end for _, end in self.offsets.values()), default=0)
        if last != self.size:
            raise FormatError(mistake(where, "the data", f"{self.size} bytes long", f"{last} by the offsets"))

    def ranges(self, name: str) -> list[tuple[int, int]]:
        """Return the range of a part in the data, and the range of its data region if it has one."""
        part = [self.offsets[name]]
        return [*part, self.offsets[name + DATA]] if self.kinds[name].region_align else part


class File(Mapping[str, Any]):
    """An open file: a mapping from paths (``conv1.weight``) to values, each read when it is accessed.

    Tensors are read-only NumPy views of the mapped file. Numbers and texts are Python's. An array of structs is a
    ``Records``, an array of ``offset-indirect`` values a ``Blob``.
    """

    def __init__(self, path: str | os.PathLike[str], mmap: bool = True) -> None:
        self._handle = -1
        self.path = name_of("open", path)
        self._handle = open_regular("open", self.path)
        self._map: mapping.mmap | None = None
        self._turn = threading.Lock()
        try:
            where = f"open: {self.path!r}"
            size = os.fstat(self._handle).st_size
            count = headers.length(where, bytes(self._read(0, min(8, size))), size)
            header = headers.parse(where, bytes(self._read(8, count)))
            self.start = 8 + count
            self._contents = Contents(where, header, size - self.start)
            if mmap:
                self._map = mapping.mmap(self._handle, size, access=mapping.ACCESS_READ)
                self._view = memoryview(self._map)
        except BaseException:
            self.close()
            raise

    @property
    def schema(self) -> dict[str, Any]:
        """The schema as the header has it."""
        return cast(dict[str, Any], self._contents.layout.schema)

    @property
    def metadata(self) -> dict[str, Any]:
        """The free metadata."""
        return cast(dict[str, Any], self._contents.metadata)

    @property
    def is_safetensors(self) -> bool:
        """Whether this is a safetensors file, whose schema is derived from its header."""
        return self._contents.safetensors

    @property
    def layout(self) -> Layout:
        """The compiled schema."""
        return self._contents.layout

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The kind of the value at each path."""
        return self._contents.kinds

    @property
    def offsets(self) -> Mapping[str, tuple[int, int]]:
        """``{path: (start, end)}``, relative to the start of the data, data regions (``path.$data``) among them."""
        return self._contents.offsets

    @property
    def size(self) -> int:
        """Bytes of the data."""
        return self._contents.size

    def __getitem__(self, name: str) -> Any:
        kind = self._contents.kinds.get(name)
        if kind is None:
            raise KeyError(
                mistake("File", "name", repr(name), f"one of {short(', '.join(self._contents.kinds))}")
            )
        span, *region = self._contents.ranges(name)
        try:
            if isinstance(kind, TensorKind):
                return kind.view(self.data(*span))
            return part(kind, self.data(*span), self.data(*region[0]) if region else memoryview(b""))
        except Misfit:
            with named(self.path, name):
                raise

    def records(self, name: str = "records") -> Records:
        """Return the rows of an array of structs; ``f.records("train")[i].text`` reads one field of one row.

        Raises ``FormatError`` if the part ``name`` is anything else.
        """
        value = self[name]
        if not isinstance(value, Records):
            given = self.kinds[name].describe()
            raise FormatError(
                mistake(f"{self.path}: records", repr(name), given, "an array of structs of fixed size")
            )
        return value

    def blob(self, name: str) -> Blob:
        """Return the entries of an array of ``offset-indirect`` values; ``f.blob("text")[i]`` reads one entry.

        Raises ``FormatError`` if the part ``name`` is anything else.
        """
        value = self[name]
        if not isinstance(value, Blob):
            given = self.kinds[name].describe()
            raise FormatError(
                mistake(f"{self.path}: blob", repr(name), given, "an array of offset-indirect values")
            )
        return value

    def tree(self) -> dict[str, Any]:
        """Return all values by name, structs as dictionaries; tensors are views, datasets are lazy.

        >>> import tempfile, os
        >>> from weft import metatensor as mt
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "a.mt")
        ...     mt.save(path, {"epoch": 3, "best": {"loss": 0.5}})
        ...     mt.open(path).tree()
        {'epoch': 3, 'best': {'loss': 0.5}}
        """

        def walk(struct: Struct, path: list[str]) -> dict[str, Any]:
            return {
                field.name: walk(field.kind, [*path, field.name])
                if isinstance(field.kind, Struct) and field.kind.parts
                else {}
                if isinstance(field.kind, Struct)
                else self[".".join([*path, field.name])]
                for field in struct.fields
            }

        return walk(cast(Struct, self.layout.kind), [])

    def validate(self) -> None:
        """Read everything and check it against the schema.

        Raises ``FormatError`` naming the first value that does not fit. Reading alone checks the bytes of what it
        reads, but not the schema's other keywords (``minimum``, ``pattern``).
        """
        for name, value in self.items():
            with named(self.path, name):
                _read_whole(value)
        self.layout.check(self.path, self.tree())

    def ranges(self, name: str) -> list[tuple[int, int]]:
        """Return the range of a part in the data, and the range of its data region if it has one."""
        return self._contents.ranges(name)

    def head(self) -> memoryview:
        """Return the bytes of the header, with its length in front."""
        return self.data(-self.start, 0)

    def data(self, start: int, end: int) -> memoryview:
        """Return a range of the data, read-only.

        Raises ``FormatError`` if the file was truncated since it was opened: touching a lost page ends the process.
        """
        if self._handle < 0:
            raise FormatError(f"{self.path}: the file is closed, expected an open one")
        size = os.fstat(self._handle).st_size
        if self.start + end > size:
            raise FormatError(
                mistake(self.path, "the file", f"{size} bytes long", f"{self.start + self.size}, as when it was opened",
                        "something else cut it short")
            )  # fmt: skip
        if self._map is not None:
            return self._view[self.start + start : self.start + end]
        return self._read(self.start + start, end - start).toreadonly()

    def _read(self, at: int, count: int) -> memoryview:
        """Read bytes from a position into memory that is aligned for tensors."""
        buffer = aligned_room(count, headers.BOUNDARY)
        done = 0
        with self._turn, io.FileIO(self._handle, closefd=False) as file:
            file.seek(at)
            while done < count:
                got = file.readinto(buffer[done:])
                if not got:
                    raise FormatError(
                        mistake(self.path, "the file", f"{at + done} bytes long", f"at least {at + count}")
                    )
                done += got
        return buffer

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents.kinds)

    def __len__(self) -> int:
        return len(self._contents.kinds)

    def __contains__(self, name: object) -> bool:
        return name in self._contents.kinds

    __eq__ = object.__eq__  # two files are compared by diff; Mapping would read them whole
    __hash__ = object.__hash__

    def __enter__(self) -> File:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; arrays read from it stay valid and keep the mapping alive."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1
        self._map = None
        self._view = memoryview(b"")

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self.close()

    def __repr__(self) -> str:
        return f"File({self.path!r}, {len(self)} parts, {self.size} bytes)"


def _read_whole(value: Any) -> None:
    """Read all lazy parts of a value, so that they are checked."""
    if isinstance(value, Records):
        value.array  # noqa: B018
        for name in value.kind.by_name:
            _read_whole(value.column(name))
    elif isinstance(value, Blob | list):
        for inner in value:
            _read_whole(inner)


def part(kind: Kind, data: memoryview, region: memoryview) -> Any:
    """Return the value of a part from its bytes. Rows of datasets and entries of blobs are read when accessed."""
    source = Source(data, Region.of(region))
    if (
        isinstance(kind, ArrayKind)
        and isinstance(kind.item, Struct | Indirect)
        and kind.item.size is not None
    ):
        count, first = kind.start(source, 0)
        end = source.need(first, count * kind.item.stride)
        value = kind.item.values(kind.view(data[first:end], count), source.region)
    else:
        value, end = kind.read(source, 0)
    if end != len(data):
        raise Misfit(f"{len(data)} bytes long", f"{end} bytes")
    return value


def open(path: str | os.PathLike[str], *, mmap: bool = True) -> File:
    """Open a metatensor or safetensors file: read and check the header, and map the data without reading it.

    With ``mmap=False`` parts are read into memory when they are accessed. Use it if another program may truncate the
    file while it is open (a shared folder, a download in progress): touching a mapped page that is gone ends the
    process. Raises ``FormatError`` naming the field of the header that is wrong.

    >>> import os, tempfile
    >>> from weft import metatensor as mt
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.mt")
    ...     mt.save(path, {"layer.bias": [0.5, 1.0]})
    ...     with mt.open(path) as file:
    ...         list(file), file["layer.bias"].tolist()
    (['layer.bias'], [0.5, 1.0])
    """
    return File(path, mmap)
