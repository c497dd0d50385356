"""The kernels of the three convolution ops: derived reductions, im2col and a product, and the 2-d library kernel.

Layouts, for any number of spatial dimensions: x (N, C, *size), w (O, C / groups, *kernel), y (N, O, *out).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from weft.dtypes import DType
from weft.kernels import Argument, Builder, KernelProgram, KernelStep, Library, Offset, Operand
from weft.ops.conv import winograd as convolution_winograd
from weft.ops.conv.blocks import LARGEST, block_steps
from weft.ops.conv.cropped import inner_taps, used_taps, with_outer_taps, without_outer_taps
from weft.ops.conv.flipped import by_flipped_filters, flipped_filters
from weft.ops.conv.sizes import ROLES, Convolution, ConvolutionTask
from weft.ops.matmul.linear import HALF_ALONE, matmul_step
from weft.ops.matmul.products import Asked, choose, piece, sum_pieces
from weft.ops.registry import sharing
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.spec import KernelRequest
from weft.ops.registry.temporaries import Scratch, is_dense
from weft.ops.views.ops import copy_step
from weft.target import TargetProfile

CONVOLUTION = ("convolution", "convolution", "convolution")
"""Stands for the types of ``Asked`` in the tuned choices of convolutions, apart from those of matrix products."""


def _grouped(operand: Operand, per_group: int) -> tuple[int, ...]:
    """Return the strides of (N, C, *) viewed as (N, groups, C / groups, *)."""
    n, c, *rest = operand.strides
    return n, c * per_group, c, *rest


def _grouped_first(operand: Operand, per_group: int) -> tuple[int, ...]:
    """Return the strides of (O, *) viewed as (groups, O / groups, *)."""
    o, *rest = operand.strides
    return o * per_group, o, *rest


def derived_forward(
    x: Operand, w: Operand, y: Operand, sizes: Convolution, profile: TargetProfile
) -> KernelProgram:
    """Return the derived kernel: each output is a sum over channels and taps."""
    builder = Builder("convolution_derived")
    n, g, o, *outs = builder.axes((sizes.n, sizes.groups, sizes.o_each, *sizes.window.out))
    c, *taps = builder.reduce_axes((sizes.c_each, *sizes.window.kernel))
    places, inside = sizes.window.sources(builder, outs, taps)
    value = builder.load(x, [n, g, c, *places], _grouped(x, sizes.c_each), inside)
    weight = builder.load(w, [g, o, c, *taps], _grouped_first(w, sizes.o_each))
    builder.store(y, [n, g, o, *outs], builder.reduce("sum", value * weight), _grouped(y, sizes.o_each))
    return KernelProgram((builder.finish(),))


def derived_input(
    y: Operand, w: Operand, x: Operand, sizes: Convolution, profile: TargetProfile
) -> KernelProgram:
    """Return the derived kernel: each input's gradient is a sum over the outputs that read it."""
    builder = Builder("convolution_input_derived")
    n, g, c, *places = builder.axes((sizes.n, sizes.groups, sizes.c_each, *sizes.window.size))
    o, *taps = builder.reduce_axes((sizes.o_each, *sizes.window.kernel))
    outs, inside = sizes.window.readers(builder, places, taps)
    value = builder.load(y, [n, g, o, *outs], _grouped(y, sizes.o_each), inside)
    weight = builder.load(w, [g, o, c, *taps], _grouped_first(w, sizes.o_each))
    builder.store(x, [n, g, c, *places], builder.reduce("sum", value * weight), _grouped(x, sizes.c_each))
    return KernelProgram((builder.finish(),))


def derived_weight(
    y: Operand, x: Operand, w: Operand, sizes: Convolution, profile: TargetProfile
) -> KernelProgram:
    """Return the derived kernel: each weight's gradient is a sum over images and places."""
    builder = Builder("convolution_weight_derived")
    g, o, c, *taps = builder.axes((sizes.groups, sizes.o_each, sizes.c_each, *sizes.window.kernel))
    n, *outs = builder.reduce_axes((sizes.n, *sizes.window.out))
    places, inside = sizes.window.sources(builder, outs, taps)
    value = builder.load(x, [n, g, c, *places], _grouped(x, sizes.c_each), inside)
    grad = builder.load(y, [n, g, o, *outs], _grouped(y, sizes.o_each))
    builder.store(w, [g, o, c, *taps], builder.reduce("sum", value * grad), _grouped_first(w, sizes.o_each))
    length = sizes.n * math.prod(sizes.window.out)
    return KernelProgram((builder.finish(cooperative=sharing.team(profile, sizes.o * sizes.taps, length)),))


