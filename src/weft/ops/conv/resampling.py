"""Resampling of images on regular grids, and its adjoint: nearest, linear and cubic, in any number of dimensions.

Each output is a weighted sum of a few inputs; a weight is the product of the weights along the dimensions. The adjoint
gathers at each input over the outputs that read it, so that no two threads write one element.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, ShapeError, UnsupportedError, mistake
from weft.expr import Expr, call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, KernelStep, Operand
from weft.ops.conv.pooling_functions import adaptive_avg_pools
from weft.ops.conv.resampling_taps import CUBIC, MODES, Taps, axis_taps, limited, place_of_sample
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import EXAMPLES
from weft.ops.registry.spec import Gradient, KernelRequest, TensorType
from weft.ops.registry.table import declare
from weft.ops.registry.temporaries import Scratch
from weft.ops.views.windows import tuple_of


def _infer(x: TensorType, *, size: tuple[int, ...], mode: str, **_: Any) -> tuple[TensorType, ...]:
    if not mode.startswith("nearest"):
        arguments.floating("interpolate", "input", x.dtype)
    return (TensorType((*x.shape[:2], *size), x.dtype),)


def _lower(request: KernelRequest) -> KernelProgram:
    x, target = request.operands[0], request.outputs[0]
    if request.attributes["mode"] == "linear" and "lanes" in request.profile.features:
        return _by_rows(x, target, request.attributes)
    builder = Builder("resample")
    n, c, *outs = builder.axes(target.shape)
    taps = [
        axis_taps(builder, axis, out, x.shape[2 + axis], request.attributes, x.dtype)
        for axis, out in enumerate(outs)
    ]
    builder.store(target, [n, c, *outs], _weighted_sum(builder, x, [n, c], taps))
    return KernelProgram((builder.finish(),))


def _weighted_sum(builder: Builder, x: Operand, sample: Sequence[Expr], taps: Sequence[Taps]) -> Expr:
    """Return the weighted sum over all combinations of the dimensions' taps."""
    total: Expr | None = None
    for chosen in product(*taps):
        value = builder.load(x, [*sample, *(index for index, _ in chosen)])
        for _, weight in chosen:
            value = value if weight is None else value * weight
        total = value if total is None else total + value
    assert total is not None, "at least one tap"
    return total


def _by_rows(x: Operand, target: Operand, attributes: dict[str, Any]) -> KernelProgram:
    """Resample whole rows along all other dimensions first, and then along the last one, by a table of its taps.

    The first kernel reads contiguous elements; the second gathers two elements for an output.
    """
    last = len(x.shape) - 3
    size, out = x.shape[-1], target.shape[-1]
    scratch = Scratch(2)
    first, part = scratch.take(dtypes.int32, (out,)), scratch.take(x.dtype.compute, (out,))
    steps = [_table_of_taps(first, part, size, attributes, x.dtype)]
    source = x
    if last and size <= 2 * out:
        source = scratch.take(x.dtype.compute, (*target.shape[:-1], size))
        builder = Builder("resample_rows")
        n, c, *outs, column = builder.axes(source.shape)
        taps = [
            axis_taps(builder, axis, place, x.shape[2 + axis], attributes, x.dtype)
            for axis, place in enumerate(outs)
        ]
        builder.store(
            source, [n, c, *outs, column], _weighted_sum(builder, x, [n, c], [*taps, [(column, None)]])
        )
        steps.append(builder.finish())
    builder = Builder("resample_columns")
    n, c, *outs, column = builder.axes(target.shape)
    taps = [[(place, None)] for place in outs]
    if source is x:
        taps = [
            axis_taps(builder, axis, place, x.shape[2 + axis], attributes, x.dtype)
            for axis, place in enumerate(outs)
        ]
    place, share = cast(builder.load(first, [column]), INDEX), builder.load(part, [column])
    following = limited(place + 1, builder.integer("last", size - 1))
    taps.append([(place, const(1.0, share.dtype) - share), (following, share)])
    builder.store(target, [n, c, *outs, column], _weighted_sum(builder, source, [n, c], taps))
    steps.append(builder.finish())
    return scratch.program(steps)


