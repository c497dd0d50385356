"""``open``: a file mapped into memory, its header checked whole, and everything else read when asked for."""

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
"""What the offset table adds to a path for the data region that belongs to it."""


class Contents:
    """A header, checked: the layout, the metadata, and the range of each part in the data."""

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
        """The offset table against the schema: names, sizes, alignment, overlap, and the end of the file."""
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
        wanted: dict[str, tuple[int, int | None]] = {}
        for path, kind in self.kinds.items():
            wanted[path] = (kind.align, kind.size)
            if kind.region_align:
                wanted[path + DATA] = (kind.region_align, None)
        for path in wanted:
            if path not in self.offsets:
                raise FormatError(
                    mistake(where, f"offsets of {short(repr(path))}", "missing", "[start, end]")
                )
        for path, (start, end) in self.offsets.items():
            entry = f"offsets of {short(repr(path))}"
            if path not in wanted:
                raise FormatError(mistake(where, entry, "given", "only what the schema has"))
            align, size = wanted[path]
            if start % align:
                raise FormatError(mistake(where, entry, f"a start of {start}", f"a multiple of {align}"))
            if size is not None and end - start != size:
                raise FormatError(mistake(where, entry, f"{end - start} bytes", f"{size} by the schema"))
        headers.no_overlap(where, self.offsets)
        last = max((end for _, end in self.offsets.values()), default=0)
        if last != self.size:
            raise FormatError(mistake(where, "the data", f"{self.size} bytes long", f"{last} by the offsets"))

    def ranges(self, name: str) -> list[tuple[int, int]]:
        """Where a part is: its own range, and that of its data region where it has one."""
        own = [self.offsets[name]]
        return [*own, self.offsets[name + DATA]] if self.kinds[name].region_align else own


class File(Mapping[str, Any]):
    """An open file: a mapping from paths (``conv1.weight``) to what is there, read when asked for.

    Tensors are read-only NumPy arrays onto the mapped file; numbers and texts are Python's; arrays of structs are
    ``Records``, arrays of ``offset-indirect`` values a ``Blob``.
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
        """The schema, as written in the header."""
        return cast(dict[str, Any], self._contents.layout.schema)

    @property
    def metadata(self) -> dict[str, Any]:
        """The free metadata."""
        return cast(dict[str, Any], self._contents.metadata)

    @property
    def is_safetensors(self) -> bool:
        """Whether it is a safetensors file, whose schema is made from its header."""
        return self._contents.safetensors

    @property
    def layout(self) -> Layout:
        """The schema, compiled."""
        return self._contents.layout

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """What each path holds."""
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
        own, *more = self._contents.ranges(name)
        try:
            if isinstance(kind, TensorKind):
                return kind.view(self.data(*own))
            return part(kind, self.data(*own), self.data(*more[0]) if more else memoryview(b""))
        except Misfit:
            with named(self.path, name):
                raise

    def records(self, name: str = "records") -> Records:
        """The rows of an array of structs; ``f.records("train")[i].text`` reads one field of one row."""
        found = self[name]
        if not isinstance(found, Records):
            what = self.kinds[name].describe()
            raise FormatError(
                mistake(f"{self.path}: records", repr(name), what, "an array of structs of fixed size")
            )
        return found

    def blob(self, name: str) -> Blob:
        """The entries of an array of ``offset-indirect`` values; ``f.blob("text")[i]`` reads one."""
        found = self[name]
        if not isinstance(found, Blob):
            what = self.kinds[name].describe()
            raise FormatError(
                mistake(f"{self.path}: blob", repr(name), what, "an array of offset-indirect values")
            )
        return found

    def tree(self) -> dict[str, Any]:
        """Everything by name, structs as dictionaries; tensors are views, datasets lazy.

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
        """Read everything, and hold it against the schema; ``FormatError`` names the first value that does not fit.

        Reading by itself checks what it reads, and none of the schema's further demands (``minimum``, ``pattern``).
        """
        for name, value in self.items():
            with named(self.path, name):
                _read_whole(value)
        self.layout.check(self.path, self.tree())

    def ranges(self, name: str) -> list[tuple[int, int]]:
        """Where a part is in the data: its own range, and that of its data region where it has one."""
        return self._contents.ranges(name)

    def head(self) -> memoryview:
        """The header's bytes, its length before them."""
        return self.data(-self.start, 0)

    def data(self, start: int, end: int) -> memoryview:
        """A range of the data, read-only. The file's size is asked again: what was cut off must not be touched."""
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
        """Bytes from a position, in memory aligned as tensors need it."""
        made = aligned_room(count, headers.BOUNDARY)
        done = 0
        with self._turn, io.FileIO(self._handle, closefd=False) as file:
            file.seek(at)
            while done < count:
                got = file.readinto(made[done:])
                if not got:
                    raise FormatError(
                        mistake(self.path, "the file", f"{at + done} bytes long", f"at least {at + count}")
                    )
                done += got
        return made

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
        """Close the file; arrays that came from it stay valid, and keep the mapping alive."""
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
    """Read what is lazy in a value, so that all of it is checked."""
    if isinstance(value, Records):
        value.array  # noqa: B018
        for name in value.kind.by_name:
            _read_whole(value.column(name))
    elif isinstance(value, Blob | list):
        for inner in value:
            _read_whole(inner)


def part(kind: Kind, data: memoryview, region: memoryview) -> Any:
    """The value of a part from its bytes. Datasets and blobs are not read: their rows and entries are, one by one."""
    source = Source(data, Region.of(region))
    if (
        isinstance(kind, ArrayKind)
        and isinstance(kind.item, Struct | Indirect)
        and kind.item.size is not None
    ):
        count, first = kind.start(source, 0)
        end = source.need(first, count * kind.item.stride)
        found = kind.item.values(kind.view(data[first:end], count), source.region)
    else:
        found, end = kind.read(source, 0)
    if end != len(data):
        raise Misfit(f"{len(data)} bytes long", f"{end} bytes")
    return found


def open(path: str | os.PathLike[str], *, mmap: bool = True) -> File:
    """Open a metatensor or safetensors file: reads and checks the header, maps the rest, and touches nothing of it.

    With ``mmap=False`` parts are read into memory when asked for. Take it where somebody else may cut the file short
    while it is open (a shared folder, a download in progress): touching a mapped page that is gone ends the process.
    Raises ``FormatError`` naming the field that is wrong.
    """
    return File(path, mmap)
