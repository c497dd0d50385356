"""``ReadGuards``: whether what a program read of Python beside tensors is as it was, checked at each call.

The check compares identities, without a step of Python for each read. Only where one differs it looks at values: a
plain value that is equal to the old one is taken over, and a tensor stands in for another of its kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any

from weft.compiler.plain import is_plain, same, snapshot
from weft.compiler.reads import MISSING, Read, of_cell, of_dict, of_object
from weft.tensors.tensor import Tensor

_contents = attrgetter("cell_contents")


class ReadGuards:
    """The values that must be as they were, in groups by how they are read again."""

    def __init__(self, reads: Sequence[Read]) -> None:
        order: dict[Any, list[Read]] = {of_dict: [], of_cell: [], of_object: []}
        others: list[Read] = []
        self._copies: list[tuple[Read, Any]] = []
        for read in reads:
            absent = read.get is of_dict and (
                read.value is None or read.value is MISSING
            )  # ``dict.get`` tells them not apart
            (others if absent else order.get(read.get, others)).append(read)
            if isinstance(read.value, list | dict | set):
                self._copies.append((read, snapshot(read.value)))
        self._tables, self._names = _columns(order[of_dict])
        self._cells, _ = _columns(order[of_cell])
        self._owners, self._attributes = _columns(order[of_object])
        self._others = others
        self._reads = [*order[of_dict], *order[of_cell], *order[of_object], *others]
        self._keep([read.value for read in self._reads])

    def __len__(self) -> int:
        return len(self._reads)

    def _keep(self, values: list[Any]) -> None:
        """Compare with these values from now on."""
        self._values = values
        ids, first, second = list(map(id, values)), len(self._tables), len(self._tables) + len(self._cells)
        third = second + len(self._owners)
        self._table_ids, self._cell_ids = ids[:first], ids[first:second]
        self._owner_ids, self._other_ids = ids[second:third], ids[third:]

    def _is_same(self) -> bool:
        """Whether all values are the very ones."""
        if self._tables and list(map(id, map(dict.get, self._tables, self._names))) != self._table_ids:
            return False
        if self._cells:
            try:
                if list(map(id, map(_contents, self._cells))) != self._cell_ids:
                    return False
            except ValueError:  # a variable that was deleted
                return False
        if self._owners:
            now = map(getattr, self._owners, self._attributes, repeat(MISSING))
            if list(map(id, now)) != self._owner_ids:
                return False
        return (
            not self._others
            or [id(read.get(read.owner, read.name)) for read in self._others] == self._other_ids
        )

    def _now(self) -> list[Any]:
        return [read.get(read.owner, read.name) for read in self._reads]

    def hold(self) -> bool:
        """Whether all is as it was."""
        if not self._is_same():
            now = self._now()
            for value, old in zip(now, self._values, strict=True):
                if value is not old and not (is_plain(old) and same(value, old)):
                    return False
            self._keep(now)
        return not self._copies or all(same(read.value, copy) for read, copy in self._copies)

    def replaced(self) -> tuple[str, dict[int, Tensor]]:
        """Why the program does not fit, and else the tensors that stand in for others, by identity of the old ones."""
        found: dict[int, Tensor] = {}
        for read, value, old in zip(self._reads, self._now(), self._values, strict=True):
            if value is old or is_plain(old) and same(value, old):
                continue
            if isinstance(old, Tensor) and isinstance(value, Tensor):
                if found.setdefault(id(old), value) is not value:
                    return f"{read.label} is no longer the tensor that another name stands for", {}
                continue
            words = f"{value!r}, was {old!r}" if is_plain(old) and is_plain(value) else "another than before"
            return f"{read.label} is {words}", {}
        for read, copy in self._copies:
            if not same(read.value, copy):
                return f"{read.label} is {read.value!r}, was {copy!r}", {}
        return "", found

    def take_over(self) -> None:
        """Take the values as they are now for those of the trace."""
        self._keep(self._now())


def _columns(reads: Sequence[Read]) -> tuple[list[Any], list[Any]]:
    return [read.owner for read in reads], [read.name for read in reads]
