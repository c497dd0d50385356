"""The CPU's blocked convolution: im2col of a block, which stays in a core's cache, and a BLAS product with it."""

from __future__ import annotations

import math

from weft.expr import const
from weft.expr.node import INDEX
from weft.kernels import Argument, Builder, KernelStep, Library, Offset, Operand
from weft.ops.conv.sizes import ROLES, Convolution, ConvolutionTask
from weft.ops.registry.temporaries import Scratch

BLOCK = 1 << 19
"""Bytes of a block of columns: half of a core's private cache."""
JOBS = 16
"""The most runs of blocks; threads take whole runs. A run has one block, and its own part of a weight's gradient."""
PARTS = 1 << 22
"""The most elements of all parts together; larger gradients have fewer runs, but at least four."""
FEW_PARTS = 4
"""Parts up to which they are added in one expression rather than by a reduction."""
TOGETHER = 256
"""Columns of a block of several images; a product with fewer than half as many columns is slow."""
LARGEST = 1 << 31
"""The first size that is too large for a BLAS with 32-bit integers."""


def block_steps(task: ConvolutionTask, scratch: Scratch) -> list[KernelStep]:
    """Return the CPU's kernel, whose jobs take blocks of output rows, or of channels for the input's gradient."""
    kind, target, sizes = task.kind, task.target, task.sizes
    numbers, deep = sizes.plane_numbers, sizes.depth_numbers
    kh, kw, oh, ow = numbers[5:9]
    kd, od = deep[1:3]
    most = BLOCK // target.dtype.itemsize
    rows, channels, images = oh, sizes.c_each * kd, 1
    if oh * ow <= TOGETHER // 2:
        images = _evenly(sizes.n * od, min(TOGETHER // (oh * ow), -(-sizes.n * od // 2)))
    if kind == "input":
        channels = _evenly(channels, most // (kh * kw * images * oh * ow))
    elif images == 1:
        rows = _evenly(rows, max(most // (sizes.taps * ow), min(rows, -(-TOGETHER // (2 * ow)))))
    units = -(-sizes.n * od // images) * sizes.groups * -(-oh // rows) * -(-sizes.c_each * kd // channels)
    jobs = min(units, JOBS)
    if kind == "weight":
        jobs = min(jobs, max(4, PARTS // math.prod(target.shape)))
    width = images * rows * ow
    room = -(-channels * kh * kw * width // 16) * 16
    if images > 1:
        room += -(-sizes.o_each * width // 16) * 16
    columns, written = scratch.take(target.dtype, (jobs * room,)), target
    if kind == "weight":
        written = scratch.take(target.dtype, (jobs, sizes.groups, sizes.taps, sizes.o_each))
    values = (*task.operands, written, columns)
    arguments: list[Argument] = [*numbers, *(Offset(values[role].index) for role in ROLES[kind])]
    arguments += [rows, channels, images, room, jobs, *deep]
    strides, padding = numbers[9:11], numbers[11:13]
    step = 2 if strides[1] == 2 else int(strides == (1, 1))
    plain = (kh, kw) == strides == (1, 1) and padding == (0, 0) and (oh, ow) == numbers[2:4]
    plain = plain and deep == (od, 1, od, 1, 0, deep[5])
    options = (("kind", kind), ("step", step), ("plain", plain), ("many", images > 1))
    library = Library("conv2d", (target.dtype,) * 4, options)
    steps = [KernelStep(library, tuple(value.index for value in values), tuple(arguments))]
    if kind == "weight":
        steps.append(_sum_parts(written, target, sizes))
    return steps


def _sum_parts(parts: Operand, target: Operand, sizes: Convolution) -> KernelStep:
    """Sum the parts (groups, taps, O / groups) of a weight's gradient.

    Few parts are large, and are added in one expression without a reduction, so that the kernel transposes in squares.
    """
    builder = Builder("sum_parts")
    strides = sizes.o_each * sizes.taps, sizes.taps, 1
    if parts.shape[0] > FEW_PARTS:
        g, k, o = builder.axes(parts.shape[1:])
        (number,) = builder.reduce_axes(parts.shape[:1])
        total = builder.reduce("sum", builder.load(parts, [number, g, k, o]))
    else:
        g, o, k = builder.axes((sizes.groups, sizes.o_each, sizes.taps))
        total = builder.load(parts, [const(0, INDEX), g, k, o])
        for later in range(1, parts.shape[0]):
            total = total + builder.load(parts, [const(later, INDEX), g, k, o])
    builder.store(target, [g, o, k], total, strides)
    return builder.finish()


def _evenly(count: int, most: int) -> int:
    """Return the size of the pieces, at most ``most`` (at least 1), into which ``count`` is evenly cut."""
    pieces = -(-count // max(1, most))
    return -(-count // pieces)
