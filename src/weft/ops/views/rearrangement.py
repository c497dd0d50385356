"""Rearrangements of elements: ``flip``, ``roll``, ``tril`` and ``triu``, each by a kernel; ``repeat`` and the like."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, mistake
from weft.expr import Expr, cast, const, where
from weft.kernels import Builder, KernelProgram, Operand
from weft.ops.pointwise.masked import is_traced, read_number
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import FUNCTIONS, function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import MOVE
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec
from weft.ops.registry.table import declare, lookup
from weft.ops.views.movement import permute, reshape
from weft.ops.views.ops import EXPAND, RESHAPE, positions

IndexMap = Callable[[Builder, Sequence[Expr], Operand], tuple[list[Expr], Expr | None]]
"""Gives the operand's index of a result's index, and whether there is an element; ``None`` where there always is."""


def index_map_lowering(name: str, index_map: Callable[[dict[str, Any]], IndexMap]) -> Any:
    """Return the ``lower`` of an op whose result elements are elements of the operand, or the attribute ``value``."""

    def lower(request: KernelRequest) -> KernelProgram:
        x, target = request.operands[0], request.outputs[0]
        builder = Builder(name)
        axes = builder.axes(target.shape or (1,))
        places, valid = index_map(request.attributes)(builder, axes, x)
        value = builder.load(x, places, x.strides or (0,), valid)
        if valid is not None:
            value = where(valid, value, _fill(builder, request.attributes.get("value", 0), value.dtype))
        builder.store(target, axes, value, target.strides or (0,))
        return KernelProgram((builder.finish(),))

    return lower


def _fill(builder: Builder, value: float, dtype: dtypes.DType) -> Expr:
    """Return the fill value in a type; other values than 0 are parameters of the kernel."""
    if value == 0 or dtype.kind == "bool":
        return cast(const(int(value != 0), dtypes.int32), dtype)
    if dtype.kind == "float":
        return cast(builder.number("fill", float(value), dtype.compute), dtype)
    return cast(builder.integer("fill", int(value)), dtype)


# flip and roll


def _flip_index_map(attributes: dict[str, Any]) -> IndexMap:
    def index_map(builder: Builder, axes: Sequence[Expr], x: Operand) -> tuple[list[Expr], Expr | None]:
        flipped = [
            builder.integer(f"last{d}", x.shape[d] - 1) - axis if d in attributes["dims"] else axis
            for d, axis in enumerate(axes)
        ]
        return flipped, None

    return index_map


def _reference_flip(x: Any, *, dims: tuple[int, ...]) -> Any:
    import numpy

    return numpy.flip(x, dims)


FLIP: OpSpec = declare(
    "flip", rules=MOVE.but(splitting="rows"),
    infer=lambda x, *, dims: (x,), reference=_reference_flip, lower=index_map_lowering("flip", _flip_index_map),
    attributes=({"dims": tuple[int, ...]},),
    gradient=lambda context, grad: [bind(FLIP, grad, dims=context.attributes["dims"])],
    doc="The elements in reverse order along dimensions.",
)  # fmt: skip


def _roll_index_map(attributes: dict[str, Any]) -> IndexMap:
    def index_map(builder: Builder, axes: Sequence[Expr], x: Operand) -> tuple[list[Expr], Expr | None]:
        places = list(axes)
        for d, shift in attributes["shifts"]:
            by, size = builder.integer(f"shift{d}", shift), builder.integer(f"size{d}", x.shape[d])
            places[d] = where(axes[d] < by, axes[d] - by + size, axes[d] - by)
        return places, None

    return index_map


def _reference_roll(x: Any, *, shifts: tuple[tuple[int, int], ...]) -> Any:
    import numpy

    return numpy.roll(x, [shift for _, shift in shifts], [d for d, _ in shifts])


def _gradient_roll(context: Gradient, grad: Any) -> list[Any]:
    shape = context.types[0].shape
    return [
        bind(ROLL, grad, shifts=tuple((d, -shift % shape[d]) for d, shift in context.attributes["shifts"]))
    ]


ROLL: OpSpec = declare(
    "roll", rules=MOVE,
    infer=lambda x, *, shifts: (x,), reference=_reference_roll, lower=index_map_lowering("roll", _roll_index_map),
    attributes=({"shifts": tuple[tuple[int, int], ...]},),
    gradient=_gradient_roll, doc="The elements shifted cyclically along dimensions.",
)  # fmt: skip


# tril and triu


def _triangle_index_map(attributes: dict[str, Any]) -> IndexMap:
    def index_map(builder: Builder, axes: Sequence[Expr], x: Operand) -> tuple[list[Expr], Expr | None]:
        edge = builder.integer("diagonal", attributes["diagonal"])
        away = axes[-1] - axes[-2]
        return list(axes), (away >= edge) if attributes["upper"] else (away <= edge)

    return index_map


def _reference_triangle(x: Any, *, upper: bool, diagonal: int) -> Any:
    import numpy

    return (numpy.triu if upper else numpy.tril)(x, diagonal).astype(x.dtype)


TRIANGLE: OpSpec = declare(
    "triangle", rules=MOVE.but(batching="leading"),
    infer=lambda x, *, upper, diagonal: (x,), reference=_reference_triangle,
    lower=index_map_lowering("triangle", _triangle_index_map), attributes=({"upper": bool, "diagonal": int},),
    gradient=lambda context, grad: [bind(TRIANGLE, grad, **context.attributes)],
    doc="The upper or lower triangle of matrices, zeros elsewhere.",
)  # fmt: skip


# Functions.


@function()
def flip(input: Tensor, *dims: int) -> Tensor:
    """A copy with the elements in reverse order along dimensions."""
    given = _flat("flip", dims)
    rank = len(arguments.tensor("flip", "input", input).shape)
    return (
        bind(FLIP, input, dims=arguments.dimensions("flip", given, rank))
        if given
        else bind(lookup("copy"), input)
    )


def _flat(name: str, given: Sequence[Any]) -> tuple[int, ...]:
    flat = given[0] if len(given) == 1 and isinstance(given[0], Sequence) else given
    return tuple(arguments.integer(name, "dims", dim) for dim in flat)


@function()
def fliplr(input: Tensor) -> Tensor:
    """A copy with the columns (dimension 1) in reverse order."""
    if len(arguments.tensor("fliplr", "input", input).shape) < 2:
        raise ShapeError(
            mistake("fliplr", "input", f"{len(input.shape)}-dimensional", "at least 2-dimensional")
        )
    return flip(input, 1)


@function()
def flipud(input: Tensor) -> Tensor:
    """A copy with the rows (dimension 0) in reverse order."""
    if not arguments.tensor("flipud", "input", input).shape:
        raise ShapeError("flipud: the input is 0-dimensional, expected at least 1 dimension")
    return flip(input, 0)


@function()
def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """A copy with the elements shifted cyclically along dimensions; without ``dims``, in the flattened tensor."""
    shape = tuple(arguments.tensor("roll", "input", input).shape)
    by = [shifts] if isinstance(shifts, int) else list(shifts)
    if dims is None:
        if len(by) != 1:
            raise ArgumentError(mistake("roll", "shifts", tuple(by), "one shift, as dims is None"))
        return reshape(roll(reshape(input, math.prod(shape)), by[0], 0), *shape)
    along = [dims] if isinstance(dims, int) else list(dims)
    if len(along) != len(by):
        raise ArgumentError(mistake("roll", "dims", f"{len(along)} dimensions", f"{len(by)}, as shifts has"))
    total: dict[int, int] = {}
    for d, shift in zip(along, by, strict=True):
        place = arguments.dimension("roll", d, len(shape), "dims")
        total[place] = total.get(place, 0) + arguments.integer("roll", "shifts", shift)
    if not math.prod(shape) or not shape:
        return bind(lookup("copy"), input)
    return bind(ROLL, input, shifts=tuple((d, shift % shape[d]) for d, shift in sorted(total.items())))


@function()
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """A copy turned ``k`` times by 90 degrees in the plane of two dimensions, from the first towards the second."""
    rank = len(arguments.tensor("rot90", "input", input).shape)
    if len(dims) != 2:
        raise ArgumentError(mistake("rot90", "dims", tuple(dims), "two dimensions"))
    first, second = (arguments.dimension("rot90", d, rank, "dims") for d in dims)
    if first == second or rank < 2:
        raise ArgumentError(mistake("rot90", "dims", tuple(dims), "two different dimensions"))
    turns = arguments.integer("rot90", "k", k) % 4
    if turns in (0, 2):
        return flip(input, first, second) if turns else bind(lookup("copy"), input)
    order = list(range(rank))
    order[first], order[second] = second, first
    if turns == 1:
        return bind(lookup("copy"), permute(flip(input, second), *order))
    return flip(permute(input, *order), second)


def _triangle(name: str, input: Any, diagonal: int, upper: bool) -> Any:
    if len(arguments.tensor(name, "input", input).shape) < 2:
        raise ShapeError(mistake(name, "input", f"{len(input.shape)}-dimensional", "at least 2-dimensional"))
    return bind(TRIANGLE, input, upper=upper, diagonal=arguments.integer(name, "diagonal", diagonal))


@function(out=TRIANGLE, inplace=True)
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of each matrix up to a diagonal, zeros above."""
    return _triangle("tril", input, diagonal, False)


