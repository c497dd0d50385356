"""Ops on tensors larger than a binding that are put together from parts: folds of partial results, sums, copies.

The parts are decided by sizes and the binding limit alone, so that the same call gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Protocol

from weft.dtypes import DType
from weft.errors import UnsupportedError
from weft.ops import OPS, OpSpec
from weft.ops.registry.geometry import Geometry
from weft.ops.views.ops import follow
from weft.tensors.array import Array, empty


class Executor(Protocol):
    """What carries out the pieces: the eager interpreter."""

    def process(self, op: Any, operands: Any, attributes: Any, into: Any, below: Any) -> tuple[Any, ...]:
        """Run an op."""


Step = Callable[[Executor, OpSpec, "tuple[Any, ...]", "dict[str, Any]", "tuple[Array, ...]", int], bool]
"""Carries a call out; False where this is not its case."""


def narrow(array: Array, axis: int, start: int, stop: int) -> Array:
    """A view of a part of a dimension."""
    return array.viewed(array.geometry.slice(axis, start, stop, 1))


def reach(array: Array) -> int:
    """Bytes from the first to the last element of a view."""
    first, past = array.geometry.extent
    return (past - first) * array.device.itemsize(array.dtype)


def cuts(length: int, size: int, limit: int, alignment: int) -> Iterator[tuple[int, int]]:
    """A dimension of ``length`` in even parts, such that ``size`` bytes in all become windows below the limit."""
    room = max(1, limit - 2 * alignment)  # windows begin at multiples of the alignment
    count = min(length, max(2, -(-size // room)))
    return pairwise([length * at // count for at in range(count + 1)])


def run(executor: Executor, name: str, *values: Any, into: Array | None = None, **attributes: Any) -> Array:
    """The one result of an op."""
    made: Array = executor.process(OPS[name], values, attributes, None if into is None else (into,), ())[0]
    return made


PARTIAL = {name: name for name in ("sum", "amax", "amin", "any", "all", "prod", "logsumexp")} | {
    "mean": "sum"
}
"""What gives a part's result, for the folds whose parts are folded again."""


def _wide(op: OpSpec, x: Array, target: Array) -> DType:
    """The type of partial results."""
    return (
        target.dtype
        if op.name in ("any", "all", "sum", "prod") and x.dtype.kind != "float"
        else x.dtype.compute
    )


def _axis(x: Array, dims: tuple[int, ...]) -> int | None:
    """The folded dimension that takes most of the tensor."""
    axis = max(dims, key=lambda d: (x.shape[d] - 1) * x.strides[d], default=None)
    return axis if axis is not None and (x.shape[axis] - 1) * x.strides[axis] > 0 else None


def fold(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int,
) -> bool:  # fmt: skip
    """A reduction along a dimension that is cut: the parts' results side by side, and their fold."""
    x, dims, target = operands[0], attributes["dims"], targets[0]
    axis = _axis(x, dims)
    if axis is None:
        return False
    parts = list(cuts(x.shape[axis], reach(x), limit, x.device.alignment))
    shape = tuple(1 if d in dims else size for d, size in enumerate(x.shape))
    wide = _wide(op, x, target)
    partial = empty(x.device, wide, (*shape[:axis], len(parts), *shape[axis + 1 :]))
    for at, (start, stop) in enumerate(parts):
        part = narrow(x, axis, start, stop)
        name = PARTIAL[op.name]
        run(executor, name, part, into=narrow(partial, axis, at, at + 1), dims=dims, keepdim=True)
    if op.name != "mean":
        run(executor, op.name, partial, into=target, **attributes)
        return True
    total = empty(x.device, wide, target.shape)
    run(executor, "sum", partial, into=total, **attributes)
    run(executor, "div", total, math.prod(x.shape[d] for d in dims), into=target)
    return True