# im2col: the input unfolded to columns, and a matrix product; on the CPU, and in 3-d on every target.


def _columns(scratch: Scratch, dtype: DType, sizes: Convolution) -> Operand:
    """Take a temporary for the columns (N, groups, taps, places)."""
    return scratch.take(dtype, (sizes.n, sizes.groups, sizes.taps, math.prod(sizes.window.out)))


def _split(sizes: Convolution) -> tuple[int, ...]:
    """Return the strides of columns viewed as (N, C, *kernel, *out)."""
    return contiguous_strides((sizes.n, sizes.c, *sizes.window.kernel, *sizes.window.out))


def _unfold(x: Operand, columns: Operand, sizes: Convolution) -> KernelStep:
    window, rank = sizes.window, len(sizes.window.size)
    builder = Builder("unfold")
    n, c, *rest = builder.axes((sizes.n, sizes.c, *window.kernel, *window.out))
    places, inside = window.sources(builder, rest[rank:], rest[:rank])
    builder.store(columns, [n, c, *rest], builder.load(x, [n, c, *places], None, inside), _split(sizes))
    return builder.finish()


def _fold(columns: Operand, x: Operand, sizes: Convolution) -> KernelStep:
    window = sizes.window
    builder = Builder("fold")
    n, c, *places = builder.axes((sizes.n, sizes.c, *window.size))
    taps = builder.reduce_axes(window.kernel)
    outs, inside = window.readers(builder, places, taps)
    value = builder.load(columns, [n, c, *taps, *outs], _split(sizes), inside)
    builder.store(x, [n, c, *places], builder.reduce("sum", value))
    return builder.finish()


def _as_matrices(y: Operand, sizes: Convolution) -> Operand:
    """View a contiguous y as (N, groups, O / groups, places)."""
    shape = (sizes.n, sizes.groups, sizes.o_each, math.prod(sizes.window.out))
    return Operand(y.index, y.dtype, shape, contiguous_strides(shape), y.slot)


def _by_group(operand: Operand, sizes: Convolution) -> Operand:
    """View a contiguous weight as (N, groups, O / groups, taps), broadcast over images."""
    per_group, taps = sizes.o_each, sizes.taps
    shape = (sizes.n, sizes.groups, per_group, taps)
    return Operand(operand.index, operand.dtype, shape, (0, per_group * taps, taps, 1), operand.slot)


def _transposed(operand: Operand) -> Operand:
    shape, strides = operand.shape, operand.strides
    return Operand(
        operand.index,
        operand.dtype,
        (*shape[:-2], shape[-1], shape[-2]),
        (*strides[:-2], strides[-1], strides[-2]),
        operand.slot,
    )


def _product(a: Operand, b: Operand, c: Operand) -> KernelStep:
    step = matmul_step(a, b, c)
    assert step is not None, "two batch dimensions always fit"
    return step


def _columns_forward(task: ConvolutionTask, scratch: Scratch) -> list[KernelStep]:
    (x, w), y, sizes = task.operands, task.target, task.sizes
    columns = _columns(scratch, x.dtype, sizes)
    product = _product(_by_group(w, sizes), columns, _as_matrices(y, sizes))
    return [_unfold(x, columns, sizes), product]


def _columns_input(task: ConvolutionTask, scratch: Scratch) -> list[KernelStep]:
    (y, w), x, sizes = task.operands, task.target, task.sizes
    columns = _columns(scratch, x.dtype.compute, sizes)
    product = _product(_transposed(_by_group(w, sizes)), _as_matrices(y, sizes), columns)
    return [product, _fold(columns, x, sizes)]


