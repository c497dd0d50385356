"""``any_non_finite``: whether any element of several tensors is infinite or NaN, by two kernels for all tensors.

Gradient scaling checks all gradients at each step. The first kernel has a part for each tensor, which writes a flag for
each run of elements; the second kernel reduces the flags.
"""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.errors import DTypeError, mistake
from weft.expr import call, const, where
from weft.kernels import PARTS, Builder, KernelProgram, KernelStep, Operand
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare

RUN = 1024
"""Elements of a flag: a fixed number, small enough that all processors have work."""


def _infer(*types: TensorType) -> tuple[TensorType, ...]:
    for position, given in enumerate(types):
        if given.dtype.kind != "float":
            raise DTypeError(
                mistake("any_non_finite", f"tensor {position}", given.dtype.name, "a floating point type")
            )
    return (TensorType((), dtypes.float32),)


def _reference(*arrays: Any) -> Any:
    import numpy

    found = any(not numpy.isfinite(array.astype("float64")).all() for array in arrays)
    return numpy.array(found, "float32")


def _lower(request: KernelRequest) -> KernelProgram:
    counts = [math.prod(operand.shape) for operand in request.operands]
    total = sum(-(-count // RUN) for count in counts)
    number = len(request.operands) + 1
    flags = Operand(number, dtypes.float32, (max(total, 1),), (1,), number)
    limit = int(request.profile.limits.get("max-storage-buffers-per-shader-stage", 1 << 30))
    steps: list[KernelStep] = []
    builder, slots, start, parts = Builder("non_finite"), {flags.slot}, 0, 0
    for operand, count in zip(request.operands, counts, strict=True):
        if count == 0:
            continue
        if len(slots | {operand.slot}) > limit or parts == PARTS:
            steps.append(builder.finish())
            builder, slots, parts = Builder("non_finite"), {flags.slot}, 0
        slots.add(operand.slot)
        parts += 1
        runs = -(-count // RUN)
        (run,) = builder.axes((runs,))
        (within,) = builder.reduce_axes((min(RUN, count),))
        position = run * builder.integer("run", RUN) + within
        valid = None if count % RUN == 0 or runs == 1 else position < builder.integer(f"count{start}", count)
        value = builder.load(operand, [position], (1,), valid)
        bad = where(call("isfinite", value), const(0, dtypes.float32), const(1, dtypes.float32))
        shift = builder.integer(f"start{start}", start)
        builder.store(flags, [run], builder.reduce("max", bad), (1,), shift=shift)
        builder.end_part()
        start += runs
    if start == 0:
        builder.axes((1,))
        builder.store(request.outputs[0], [], const(0, dtypes.float32), ())
        return KernelProgram((builder.finish(),))
    steps.append(builder.finish())
    builder = Builder("any_flag")
    builder.axes((1,))
    (flag,) = builder.reduce_axes((total,))
    builder.store(request.outputs[0], [], builder.reduce("max", builder.load(flags, [flag], (1,))), ())
    return KernelProgram((*steps, builder.finish()), ((dtypes.float32, max(total, 1)),))


ANY_NON_FINITE: OpSpec = declare(
    "any_non_finite", rules=Rules("any_non_finite"),
    infer=_infer, reference=_reference, lower=_lower, dense=True,
    doc="1 where any element of the tensors is infinite or NaN, else 0.",
)  # fmt: skip
