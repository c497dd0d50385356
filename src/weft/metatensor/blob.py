"""``Blob``: a sequence of entries of variable length, read through an index of offsets and lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

import numpy

from weft.metatensor.kinds import Array, Region
from weft.metatensor.misfit import Misfit, named
from weft.metatensor.records import position
from weft.metatensor.texts import separated

if TYPE_CHECKING:
    from weft.metatensor.variable import Indirect


class Blob(Sequence[Any]):
    """Strings, bytes or ragged arrays: ``blob[i]`` reads one entry, ``blob.tolist()`` all of them."""

    def __init__(self, kind: Indirect, index: Array, region: memoryview) -> None:
        self.kind, self.table, self.region = kind, index, region
        self._string = kind.of_strings
        self._offsets, self._lengths = _numbers(index["offset"]), _numbers(index["length"])

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Blob: ...
    def __getitem__(self, index: int | slice) -> Any:
        if index.__class__ is int and self._string:
            try:
                start = int(self._offsets[index])  # a NumPy integer would wrap around at 32 bits
                end = start + int(self._lengths[index])
                if end <= len(self.region):
                    return str(self.region[start:end], "utf-8")
            except (IndexError, UnicodeDecodeError):
                pass  # the general path below raises an error that names the entry
        if isinstance(index, slice):
            return Blob(self.kind, self.table[index], self.region)
        at = position("blob", index, len(self.table))
        with named(f"blob[{at}]"):
            return self.kind.entry(Region.of(self.region), int(self._offsets[at]), int(self._lengths[at]))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def tolist(self) -> list[Any]:
        """Return all entries as a list.

        Raises ``FormatError`` for an entry that is out of range or not valid, and for entries longer than the region.
        """
        starts = self.table["offset"].astype(numpy.int64)
        ends = starts + self.table["length"]
        with named("blob"):
            if len(ends) and int(ends.max()) > len(self.region):
                raise Misfit(f"an end at {ends.max()}", f"at most {len(self.region)}").within(
                    int(ends.argmax())
                )
            if int((ends - starts).sum()) > len(self.region):
                raise Misfit("entries longer than their store", "entries that do not overlap")
            texts = separated(self.region, starts, ends) if self._string else None
            return self._one_by_one(starts.tolist(), ends.tolist()) if texts is None else texts

    def _one_by_one(self, starts: list[int], ends: list[int]) -> list[Any]:
        region, entries = Region.of(self.region), []
        for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
            try:
                entries.append(self.kind.entry(region, start, end - start))
            except Misfit as misfit:
                raise misfit.within(index) from None
        return entries

    def __repr__(self) -> str:
        return f"Blob({len(self)} of {self.kind.target.describe()})"


def _numbers(column: Array) -> Any:
    """Return a column whose items are Python integers: a memory view (three times as fast) in native byte order."""
    return memoryview(cast(Any, column)) if column.dtype.isnative and len(column) else column