def _columns_weight(task: ConvolutionTask, scratch: Scratch) -> list[KernelStep]:
    (y, x), w, sizes = task.operands, task.target, task.sizes
    columns = _columns(scratch, x.dtype, sizes)
    by_image = scratch.take(x.dtype.compute, (sizes.n, sizes.groups, sizes.o_each, sizes.taps))
    builder = Builder("sum_images")
    g, o, k = builder.axes(by_image.shape[1:])
    (n,) = builder.reduce_axes((sizes.n,))
    total = builder.reduce("sum", builder.load(by_image, [n, g, o, k]))
    builder.store(w, [g, o, k], total, contiguous_strides(by_image.shape[1:]))
    product = _product(_as_matrices(y, sizes), _transposed(columns), by_image)
    return [_unfold(x, columns, sizes), product, builder.finish()]


_COLUMNS = {"forward": _columns_forward, "input": _columns_input, "weight": _columns_weight}
_DERIVED = {"forward": derived_forward, "input": derived_input, "weight": derived_weight}


def _sizes(
    kind: str, operands: Sequence[Operand], target: Operand, attributes: dict[str, Any]
) -> Convolution:
    first, second = (operand.shape for operand in operands)
    x, w = {"forward": (first, second), "input": (target.shape, second), "weight": (second, target.shape)}[
        kind
    ]
    return Convolution.of(x, w, attributes)


def _form(task: ConvolutionTask, profile: TargetProfile) -> str:
    """Return the target's form: ``"library"``, ``"winograd"``, ``"blocks"``, ``"columns"`` or ``"derived"``."""
    kind, target, sizes = task.kind, task.target, task.sizes
    if not is_dense(target):
        return "derived"  # the other forms write dense results
    if not profile.capabilities.workgroups:
        if "blas" not in profile.features or target.dtype.bits < 32:
            return "derived"
        if convolution_winograd.tiles_for(kind, sizes, target.dtype) is not None:
            return "winograd"
        # jobs of a 3-d input gradient would write to each other's images
        shared = kind == "input" and len(sizes.window.size) == 3
        return "blocks" if max(sizes.plane_numbers) < LARGEST and not shared else "columns"
    if sizes.numbers is not None:
        return "library"
    size = sizes.n * sizes.groups * sizes.taps * math.prod(sizes.window.out) * 4
    return "columns" if size <= profile.limits.get("max-storage-buffer-binding-size", 1 << 27) else "derived"


def _work(sizes: Convolution) -> int:
    """Return the number of multiplications of a convolution; each of its gradients has as many."""
    return sizes.n * sizes.groups * sizes.o_each * sizes.taps * math.prod(sizes.window.out)


def lowering(kind: str) -> Callable[..., KernelProgram]:
    """Return the lowering of ``"forward"`` (x, w to y), ``"input"`` (y, w to x) or ``"weight"`` (y, x to w)."""

    def lower(request: KernelRequest) -> KernelProgram:
        target = request.outputs[0]
        sizes = _sizes(kind, request.operands, target, request.attributes)
        # the tuned forms of targets without workgroups take 32 bits or more: 16 bits are converted, and back
        narrow = not request.profile.capabilities.workgroups and request.operands[0].dtype.bits < 32
        half = narrow and _work(sizes) > HALF_ALONE
        rounds = half and target.dtype.bits < 32
        scratch = Scratch.of(request)
        written = scratch.take(target.dtype.compute, target.shape) if rounds else target
        first, second = request.operands
        task = ConvolutionTask(kind, (first, second), written, sizes)
        form = "derived" if narrow and not half else _form(task, request.profile)
        if form == "derived" or any(0 in operand.shape for operand in request.operands):
            return _DERIVED[kind](first, second, target, sizes, request.profile)
        steps: list[KernelStep] = []

        def ready(operand: Operand) -> Operand:
            """Return the operand, or a dense copy for the tuned forms."""
            if not half and is_dense(operand):
                return operand
            dense = scratch.take(written.dtype, operand.shape)
            steps.append(copy_step("copy", operand, dense, operand.shape, operand.strides, dense.strides))
            return dense

        steps += _tuned(replace(task, operands=(ready(first), ready(second))), request.profile, scratch)
        if rounds:
            steps.append(copy_step("copy", written, target, target.shape, written.strides, target.strides))
        return scratch.program(steps)

    return lower


