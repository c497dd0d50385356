"""The kernels of the three convolution ops: derived reductions, im2col and a product, and the 2-d library kernel.

Layouts, for any number of spatial dimensions: x (N, C, *size), w (O, C / groups, *kernel), y (N, O, *out).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from weft.dtypes import DType
from weft.expr import const
from weft.expr.node import INDEX
from weft.kernels import Argument, Builder, KernelProgram, KernelStep, Library, Offset, Operand
from weft.ops.conv import winograd as convolution_winograd
from weft.ops.conv.cropped import inner_taps, used_taps, with_outer_taps, without_outer_taps
from weft.ops.conv.flipped import by_flipped_filters, flipped_filters
from weft.ops.conv.sizes import Convolution
from weft.ops.matmul.linear import HALF_ALONE, matmul_step
from weft.ops.matmul.products import Asked, choose, piece, sum_pieces
from weft.ops.registry import sharing
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.spec import KernelRequest
from weft.ops.registry.temporaries import is_dense, temporary
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


def _columns(index: int, dtype: DType, sizes: Convolution) -> Operand:
    """The scratch value (N, groups, taps, places)."""
    return temporary(index, dtype, (sizes.n, sizes.groups, sizes.taps, math.prod(sizes.window.out)))


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


def _columns_forward(
    x: Operand, w: Operand, y: Operand, sizes: Convolution, free: int
) -> tuple[list[KernelStep], list[Operand]]:
    columns = _columns(free, x.dtype, sizes)
    product = _product(_by_group(w, sizes), columns, _as_matrices(y, sizes))
    return [_unfold(x, columns, sizes), product], [columns]


def _columns_input(
    y: Operand, w: Operand, x: Operand, sizes: Convolution, free: int
) -> tuple[list[KernelStep], list[Operand]]:
    columns = _columns(free, x.dtype.compute, sizes)
    product = _product(_transposed(_by_group(w, sizes)), _as_matrices(y, sizes), columns)
    return [product, _fold(columns, x, sizes)], [columns]


def _columns_weight(
    y: Operand, x: Operand, w: Operand, sizes: Convolution, free: int
) -> tuple[list[KernelStep], list[Operand]]:
    columns = _columns(free, x.dtype, sizes)
    by_image = temporary(free + 1, x.dtype.compute, (sizes.n, sizes.groups, sizes.o_each, sizes.taps))
    builder = Builder("sum_images")
    g, o, k = builder.axes(by_image.shape[1:])
    (n,) = builder.reduce_axes((sizes.n,))
    total = builder.reduce("sum", builder.load(by_image, [n, g, o, k]))
    builder.store(w, [g, o, k], total, contiguous_strides(by_image.shape[1:]))
    product = _product(_as_matrices(y, sizes), _transposed(columns), by_image)
    return [_unfold(x, columns, sizes), product, builder.finish()], [columns, by_image]


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


def _form(kind: str, target: Operand, sizes: Convolution, profile: TargetProfile) -> str:
    """Return the target's form: ``"library"``, ``"winograd"``, ``"blocks"``, ``"columns"`` or ``"derived"``."""
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
        temporaries: list[Operand] = [temporary(3, target.dtype.compute, target.shape)] if rounds else []
        written = temporaries[0] if rounds else target
        form = "derived" if narrow and not half else _form(kind, written, sizes, request.profile)
        if form == "derived" or any(0 in operand.shape for operand in request.operands):
            return _DERIVED[kind](request.operands[0], request.operands[1], target, sizes, request.profile)
        steps: list[KernelStep] = []
        ready = []
        for operand in request.operands:  # the tuned forms read contiguous operands
            if half or not is_dense(operand):
                dense = temporary(3 + len(temporaries), written.dtype, operand.shape)
                steps.append(copy_step("copy", operand, dense, operand.shape, operand.strides, dense.strides))
                temporaries.append(dense)
                operand = dense
            ready.append(operand)
        more, pieces = _tuned(kind, ready, written, sizes, request.profile, 3 + len(temporaries))
        steps += more
        temporaries += pieces
        if rounds:
            steps.append(copy_step("copy", written, target, target.shape, written.strides, target.strides))
        return KernelProgram(tuple(steps), tuple((o.dtype, math.prod(o.shape)) for o in temporaries))

    return lower


Made = tuple[list[KernelStep], list[Operand]]
"""Steps, and the values between them."""


