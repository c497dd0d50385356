"""Max pooling over windows in any number of dimensions: values and their places in the image, from one kernel.

The gradient gathers over the windows that contain an element, so that no two threads write one element. The attributes
are ``kernel stride padding dilation ceil_mode``, or ``bins``, the output's sizes, for adaptive pooling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import DTypeError, ShapeError, mistake
from weft.expr import Expr, call, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, KernelStep, Operand
from weft.ops.conv.window_sums import is_unrolled_by_phase, readers, summed, unrolled_by_phase
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import EXAMPLES
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.registry.temporaries import Scratch
from weft.ops.views.windows import Bins, Window, every, window_of

WRITTEN_OUT = 9
"""Elements of a window up to which it is reduced by one unrolled expression rather than by a loop."""
PADDED = 1 << 27
"""Bytes of images up to which they are copied to padded images."""


def out_shape(name: str, x: TensorType, attributes: dict[str, Any]) -> tuple[int, ...]:
    """Return the output's shape; ``ShapeError`` where no window fits."""
    window = window_of(x.shape, attributes)
    if min((*window.size, 1)) < 1:
        raise ShapeError(mistake(name, "input's shape", x.shape, "spatial sizes of at least 1"))
    if isinstance(window, Window) and min(window.out) < 1:
        raise ShapeError(
            mistake(name, "kernel_size", window.kernel, f"at most the padded input {x.shape[2:]}")
        )
    return (*x.shape[:2], *window.out)


def _infer_max(x: TensorType, **attributes: Any) -> tuple[TensorType, ...]:
    name = f"max_pool{len(x.shape) - 2}d"
    if x.dtype is dtypes.bool_:
        raise DTypeError(mistake(name, "input's dtype", "bool", "a number type"))
    shape = out_shape(name, x, attributes)
    return TensorType(shape, x.dtype), TensorType(shape, dtypes.int64)


