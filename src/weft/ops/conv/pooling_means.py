"""Average pooling over windows in any number of dimensions, and its gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from weft.expr import Expr, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, KernelStep, Operand
from weft.ops.conv.pooling import (
    BINS,
    SHAPE,
    WINDOW,
    WRITTEN_OUT,
    infer_backward,
    out_shape,
    places_of,
    window_attributes,
    with_padding,
)
from weft.ops.conv.window_sums import is_unrolled_by_phase, readers, summed, unrolled_by_phase
from weft.ops.registry import arguments, sharing
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import EXAMPLES
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare
from weft.ops.registry.temporaries import Scratch
from weft.ops.views.windows import Bins, Window, window_of

MEANS = WINDOW | {"include_padding": bool, "divisor": int}


def _infer_average(x: TensorType, **attributes: Any) -> tuple[TensorType, ...]:
    name = f"avg_pool{len(x.shape) - 2}d"
    arguments.floating(name, "input", x.dtype)
    return (TensorType(out_shape(name, x, attributes), x.dtype),)


def _counts(window: Window | Bins, axis: int, include_padding: bool) -> list[int]:
    """Return the number of elements of each window along an axis; for the reference."""
    if isinstance(window, Bins) or not include_padding:
        return [len(places_of(window, axis, out)) for out in range(window.out[axis])]
    before, after = window.padding[axis]
    starts = [out * window.stride[axis] - before for out in range(window.out[axis])]
    return [min(start + window.kernel[axis], window.size[axis] + after) - start for start in starts]


def _matrix(window: Window | Bins, axis: int, include_padding: bool, divisor: bool) -> Any:
    """Return the matrix (out, size) of weights along an axis; for the reference."""
    import numpy

    matrix = numpy.zeros((window.out[axis], window.size[axis]))
    counts = _counts(window, axis, include_padding)
    for out, count in enumerate(counts):
        matrix[out, places_of(window, axis, out)] = 1.0 if divisor else 1.0 / count
    return matrix


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
    """Divide a value by the number of elements of the window at ``outs``."""
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
    """Return the first place of a window that counts, and one past the last."""
    before, after = window.padding[axis]
    start = out * builder.integer(f"stride{axis}", window.stride[axis]) - builder.integer(
        f"padding{axis}", before
    )
    end = start + builder.integer(f"kernel{axis}", window.kernel[axis])
    limit = builder.integer(f"limit{axis}", window.size[axis] + (after if include_padding else 0))
    end = where(end < limit, end, limit)
    return (start if include_padding else where(start < 0, const(0, INDEX), start)), end


def _unrolled(x: Operand, target: Operand, window: Window, attributes: dict[str, Any]) -> KernelProgram:
    """Return the unrolled kernel, over padded images where windows reach outside of the image."""
    scratch, steps = Scratch(2), list[KernelStep]()
    shifts = [0] * len(window.size)
    if not window.is_inside:
        pad, x = with_padding(x, window, 0, scratch)
        steps.append(pad)
        shifts = [before for before, _ in window.padding]
    builder = Builder("avg_pool_taps")
    n, c, *outs = builder.axes(target.shape)
    total: Expr | None = None
    for taps in product(*(range(size) for size in window.kernel)):
        points, _ = window.sources(builder, outs, [const(tap, INDEX) for tap in taps])
        source = [
            point + builder.integer(f"padding{axis}", shift) if shift else point
            for axis, (point, shift) in enumerate(zip(points, shifts, strict=True))
        ]
        value = builder.load(x, [n, c, *source])
        total = value if total is None else total + value
    assert total is not None, "a window has an element"
    builder.store(target, [n, c, *outs], _share(builder, window, outs, attributes, total))
    return scratch.program((*steps, builder.finish()))


def _lower_average(request: KernelRequest) -> KernelProgram:
    x, target = request.operands[0], request.outputs[0]
    window = window_of(x.shape, request.attributes)
    if (
        isinstance(window, Window)
        and "lanes" in request.profile.features
        and math.prod(window.kernel) <= WRITTEN_OUT
    ):
        return _unrolled(x, target, window, request.attributes)
    builder = Builder("avg_pool")
    n, c, *outs = builder.axes(target.shape)
    points, inside = window.sources(builder, outs, builder.reduce_axes(window.kernel))
    total = builder.reduce("sum", builder.load(x, [n, c, *points], None, inside))
    builder.store(target, [n, c, *outs], _share(builder, window, outs, request.attributes, total))
    many, length = math.prod(target.shape), math.prod(window.kernel)
    return KernelProgram((builder.finish(cooperative=sharing.team(request.profile, many, length)),))


def _lower_average_backward(request: KernelRequest) -> KernelProgram:
    """Sum at each element of the image over the windows that contain it."""
    grad, target = request.operands[0], request.outputs[0]
    window = window_of(target.shape, request.attributes)
    if is_unrolled_by_phase(window, request.profile):
        assert isinstance(window, Window), "bins have no phases"

        def term(builder: Builder, place: list[Expr], out: list[Expr], inside: Expr) -> Expr:
            value = builder.load(grad, out, None, inside)
            return where(
                inside, _share(builder, window, out[2:], request.attributes, value), const(0, value.dtype)
            )

        return unrolled_by_phase("avg_pool_backward_turns", target, window, term)
    builder = Builder("avg_pool_backward")
    n, c, *places = builder.axes(target.shape)
    outs, inside = readers(builder, window, places)
    for axis, (place, out) in enumerate(zip(places, outs, strict=True)):
        if isinstance(window, Bins):
            start, end = window.ends(builder, axis, out)
            inside = inside & (start <= place) & (place < end)
        else:  # the window starts before the place; ``readers`` gives only windows that end after it
            reach = place + builder.integer(f"padding{axis}", window.padding[axis][0])
            inside = inside & (out * builder.integer(f"stride{axis}", window.stride[axis]) <= reach)
    value = _share(builder, window, outs, request.attributes, builder.load(grad, [n, c, *outs], None, inside))
    value = where(inside, value, const(0, value.dtype))
    builder.store(target, [n, c, *places], summed(builder, window, value))
    return KernelProgram((builder.finish(),))


def _gradient_average(context: Gradient, grad: Any) -> list[Any]:
    return [bind(AVG_POOL_BACKWARD, grad, shape=context.types[0].shape, **context.attributes)]


AVG_POOL = declare(
    "avg_pool", rules=EXAMPLES.but(tangent="linear"),
    infer=_infer_average, reference=_reference_average, lower=_lower_average, gradient=_gradient_average,
    attributes=(BINS, MEANS), doc="The mean of each window.",
)  # fmt: skip
AVG_POOL_BACKWARD = declare(
    "avg_pool_backward", rules=EXAMPLES.but(tangent="linear"),
    infer=infer_backward, lower=_lower_average_backward,
    reference=lambda grad, **attributes: _reference_average(grad, backward=True, **attributes),
    gradient=lambda context, seed: [bind(AVG_POOL, seed, **window_attributes(context))],
    attributes=(BINS | SHAPE, MEANS | SHAPE),
    doc="Gradients of means distributed over the elements of their windows.",
)  # fmt: skip