def position(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int,
) -> bool:  # fmt: skip
    """``argmax``: each part's extreme and its place, then the first of the best parts. Parts are outermost."""
    x, dims, target = operands[0], attributes["dims"], targets[0]
    axis = next((d for d in dims if x.shape[d] > 1), None)
    if axis is None or math.prod(target.shape) != math.prod(
        n for d, n in enumerate(x.shape) if d not in dims
    ):
        return False
    parts = list(cuts(x.shape[axis], reach(x), limit, x.device.alignment))
    shape = tuple(1 if d in dims else size for d, size in enumerate(x.shape))
    apart = (*shape[:axis], len(parts), *shape[axis + 1 :])
    values, places = empty(x.device, x.dtype, apart), empty(x.device, target.dtype, apart)
    inner = math.prod(x.shape[d] for d in dims if d > axis)
    extreme = {"argmax": "amax", "argmin": "amin"}[op.name]
    for at, (start, stop) in enumerate(parts):
        part, own = narrow(x, axis, start, stop), narrow(places, axis, at, at + 1)
        run(executor, extreme, part, into=narrow(values, axis, at, at + 1), dims=dims, keepdim=True)
        run(executor, op.name, part, into=own, dims=dims, keepdim=True)
        run(executor, "add", own, start * inner, into=own)
    best = run(executor, op.name, values, dims=(axis,), keepdim=True)
    found = run(executor, "gather", places, best, dim=axis)
    run(executor, "cast", found.viewed(Geometry.contiguous(target.shape)), into=target, dtype=target.dtype)
    return True


def variance(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int,
) -> bool:  # fmt: skip
    """The mean, then the mean square of what is off it."""
    x, dims = operands[0], attributes["dims"]
    spread, middle = targets
    shape = tuple(1 if d in dims else size for d, size in enumerate(x.shape))
    mean = run(executor, "mean", x, into=empty(x.device, x.dtype.compute, shape), dims=dims, keepdim=True)
    off = run(executor, "sub", x, mean, into=empty(x.device, x.dtype.compute, x.shape))
    run(executor, "square", off, into=off)
    total = run(executor, "sum", off, dims=dims, keepdim=attributes["keepdim"])
    count = math.prod(x.shape[d] for d in dims) - attributes["correction"]
    run(executor, "div", total, float(max(count, 0)), into=spread)
    run(executor, "cast", mean.viewed(Geometry.contiguous(middle.shape)), into=middle, dtype=middle.dtype)
    return True


def product(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int,
) -> bool:  # fmt: skip
    """A matrix product along what is summed: products of parts, added up in order."""
    a, b = operands
    return _added(executor, op, operands, attributes, targets, limit, (len(a.shape) - 1, len(b.shape) - 2))


def images(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int,
) -> bool:  # fmt: skip
    """The gradient of a convolution's kernel: that of parts of the batch, added up in order."""
    return _added(executor, op, operands, attributes, targets, limit, (0,) * len(operands))


def parameters(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int,
) -> bool:  # fmt: skip
    """The gradients of a norm's weight and bias: those of parts of the rows, added up in order."""
    x = operands[1]
    axis = _axis(x, tuple(d for d, size in enumerate(attributes["shape"]) if size == 1))
    if axis is None:
        return False
    axes = tuple(axis if operand.shape[axis] == x.shape[axis] else None for operand in operands)
    return _added(executor, op, operands, attributes, targets, limit, axes)


def _added(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int, axes: tuple[int | None, ...],
) -> bool:  # fmt: skip
    ends = [(one, axis) for one, axis in zip(operands, axes, strict=True) if axis is not None]
    worst, longest = max(ends, key=lambda end: reach(end[0]))
    if (
        worst.shape[longest] < 2
        or worst.strides[longest] == 0
        or any(reach(target) > limit for target in targets)
    ):
        return False
    totals = [empty(target.device, target.dtype.compute, target.shape) for target in targets]
    for start, stop in cuts(worst.shape[longest], reach(worst), limit, worst.device.alignment):
        parts = tuple(
            one if axis is None else narrow(one, axis, start, stop)
            for one, axis in zip(operands, axes, strict=True)
        )
        for total, part in zip(totals, executor.process(op, parts, attributes, None, ()), strict=True):
            if start:
                run(executor, "add", total, part, into=total)
            else:
                run(executor, "cast", part, into=total, dtype=total.dtype)
    for total, target in zip(totals, targets, strict=True):
        run(executor, "cast", total, into=target, dtype=target.dtype)
    return True


