"""Parts that differ in numbers only are one function: what differs are its arguments.

An optimizer's kernel has a part for each of hundreds of parameters. Written out each they take long to compile, and a
software rasteriser, which runs all branches with its lanes masked, takes each workgroup through all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from weft.expr import Expr, const, transform, variable
from weft.expr.node import INDEX
from weft.kernels import Axis, Part


@dataclass(frozen=True)
class Family:
    """A part with ``arguments`` in place of its numbers; ``members``: which parts are so, each with its numbers.

    Numbers are constants, or parameters of the kernel.
    """

    part: Part
    arguments: tuple[Expr, ...]
    members: tuple[tuple[int, tuple[Expr, ...]], ...]


def families(parts: Sequence[Part]) -> list[Family]:
    """Parts by what they are but for their sizes and offsets, in the order of their first members."""
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
    """Whether a size or an offset is a constant or a parameter."""
    return node.function in ("const", "variable")


class _General:
    """A part of one axis without folds and checks, with variables for its size and the offsets of its indices."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.numbers: dict[tuple[str, Expr], Expr] = {}
        self.axis = variable("i", INDEX)

    def result(self) -> tuple[Part, tuple[Expr, ...], tuple[Expr, ...]]:
        """The general part, its arguments, and this part's numbers for them."""
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
        """The variable for an offset, one for each place that the part reaches."""
        self.numbers.setdefault((buffer, index), value)
        return variable(f"at{list(self.numbers).index((buffer, index))}", INDEX)

    def _index(self, buffer: str, index: Expr) -> Expr:
        """An offset, or the axis and an offset; of other indices nothing is an argument."""
        own = self.part.axes[0].variable
        if _is_number(index) and index is not own:
            return self._argument(buffer, index, index)
        if index is own:
            return self.axis + self._argument(buffer, index, const(0, INDEX))
        if index.function == "add" and own in index.args:
            (other,) = [arg for arg in index.args if arg is not own] or [own]
            if _is_number(other) and other is not own:
                return self.axis + self._argument(buffer, index, other)
        return self._general(index)

    def _general(self, root: Expr) -> Expr:
        return transform(root, self._change, self.done)

    def _change(self, node: Expr, args: tuple[Expr, ...]) -> Expr:
        return node.rebuild((self._index(node.data, node.args[0]),) if node.function == "load" else args)