def _tuned(
    kind: str, ready: Sequence[Operand], target: Operand, sizes: Convolution, profile: TargetProfile, free: int
) -> Made:  # fmt: skip
    """Return the target's best form, with filters cropped to the taps that meet the image."""
    used = used_taps(sizes.window) if "lanes" in profile.features else None
    if used is not None:
        return _by_inner_taps(kind, ready, target, sizes, used, profile, free)
    form = _form(kind, target, sizes, profile)
    flipped = by_flipped_filters(sizes) if form == "columns" and kind == "input" else None
    if flipped is not None:
        filters = temporary(free, target.dtype, (sizes.c, sizes.o_each, *sizes.window.kernel))
        steps, made = _tuned("forward", (ready[0], filters), target, flipped, profile, free + 1)
        return [flipped_filters(ready[1], filters, sizes), *steps], [filters, *made]
    if form == "columns":
        return _COLUMNS[kind](ready[0], ready[1], target, sizes, free)
    if form == "winograd":
        tiles = convolution_winograd.tiles_for(kind, sizes, target.dtype)
        assert tiles is not None, "the form was chosen for its tiles"
        return convolution_winograd.steps(kind, ready, target, sizes, tiles, free)
    prepare = _block_steps if form == "blocks" else _library_steps
    return prepare(kind, ready, target, sizes, profile, free)


def _by_inner_taps(
    kind: str, ready: Sequence[Operand], target: Operand, sizes: Convolution, used: Sequence[tuple[int, int]],
    profile: TargetProfile, free: int,
) -> Made:  # fmt: skip
    """Return the target's best form with cropped filters, and the copy from or to the whole filters."""
    inner = without_outer_taps(sizes, used)
    whole = target if kind == "weight" else ready[1]
    cropped = temporary(free, target.dtype, (*whole.shape[:2], *inner.window.kernel))
    if kind == "weight":
        steps, made = _tuned(kind, ready, cropped, inner, profile, free + 1)
        return [*steps, with_outer_taps(cropped, target, used)], [cropped, *made]
    steps, made = _tuned(kind, (ready[0], cropped), target, inner, profile, free + 1)
    return [inner_taps(whole, cropped, used), *steps], [cropped, *made]


def _library_steps(
    kind: str,
    ready: Sequence[Operand],
    target: Operand,
    sizes: Convolution,
    profile: TargetProfile,
    free: int,
) -> tuple[list[KernelStep], list[Operand]]:
    """Return the tiled library kernel, by split-K where that is faster."""
    by_role = {"forward": (0, 1, 2), "input": (2, 1, 0), "weight": (1, 2, 0)}[kind]  # x, w, y
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
    left, run = {"forward": (ready[1], depth), "weight": (ready[0], oh * ow), "input": (ready[1], 1)}[kind]
    along = "depth" if left.aligned and run % 4 == 0 else ""
    tile, splits = choose(profile, Asked(groups, rows, columns, depth, CONVOLUTION, (along, "")))
    options: tuple[tuple[str, int | str | bool], ...] = (("kind", kind),)
    if not profile.software:
        options += (("tile", tile), ("a", along))
    pieces: list[Operand] = []
    if splits > 1:
        pieces = [temporary(free, target.dtype.compute, (splits, *target.shape))]
        options += (("split", True),)
    values = (*ready, *(pieces or [target]))
    arguments: list[Argument] = [*numbers, *(Offset(values[role].index) for role in by_role)]
    if splits > 1:
        arguments += [splits, piece(depth, splits), math.prod(target.shape)]
    library = Library("conv2d", tuple(value.dtype for value in values), options)
    steps = [KernelStep(library, tuple(value.index for value in values), tuple(arguments))]
    if pieces:
        steps.append(sum_pieces(pieces[0], target))
    return steps, pieces


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


def _block_steps(
    kind: str,
    ready: Sequence[Operand],
    target: Operand,
    sizes: Convolution,
    profile: TargetProfile,
    free: int,
) -> tuple[list[KernelStep], list[Operand]]:
    """Return the CPU's kernel, whose jobs take blocks of output rows, or of channels for the input's gradient."""
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
    columns = temporary(free, target.dtype, (jobs * room,))
    parts = []
    if kind == "weight":
        parts = [temporary(free + 1, target.dtype, (jobs, sizes.groups, sizes.taps, sizes.o_each))]
    written = parts[0] if parts else target
    values = (*ready, written, columns)
    by_role = {"forward": (0, 1, 2), "input": (2, 1, 0), "weight": (1, 2, 0)}[kind]  # x, w, y
    arguments: list[Argument] = [*numbers, *(Offset(values[role].index) for role in by_role)]
    arguments += [rows, channels, images, room, jobs, *deep]
    strides, padding = numbers[9:11], numbers[11:13]
    step = 2 if strides[1] == 2 else int(strides == (1, 1))
    plain = (kh, kw) == strides == (1, 1) and padding == (0, 0) and (oh, ow) == numbers[2:4]
    plain = plain and deep == (od, 1, od, 1, 0, deep[5])
    options = (("kind", kind), ("step", step), ("plain", plain), ("many", images > 1))
    library = Library("conv2d", (target.dtype,) * 4, options)
    steps = [KernelStep(library, tuple(value.index for value in values), tuple(arguments))]
    if parts:
        steps.append(_sum_parts(parts[0], target, sizes))
    return steps, [columns, *parts]


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
