"""``ReadGuards``: check at each call that the Python values which the traced function read have not changed.

The check compares identities, without a Python loop over the reads. Only where an identity differs, it compares values:
an equal plain value fits, and a tensor may replace another tensor of its type.
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
    """The reads of a trace, grouped by how they are read again, with their values."""

    def __init__(self, reads: Sequence[Read]) -> None:
        order: dict[Any, list[Read]] = {of_dict: [], of_cell: [], of_object: []}
        others: list[Read] = []
        self._copies: list[tuple[Read, Any]] = []
        for read in reads:
            # ``dict.get`` does not distinguish None from a missing entry
            absent = read.get is of_dict and (read.value is None or read.value is MISSING)
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
        """Store the values that later calls are compared with."""
        self._values = values
        ids, first, second = list(map(id, values)), len(self._tables), len(self._tables) + len(self._cells)
        third = second + len(self._owners)
        self._table_ids, self._cell_ids = ids[:first], ids[first:second]
        self._owner_ids, self._other_ids = ids[second:third], ids[third:]

    def _is_same(self) -> bool:
        """Return whether all values are identical to the stored values."""
        if self._tables and list(map(id, map(dict.get, self._tables, self._names))) != self._table_ids:
            return False
        if self._cells:
            try:
                if list(map(id, map(_contents, self._cells))) != self._cell_ids:
                    return False
            except ValueError:  # a deleted variable
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
        """Return whether all values are as they were when the function was traced."""
        if not self._is_same():
            now = self._now()
            for value, old in zip(now, self._values, strict=True):
                if value is not old and not (is_plain(old) and same(value, old)):
                    return False
            self._keep(now)
        return not self._copies or all(same(read.value, copy) for read, copy in self._copies)

    def replaced(self) -> tuple[str, dict[int, Tensor]]:
        """Return the reason why the program does not fit, and the new tensors by the id of the old tensor."""
        found: dict[int, Tensor] = {}
        for read, value, old in zip(self._reads, self._now(), self._values, strict=True):
            if value is old or is_plain(old) and same(value, old):
                continue
            if isinstance(old, Tensor) and isinstance(value, Tensor):
                if found.setdefault(id(old), value) is not value:
                    return f"{read.label} is another tensor, and was the same tensor as another variable", {}
                continue
            plain = is_plain(old) and is_plain(value)
            return (
                f"{read.label} is {f'{value!r}, was {old!r}' if plain else 'another object than before'}",
                {},
            )
        for read, copy in self._copies:
            if not same(read.value, copy):
                return f"{read.label} is {read.value!r}, was {copy!r}", {}
        return "", found

    def take_over(self) -> None:
        """Accept the present values as those of the trace."""
        self._keep(self._now())


def _columns(reads: Sequence[Read]) -> tuple[list[Any], list[Any]]:
    return [read.owner for read in reads], [read.name for read in reads]