def joined(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int,
) -> bool:  # fmt: skip
    """``cat`` as a copy of each tensor."""
    (target,), dim, start = targets, attributes["dim"], 0
    for operand in operands:
        stop = start + operand.shape[dim]
        if math.prod(operand.shape):
            run(executor, "cast", operand, into=narrow(target, dim, start, stop), dtype=target.dtype)
        start = stop
    return True


def update_view(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int,
) -> bool:  # fmt: skip
    """A copy of the base, and one of the value into the view."""
    base, value = operands
    (target,) = targets
    run(executor, "cast", base, into=target, dtype=target.dtype)
    run(
        executor,
        "cast",
        value,
        into=target.viewed(follow(target.geometry, attributes["path"])),
        dtype=target.dtype,
    )
    return True


def updates(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int,
) -> bool:  # fmt: skip
    """An optimizer's step: parameters that are too large by themselves, the others together."""
    shared, width, written = op.info["update"]
    own = operands[shared:]
    count = len(own) // width
    if count < 2:
        return False
    groups: list[list[int]] = [[]]
    for at in range(count):
        members = (*own[at * width : (at + 1) * width], *targets[at * written : (at + 1) * written])
        if any(reach(member) > limit for member in members):
            groups.append([at])
        else:
            groups[0].append(at)
    if len(groups) == 1:  # each would fit, but not the windows of all together
        groups = [[at] for at in range(count)]
    for group in groups:
        if group:
            parts = [value for at in group for value in own[at * width : (at + 1) * width]]
            into = tuple(target for at in group for target in targets[at * written : (at + 1) * written])
            executor.process(op, (*operands[:shared], *parts), attributes, into, ())
    return True


def embedding(
    executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], targets: tuple[Array, ...],
    limit: int,
) -> bool:  # fmt: skip
    """Rows of a table by parts of the table: each index is looked up in every part, and kept from its own."""
    (weight, index), (target,) = operands, targets
    if reach(weight) <= limit:
        return False
    rows, width = weight.shape
    # every index is checked against the whole table, by a table of its shape whose rows are one
    one_row = weight.viewed(Geometry((rows, 1), (0, 1), weight.offset))
    executor.process(op, (one_row, index), attributes, None, ())
    room = limit - 2 * weight.device.alignment
    each = room // (max(1, weight.strides[0]) * weight.device.itemsize(weight.dtype))
    if each < 1 or math.prod(target.shape) * target.device.itemsize(target.dtype) > limit:
        raise UnsupportedError(
            f"{op.name}: rows of {width:,} elements and a result of {list(target.shape)} do not fit the largest "
            f"binding of {weight.device.name}, {limit:,} bytes; look fewer indices up at a time"
        )
    for start in range(0, rows, each):
        stop = min(rows, start + each)
        inside = run(
            executor, "logical_and", run(executor, "ge", index, start), run(executor, "lt", index, stop)
        )
        own = run(executor, "mul", run(executor, "sub", index, start), inside)
        picked = executor.process(op, (narrow(weight, 0, start, stop), own), attributes, None, ())[0]
        wide = inside.viewed(Geometry((*inside.shape, 1), (*inside.strides, 1), inside.offset))
        run(executor, "where", wide, picked, target, into=target)
    return True


STEPS: dict[str, Step] = {
    **dict.fromkeys(PARTIAL, fold), "argmax": position, "argmin": position, "var_mean": variance, "matmul": product,
    "convolution_weight": images, "norm_parameters": parameters, "cat": joined, "update_view": update_view,
    "embedding": embedding,
}  # fmt: skip


def steps(op: OpSpec) -> Step | None:
    """How an op is put together from parts, ``None`` where it is not."""
    return updates if "update" in op.info else STEPS.get(op.name)