def _tuned(task: ConvolutionTask, profile: TargetProfile, scratch: Scratch) -> list[KernelStep]:
    """Return the target's best form, with filters cropped to the taps that meet the image."""
    kind, target, sizes = task.kind, task.target, task.sizes
    used = used_taps(sizes.window) if "lanes" in profile.features else None
    if used is not None:
        return _by_inner_taps(task, used, profile, scratch)
    form = _form(task, profile)
    flipped = by_flipped_filters(sizes) if form == "columns" and kind == "input" else None
    if flipped is not None:
        y, w = task.operands
        filters = scratch.take(target.dtype, (sizes.c, sizes.o_each, *sizes.window.kernel))
        forward = ConvolutionTask("forward", (y, filters), target, flipped)
        return [flipped_filters(w, filters, sizes), *_tuned(forward, profile, scratch)]
    if form == "winograd":
        tiles = convolution_winograd.tiles_for(kind, sizes, target.dtype)
        assert tiles is not None, "the form was chosen for its tiles"
        return convolution_winograd.steps(task, tiles, scratch)
    if form == "library":
        return _library_steps(task, profile, scratch)
    return block_steps(task, scratch) if form == "blocks" else _COLUMNS[kind](task, scratch)


def _by_inner_taps(
    task: ConvolutionTask, used: Sequence[tuple[int, int]], profile: TargetProfile, scratch: Scratch
) -> list[KernelStep]:
    """Return the target's best form with cropped filters, and the copy from or to the whole filters."""
    inner = without_outer_taps(task.sizes, used)
    first, second = task.operands
    whole = task.target if task.kind == "weight" else second
    cropped = scratch.take(task.target.dtype, (*whole.shape[:2], *inner.window.kernel))
    if task.kind == "weight":
        steps = _tuned(replace(task, target=cropped, sizes=inner), profile, scratch)
        return [*steps, with_outer_taps(cropped, whole, used)]
    steps = _tuned(replace(task, operands=(first, cropped), sizes=inner), profile, scratch)
    return [inner_taps(whole, cropped, used), *steps]


def _library_steps(task: ConvolutionTask, profile: TargetProfile, scratch: Scratch) -> list[KernelStep]:
    """Return the tiled library kernel, by split-K where that is faster."""
    kind, target, sizes = task.kind, task.target, task.sizes
    numbers = sizes.numbers
    assert numbers is not None, "at most two spatial dimensions"
    n, c, h, w, o, kh, kw, oh, ow = numbers[:9]
    groups = numbers[-1]
    taps = kh * kw
    rows, columns, depth = {
        "forward": (o // groups, n * oh * ow, c // groups * taps),
        "input": (c // groups, n * h * w, o // groups * taps),
        "weight": (o // groups, c // groups * taps, n * oh * ow),
    }[kind]
    first, second = task.operands
    left, run = {"forward": (second, depth), "weight": (first, oh * ow), "input": (second, 1)}[kind]
    along = "depth" if left.aligned and run % 4 == 0 else ""
    tile, splits = choose(profile, Asked(groups, rows, columns, depth, CONVOLUTION, (along, "")))
    options: tuple[tuple[str, int | str | bool], ...] = (("kind", kind),)
    if not profile.software:
        options += (("tile", tile), ("a", along))
    written = target
    if splits > 1:
        written = scratch.take(target.dtype.compute, (splits, *target.shape))
        options += (("split", True),)
    values = (first, second, written)
    arguments: list[Argument] = [*numbers, *(Offset(values[role].index) for role in ROLES[kind])]
    if splits > 1:
        arguments += [splits, piece(depth, splits), math.prod(target.shape)]
    library = Library("conv2d", tuple(value.dtype for value in values), options)
    steps = [KernelStep(library, tuple(value.index for value in values), tuple(arguments))]
    if splits > 1:
        steps.append(sum_pieces(written, target))
    return steps
