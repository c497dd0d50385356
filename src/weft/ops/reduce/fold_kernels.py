"""Kernels of reductions: fixed reduction trees, so that the same input gives the same bits.

A reduction is one kernel. Where it has few results of many elements each, it is two kernels: the first computes partial
results, the second reduces these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from weft import dtypes
from weft.dtypes import DType
from weft.expr import Expr, cast
from weft.kernels import Builder, KernelProgram, Operand, coalesce
from weft.kernels.derived import Combine
from weft.ops.reduce.checked_sums import checked_total, may_wrap
from weft.ops.registry import sharing
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.spec import KernelRequest
from weft.ops.registry.temporaries import is_dense
from weft.target import TargetProfile

SPLIT_ABOVE = 1 << 16
"""Elements per result from which a reduction with few results takes two kernels."""
CHUNKS = 64
"""Partial results per result. The number depends on sizes alone, so that the tree is the same on every machine."""
FOURS = ("sum", "prod", "max", "min")
"""Combinations whose kernels may load four elements at a time."""
LONGEST = 65535
"""Elements of a partial result at most: software WebGPU drivers abort longer loops."""
POSITIONS = ("argmax", "argmin")
"""Combinations that give a position, for which reduced dimensions stay apart."""
IDENTITIES = {"sum": 0, "prod": 1, "max": -math.inf, "min": math.inf, "any": 0, "all": 1}
"""The neutral element of each combination."""
_OF_BOOL: dict[Combine, Combine] = {"max": "any", "min": "all"}
"""The combination of bool that computes ``max`` and ``min``."""


@dataclass(frozen=True)
class Fold:
    """One reduction: what is reduced, over which dimensions, how, and into what.

    ``finish(builder, total, count)`` gives the result from the combined elements and their number.
    """

    name: str
    combine: Combine
    source: Operand
    target: Operand
    dims: tuple[int, ...]
    keepdim: bool
    accumulator: DType
    profile: TargetProfile
    finish: Callable[[Builder, Expr, int], Expr]

    @property
    def kept(self) -> list[int]:
        """The dimensions that are not reduced."""
        return [d for d in range(len(self.source.shape)) if d not in self.dims]

    @property
    def count(self) -> int:
        """Elements per result."""
        return math.prod(self.source.shape[d] for d in self.dims)

    @property
    def results(self) -> int:
        """The number of results."""
        return math.prod(self.source.shape[d] for d in self.kept)

    def program(self, free: int = 2) -> KernelProgram:
        """Return the kernels; ``free`` is the number of the first temporary."""
        return _two_kernels(self, free) or _one_kernel(self)


def kept_strides(target: Operand, dims: Sequence[int], keepdim: bool) -> list[int]:
    """Return a result's strides over the dimensions that are not reduced."""
    return [stride for d, stride in enumerate(target.strides) if not keepdim or d not in dims]


def _one_kernel(fold: Fold) -> KernelProgram:
    """Return the kernel whose points each reduce all elements of a result."""
    source, shape, kept, dims = fold.source, fold.source.shape, fold.kept, fold.dims
    out_strides = kept_strides(fold.target, dims, fold.keepdim)
    sizes, (own, out) = coalesce([shape[d] for d in kept], [[source.strides[d] for d in kept], out_strides])
    folded, inner = tuple(shape[d] for d in dims), tuple(source.strides[d] for d in dims)
    if fold.combine not in POSITIONS:
        folded, (inner,) = coalesce(folded, [inner])
    if 0 in folded:
        folded, inner = (0,), (1,)
    builder = Builder(fold.name)
    outer_axes = builder.axes(sizes)
    inner_axes = builder.reduce_axes(folded)
    value = builder.load(source, [*outer_axes, *inner_axes], [*own, *inner])
    total = builder.reduce(fold.combine, cast(value, fold.accumulator))
    builder.store(fold.target, outer_axes, fold.finish(builder, total, fold.count), out)
    shared = sharing.team(fold.profile, math.prod(sizes), fold.count, not inner or inner[-1] == 1)
    fours = fold.combine in FOURS and len(folded) == 1
    vector = sharing.in_fours(shared, fold.count, [(source, own, inner[-1])], [fold.target]) if fours else 1
    return KernelProgram((builder.finish(vector, shared),))


