"""Ops on tensors larger than a binding that are assembled from partial results: reductions, sums, copies.

Sizes and the binding limit alone decide the parts, so that the same call gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from weft.dtypes import DType
from weft.errors import UnsupportedError
from weft.ops import OPS, Interpreter, OpSpec
from weft.ops.registry.geometry import Geometry
from weft.ops.views.ops import follow
from weft.tensors.array import Array, empty


@dataclass(frozen=True, slots=True)
class LargeCall:
    """A call of an op with targets to write, some of whose tensors exceed the binding ``limit`` in bytes."""

    executor: Interpreter
    op: OpSpec
    operands: tuple[Any, ...]
    attributes: dict[str, Any]
    targets: tuple[Array, ...]
    limit: int

    def run(self, name: str, *values: Any, into: Array | None = None, **attributes: Any) -> Array:
        """Run an op by name; return its one result."""
        targets = None if into is None else (into,)
        result: Array = self.executor.process(OPS[name], values, attributes, targets, ())[0]
        return result

    def process(self, operands: tuple[Any, ...], into: tuple[Array, ...] | None = None) -> tuple[Any, ...]:
        """Run the op of the call, with its attributes, on other operands."""
        return self.executor.process(self.op, operands, self.attributes, into, ())


Assembly = Callable[[LargeCall], bool]
"""Runs a call by calls on parts; False where it cannot."""


def narrow(array: Array, axis: int, start: int, stop: int) -> Array:
    """Return a view of a part of a dimension."""
    return array.viewed(array.geometry.slice(axis, start, stop, 1))


def byte_extent(array: Array) -> int:
    """Return the bytes from the first to the last element of a view."""
    first, past = array.geometry.extent
    return (past - first) * array.device.itemsize(array.dtype)


def even_ranges(length: int, size: int, limit: int, alignment: int) -> Iterator[tuple[int, int]]:
    """Cut a dimension into even ranges whose windows fit the limit.

    Args:
        length: The size of the dimension.
        size: Bytes of the whole tensor.
        limit: The binding limit in bytes.
        alignment: The multiple, in bytes, at which windows begin.
    """
    room = max(1, limit - 2 * alignment)
    count = min(length, max(2, -(-size // room)))
    return pairwise([length * at // count for at in range(count + 1)])


PARTIAL = {name: name for name in ("sum", "amax", "amin", "any", "all", "prod", "logsumexp")} | {
    "mean": "sum"
}
"""The op that reduces a part, for the reductions whose partial results are reduced again."""


def _wide(op: OpSpec, x: Array, target: Array) -> DType:
    """Return the type of partial results."""
    return (
        target.dtype
        if op.name in ("any", "all", "sum", "prod") and x.dtype.kind != "float"
        else x.dtype.compute
    )


def _axis(x: Array, dims: tuple[int, ...]) -> int | None:
    """Return the reduced dimension of the largest extent, ``None`` where no reduced dimension has an extent."""
    axis = max(dims, key=lambda d: (x.shape[d] - 1) * x.strides[d], default=None)
    return axis if axis is not None and (x.shape[axis] - 1) * x.strides[axis] > 0 else None


def reduction(call: LargeCall) -> bool:
    """Reduce each part of a dimension, and then the partial results."""
    x, dims, target = call.operands[0], call.attributes["dims"], call.targets[0]
    axis = _axis(x, dims)
    if axis is None:
        return False
    pieces = list(even_ranges(x.shape[axis], byte_extent(x), call.limit, x.device.alignment))
    shape = tuple(1 if d in dims else size for d, size in enumerate(x.shape))
    wide = _wide(call.op, x, target)
    partial = empty(x.device, wide, (*shape[:axis], len(pieces), *shape[axis + 1 :]))
    for at, (start, stop) in enumerate(pieces):
        part = narrow(x, axis, start, stop)
        name = PARTIAL[call.op.name]
        call.run(name, part, into=narrow(partial, axis, at, at + 1), dims=dims, keepdim=True)
    if call.op.name != "mean":
        call.run(call.op.name, partial, into=target, **call.attributes)
        return True
    total = empty(x.device, wide, target.shape)
    call.run("sum", partial, into=total, **call.attributes)
    call.run("div", total, math.prod(x.shape[d] for d in dims), into=target)
    return True


def arg_extreme(call: LargeCall) -> bool:
    """Run ``argmax`` on each part of the outermost dimension, and then choose the first of the best parts."""
    x, dims, target = call.operands[0], call.attributes["dims"], call.targets[0]
    axis = next((d for d in dims if x.shape[d] > 1), None)
    if axis is None or math.prod(target.shape) != math.prod(
        n for d, n in enumerate(x.shape) if d not in dims
    ):
        return False
    pieces = list(even_ranges(x.shape[axis], byte_extent(x), call.limit, x.device.alignment))
    shape = tuple(1 if d in dims else size for d, size in enumerate(x.shape))
    apart = (*shape[:axis], len(pieces), *shape[axis + 1 :])
    values, places = empty(x.device, x.dtype, apart), empty(x.device, target.dtype, apart)
    inner = math.prod(x.shape[d] for d in dims if d > axis)
    extreme = {"argmax": "amax", "argmin": "amin"}[call.op.name]
    for at, (start, stop) in enumerate(pieces):
        part, place = narrow(x, axis, start, stop), narrow(places, axis, at, at + 1)
        call.run(extreme, part, into=narrow(values, axis, at, at + 1), dims=dims, keepdim=True)
        call.run(call.op.name, part, into=place, dims=dims, keepdim=True)
        call.run("add", place, start * inner, into=place)
    best = call.run(call.op.name, values, dims=(axis,), keepdim=True)
    chosen = call.run("gather", places, best, dim=axis)
    call.run("cast", chosen.viewed(Geometry.contiguous(target.shape)), into=target, dtype=target.dtype)
    return True


def variance(call: LargeCall) -> bool:
    """Compute the mean, and then the mean square of the deviations."""
    x, dims = call.operands[0], call.attributes["dims"]
    variance_target, mean_target = call.targets
    shape = tuple(1 if d in dims else size for d, size in enumerate(x.shape))
    mean = call.run("mean", x, into=empty(x.device, x.dtype.compute, shape), dims=dims, keepdim=True)
    deviations = call.run("sub", x, mean, into=empty(x.device, x.dtype.compute, x.shape))
    call.run("square", deviations, into=deviations)
    total = call.run("sum", deviations, dims=dims, keepdim=call.attributes["keepdim"])
    count = math.prod(x.shape[d] for d in dims) - call.attributes["correction"]
    call.run("div", total, float(max(count, 0)), into=variance_target)
    mean = mean.viewed(Geometry.contiguous(mean_target.shape))
    call.run("cast", mean, into=mean_target, dtype=mean_target.dtype)
    return True


def product(call: LargeCall) -> bool:
    """Add the matrix products of parts of the summed dimension, in order."""
    a, b = call.operands
    return _summed(call, (len(a.shape) - 1, len(b.shape) - 2))


def kernel_gradient(call: LargeCall) -> bool:
    """Add the gradients of a convolution's kernel over parts of the batch, in order."""
    return _summed(call, (0,) * len(call.operands))