def _table_of_taps(
    first: Operand, part: Operand, size: int, attributes: dict[str, Any], dtype: DType
) -> KernelStep:
    """Write the tables of the last dimension's linear taps: each output's first input, and the second's weight."""
    builder = Builder("resample_table")
    (out,) = builder.axes(first.shape)
    axis = len(attributes["scales"]) - 1
    (place, _), (_, share) = axis_taps(builder, axis, out, size, attributes, dtype)
    assert share is not None, "linear taps have weights"
    builder.store(first, [out], place)
    builder.store(part, [out], cast(share, part.dtype))
    return builder.finish()


def _lower_backward(request: KernelRequest) -> KernelProgram:
    """Reduce one dimension after another over the outputs that read a place, by tables of their weights."""
    grad, target = request.operands[0], request.outputs[0]
    scratch, tables = Scratch.of(request), []
    for axis, size in enumerate(target.shape[2:]):
        readers = _readers(axis, request.attributes, grad.shape[2 + axis])
        first = scratch.take(dtypes.int32, (size,))
        tables.append((first, scratch.take(grad.dtype.compute, (readers, size))))
    steps = [_first_readers([first for first, _ in tables], request.attributes, grad)]
    steps.append(_reader_weights(tables, request.attributes, grad))
    current = grad
    for axis, (first, weights) in enumerate(tables):
        shape = (*target.shape[: 3 + axis], *grad.shape[3 + axis :])
        last = axis == len(tables) - 1
        written = target if last else scratch.take(grad.dtype.compute, shape)
        steps.append(_along(axis, current, written, first, weights))
        current = written
    return scratch.program(steps)


def _first_readers(tables: Sequence[Operand], attributes: dict[str, Any], grad: Operand) -> KernelStep:
    """Write the first output that reads each place along each dimension; 0 where no output does."""
    builder = Builder("resample_readers")
    for axis, table in enumerate(tables):
        if axis:
            builder.end_part()
        outs = grad.shape[2 + axis]
        (place,) = builder.axes(table.shape)
        per_place, count = _near(axis, attributes, outs)
        (step,) = builder.reduce_axes((count,))
        out = step if count == outs else step + _lowest(builder, axis, place, per_place, attributes)
        reads = (out >= 0) & (out < builder.integer(f"out{axis}", outs))
        taps = axis_taps(builder, axis, out, table.shape[0], attributes, grad.dtype)
        hits = taps[0][0].equals(place)
        for index, _ in taps[1:]:
            hits = hits | index.equals(place)
        none = builder.integer(f"none{axis}", 1 << 30)
        first = builder.reduce("min", where(reads & hits, out, none))
        builder.store(table, [place], where(first < none, first, const(0, INDEX)))
    return builder.finish()


def _reader_weights(
    tables: Sequence[tuple[Operand, Operand]], attributes: dict[str, Any], grad: Operand
) -> KernelStep:
    """Write the weights with which the outputs, from the first reader on, read each place along each dimension."""
    builder = Builder("resample_weights")
    for axis, (first, weights) in enumerate(tables):
        if axis:
            builder.end_part()
        reader, place = builder.axes(weights.shape)
        out = cast(builder.load(first, [place]), INDEX) + reader
        zero = const(0.0, weights.dtype)
        weight = zero
        for index, share in axis_taps(builder, axis, out, weights.shape[1], attributes, grad.dtype):
            part = const(1.0, zero.dtype) if share is None else cast(share, zero.dtype)
            weight = weight + where(index.equals(place), part, zero)
        builder.store(weights, [reader, place], weight)
    return builder.finish()


def _along(axis: int, source: Operand, target: Operand, first: Operand, weights: Operand) -> KernelStep:
    """Return the kernel of the adjoint along one dimension."""
    builder = Builder("resample_backward")
    points = builder.axes(target.shape)
    (reader,) = builder.reduce_axes(weights.shape[:1])
    place = points[2 + axis]
    out = cast(builder.load(first, [place]), INDEX) + reader
    inside = out < builder.integer("out", source.shape[2 + axis])
    value = builder.load(source, [*points[: 2 + axis], out, *points[3 + axis :]], None, inside)
    share = builder.load(weights, [reader, place])
    builder.store(target, points, builder.reduce("sum", cast(value, share.dtype) * share))
    return builder.finish()


