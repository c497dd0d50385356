"""Entries of variable length, each one step away: an index of offsets and lengths, and a store of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy

from weft.metatensor.kinds import Array, Region
from weft.metatensor.misfit import Misfit, named
from weft.metatensor.records import position
from weft.metatensor.variable import Indirect, Text


class Blob(Sequence[Any]):
    """Strings, bytes or ragged arrays: ``blob[i]`` reads one entry, ``blob.tolist()`` all of them."""

    def __init__(self, kind: Indirect, index: Array, region: memoryview) -> None:
        self.kind, self.table, self.region = kind, index, region
        self._offsets, self._lengths = index["offset"], index["length"]

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Blob: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Blob(self.kind, self.table[index], self.region)
        at = position("blob", index, len(self.table))
        with named(f"blob[{at}]"):
            return self.kind.entry(Region.of(self.region), int(self._offsets[at]), int(self._lengths[at]))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def tolist(self) -> list[Any]:
        """All entries; ``FormatError`` where one is out of range or no value, or where they overlap for certain."""
        starts = self._offsets.astype(numpy.int64)
        ends = starts + self._lengths
        with named("blob"):
            if len(ends) and int(ends.max()) > len(self.region):
                raise Misfit(f"an end at {ends.max()}", f"at most {len(self.region)}").within(
                    int(ends.argmax())
                )
            if int(self._lengths.sum(dtype=numpy.int64)) > len(self.region):
                raise Misfit("entries longer than their store", "entries that do not overlap")
            if isinstance(self.kind.target, Text) and self.kind.target.name != "Timestamp":
                return self._texts(starts.tolist(), ends.tolist())
            return [
                self.kind.entry(Region.of(self.region), start, end - start)
                for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
            ]

    def _texts(self, starts: list[int], ends: list[int]) -> list[Any]:
        whole = bytes(self.region)
        if self.kind.target.describe() == "Bytes":
            return [whole[start:end] for start, end in zip(starts, ends, strict=True)]
        if whole.isascii():  # then bytes and characters count the same
            text = whole.decode("ascii")
            return [text[start:end] for start, end in zip(starts, ends, strict=True)]
        try:
            return [whole[start:end].decode() for start, end in zip(starts, ends, strict=True)]
        except UnicodeDecodeError:
            region = Region.of(self.region)
            for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
                try:
                    self.kind.entry(region, start, end - start)
                except Misfit as misfit:
                    raise misfit.within(index) from None
            raise

    def __repr__(self) -> str:
        return f"Blob({len(self)} of {self.kind.target.describe()})"
