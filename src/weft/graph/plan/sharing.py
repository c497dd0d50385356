"""``shared``: kernels of a plan that differ only in offsets and sizes become one kernel with these as parameters.

Each step of an unrolled loop reads another row of its input, and each part of an optimizer's update has parameters of
other sizes. With constants, each of these kernels would be generated, compiled and cached separately. Numbers that are
equal in all kernels of a kind stay constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from weft.expr import Expr, Substitution, const, simplify, transform, variable
from weft.expr.node import INDEX, LOADS
from weft.graph.rewriting.renaming import mapped
from weft.kernels import Axis, Kernel, Part
from weft.target import Parameter

MOST = 128
"""The most parameters of a shared kernel; kernels that need more are not shared."""


@dataclass(frozen=True)
class Shared:
    """A kernel with numbers as parameters, and the arguments with which it replaces a kernel."""

    kernel: Kernel
    arguments: tuple[int, ...]


def shared(kernels: Iterable[Kernel]) -> dict[Kernel, Shared]:
    """Return the shared kernel and arguments of each kernel that equals another kernel except for its numbers."""
    kinds: dict[Kernel, dict[Kernel, tuple[int, ...]]] = {}
    for kernel in dict.fromkeys(kernels):
        if not kernel.parameters:
            general, numbers = _Holes().result(kernel)
            kinds.setdefault(general, {})[kernel] = numbers
    found: dict[Kernel, Shared] = {}
    for general, members in kinds.items():
        if len(members) > 1:
            found |= _generalized(general, members)
    return found


def _generalized(general: Kernel, members: dict[Kernel, tuple[int, ...]]) -> dict[Kernel, Shared]:
    """Return one kernel for all members: numbers that differ become parameters, and equal columns share one."""
    columns = list(zip(*members.values(), strict=True))
    taken: dict[tuple[int, ...], Expr] = {}
    filled: dict[Expr, Expr] = {}
    for at, column in enumerate(columns):
        if len(set(column)) == 1:
            filled[_hole(at)] = const(column[0], INDEX)
        else:
            filled[_hole(at)] = taken.setdefault(column, variable(f"n{len(taken)}", INDEX))
    if len(taken) > MOST:
        return {}
    substitution = Substitution(filled)
    made = mapped(general, lambda root: simplify(substitution(root)), {})
    made = replace(made, parameters=tuple(Parameter(str(hole.data), INDEX) for hole in taken.values()))
    arguments: Sequence[tuple[int, ...]] = list(zip(*taken, strict=True))
    return {member: Shared(made, given) for member, given in zip(members, arguments, strict=True)}


def _hole(at: int) -> Expr:
    return variable(f"hole{at}", INDEX)


class _Holes:
    """Replaces each number of a kernel by a variable, a *hole*, and collects the numbers."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.done: dict[Expr, Expr] = {}

    def result(self, kernel: Kernel) -> tuple[Kernel, tuple[int, ...]]:
        """Return the kernel with holes, and the numbers in order."""
        several = len(kernel.parts) > 1
        parts = tuple(self._part(part, several) for part in kernel.parts)
        return replace(kernel, parts=parts), tuple(self.numbers)

    def _part(self, part: Part, several: bool) -> Part:
        # vectorisation and scheduling depend on the sizes of several axes, of reductions, and of a single part
        runs = several and len(part.axes) == 1 and not part.reduce_axes
        axes = tuple(Axis(axis.variable, self._size(axis.size)) for axis in part.axes) if runs else part.axes
        return replace(
            part,
            axes=axes,
            stores=tuple(
                replace(store, index=self._offset(self._root(store.index)), value=self._root(store.value))
                for store in part.stores
            ),
            reductions=tuple(replace(fold, value=self._root(fold.value)) for fold in part.reductions),
            checks=tuple(
                replace(check, valid=self._root(check.valid), value=self._root(check.value))
                for check in part.checks
            ),
        )

    def _root(self, root: Expr) -> Expr:
        return transform(root, self._change, self.done, LOADS)

    def _change(self, node: Expr, args: tuple[Expr, ...]) -> Expr:
        if node.function == "load":
            args = (self._offset(args[0]), *args[1:])
        return node.rebuild(args)

    def _offset(self, index: Expr) -> Expr:
        """Return an index with a hole for its constant term, which may be 0."""
        if index.function == "const":
            return self._size(index)
        if index.function == "add" and index.args[1].function == "const":
            return index.args[0] + self._size(index.args[1])
        return index + self._size(const(0, INDEX))

    def _size(self, number: Expr) -> Expr:
        if number.function != "const":
            return number
        self.numbers.append(int(number.data))
        return _hole(len(self.numbers) - 1)
