"""Derived kernels: index spaces, reductions and stores over scalar expressions, as data that ops and the fuser build.

    for every point of a part's axes:
        for each reduction, in order:  fold its value over the reduction axes (later ones may use earlier results)
        for each store:                buffer[index] = value   (at the point, or at every reduction point of it)

All indices are int64 expressions over the axes, parameters and loads, counted in elements from the start of the bound
range, so that bounds and disjoint writes can be proved from the tree. Several *parts* run in parallel in a kernel
(horizontal fusion): ``cat`` copies N tensors, and an optimizer updates all parameters, in a single dispatch.
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
    """A storage range that a kernel binds: its name in expressions, element type, and access."""

    name: str
    dtype: DType
    access: Literal["read", "read_write"] = "read"


@dataclass(frozen=True)
class Axis:
    """A dimension of an index space: an int64 variable that runs from 0 to ``size`` - 1 (constant or parameter)."""

    variable: Expr
    size: Expr


@dataclass(frozen=True)
class Reduction:
    """A reduction over the reduction axes; ``result`` is the variable that names its result.

    ``combine`` is sum, prod, max, min (NaN propagates), any or all; ``largest`` is a max that may drop a NaN, for
    kernels that detect NaN otherwise; ``argmax`` and ``argmin`` return the int64 position, in row-major order of the
    reduction axes, of the first extreme value (of the first NaN, if any). ``value.dtype`` is the accumulator's type.
    Over an empty space the result is the identity.
    """

    result: Expr
    combine: Combine
    value: Expr


@dataclass(frozen=True)
class Store:
    """``buffer[index] = value``; ``inner`` stores run at every point of the reduction axes, after all reductions.

    A value of the buffer's compute type is narrowed to its element type. Two points never store to the same element,
    unless the index is loaded from memory (``may_coincide``); points with the same loaded index store the same value.
    """

    buffer: str
    index: Expr
    value: Expr
    inner: bool = False


def may_coincide(index: Expr) -> bool:
    """Return whether two points may have the same index: the index is loaded from a place that depends on the point."""
    return any(node.function == "load" and variables(node.args[0]) for node in walk(index))


@dataclass(frozen=True)
class Check:
    """A bounds check of an index from data: where ``valid`` is false, the kernel reports ``value``.

    It runs at each point (``inner``: at each reduction point). Loads and stores at a checked index stay in bounds even
    where the check fails.
    """

    valid: Expr
    value: Expr
    inner: bool = False


@dataclass(frozen=True)
class Part:
    """An index space, with the reductions, checks and stores at each of its points."""

    axes: tuple[Axis, ...]
    stores: tuple[Store, ...]
    reduce_axes: tuple[Axis, ...] = ()
    reductions: tuple[Reduction, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def expressions(self) -> list[Expr]:
        """All expressions of the part, in the order of its statements, without the sizes of its axes."""
        return [
            *(root for check in self.checks for root in (check.valid, check.value)),
            *(reduction.value for reduction in self.reductions),
            *(root for store in self.stores for root in (store.index, store.value)),
        ]

    @cached_property
    def nodes(self) -> tuple[Expr, ...]:
        """All nodes of the part's expressions, each once, in post-order; cached."""
        return tuple(walk(*self.expressions))

    @cached_property
    def loads(self) -> dict[str, list[Expr]]:
        """The load nodes of the part's expressions by buffer; cached."""
        found: dict[str, list[Expr]] = {}
        for node in self.nodes:
            if node.function == "load":
                found.setdefault(node.data, []).append(node)
        return found

    @cached_property
    def is_plain(self) -> bool:
        """Whether all indices are known to be sums in the order of the axes; the fuser sets it."""
        return False


@dataclass(frozen=True)
class Kernel:
    """A derived kernel. Equal kernels share a pipeline; in eager kernels, sizes, strides and offsets are parameters.

    Attributes:
        name: The kernel's name, for messages and profiles.
        buffers: The bound ranges, read-only ones first.
        parameters: The run-time scalars.
        parts: The index spaces, which run in parallel.
        vector: The number of consecutive elements that are accessed as a vector. It promises that each part has one
            axis and no reduction, or is cooperative with one reduction axis; that the index of every load, and of every
            store at all points, is an offset plus that axis, or (for loads) does not depend on it; that these offsets,
            and the length of a reduction, are multiples of ``vector``; and that a buffer with such accesses has no
            others, except loads at indices that do not depend on the axis.
        cooperative: The number of invocations that share the reduction of a point, a power of two; 0 for a single
            invocation, 1 for a workgroup.
        held: The number of (vectors of) elements of its row that each invocation may hold in registers. The lowering
            promises that ``held`` is the least with ``held * cooperative * vector`` at least the length of every row.
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
