"""``nonzero``: the coordinates of the true elements of a mask, whose number is read back from the device."""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.expr import call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, KernelStep, Library, coalesce
from weft.ops.index.equal_keys import zero_step
from weft.ops.make.creation import to_dtype
from weft.ops.pointwise.masked import read_number
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.registry.temporaries import Scratch
from weft.ops.views.movement import reshape
from weft.ops.views.movement import select as select_dim


def _infer_nonzero(mask: TensorType, ranks: TensorType, *, count: int) -> tuple[TensorType, ...]:
    return (TensorType((count, len(mask.shape)), dtypes.int64),)


def _reference_nonzero(mask: Any, ranks: Any, *, count: int) -> Any:
    import numpy

    return numpy.argwhere(mask).astype("int64")


def _lower_nonzero(request: KernelRequest) -> KernelProgram:
    """Return two kernels: the n-th true element writes its flat position at row n; positions become coordinates."""
    mask, ranks = request.operands
    target, size = request.outputs[0], math.prod(mask.shape)
    scratch = Scratch(3)
    keys = scratch.take(dtypes.int64, (size,))
    builder = Builder("nonzero_keys")
    sizes, (own, key) = coalesce(mask.shape, [mask.strides, contiguous_strides(mask.shape)])
    axes = builder.axes(sizes)
    is_true = cast(builder.load(mask, axes, own), dtypes.bool_)
    rank = cast(builder.load(ranks, axes, [k * (ranks.strides or (1,))[-1] for k in key]), INDEX)
    builder.store(keys, axes, where(is_true, rank - 1, const(-1, INDEX)), key)
    steps = [builder.finish()]
    table = scratch.take(dtypes.int64, (request.attributes["count"],))
    steps.append(zero_step(table))
    steps.append(KernelStep(Library("last_place", (dtypes.int64,)), (keys.index, table.index), (size,)))
    builder = Builder("nonzero")
    (row,) = builder.axes((request.attributes["count"],))
    rest = builder.load(table, [row]) - 1
    for d in reversed(range(len(mask.shape))):
        bound = builder.integer(f"size{d}", mask.shape[d])
        here = call("irem", rest, bound) if d else rest
        place = builder.integer(f"column{d}", d * target.strides[1])
        builder.store(target, [row], here, (target.strides[0],), shift=place)
        rest = call("idiv", rest, bound)
    steps.append(builder.finish())
    return scratch.program(steps)


_UNBATCHED = "how many elements are found differs between samples; use weft.where with three arguments"


NONZERO = declare(
    "nonzero", rules=Rules(unbatched=_UNBATCHED),
    infer=_infer_nonzero, reference=_reference_nonzero, lower=_lower_nonzero,
    doc="Coordinates of the true elements of a mask; ranks is its running count over the flattened mask.",
)  # fmt: skip


@function(out=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The int64 coordinates of the elements that are not 0, in row-major order: (n, dimensions).

    Their number n is read from the device. ``as_tuple`` gives a 1-d tensor for each dimension, as indexing takes them.

    >>> import weft as wf
    >>> wf.nonzero(wf.tensor([[0, 3], [4, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    arguments.tensor("nonzero", "input", input)
    if as_tuple:
        whole = input if input.shape else reshape(input, 1)
        found = nonzero(whole)
        columns = (select_dim(found, 1, d) for d in range(len(whole.shape)))
        return tuple(bind(lookup("copy"), column) for column in columns)
    size = math.prod(input.shape)
    if size == 0:
        return bind(
            lookup("full"), 0, shape=(0, len(input.shape)), dtype=dtypes.int64, device=str(input.device)
        )
    mask = to_dtype(input, dtypes.bool_)
    ranks = bind(lookup("cumsum"), to_dtype(reshape(mask, -1), dtypes.int64), dim=0, reverse=False, fits=True)
    count = read_number("nonzero", select_dim(ranks, 0, -1))
    return bind(NONZERO, mask, ranks, count=count)


@function()
def argwhere(input: Tensor) -> Tensor:
    """Coordinates (n, dimensions) of the elements that are not 0, as ``nonzero``."""
    return nonzero(arguments.tensor("argwhere", "input", input))
