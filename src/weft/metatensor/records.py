"""``Records``: the rows of a dataset, an array of structs of fixed size that is read without a copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from weft.errors import IndexOutOfRangeError, mistake
from weft.metatensor.kinds import Array, Region, Source, raw
from weft.metatensor.misfit import named

if TYPE_CHECKING:
    from weft.metatensor.composite import Struct


def position(where: str, index: Any, count: int) -> int:
    """Return an index, which may count from the end, as a position; raise ``IndexOutOfRangeError`` beyond the ends."""
    at = index.__index__()
    if not -count <= at < count:
        raise IndexOutOfRangeError(mistake(where, "index", at, f"from {-count} to {count - 1}"))
    return int(at % count)


class Row:
    """A row of a dataset: its fields by attribute or by name, each read when it is accessed."""

    __slots__ = ("_at", "_index", "_records")

    def __init__(self, records: Records, index: int) -> None:
        self._records, self._index = records, index
        self._at = index * records.array_unchecked.dtype.itemsize

    def __getitem__(self, name: str) -> Any:
        field = self._records.kind.by_name.get(name)
        if field is None:
            raise KeyError(
                mistake("Row", "field", repr(name), f"one of {', '.join(self._records.kind.by_name)}")
            )
        with named(f"records[{self._index}]", name):
            return field.kind.read(self._records.source(), self._at + (field.offset or 0))[0]

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {name: self[name] for name in self._records.kind.by_name}

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"


class Records(Sequence[Row]):
    """An array of structs: ``records[i].field`` reads one value, ``records.array`` is a structured NumPy array."""

    def __init__(self, kind: Struct, array: Array, region: memoryview) -> None:
        self.kind, self.array_unchecked, self.region = kind, array, region
        self._checked = False
        self._raw: memoryview | None = None

    def source(self) -> Source:
        """Return the bytes of the rows and of their data region."""
        if self._raw is None:
            self._raw = raw(self.array_unchecked)
        return Source(self._raw, Region.of(self.region))

    @property
    def array(self) -> Array:
        """The rows as a structured NumPy array, without a copy; all values are checked at the first access."""
        if not self._checked:
            with named("records"):
                self.kind.check(self.array_unchecked)
            self._checked = True
        return self.array_unchecked

    def column(self, name: str) -> Any:
        """Return one field of all rows: a NumPy array, a list, or a ``Blob`` of texts.

        Raises ``KeyError`` for a name that is no field.
        """
        field = self.kind.by_name.get(name)
        if field is None:
            raise KeyError(
                mistake("Records.column", "field", repr(name), f"one of {', '.join(self.kind.by_name)}")
            )
        part = self.array_unchecked[name]
        with named("records", name):
            field.kind.check(part)
            return field.kind.values(part, Region.of(self.region))

    def __len__(self) -> int:
        return len(self.array_unchecked)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Row | Records:
        if isinstance(index, slice):
            return Records(self.kind, self.array_unchecked[index], self.region)
        return Row(self, position("records", index, len(self)))

    def __iter__(self) -> Iterator[Row]:
        return (Row(self, index) for index in range(len(self)))

    def __repr__(self) -> str:
        return f"Records({len(self)} of {', '.join(self.kind.by_name)})"
