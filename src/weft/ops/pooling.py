"""Pooling over windows in any number of dimensions: the largest elements with their places, and means.

Values and places come from one kernel. A gradient is a fold over the windows that hold an element, never a race.
The windows are ``kernel stride padding dilation ceil_mode``, or ``bins``: as many as the output has (adaptive).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from weft import dtypes
from weft.errors import DTypeError, ShapeError, mistake
from weft.expr import Expr, call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, Operand, Program
from weft.ops import arguments
from weft.ops.core import Gradient, TensorType, bind
from weft.ops.reduction import is_cooperative
from weft.ops.table import declare, lookup
from weft.ops.windows import Bins, Window, every, window_of
from weft.target import TargetProfile

WRITTEN_OUT = 9
"""Elements of a window up to which its largest is one expression rather than a fold."""


def _out_shape(name: str, x: TensorType, attributes: dict[str, Any]) -> tuple[int, ...]:
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
    shape = _out_shape(name, x, attributes)
    return TensorType(shape, x.dtype), TensorType(shape, dtypes.int64)


def _places(window: Window | Bins, axis: int, out: int) -> list[int]:
    """The reference's places inside the image that a window at ``out`` reads along an axis."""
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
        points = product(*(_places(window, axis, place) for axis, place in enumerate(out)))
        flat = numpy.asarray([numpy.ravel_multi_index(point, window.size) for point in points])
        seen = rows[:, :, flat]
        best = seen.argmax(-1)
        values[(..., *out)] = numpy.take_along_axis(seen, best[..., None], -1)[..., 0]
        places[(..., *out)] = flat[best]
    return values, places


def _row_major(builder: Builder, places: Sequence[Expr], size: Sequence[int]) -> Expr:
    """The place in the flattened image."""
    flat = places[0]
    for axis, place in enumerate(places[1:], 1):
        flat = flat * builder.integer(f"size{axis}", size[axis]) + place
    return flat


def _taps(builder: Builder, flat: Expr, kernel: Sequence[int]) -> list[Expr]:
    """A row-major tap number as one tap a dimension."""
    found: list[Expr] = []
    for axis in range(len(kernel) - 1, 0, -1):
        size = builder.integer(f"kernel{axis}", kernel[axis])
        found.append(call("irem", flat, size))
        flat = call("idiv", flat, size)
    return [flat, *reversed(found)]


def _lowest(operand: Operand, profile: TargetProfile) -> float:
    dtype = operand.dtype.compute
    if dtype.kind == "float":
        return -math.inf
    return 0 if dtype.kind == "uint" else -(2 ** (8 * profile.itemsize(dtype) - 1))