def norm_parameters(call: LargeCall) -> bool:
    """Add the gradients of a norm's weight and bias over parts of the rows, in order."""
    x = call.operands[1]
    axis = _axis(x, tuple(d for d, size in enumerate(call.attributes["shape"]) if size == 1))
    if axis is None:
        return False
    axes = tuple(axis if operand.shape[axis] == x.shape[axis] else None for operand in call.operands)
    return _summed(call, axes)


def _summed(call: LargeCall, axes: tuple[int | None, ...]) -> bool:
    """Add the results of the op on parts of the operands' ``axes``, in order."""
    split = [(operand, axis) for operand, axis in zip(call.operands, axes, strict=True) if axis is not None]
    worst, longest = max(split, key=lambda pair: byte_extent(pair[0]))
    if (
        worst.shape[longest] < 2
        or worst.strides[longest] == 0
        or any(byte_extent(target) > call.limit for target in call.targets)
    ):
        return False
    totals = [empty(target.device, target.dtype.compute, target.shape) for target in call.targets]
    for start, stop in even_ranges(
        worst.shape[longest], byte_extent(worst), call.limit, worst.device.alignment
    ):
        parts = tuple(
            operand if axis is None else narrow(operand, axis, start, stop)
            for operand, axis in zip(call.operands, axes, strict=True)
        )
        for total, part in zip(totals, call.process(parts), strict=True):
            if start:
                call.run("add", total, part, into=total)
            else:
                call.run("cast", part, into=total, dtype=total.dtype)
    for total, target in zip(totals, call.targets, strict=True):
        call.run("cast", total, into=target, dtype=target.dtype)
    return True