def _two_kernels(fold: Fold, free: int) -> KernelProgram | None:
    """Return a kernel of partial results and a kernel that reduces them; ``None`` where a single kernel suffices."""
    source, combine, profile, count, results = (
        fold.source,
        fold.combine,
        fold.profile,
        fold.count,
        fold.results,
    )
    if combine in POSITIONS or 0 in (count, results) or not is_dense(fold.target):
        return None
    folded, (inner,) = coalesce(
        [source.shape[d] for d in fold.dims], [[source.strides[d] for d in fold.dims]]
    )
    neighbours = inner[-1] == 1
    cut = sharing.pieces(profile, results, folded, neighbours)
    if not profile.capabilities.workgroups or profile.software:
        cut = _long_pieces(count, folded)
    if cut is None or (not cut.exact and fold.accumulator.kind != "float" and combine in ("max", "min")):
        return None
    sizes, (own,) = coalesce([source.shape[d] for d in fold.kept], [[source.strides[d] for d in fold.kept]])
    # partial results lie in the order of the invocations: by piece of a row, or by column
    partial_shape = (*sizes, cut.count) if neighbours else (cut.count, *sizes)
    partial = Operand(free, fold.accumulator, partial_shape, contiguous_strides(partial_shape), -2 - free)
    builder = Builder(f"{fold.name}_partial")
    outer = builder.axes(partial_shape)
    rows, piece = (outer[:-1], outer[-1]) if neighbours else (outer[1:], outer[0])
    folds = builder.reduce_axes((cut.length, *folded[1:]))
    position = piece * builder.integer("length", cut.length) + folds[0]
    valid = None if cut.exact else position < builder.integer("total", folded[0])
    points = [*rows, position, *folds[1:]]
    value = builder.load(source, points, [*own, *inner], valid, IDENTITIES[combine])
    builder.store(partial, outer, builder.reduce(combine, cast(value, fold.accumulator)), partial.strides)
    shared = sharing.team(profile, results * cut.count, count // folded[0] * cut.length, neighbours)
    fours = combine in FOURS and len(folded) == 1 and cut.exact
    vector = sharing.in_fours(shared, cut.length, [(source, own, inner[-1])]) if fours else 1
    first = builder.finish(vector, shared)
    builder = Builder(fold.name)  # the second kernel writes the results in row-major order
    (row,) = builder.axes((results,))
    (chunk,) = builder.reduce_axes((cut.count,))
    strides = (cut.count, 1) if neighbours else (1, results)
    total = builder.reduce(combine, builder.load(partial, [row, chunk], strides))
    builder.store(fold.target, [row], fold.finish(builder, total, count), (1,))
    shared = sharing.team(profile, results, cut.count, neighbours)
    return KernelProgram((first, builder.finish(1, shared)), ((fold.accumulator, results * cut.count),))


def _long_pieces(count: int, folded: Sequence[int]) -> sharing.Pieces | None:
    """Return the pieces of a long reduction on the CPU and on software drivers; ``None`` of a short one.

    The CPU's threads share the pieces, and no loop of a software driver is longer than ``LONGEST``.
    """
    if count < SPLIT_ABOVE:
        return None
    least = CHUNKS * -(-count // (CHUNKS * LONGEST))
    exact = next((pieces for pieces in range(least, 2 * least) if folded[0] % pieces == 0), None)
    if exact is None and len(folded) > 1:
        return None
    return sharing.Pieces(exact or least, -(-folded[0] // (exact or least)), exact is not None)


def fold_lowering(name: str, combine: Combine, mean: bool) -> Callable[..., KernelProgram]:
    """Return the ``lower`` of a reduction op; ``mean`` divides by the number of elements."""

    def lower(request: KernelRequest) -> KernelProgram:
        source, target = request.operands[0], request.outputs[0]
        combined = _OF_BOOL.get(combine, combine) if source.dtype is dtypes.bool_ else combine
        logical = combined in ("any", "all")
        typed = source if combined in ("max", "min", *POSITIONS) else target

        def finish(builder: Builder, total: Expr, count: int) -> Expr:
            if logical:
                return cast(total, target.dtype.compute)
            return total / cast(builder.integer("count", count), total.dtype) if mean else total

        fold = Fold(
            name, combined, source, target, request.attributes["dims"], request.attributes.get("keepdim", False),
            dtypes.bool_ if logical else typed.dtype.compute, request.profile, finish,
        )  # fmt: skip
        program = fold.program()
        if combined not in ("sum", "prod") or not may_wrap(combined, source, fold.dims, target, fold.profile):
            return program

        def approximate(into: Operand, free: int) -> KernelProgram:
            return replace(fold, name=f"{name}_about", target=into, accumulator=into.dtype).program(free)

        return checked_total(program, target, 2, approximate)

    return lower


def extreme_lowering(name: str, combine: Combine) -> Callable[..., KernelProgram]:
    """Return the ``lower`` of ``max`` and ``min`` along ``dim``: one kernel that gives the element and its position."""

    def lower(request: KernelRequest) -> KernelProgram:
        source, dim = request.operands[0], request.attributes["dim"]
        shape, strides = source.shape or (1,), source.strides or (0,)
        kept = [d for d in range(len(shape)) if d != dim]
        keepdim = request.attributes["keepdim"]
        out = [kept_strides(target, (dim,), keepdim) if target.shape else [] for target in request.outputs]
        sizes, (own, *out_strides) = coalesce([shape[d] for d in kept], [[strides[d] for d in kept], *out])
        builder = Builder(name)
        outer = builder.axes(sizes)
        (position,) = builder.reduce_axes((shape[dim],))
        value = builder.load(source, [*outer, position], [*own, strides[dim]])
        best = builder.reduce(combine, cast(value, dtypes.int32) if source.dtype is dtypes.bool_ else value)
        extreme = builder.load(source, [*outer, best], [*own, strides[dim]])
        for target, stored, target_strides in zip(request.outputs, (extreme, best), out_strides, strict=True):
            builder.store(target, outer, stored, target_strides)
        shared = sharing.team(request.profile, math.prod(sizes), shape[dim])
        return KernelProgram((builder.finish(cooperative=shared),))

    return lower