@function(out=TRIANGLE, inplace=True)
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of each matrix from a diagonal on, zeros below."""
    return _triangle("triu", input, diagonal, True)


# Repetition.


@function(top=False)
def repeat(input: Tensor, *repeats: int) -> Tensor:
    """The whole tensor repeated along dimensions; more repeats than dimensions add dimensions in front."""
    shape = tuple(arguments.tensor("repeat", "input", input).shape)
    counts = arguments.sizes("repeat", repeats)
    missing = len(counts) - len(shape)
    if missing < 0:
        raise ShapeError(
            mistake("repeat", "repeats", counts, f"at least {len(shape)} numbers, one a dimension")
        )
    shape = (1,) * missing + shape
    if all(count == 1 for count in counts):
        return bind(lookup("copy"), reshape(input, *shape))
    apart = tuple(part for size in shape for part in (1, size))
    wide = tuple(part for count, size in zip(counts, shape, strict=True) for part in (count, size))
    spread = bind(EXPAND, bind(RESHAPE, input, shape=apart), shape=wide)
    return _copied(spread, tuple(count * size for count, size in zip(counts, shape, strict=True)))


def _copied(spread: Any, shape: tuple[int, ...]) -> Any:
    """Return a copy of an expanded tensor under another shape; ``reshape`` alone may give a view of its element."""
    return bind(RESHAPE, bind(lookup("copy"), spread), shape=shape)


@function()
def tile(input: Tensor, *dims: int) -> Tensor:
    """The whole tensor repeated ``dims`` times along its last dimensions, as ``numpy.tile``."""
    counts = tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], Sequence) else dims
    rank = len(arguments.tensor("tile", "input", input).shape)
    return repeat(input, *(1,) * (rank - len(counts)), *counts)


@function()
def repeat_interleave(
    input: Tensor, repeats: int | Tensor, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element repeated along ``dim``, next to itself; in the flattened tensor where ``dim`` is None.

    ``repeats`` is a number for all elements, or an integer tensor with a number for each. The sum of a tensor is read
    from the device, unless ``output_size`` gives it.

    >>> import weft as wf
    >>> wf.repeat_interleave(wf.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    arguments.tensor("repeat_interleave", "input", input)
    own = input if dim is not None else reshape(input, -1) if math.prod(input.shape) else reshape(input, 0)
    place = arguments.dimension("repeat_interleave", 0 if dim is None else dim, len(own.shape))
    if not own.shape:
        own = reshape(own, 1)
    shape = tuple(own.shape)
    if not hasattr(repeats, "shape"):
        count = arguments.integer("repeat_interleave", "repeats", repeats)
        if count < 0:
            raise ArgumentError(mistake("repeat_interleave", "repeats", count, "0 or more"))
        wide = bind(RESHAPE, own, shape=(*shape[: place + 1], 1, *shape[place + 1 :]))
        spread = bind(EXPAND, wide, shape=(*shape[: place + 1], count, *shape[place + 1 :]))
        return _copied(spread, (*shape[:place], shape[place] * count, *shape[place + 1 :]))
    return _interleaved(own, repeats, place, output_size)


def _interleaved(input: Any, repeats: Any, dim: int, output_size: int | None) -> Any:
    arguments.integral("repeat_interleave", "repeats", repeats.dtype)
    size, given = input.shape[dim], tuple(repeats.shape)
    if given not in ((size,), (1,), ()):
        raise ShapeError(
            mistake("repeat_interleave", "repeats' shape", given, f"({size},), one for each slice")
        )
    if given != (size,):
        repeats = bind(EXPAND, repeats if given else reshape(repeats, 1), shape=(size,))
    known = output_size is not None and is_traced()  # negative numbers are then not seen
    if size and not known and read_number("repeat_interleave", repeats.amin()) < 0:
        raise ArgumentError(
            mistake("repeat_interleave", "repeats", "a tensor with negative numbers", "0 or more each")
        )
    ends = bind(lookup("cumsum"), bind(lookup("cast"), repeats, dtype=dtypes.int64), dim=0)
    total = (
        output_size if output_size is not None else read_number("repeat_interleave", ends[-1]) if size else 0
    )
    places = positions(input, (total,))
    rows = FUNCTIONS["searchsorted"].function(ends, places, right=True) if total else places
    return FUNCTIONS["index_select"].function(input, dim, rows)


@function(method=False, out="cat")
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors joined along dimension 1 (vectors: 0)."""
    given = _at_least("hstack", tensors, 1)
    return _cat(given, 0 if len(given[0].shape) == 1 else 1)


@function(method=False, out="cat")
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors joined along dimension 0; vectors are rows."""
    return _cat(_at_least("vstack", tensors, 2), 0)


def _cat(tensors: Sequence[Any], dim: int) -> Any:
    return FUNCTIONS["cat"].function(tensors, dim)


def _at_least(name: str, tensors: Sequence[Any], rank: int) -> list[Any]:
    if not isinstance(tensors, Sequence) or not tensors:
        raise ArgumentTypeError(mistake(name, "tensors", repr(tensors), "a non-empty sequence of tensors"))
    made = []
    for at, tensor in enumerate(tensors):
        shape = tuple(arguments.tensor(name, f"tensors[{at}]", tensor).shape)
        made.append(reshape(tensor, *(1,) * (rank - len(shape)), *shape) if len(shape) < rank else tensor)
    return made