def concatenation(call: LargeCall) -> bool:
    """Run ``cat`` as a copy of each tensor."""
    (target,), dim, start = call.targets, call.attributes["dim"], 0
    for operand in call.operands:
        stop = start + operand.shape[dim]
        if math.prod(operand.shape):
            call.run("cast", operand, into=narrow(target, dim, start, stop), dtype=target.dtype)
        start = stop
    return True


def update_view(call: LargeCall) -> bool:
    """Copy the base, and then the value into the view."""
    base, value = call.operands
    (target,) = call.targets
    call.run("cast", base, into=target, dtype=target.dtype)
    call.run(
        "cast",
        value,
        into=target.viewed(follow(target.geometry, call.attributes["path"])),
        dtype=target.dtype,
    )
    return True


def updates(call: LargeCall) -> bool:
    """Run an optimizer's step for each parameter that exceeds the limit alone, and for the others together."""
    shared, width, written = call.op.info["update"]
    states = call.operands[shared:]
    count = len(states) // width
    if count < 2:
        return False
    groups: list[list[int]] = [[]]
    for at in range(count):
        members = (*states[at * width : (at + 1) * width], *call.targets[at * written : (at + 1) * written])
        if any(byte_extent(member) > call.limit for member in members):
            groups.append([at])
        else:
            groups[0].append(at)
    if len(groups) == 1:  # each would fit, but not the windows of all together
        groups = [[at] for at in range(count)]
    for group in groups:
        if group:
            parts = [value for at in group for value in states[at * width : (at + 1) * width]]
            into = tuple(target for at in group for target in call.targets[at * written : (at + 1) * written])
            call.process((*call.operands[:shared], *parts), into)
    return True


def lookup(call: LargeCall) -> bool:
    """Look every index up in each part of the table, and keep the row from the part that holds the index."""
    (weight, index), (target,) = call.operands, call.targets
    if byte_extent(weight) <= call.limit:
        return False
    rows, width = weight.shape
    # checks every index against the whole table, by a table of its shape whose rows all are one row
    one_row = weight.viewed(Geometry((rows, 1), (0, 1), weight.offset))
    call.process((one_row, index))
    room = call.limit - 2 * weight.device.alignment
    most = room // (max(1, weight.strides[0]) * weight.device.itemsize(weight.dtype))
    if most < 1 or math.prod(target.shape) * target.device.itemsize(target.dtype) > call.limit:
        raise UnsupportedError(
            f"{call.op.name}: rows of {width:,} elements and a result of {list(target.shape)} do not fit the largest "
            f"binding of {weight.device.name}, {call.limit:,} bytes; look fewer indices up at a time"
        )
    for start in range(0, rows, most):
        stop = min(rows, start + most)
        inside = call.run("logical_and", call.run("ge", index, start), call.run("lt", index, stop))
        local = call.run("mul", call.run("sub", index, start), inside)
        (picked,) = call.process((narrow(weight, 0, start, stop), local))
        wide = inside.viewed(Geometry((*inside.shape, 1), (*inside.strides, 1), inside.offset))
        call.run("where", wide, picked, target, into=target)
    return True


ASSEMBLIES: dict[str, Assembly] = {
    **dict.fromkeys(PARTIAL, reduction), "argmax": arg_extreme, "argmin": arg_extreme, "var_mean": variance,
    "matmul": product, "convolution_weight": kernel_gradient, "norm_parameters": norm_parameters,
    "cat": concatenation, "update_view": update_view, "embedding": lookup,
}  # fmt: skip


def assembly_of(op: OpSpec) -> Assembly | None:
    """Return how an op is assembled from partial results, ``None`` where it cannot be."""
    return updates if "update" in op.info else ASSEMBLIES.get(op.name)