def _readers(axis: int, attributes: dict[str, Any], outs: int) -> int:
    """Return an upper bound of the outputs that read a place, with a margin of 1 for rounding."""
    scale = attributes["scales"][axis]
    return outs if scale <= 0.0 else min(outs, math.ceil(MODES[attributes["mode"]].count / scale) + 1)


def _near(axis: int, attributes: dict[str, Any], outs: int) -> tuple[float, int]:
    """Return the number of outputs for each input, and of those to search for the outputs that read a place."""
    scale = attributes["scales"][axis]
    if scale <= 0.0:
        return 0.0, outs
    return 1.0 / scale, min(outs, math.ceil(2 * MODES[attributes["mode"]].reach / scale) + 4)


def _lowest(builder: Builder, axis: int, place: Expr, per_place: float, attributes: dict[str, Any]) -> Expr:
    """Return an output before the first that can read a place, with a margin of 2 for rounding."""
    kind = dtypes.float32
    reach = builder.number(f"reach{axis}", MODES[attributes["mode"]].reach - 0.5, kind)
    first = (cast(place, kind) - reach) * builder.number(f"per_place{axis}", per_place, kind)
    return cast(call("floor", first), INDEX) - 2


def _matrix(size: int, out: int, scale: float, mode: str, align: bool, wide: bool) -> Any:
    """Return the weights (out, size) along a dimension; for the reference."""
    import numpy

    kind = "float64" if wide and not mode.startswith("nearest") else "float32"
    shift, step = (numpy.asarray(value, kind) for value in (place_of_sample(mode, align), scale))
    position: Any = (numpy.arange(out).astype(kind) + shift) * step
    matrix = numpy.zeros((out, size))
    rows = numpy.arange(out)
    if mode.startswith("nearest"):
        matrix[rows, numpy.clip(numpy.floor(position).astype(int), 0, size - 1)] = 1.0
        return matrix
    position = position - shift
    if mode == "linear":
        position = numpy.maximum(position, 0)
    first = numpy.floor(position).astype(int)
    t = position - first
    taps: tuple[tuple[int, Any], ...] = ((0, 1 - t), (1, t))
    if mode == "cubic":
        near = [((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1 for x in (t, 1 - t)]
        far = [((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC for x in (t + 1, 2 - t)]
        taps = ((-1, far[0]), (0, near[0]), (1, near[1]), (2, far[1]))
    for tap, weight in taps:
        numpy.add.at(matrix, (rows, numpy.clip(first + tap, 0, size - 1)), weight)
    return matrix


def _reference(
    x: Any,
    *,
    size: tuple[int, ...],
    mode: str,
    scales: tuple[float, ...],
    align: bool,
    backward: bool = False,
) -> Any:
    import numpy

    result = x.astype("float64")
    for axis, (end, scale) in enumerate(zip(size, scales, strict=True)):
        current = x.shape[2 + axis]
        source, out = (end, current) if backward else (current, end)
        matrix = _matrix(source, out, scale, mode, align, x.dtype == "float64")
        matrix = matrix if backward else matrix.T
        result = numpy.moveaxis(numpy.tensordot(result, matrix, (2 + axis, 0)), -1, 2 + axis)
    return result.astype(x.dtype)


def _gradient(context: Gradient, grad: Any) -> list[Any]:
    options = {**context.attributes, "size": context.types[0].shape[2:]}
    return [bind(RESAMPLE_BACKWARD, grad, **options)]


def _gradient_backward(context: Gradient, seed: Any) -> list[Any]:
    return [bind(RESAMPLE, seed, **{**context.attributes, "size": context.types[0].shape[2:]})]


ATTRIBUTES = ({"size": tuple[int, ...], "mode": str, "scales": tuple[float, ...], "align": bool},)
RESAMPLE = declare(
    "resample", rules=EXAMPLES.but(splitting="", tangent="linear"),
    infer=_infer, reference=_reference, lower=_lower, gradient=_gradient, attributes=ATTRIBUTES,
    doc="Images interpolated at the points of another regular grid.",
)  # fmt: skip
RESAMPLE_BACKWARD = declare(
    "resample_backward", rules=EXAMPLES.but(splitting="", tangent="linear"),
    infer=_infer, lower=_lower_backward, gradient=_gradient_backward, attributes=ATTRIBUTES,
    reference=lambda grad, **attributes: _reference(grad, backward=True, **attributes),
    doc="The adjoint of resample: the image's gradient from the gradients of its samples.",
)  # fmt: skip

_RANKS = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
_KINDS = {"linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}


@function(functional=True, method=False, top=False)
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize images (N, C, *size) to ``size`` or by ``scale_factor``, as ``torch.nn.functional.interpolate``.

    ``size`` and ``scale_factor`` are a number, or a number for each dimension. ``mode`` is ``"nearest"``,
    ``"nearest-exact"`` or ``"area"``; for 3-d input also ``"linear"``, for 4-d ``"bilinear"`` and ``"bicubic"``, for
    5-d ``"trilinear"``.

    Raises:
        UnsupportedError: for ``antialias``.

    >>> import weft as wf
    >>> wf.nn.functional.interpolate(wf.tensor([[[1.0, 2.0]]]), scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    arguments.tensor("interpolate", "input", input)
    rank = len(input.shape) - 2
    if not 1 <= rank <= 3:
        raise ShapeError(
            mistake("interpolate", "input", f"{rank + 2}-dimensional", "3 to 5 dimensions, (N, C, *size)")
        )
    if antialias:
        raise UnsupportedError(mistake("interpolate", "antialias", True, "False", "blur the input before it"))
    _check_mode(mode, rank, align_corners)
    source = tuple(input.shape[2:])
    target, factors = _target(source, size, scale_factor)
    if min((*target, *source)) < 1:
        raise ShapeError(mistake("interpolate", "sizes", f"{source} to {target}", "at least 1"))
    if mode == "area":
        resized: Tensor = adaptive_avg_pools[rank](input, target)
        return resized
    align = bool(align_corners)
    scales = tuple(
        _scale(n, out, None if recompute_scale_factor else factor, align)
        for n, out, factor in zip(source, target, factors, strict=True)
    )
    return bind(RESAMPLE, input, size=target, mode=_KINDS.get(mode, mode), scales=scales, align=align)


def _check_mode(mode: str, rank: int, align_corners: bool | None) -> None:
    known = ("nearest", "nearest-exact", "area", *_RANKS)
    if mode not in known:
        raise ArgumentError(
            mistake("interpolate", "mode", repr(mode), f"one of {', '.join(map(repr, known))}")
        )
    if _RANKS.get(mode, rank) != rank:
        raise ShapeError(
            mistake("interpolate", "mode", repr(mode), f"a mode for {rank + 2}-dimensional input")
        )
    if mode not in _RANKS and align_corners is not None:
        raise ArgumentError(
            mistake("interpolate", "align_corners", align_corners, f"None with mode {mode!r}")
        )


def _target(
    source: tuple[int, ...], size: Any, scale_factor: Any
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """Return the output's sizes, and the given factors."""
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            mistake("interpolate", "size and scale_factor", "both or neither given", "one of them")
        )
    if size is not None:
        return tuple_of("interpolate", "size", size, len(source), 1), (None,) * len(source)
    given = tuple(scale_factor) if isinstance(scale_factor, Sequence) else (scale_factor,) * len(source)
    if len(given) != len(source) or any(
        isinstance(value, bool) or not isinstance(value, int | float) for value in given
    ):
        raise ArgumentError(
            mistake("interpolate", "scale_factor", scale_factor, f"a number or {len(source)} numbers")
        )
    sizes = tuple(math.floor(n * factor) for n, factor in zip(source, given, strict=True))
    return sizes, tuple(map(float, given))


def _scale(size: int, out: int, factor: float | None, align: bool) -> float:
    """Return the distance of neighbouring outputs, in inputs."""
    if align:
        return (size - 1) / (out - 1) if out > 1 else 0.0
    if size == out:
        return 1.0
    return 1.0 / factor if factor else size / out