def places_of(window: Window | Bins, axis: int, out: int) -> list[int]:
    """Return the places inside the image that the window at ``out`` reads along an axis; for the references."""
    size = window.size[axis]
    if isinstance(window, Bins):
        bins = window.out[axis]
        return list(range(out * size // bins, -(-(out + 1) * size // bins)))
    start = out * window.stride[axis] - window.padding[axis][0]
    taps = range(start, start + window.dilation[axis] * window.kernel[axis], window.dilation[axis])
    return [place for place in taps if 0 <= place < size]


def _reference_max(x: Any, **attributes: Any) -> Any:
    import numpy

    window = window_of(x.shape, attributes)
    shape = (*x.shape[:2], *window.out)
    values, places = numpy.empty(shape, x.dtype), numpy.empty(shape, "int64")
    rows = x.reshape(*x.shape[:2], math.prod(window.size))
    for out in numpy.ndindex(*window.out):
        points = product(*(places_of(window, axis, place) for axis, place in enumerate(out)))
        flat = numpy.asarray([numpy.ravel_multi_index(point, window.size) for point in points])
        seen = rows[:, :, flat]
        best = seen.argmax(-1)
        values[(..., *out)] = numpy.take_along_axis(seen, best[..., None], -1)[..., 0]
        places[(..., *out)] = flat[best]
    return values, places


def _row_major(builder: Builder, places: Sequence[Expr], size: Sequence[int]) -> Expr:
    """Return the index of a place in the flattened image."""
    flat = places[0]
    for axis, place in enumerate(places[1:], 1):
        flat = flat * builder.integer(f"size{axis}", size[axis]) + place
    return flat


def _taps(builder: Builder, flat: Expr, kernel: Sequence[int]) -> list[Expr]:
    """Return the tap along each dimension of a row-major tap number."""
    taps: list[Expr] = []
    for axis in range(len(kernel) - 1, 0, -1):
        size = builder.integer(f"kernel{axis}", kernel[axis])
        taps.append(call("irem", flat, size))
        flat = call("idiv", flat, size)
    return [flat, *reversed(taps)]


def _lowest(dtype: DType, bits: int) -> float:
    """Return -inf, or the lowest integer of a type: of equal elements a window's maximum is the first."""
    if dtype.kind == "float":
        return -math.inf
    return 0 if dtype.kind == "uint" else -(2 ** (bits - 1))


def _lower_max(request: KernelRequest) -> KernelProgram:
    x, (values, places) = request.operands[0], request.outputs
    window = window_of(x.shape, request.attributes)
    if isinstance(window, Window) and math.prod(window.kernel) <= WRITTEN_OUT:
        if window.is_inside:
            return KernelProgram((_unrolled(x, values, places, window),))
        if (
            "lanes" in request.profile.features
            and request.profile.itemsize(x.dtype) * math.prod(x.shape) <= PADDED
        ):
            scratch, lowest = Scratch.of(request), _lowest(x.dtype, 8 * request.profile.itemsize(x.dtype))
            pad, padded = with_padding(x, window, lowest, scratch)
            return scratch.program((pad, _unrolled(padded, values, places, window)))
    wide = x.dtype.compute
    lowest = _lowest(wide, 8 * request.profile.itemsize(wide))
    builder = Builder("max_pool")
    n, c, *outs = builder.axes(values.shape)
    points, inside = window.sources(builder, outs, builder.reduce_axes(window.kernel))
    best = builder.reduce("argmax", builder.load(x, [n, c, *points], None, inside, lowest))
    points, _ = window.sources(builder, outs, _taps(builder, best, window.kernel))
    if isinstance(window, Window):
        points = [_inside(builder, window, axis, place) for axis, place in enumerate(points)]
    builder.store(values, [n, c, *outs], builder.load(x, [n, c, *points]))
    builder.store(places, [n, c, *outs], _row_major(builder, points, window.size))
    return KernelProgram((builder.finish(),))


def with_padding(x: Operand, window: Window, other: float, scratch: Scratch) -> tuple[KernelStep, Operand]:
    """Copy images to padded images that contain all windows; return the kernel's call and the padded images."""
    needed = [
        (out - 1) * step + gap * (taps - 1) + 1
        for out, step, gap, taps in zip(
            window.out, window.stride, window.dilation, window.kernel, strict=True
        )
    ]
    size = [
        max(least, before + n)
        for least, n, (before, _) in zip(needed, window.size, window.padding, strict=True)
    ]
    shape = (*x.shape[:2], *size)
    padded = scratch.take(x.dtype, shape)
    builder = Builder("max_pool_padding")
    n, c, *points = builder.axes(shape)
    inner, inside = [], []
    for axis, (point, length, (before, _)) in enumerate(
        zip(points, window.size, window.padding, strict=True)
    ):
        inner.append(point - builder.integer(f"padding{axis}", before))
        inside.append((inner[-1] >= 0) & (inner[-1] < builder.integer(f"size{axis}", length)))
    builder.store(padded, [n, c, *points], builder.load(x, [n, c, *inner], None, every(inside), other))
    return builder.finish(), padded


def _unrolled(x: Operand, values: Operand, places: Operand, window: Window) -> KernelStep:
    """Return the unrolled kernel, which is vectorised over windows.

    ``x`` may be padded images; places are those in the images without padding.
    """
    builder = Builder("max_pool_taps")
    n, c, *outs = builder.axes(values.shape)
    is_padded = x.shape[2:] != window.size
    best = place = None
    for number, taps in enumerate(product(*(range(size) for size in window.kernel))):
        points, _ = window.sources(builder, outs, [const(tap, INDEX) for tap in taps])
        source = points
        if is_padded:
            source = [
                point + builder.integer(f"padding{axis}", before)
                for axis, (point, (before, _)) in enumerate(zip(points, window.padding, strict=True))
            ]
        value = builder.load(x, [n, c, *source])
        if number == 0:  # the first place is the result where no element is larger than -inf
            points = [_inside(builder, window, axis, point) for axis, point in enumerate(points)]
        flat = _row_major(builder, points, window.size)
        if best is None or place is None:
            best, place = value, flat
            continue
        better = value > best
        if value.dtype.kind == "float":  # the first NaN wins
            better = better | (call("isnan", value) & best.equals(best))
        best, place = where(better, value, best), where(better, flat, place)
    assert best is not None and place is not None, "a window has an element"
    builder.store(values, [n, c, *outs], best)
    builder.store(places, [n, c, *outs], place)
    return builder.finish()


def _inside(builder: Builder, window: Window, axis: int, place: Expr) -> Expr:
    """Move the first place of a window out of the padding: the result's place where all elements are -inf."""
    if not window.padding[axis][0]:
        return place
    gap = builder.integer(f"dilation{axis}", window.dilation[axis])
    return where(place < 0, place + gap * call("idiv", gap - place - 1, gap), place)


def window_attributes(context: Gradient) -> dict[str, Any]:
    """Return the attributes of the windows, without the image's shape."""
    return {key: value for key, value in context.attributes.items() if key != "shape"}


def _gradient_max(context: Gradient, grad: Any, _: Any) -> list[Any]:
    options = window_attributes(context)
    return [bind(MAX_POOL_BACKWARD, grad, context.output(1), shape=context.types[0].shape, **options)]


BINS: dict[str, Any] = {"bins": tuple[int, ...]}
WINDOW = {"kernel": tuple[int, ...], "stride": tuple[int, ...], "padding": tuple[int, ...], "ceil_mode": bool}
MAXIMA = WINDOW | {"dilation": tuple[int, ...]}
SHAPE = {"shape": tuple[int, ...]}
"""The image's shape: an attribute of backward ops, beside those of the windows or the adaptive bins."""

MAX_POOL = declare(
    "max_pool", rules=EXAMPLES,
    infer=_infer_max, reference=_reference_max, lower=_lower_max, gradient=_gradient_max, saves_output=True,
    attributes=(BINS, MAXIMA),
    doc="The largest element of each window, and its place in the flattened image.",
)  # fmt: skip


def infer_backward(
    grad: TensorType, *_: TensorType, shape: tuple[int, ...], **__: Any
) -> tuple[TensorType, ...]:
    """Return the type of an image's gradient."""
    return (TensorType(shape, grad.dtype),)


def _reference_max_backward(grad: Any, places: Any, *, shape: tuple[int, ...], **_: Any) -> Any:
    import numpy

    result = numpy.zeros((shape[0], shape[1], math.prod(shape[2:])), grad.dtype)
    n, c = numpy.indices(grad.shape)[:2]
    numpy.add.at(result, (n, c, places), grad)
    return result.reshape(shape)


def _lower_max_backward(request: KernelRequest) -> KernelProgram:
    """Sum at each element of the image over the windows whose largest element it is."""
    grad, chosen = request.operands
    target = request.outputs[0]
    window = window_of(target.shape, request.attributes)
    if is_unrolled_by_phase(window, request.profile):
        assert isinstance(window, Window), "bins have no phases"

        def term(builder: Builder, place: list[Expr], out: list[Expr], inside: Expr) -> Expr:
            is_largest = builder.load(chosen, out, None, inside, -1).equals(
                _row_major(builder, place[2:], window.size)
            )
            return where(is_largest, builder.load(grad, out, None, inside), const(0, grad.dtype.compute))

        return unrolled_by_phase("max_pool_backward_turns", target, window, term)
    builder = Builder("max_pool_backward")
    n, c, *places = builder.axes(target.shape)
    outs, inside = readers(builder, window, places)
    is_largest = builder.load(chosen, [n, c, *outs], None, inside, -1).equals(
        _row_major(builder, places, window.size)
    )
    value = where(is_largest, builder.load(grad, [n, c, *outs], None, inside), const(0, grad.dtype.compute))
    builder.store(target, [n, c, *places], summed(builder, window, value))
    return KernelProgram((builder.finish(),))


def _gradient_max_backward(context: Gradient, seed: Any) -> list[Any]:
    """Gather the elements at the stored places, the adjoint."""
    reshape = lookup("reshape")
    n, c, *size = context.attributes["shape"]
    places = context.input(1)
    flat = bind(reshape, seed, shape=(n, c, math.prod(size)))
    index = bind(reshape, places, shape=(n, c, math.prod(places.shape[2:])))
    picked = bind(lookup("gather"), flat, index, dim=2)
    return [bind(reshape, picked, shape=tuple(places.shape)), None]


MAX_POOL_BACKWARD = declare(
    "max_pool_backward", rules=EXAMPLES.but(tangent="linear"),
    infer=infer_backward, reference=_reference_max_backward, lower=_lower_max_backward,
    gradient=_gradient_max_backward, saves=(1,),
    attributes=(BINS | SHAPE, MAXIMA | SHAPE), doc="Gradients of windows added at their largest elements.",
)  # fmt: skip
