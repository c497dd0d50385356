"""``pad``: elements added at both ends of dimensions, by a single kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError, mistake
from weft.expr import Expr, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, Operand
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import MOVE
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.views.ops import SLICE, positions, summed_at
from weft.ops.views.rearrangement import IndexMap, index_map_lowering


def _infer_pad(
    x: TensorType, *, padding: tuple[tuple[int, int], ...], mode: str, value: float
) -> tuple[TensorType, ...]:
    shape = tuple(size + before + after for size, (before, after) in zip(x.shape, padding, strict=True))
    return (TensorType(shape, x.dtype),)


def _pad_index_map(attributes: dict[str, Any]) -> IndexMap:
    mode = attributes["mode"]

    def index_map(builder: Builder, axes: Sequence[Expr], x: Operand) -> tuple[list[Expr], Expr | None]:
        places, valid = list(axes), None
        for d, (before, after) in enumerate(attributes["padding"]):
            if not before and not after:
                continue
            place = axes[d] - builder.integer(f"before{d}", before)
            size = builder.integer(f"size{d}", x.shape[d])
            inside = (place >= 0) & (place < size)
            if mode == "constant":
                valid = inside if valid is None else valid & inside
            else:
                place = _OUTSIDE[mode](place, size)
            places[d] = place
        return places, valid

    return index_map


_OUTSIDE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "reflect": lambda i, n: where(i < 0, -i, where(i >= n, (n - 1) * 2 - i, i)),
    "replicate": lambda i, n: where(i < 0, const(0, INDEX), where(i >= n, n - 1, i)),
    "circular": lambda i, n: where(i < 0, i + n, where(i >= n, i - n, i)),
}
"""By mode, the place that is read for a place before 0 or from n on, as an expression; ``_place`` is for numbers."""
_MODES = ("constant", *_OUTSIDE)


def _reference_pad(x: Any, *, padding: tuple[tuple[int, int], ...], mode: str, value: float) -> Any:
    import numpy

    if mode == "constant":
        return numpy.pad(x, padding, constant_values=numpy.asarray(value).astype(x.dtype))
    for d, (before, after) in enumerate(padding):
        place, size = numpy.arange(-before, x.shape[d] + after), x.shape[d]
        last = {"reflect": 2 * (size - 1) - place, "replicate": size - 1, "circular": place - size}[mode]
        first = {"reflect": -place, "replicate": 0, "circular": place + size}[mode]
        x = numpy.take(x, numpy.where(place < 0, first, numpy.where(place >= size, last, place)), d)
    return x


def _gradient_pad(context: Gradient, grad: Any) -> list[Any]:
    shape, attributes = context.types[0].shape, context.attributes
    if attributes["mode"] == "constant":
        for d, (before, _) in enumerate(attributes["padding"]):
            if grad.shape[d] != shape[d]:
                grad = bind(SLICE, grad, dim=d, start=before, stop=before + shape[d], step=1)
        return [grad]
    if any(min(pair) < 0 for pair in attributes["padding"]):
        return [summed_at(grad, bind(PAD, positions(grad, shape), **attributes), shape)]
    narrow = grad.dtype
    wide = grad if narrow is narrow.compute else bind(lookup("cast"), grad, dtype=narrow.compute)
    for d, (before, after) in enumerate(attributes["padding"]):
        if before or after:
            wide = _folded_back(wide, d, shape[d], (before, after), attributes["mode"])
    return [wide if narrow is narrow.compute else bind(lookup("cast"), wide, dtype=narrow)]  # rounded once


def _folded_back(grad: Any, dim: int, size: int, padding: tuple[int, int], mode: str) -> Any:
    """Return the gradient along a dimension: that of the middle, plus that of the padding at the places it repeats."""
    before, after = padding
    middle, met = _part(grad, dim, before, before + size), []
    for start, count in ((0, before), (before + size, after)):
        if not count:
            continue
        end = _part(grad, dim, start, start + count)
        if mode == "reflect":
            end = bind(lookup("flip"), end, dims=(dim,))
        elif mode == "replicate":
            end, count = bind(lookup("sum"), end, dims=(dim,), keepdim=True), 1
        first = {
            "reflect": 1 if start == 0 else size - 1 - count,
            "replicate": 0 if start == 0 else size - 1,
            "circular": size - count if start == 0 else 0,
        }[mode]
        met.append((first, count, end))
    met.sort(key=lambda end: end[0])
    add = lookup("add")
    if any(first + count > other for (first, count, _), (other, _, _) in pairwise(met)):
        for first, count, end in met:
            around = [(0, 0)] * len(grad.shape)
            around[dim] = (first, size - first - count)
            middle = bind(add, middle, bind(PAD, end, padding=tuple(around), mode="constant", value=0))
        return middle
    pieces, reached = [], 0  # sums where padding was read from, and the elements between as they are
    for first, count, end in [*met, (size, 0, None)]:
        if first > reached:
            pieces.append(_part(middle, dim, reached, first))
        if count:
            pieces.append(bind(add, _part(middle, dim, first, first + count), end))
        reached = first + count
    return bind(lookup("cat"), *pieces, dim=dim) if len(pieces) > 1 else pieces[0]


def _part(value: Any, dim: int, start: int, stop: int) -> Any:
    return bind(SLICE, value, dim=dim, start=start, stop=stop, step=1)


def _place(mode: str, place: int, size: int) -> int:
    """Return the place that is read for a place outside of a dimension."""
    before = {"reflect": -place, "replicate": 0, "circular": place + size}[mode]
    after = {"reflect": 2 * (size - 1) - place, "replicate": size - 1, "circular": place - size}[mode]
    return before if place < 0 else after if place >= size else place


WRITTEN_OUT = 16
"""The most padding elements of a row that are written by a store each, in a kernel part over rows."""

_by_places = index_map_lowering("pad", _pad_index_map)


def _lower_pad(request: KernelRequest) -> KernelProgram:
    """Return a kernel over the result; on targets with vector lanes, parts for the middle and for the ends of rows."""
    x, target = request.operands[0], request.outputs[0]
    before, after = request.attributes["padding"][-1] if x.shape else (0, 0)
    plain = request.attributes["mode"] == "constant" or "lanes" not in request.profile.features
    if plain or len(x.shape) < 2 or min(before, after, *x.shape) < 0 or before + after == 0:
        program: KernelProgram = _by_places(request)
        return program
    builder = Builder("pad_rows")
    size = x.shape[-1]
    others = _pad_index_map(request.attributes | {"padding": (*request.attributes["padding"][:-1], (0, 0))})
    *axes, column = builder.axes((*target.shape[:-1], size))
    places, _ = others(builder, [*axes, column], x)
    builder.store(target, [*axes, column + builder.integer("before", before)], builder.load(x, places))
    ends = (*range(before), *range(before + size, before + size + after))
    if len(ends) > WRITTEN_OUT:
        for start, count in ((0, before), (before + size, after)):
            if count:
                builder.end_part()
                _end_columns(builder, x, target, request.attributes, others, start, count)
        return KernelProgram((builder.finish(),))
    builder.end_part()
    axes = builder.axes(target.shape[:-1])
    for number, there in enumerate(ends):
        places, _ = others(builder, [*axes, const(0, INDEX)], x)
        places[-1] = builder.integer(
            f"place{number}", _place(request.attributes["mode"], there - before, size)
        )
        builder.store(target, [*axes, builder.integer(f"there{number}", there)], builder.load(x, places))
    return KernelProgram((builder.finish(),))


def _end_columns(
    builder: Builder, x: Operand, target: Operand, attributes: dict[str, Any], others: IndexMap, start: int, count: int
) -> None:  # fmt: skip
    """Add the part of a kernel that writes the padding columns of an end of all rows."""
    *axes, column, row = builder.axes((*target.shape[:-2], count, target.shape[-2]))
    places, _ = others(builder, [*axes, row, column], x)
    there = column + builder.integer(f"start{start}", start)
    place = there - builder.integer("before", attributes["padding"][-1][0])
    places[-1] = _OUTSIDE[attributes["mode"]](place, builder.integer("size", x.shape[-1]))
    builder.store(target, [*axes, row, there], builder.load(x, places))


PAD: OpSpec = declare(
    "pad", rules=MOVE.but(tangent="transposed"),
    infer=_infer_pad, reference=_reference_pad, lower=_lower_pad, gradient=_gradient_pad,
    doc="Elements added at the ends of dimensions: a constant, or the input reflected, replicated or wrapped around.",
)  # fmt: skip


@function(top=False, method=False, functional=True, name="pad")
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """The input with elements added before and after dimensions, as ``torch.nn.functional.pad``.

    ``pad`` has two numbers for each dimension, the last dimension first; a negative number removes elements. ``mode``
    is ``"constant"`` (``value``, by default 0), or ``"reflect"``, ``"replicate"`` or ``"circular"`` of the last 1 to 3
    dimensions of an input with one or two more. Removed elements may still be read by reflection and replication.

    >>> import weft as wf
    >>> wf.nn.functional.pad(wf.tensor([1, 2]), (1, 2))
    tensor([0, 1, 2, 0, 0])
    """
    shape = tuple(arguments.tensor("pad", "input", input).shape)
    given = [arguments.integer("pad", "pad", number) for number in pad]
    if len(given) % 2 or len(given) > 2 * len(shape):
        raise ShapeError(
            mistake("pad", "pad", tuple(given), f"two numbers for each of at most {len(shape)} dimensions")
        )
    if mode not in _MODES:
        raise ArgumentError(mistake("pad", "mode", repr(mode), f"one of {', '.join(_MODES)}"))
    missing = len(shape) - len(given) // 2
    padding = [(0, 0)] * missing + list(zip(given[-2::-2], given[::-2], strict=True))
    if mode != "constant":
        _check_padding(mode, shape, padding, missing, value)
    for d, (before, after) in enumerate(padding):
        if shape[d] + before + after < 0:
            raise ShapeError(
                mistake("pad", "pad", tuple(given), f"no size below 0, dimension {d} has {shape[d]}")
            )
        if (before < 0 or after < 0) and mode in ("constant", "circular"):
            stop = max(shape[d] - max(-after, 0), 0)
            start = min(max(-before, 0), stop)
            if mode == "circular" and max(before, after) > stop - start:
                most = f"at most the {stop - start} elements that are left to be repeated"
                raise ShapeError(mistake("pad", f"padding of dimension {d}", (before, after), most))
            input = bind(SLICE, input, dim=d, start=start, stop=stop, step=1)
            padding[d] = (max(before, 0), max(after, 0))
    if not any(before or after for before, after in padding):
        return bind(lookup("copy"), input)
    number = 0 if value is None else value
    if not isinstance(number, bool | int | float):
        raise ArgumentTypeError(mistake("pad", "value", type(value).__name__, "a number"))
    if input.dtype.is_integer:
        arguments.check_range("pad", "value", number, input.dtype)
    return bind(PAD, input, padding=tuple(padding), mode=mode, value=number)


def _check_padding(
    mode: str, shape: tuple[int, ...], padding: Sequence[tuple[int, int]], missing: int, value: float | None
) -> None:
    if value is not None:
        raise ArgumentError(mistake("pad", "value", value, f"no value in mode {mode!r}"))
    if missing not in (1, 2) or len(shape) - missing not in (1, 2, 3):
        raise UnsupportedError(
            f"pad: mode {mode!r} pads {len(shape) - missing} of {len(shape)} dimensions here, expected the last 1 to 3 "
            f"of an input with one or two more"
        )
    for d, (before, after) in enumerate(padding):
        most = {"reflect": shape[d] - 1, "circular": shape[d], "replicate": 1 << 62}[mode]
        if d >= missing and (shape[d] == 0 and max(before, after) > 0):
            raise ShapeError(f"pad: dimension {d} has size 0, expected elements to {mode}")
        if d >= missing and max(before, after) > most:
            raise ShapeError(
                mistake(
                    "pad", f"padding of dimension {d}", (before, after), f"at most {most} in mode {mode!r}"
                )
            )
