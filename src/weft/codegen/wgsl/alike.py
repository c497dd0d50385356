"""One function for parts that differ only in numbers, which are its arguments.

An optimizer's kernel has a part for each of hundreds of parameters. A function for each takes long
to compile. A software rasteriser, which runs all branches with masked lanes, would run every workgroup through all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from weft.expr import Expr, const, transform, variable
from weft.expr.node import INDEX
from weft.kernels import Axis, Part


@dataclass(frozen=True)
class Family:
    """A part with ``arguments`` in place of its numbers, which are constants or parameters of the kernel.

    ``members`` holds the position of each part of the family, and its numbers.
    """

    part: Part
    arguments: tuple[Expr, ...]
    members: tuple[tuple[int, tuple[Expr, ...]], ...]


def families(parts: Sequence[Part]) -> list[Family]:
    """Group parts that differ only in sizes and offsets, in the order of their first members."""
    found: dict[tuple[Part, int], tuple[tuple[Expr, ...], list[tuple[int, tuple[Expr, ...]]]]] = {}
    for number, part in enumerate(parts):
        general, arguments, numbers = _General(part).result()
        key = general, 0 if arguments else number
        found.setdefault(key, (arguments, []))[1].append((number, numbers))
    return [
        Family(part, arguments, tuple(members))
        if len(members) > 1
        else Family(parts[members[0][0]], (), ((members[0][0], ()),))
        for (part, _), (arguments, members) in found.items()
    ]


def _is_number(node: Expr) -> bool:
    """Return whether a size or an offset is a constant or a parameter."""
    return node.function in ("const", "variable")


class _General:
    """Generalises a part of one axis without folds and checks: variables replace its size and its offsets."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.numbers: dict[tuple[str, Expr], Expr] = {}
        self.axis = variable("i", INDEX)

    def result(self) -> tuple[Part, tuple[Expr, ...], tuple[Expr, ...]]:
        """Return the general part, its arguments, and this part's numbers for them."""
        part = self.part
        if part.reduce_axes or part.reductions or part.checks or len(part.axes) != 1:
            return part, (), ()
        (axis,) = part.axes
        if not _is_number(axis.size):
            return part, (), ()
        size = self._argument("", axis.size, axis.size)
        self.done: dict[Expr, Expr] = {axis.variable: self.axis}
        stores = tuple(
            replace(store, index=self._index(store.buffer, store.index), value=self._general(store.value))
            for store in part.stores
        )
        arguments = tuple(variable(f"at{number}", INDEX) for number in range(len(self.numbers)))
        return Part((Axis(self.axis, size),), stores), arguments, tuple(self.numbers.values())

    def _argument(self, buffer: str, index: Expr, value: Expr) -> Expr:
        """Return the variable for an offset: equal offsets of a buffer share one variable."""
        self.numbers.setdefault((buffer, index), value)
        return variable(f"at{list(self.numbers).index((buffer, index))}", INDEX)

    def _index(self, buffer: str, index: Expr) -> Expr:
        """Generalise an index that is an offset, or the axis plus an offset; others have no arguments."""
        axis = self.part.axes[0].variable
        if _is_number(index) and index is not axis:
            return self._argument(buffer, index, index)
        if index is axis:
            return self.axis + self._argument(buffer, index, const(0, INDEX))
        if index.function == "add" and axis in index.args:
            (other,) = [arg for arg in index.args if arg is not axis] or [axis]
            if _is_number(other) and other is not axis:
                return self.axis + self._argument(buffer, index, other)
        return self._general(index)

    def _general(self, root: Expr) -> Expr:
        return transform(root, self._change, self.done)

    def _change(self, node: Expr, args: tuple[Expr, ...]) -> Expr:
        return node.rebuild((self._index(node.data, node.args[0]),) if node.function == "load" else args)