def _lower_max(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    x, (values, places) = operands[0], outputs
    window = window_of(x.shape, attributes)
    if isinstance(window, Window) and window.is_inside and math.prod(window.kernel) <= WRITTEN_OUT:
        return _written_out(x, values, places, window)
    builder = Builder("max_pool")
    n, c, *outs = builder.axes(values.shape)
    points, inside = window.sources(builder, outs, builder.reduce_axes(window.kernel))
    best = builder.reduce("argmax", builder.load(x, [n, c, *points], None, inside, _lowest(x, profile)))
    points, _ = window.sources(builder, outs, _taps(builder, best, window.kernel))
    if isinstance(window, Window):
        points = [_inside(builder, window, axis, place) for axis, place in enumerate(points)]
    builder.store(values, [n, c, *outs], builder.load(x, [n, c, *points]))
    builder.store(places, [n, c, *outs], _row_major(builder, points, window.size))
    return Program((builder.finish(),))


def _written_out(x: Operand, values: Operand, places: Operand, window: Window) -> Program:
    """The same as one expression, which is computed for many windows at a time: no fold, and nothing is read twice."""
    builder = Builder("max_pool_taps")
    n, c, *outs = builder.axes(values.shape)
    best = place = None
    for taps in product(*(range(size) for size in window.kernel)):
        points, _ = window.sources(builder, outs, [const(tap, INDEX) for tap in taps])
        value, flat = builder.load(x, [n, c, *points]), _row_major(builder, points, window.size)
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
    return Program((builder.finish(),))


def _inside(builder: Builder, window: Window, axis: int, place: Expr) -> Expr:
    """Of a window whose elements are all -inf the first that is not padding, which the fold found first."""
    if not window.padding[axis][0]:
        return place
    gap = builder.integer(f"dilation{axis}", window.dilation[axis])
    return where(place < 0, place + gap * call("idiv", gap - place - 1, gap), place)


def _window_attributes(context: Gradient) -> dict[str, Any]:
    return {key: value for key, value in context.attributes.items() if key != "shape"}


def _gradient_max(context: Gradient, grad: Any, _: Any) -> list[Any]:
    options = _window_attributes(context)
    return [bind(MAX_POOL_BACKWARD, grad, context.output(1), shape=context.types[0].shape, **options)]


BINS: dict[str, Any] = {"bins": tuple[int, ...]}
WINDOW = {"kernel": tuple[int, ...], "stride": tuple[int, ...], "padding": tuple[int, ...], "ceil_mode": bool}
MAXIMA = WINDOW | {"dilation": tuple[int, ...]}
MEANS = WINDOW | {"include_padding": bool, "divisor": int}
SHAPE = {"shape": tuple[int, ...]}
"""Attributes of windows and of adaptive bins; those backwards have the shape of the image too."""

MAX_POOL = declare(
    "max_pool", infer=_infer_max, reference=_reference_max, lower=_lower_max, gradient=_gradient_max, saves_output=True,
    attributes=(BINS, MAXIMA),
    doc="The largest element of each window, and its position in the image.",
)  # fmt: skip


def _infer_backward(
    grad: TensorType, *_: TensorType, shape: tuple[int, ...], **__: Any
) -> tuple[TensorType, ...]:
    return (TensorType(shape, grad.dtype),)


def _reference_max_backward(grad: Any, places: Any, *, shape: tuple[int, ...], **_: Any) -> Any:
    import numpy

    result = numpy.zeros((shape[0], shape[1], math.prod(shape[2:])), grad.dtype)
    n, c = numpy.indices(grad.shape)[:2]
    numpy.add.at(result, (n, c, places), grad)
    return result.reshape(shape)


def _readers(builder: Builder, window: Window | Bins, places: Sequence[Expr]) -> tuple[list[Expr], Expr]:
    """The windows that may hold an element, as points of the reduction axes, and which of them there are.

    Where windows do not overlap there is one for each element, and nothing to fold.
    """
    alone = max((*window.overlap, 1)) == 1
    steps = [const(0, INDEX) for _ in places] if alone else builder.reduce_axes(window.overlap)
    outs = [
        window.first_reader(builder, axis, place) + step
        for axis, (place, step) in enumerate(zip(places, steps, strict=True))
    ]
    return outs, every(
        [out < builder.integer(f"out{axis}", window.out[axis]) for axis, out in enumerate(outs)]
    )


def _sum(builder: Builder, window: Window | Bins, value: Expr) -> Expr:
    """The sum of a value over the windows that hold an element (``_readers``)."""
    return value if max((*window.overlap, 1)) == 1 else builder.reduce("sum", value)


def _lower_max_backward(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    """Each input element folds over the windows that may hold it and keeps those that chose it."""
    grad, chosen = operands
    target = outputs[0]
    window = window_of(target.shape, attributes)
    builder = Builder("max_pool_backward")
    n, c, *places = builder.axes(target.shape)
    outs, inside = _readers(builder, window, places)
    mine = builder.load(chosen, [n, c, *outs], None, inside, -1).equals(
        _row_major(builder, places, window.size)
    )
    value = where(mine, builder.load(grad, [n, c, *outs], None, inside), const(0, grad.dtype.compute))
    builder.store(target, [n, c, *places], _sum(builder, window, value))
    return Program((builder.finish(),))


def _gradient_max_backward(context: Gradient, seed: Any) -> list[Any]:
    """The adjoint picks the elements at the stored positions."""
    reshape = lookup("reshape")
    n, c, *size = context.attributes["shape"]
    places = context.input(1)
    flat = bind(reshape, seed, shape=(n, c, math.prod(size)))
    index = bind(reshape, places, shape=(n, c, math.prod(places.shape[2:])))
    picked = bind(lookup("gather"), flat, index, dim=2)
    return [bind(reshape, picked, shape=tuple(places.shape)), None]


MAX_POOL_BACKWARD = declare(
    "max_pool_backward", infer=_infer_backward, reference=_reference_max_backward, lower=_lower_max_backward,
    gradient=_gradient_max_backward, saves=(1,),
    attributes=(BINS | SHAPE, MAXIMA | SHAPE), doc="Gradients of windows brought to the elements that they chose.",
)  # fmt: skip


# Means.


def _infer_average(x: TensorType, **attributes: Any) -> tuple[TensorType, ...]:
    name = f"avg_pool{len(x.shape) - 2}d"
    arguments.floating(name, "input", x.dtype)
    return (TensorType(_out_shape(name, x, attributes), x.dtype),)


def _counts(window: Window | Bins, axis: int, include_padding: bool) -> list[int]:
    """The reference's number of elements of each window along an axis."""
    if isinstance(window, Bins) or not include_padding:
        return [len(_places(window, axis, out)) for out in range(window.out[axis])]
    before, after = window.padding[axis]
    starts = [out * window.stride[axis] - before for out in range(window.out[axis])]
    return [min(start + window.kernel[axis], window.size[axis] + after) - start for start in starts]


def _matrix(window: Window | Bins, axis: int, include_padding: bool, divisor: bool) -> Any:
    """The reference's matrix (out, size) of weights along an axis."""
    import numpy

    made = numpy.zeros((window.out[axis], window.size[axis]))
    counts = _counts(window, axis, include_padding)
    for out, count in enumerate(counts):
        made[out, _places(window, axis, out)] = 1.0 if divisor else 1.0 / count
    return made


def _reference_average(x: Any, *, backward: bool = False, **attributes: Any) -> Any:
    import numpy

    shape = attributes.pop("shape", x.shape)
    window = window_of(shape, attributes)
    fixed = attributes.get("divisor", 0)
    result = x.astype("float64")
    for axis in range(len(window.size)):
        matrix = _matrix(window, axis, attributes.get("include_padding", False), bool(fixed))
        result = numpy.moveaxis(
            numpy.tensordot(result, matrix if backward else matrix.T, (2 + axis, 0)), -1, 2 + axis
        )
    return (result / (fixed or 1)).astype(x.dtype)


def _share(
    builder: Builder, window: Window | Bins, outs: Sequence[Expr], attributes: dict[str, Any], value: Expr
) -> Expr:
    """A value divided by the number of elements of the window at ``outs``."""
    if attributes.get("divisor"):
        return value / cast(builder.integer("divisor", attributes["divisor"]), value.dtype)
    count: Expr | None = None
    for axis, out in enumerate(outs):
        if isinstance(window, Bins):
            start, end = window.ends(builder, axis, out)
        else:
            start, end = _span(builder, window, axis, out, attributes["include_padding"])
        count = end - start if count is None else count * (end - start)
    assert count is not None, "at least one dimension"
    return value / cast(count, value.dtype)


def _span(builder: Builder, window: Window, axis: int, out: Expr, include_padding: bool) -> tuple[Expr, Expr]:
    """The first place of a window that counts, and one past the last."""
    before, after = window.padding[axis]
    start = out * builder.integer(f"stride{axis}", window.stride[axis]) - builder.integer(
        f"padding{axis}", before
    )
    end = start + builder.integer(f"kernel{axis}", window.kernel[axis])
    limit = builder.integer(f"limit{axis}", window.size[axis] + (after if include_padding else 0))
    end = where(end < limit, end, limit)
    return (start if include_padding else where(start < 0, const(0, INDEX), start)), end


def _lower_average(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    x, target = operands[0], outputs[0]
    window = window_of(x.shape, attributes)
    builder = Builder("avg_pool")
    n, c, *outs = builder.axes(target.shape)
    points, inside = window.sources(builder, outs, builder.reduce_axes(window.kernel))
    total = builder.reduce("sum", builder.load(x, [n, c, *points], None, inside))
    builder.store(target, [n, c, *outs], _share(builder, window, outs, attributes, total))
    many, length = math.prod(target.shape), math.prod(window.kernel)
    return Program((builder.finish(cooperative=is_cooperative(profile, many, length)),))


def _lower_average_backward(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    """Each input element folds over the windows that hold it."""
    grad, target = operands[0], outputs[0]
    window = window_of(target.shape, attributes)
    builder = Builder("avg_pool_backward")
    n, c, *places = builder.axes(target.shape)
    outs, inside = _readers(builder, window, places)
    for axis, (place, out) in enumerate(zip(places, outs, strict=True)):
        if isinstance(window, Bins):
            start, end = window.ends(builder, axis, out)
            inside = inside & (start <= place) & (place < end)
        else:  # the window is not past the place; that it reaches it is how the first reader was found
            reach = place + builder.integer(f"padding{axis}", window.padding[axis][0])
            inside = inside & (out * builder.integer(f"stride{axis}", window.stride[axis]) <= reach)
    value = _share(builder, window, outs, attributes, builder.load(grad, [n, c, *outs], None, inside))
    value = where(inside, value, const(0, value.dtype))
    builder.store(target, [n, c, *places], _sum(builder, window, value))
    return Program((builder.finish(),))


def _gradient_average(context: Gradient, grad: Any) -> list[Any]:
    return [bind(AVG_POOL_BACKWARD, grad, shape=context.types[0].shape, **context.attributes)]


AVG_POOL = declare(
    "avg_pool", infer=_infer_average, reference=_reference_average, lower=_lower_average, gradient=_gradient_average,
    attributes=(BINS, MEANS), doc="The mean of each window.",
)  # fmt: skip
AVG_POOL_BACKWARD = declare(
    "avg_pool_backward", infer=_infer_backward, lower=_lower_average_backward,
    reference=lambda grad, **attributes: _reference_average(grad, backward=True, **attributes),
    gradient=lambda context, seed: [bind(AVG_POOL, seed, **_window_attributes(context))],
    attributes=(BINS | SHAPE, MEANS | SHAPE),
    doc="Gradients of means spread over the elements of their windows.",
)  # fmt: skip
