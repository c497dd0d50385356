"""Derived kernels: index spaces, reductions and stores over scalar expressions. Data, made by ops and the fuser.

    for every point of a part's axes:
        for each reduction, in order:  fold its value over the reduction axes (later ones may use earlier results)
        for each store:                buffer[index] = value   (at the point, or at every reduction point of it)

All indices are int64 expressions over the axes, parameters and loads, counted in elements from the start of
the bound range, so bounds and disjoint writes can be proved from the tree. Several *parts* run side by side
in one kernel: that is how ``cat`` copies N tensors, and an optimizer updates all parameters, in one dispatch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from weft.dtypes import DType
from weft.expr import Expr, walk
from weft.expr.node import variables
from weft.target import Parameter

Combine = Literal["sum", "prod", "max", "min", "any", "all", "argmax", "argmin", "largest"]


@dataclass(frozen=True)
class Buffer:
    """A storage range: its element type, whether the kernel writes it, and whether element 0 is 16-byte aligned."""

    name: str
    dtype: DType
    access: Literal["read", "read_write"] = "read"


@dataclass(frozen=True)
class Axis:
    """One dimension of an index space: an int64 variable that runs from 0 to ``size`` (constant or parameter)."""

    variable: Expr
    size: Expr


@dataclass(frozen=True)
class Reduction:
    """A fold over the reduction axes, named by the variable that holds its result.

    ``combine`` sum, prod, max, min (NaN wins), any, all; ``largest``, a max that may lose a NaN, for folds whose
    owner finds it elsewhere; ``argmax``/``argmin`` give the int64 position, in
    row-major order of the reduction axes, of the first extreme value (the first NaN where there is one).
    ``value.dtype`` is the accumulator's type. Over an empty space the result is the identity.
    """

    result: Expr
    combine: Combine
    value: Expr


@dataclass(frozen=True)
class Store:
    """``buffer[index] = value``; ``inner`` stores run at every point of the reduction axes, after all reductions.

    A value of the buffer's compute type is narrowed to its element type. No two points store to one element,
    unless the index is read from memory (``may_coincide``): the points that it sends to an element store one value.
    """

    buffer: str
    index: Expr
    value: Expr
    inner: bool = False


def may_coincide(index: Expr) -> bool:
    """Whether two points may have one index: where it is read from memory, at a place that depends on the point."""
    return any(node.function == "load" and variables(node.args[0]) for node in walk(index))


@dataclass(frozen=True)
class Check:
    """An index that the data decides: where ``valid`` is false the device's status word takes ``value``.

    Checked at each point (``inner``: at each reduction point). Loads and stores that depend on a checked value
    are written so that they stay in bounds even where it fails.
    """

    valid: Expr
    value: Expr
    inner: bool = False


@dataclass(frozen=True)
class Part:
    """One index space with what is reduced, checked and stored at each of its points."""

    axes: tuple[Axis, ...]
    stores: tuple[Store, ...]
    reduce_axes: tuple[Axis, ...] = ()
    reductions: tuple[Reduction, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def expressions(self) -> list[Expr]:
        """All that the part computes, in the order of its statements; the sizes of its axes are not among it."""
        return [
            *(root for check in self.checks for root in (check.valid, check.value)),
            *(reduction.value for reduction in self.reductions),
            *(root for store in self.stores for root in (store.index, store.value)),
        ]

    @cached_property
    def nodes(self) -> tuple[Expr, ...]:
        """All nodes of its expressions, each once, arguments before what uses them; found once."""
        return tuple(walk(*self.expressions))

    @cached_property
    def loads(self) -> dict[str, list[Expr]]:
        """The load nodes of its expressions by their buffers, found once."""
        found: dict[str, list[Expr]] = {}
        for node in self.nodes:
            if node.function == "load":
                found.setdefault(node.data, []).append(node)
        return found

    @cached_property
    def is_plain(self) -> bool:
        """Whether its indices are known to be sums in the order of its axes; the fuser notes it."""
        return False


@dataclass(frozen=True)
class Kernel:
    """A derived kernel. Equal kernels are one pipeline: sizes, strides and offsets are parameters where eager.

    ``vector`` promises that each part has one axis and no reduction, or is cooperative with one reduction axis;
    that the index of every load, and of every store at all points, is an offset plus that axis, or (loads) does not
    depend on it; that all these offsets, and in a reduction its length, are multiples of ``vector``; and that a
    buffer that is reached this way is reached in no other, but for loads at indices that do not move with the axis.
    ``cooperative`` is how many invocations share a point's reduction, a power of two: 0 is one alone, 1 a workgroup.
    ``held``: each of them may keep so many (vectors of) elements of its row in registers; the lowering promises
    that ``held * cooperative * vector`` is at least the length of every row, and one ``held`` less is too few.
    """

    name: str
    buffers: tuple[Buffer, ...]
    parameters: tuple[Parameter, ...]
    parts: tuple[Part, ...]
    vector: int = 1
    cooperative: int = 0
    held: int = 0

    @property
    def reports(self) -> bool:
        """Whether the kernel can write the status word."""
        return any(part.checks for part in self.parts)
