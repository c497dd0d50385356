"""Further view functions: ``movedim``, ``diagonal``, ``unfold``, ``as_strided``; ``split`` and ``unbind``.

Each gives the same storage another geometry. Where a view reaches an element more than once, its gradient is summed in
a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError, mistake
from weft.ops.make.creation import zeros_of
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import FUNCTIONS, function
from weft.ops.registry.geometry import Geometry, broadcast_shapes
from weft.ops.registry.interpreters import bind
from weft.ops.registry.spec import Gradient, TensorType
from weft.ops.registry.table import lookup
from weft.ops.views.movement import expand, reshape
from weft.ops.views.ops import (
    EXPAND,
    PERMUTE,
    RESHAPE,
    SLICE,
    STRIDED,
    UPDATE_VIEW,
    declare_view,
    positions,
    summed_at,
)
from weft.ops.views.unbind import SPLIT, UNBIND, bind_views


def _view_gradient(name: str, overlaps: bool) -> Any:
    """Return the gradient of a view op: a write into zeros, or a sum where the view may overlap itself."""

    def gradient(context: Gradient, grad: Any) -> list[Any]:
        shape, attributes = context.types[0].shape, context.attributes
        op = lookup(name)
        if overlaps and op.view is not None:
            geometry = op.view(Geometry.contiguous(shape), **attributes)
            if geometry is not None and geometry.overlaps_itself:
                return [summed_at(grad, bind(op, positions(grad, shape), **attributes), shape)]
        zeros = zeros_of(TensorType(shape, grad.dtype), device=str(grad.device))
        return [bind(UPDATE_VIEW, zeros, grad, path=((name, tuple(attributes.items())),))]

    return gradient


def _diagonal_view(geometry: Geometry, *, offset: int, dim1: int, dim2: int) -> Geometry:
    shape, strides = geometry.shape, geometry.strides
    rows, columns = shape[dim1], shape[dim2]
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    kept = [d for d in range(len(shape)) if d not in (dim1, dim2)]
    start = 0
    if length:
        start = offset * strides[dim2] if offset > 0 else -offset * strides[dim1]
    return Geometry(
        (*(shape[d] for d in kept), length),
        (*(strides[d] for d in kept), strides[dim1] + strides[dim2]),
        geometry.offset + start,
    )


def _diagonal_reference(x: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    import numpy

    return numpy.diagonal(x, offset, dim1, dim2)


DIAGONAL = declare_view(
    "diagonal",
    _diagonal_view,
    _diagonal_reference,
    _view_gradient("diagonal", False),
    "The diagonal of two dimensions, as the last dimension.",
)


def _unfold_view(geometry: Geometry, *, dim: int, size: int, step: int) -> Geometry:
    shape, strides = list(geometry.shape), list(geometry.strides)
    if not shape:
        return Geometry((size,), (1,), geometry.offset)
    count = (shape[dim] - size) // step + 1
    shape[dim], own = count, strides[dim]
    strides[dim] = own * step
    return Geometry((*shape, size), (*strides, own), geometry.offset)


def _unfold_reference(x: Any, *, dim: int, size: int, step: int) -> Any:
    import numpy

    if not x.ndim:
        return numpy.broadcast_to(x, (size,)).copy()
    windows = numpy.lib.stride_tricks.sliding_window_view(x, size, dim)
    return windows[(slice(None),) * dim + (slice(None, None, step),)]


UNFOLD = declare_view(
    "unfold",
    _unfold_view,
    _unfold_reference,
    _view_gradient("unfold", True),
    "Windows along a dimension, with their elements in a new last dimension.",
)


@function()
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """A view with dimensions moved to other places; the rest keep their order."""
    rank = len(arguments.tensor("movedim", "input", input).shape)
    first = [source] if isinstance(source, int) else list(source)
    second = [destination] if isinstance(destination, int) else list(destination)
    if len(first) != len(second):
        raise ShapeError(
            mistake("movedim", "destination", f"{len(second)} dimensions", f"{len(first)}, as source has")
        )
    origin = [arguments.dimension("movedim", d, rank, "source") for d in first]
    goal = [arguments.dimension("movedim", d, rank, "destination") for d in second]
    for argument, given in (("source", origin), ("destination", goal)):
        if len(set(given)) != len(given):
            raise ShapeError(mistake("movedim", argument, tuple(given), "distinct dimensions"))
    if not rank:
        return input
    rest = iter(d for d in range(rank) if d not in origin)
    placed = dict(zip(goal, origin, strict=True))
    return bind(PERMUTE, input, order=tuple(placed[d] if d in placed else next(rest) for d in range(rank)))


@function()
def moveaxis(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Alias of ``movedim``, with NumPy's name."""
    return movedim(input, source, destination)


@function()
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Alias of ``transpose``, with NumPy's name."""
    return lookup_function("transpose")(input, axis0, axis1)


@function()
def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Alias of ``transpose``."""
    return lookup_function("transpose")(input, dim0, dim1)


def lookup_function(name: str) -> Any:
    """Return a public function by name."""
    return FUNCTIONS[name].function


@function()
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """A view with one dimension split into several; one of the sizes may be -1."""
    shape = tuple(arguments.tensor("unflatten", "input", input).shape)
    if not shape:
        raise ShapeError("unflatten: the input is 0-dimensional, expected at least 1 dimension")
    place = arguments.dimension("unflatten", dim, len(shape))
    given = tuple(arguments.integer("unflatten", "sizes", size) for size in sizes)
    if not given:
        raise ShapeError("unflatten: sizes is empty, expected one size or more")
    parts = arguments.infer_size("unflatten", given, shape[place], (shape[place],))
    return bind(RESHAPE, input, shape=(*shape[:place], *parts, *shape[place + 1 :]))


@function(top=False)
def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A view of windows of ``size`` elements, ``step`` apart, along a dimension; their elements come last."""
    shape = tuple(arguments.tensor("unfold", "input", input).shape)
    place = arguments.dimension("unfold", dimension, len(shape), "dimension")
    length, stride = arguments.integer("unfold", "size", size), arguments.integer("unfold", "step", step)
    bound = shape[place] if shape else 1
    if not 0 <= length <= bound:
        raise ShapeError(mistake("unfold", "size", length, f"0 to {bound}, the size of dimension {place}"))
    if stride <= 0:
        raise ArgumentError(mistake("unfold", "step", stride, "1 or more"))
    return bind(UNFOLD, input, dim=place, size=length, step=stride)


@function()
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of the diagonal of two dimensions, as the last dimension; ``offset`` is above 0 for upper diagonals."""
    rank = len(arguments.tensor("diagonal", "input", input).shape)
    first = arguments.dimension("diagonal", dim1, rank, "dim1")
    second = arguments.dimension("diagonal", dim2, rank, "dim2")
    if first == second:
        raise ShapeError(mistake("diagonal", "dim2", dim2, f"another dimension than dim1 ({dim1})"))
    return bind(
        DIAGONAL, input, offset=arguments.integer("diagonal", "offset", offset), dim1=first, dim2=second
    )


@function()
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Zeros with the last dimension of ``input`` along a diagonal of two new dimensions."""
    shape = tuple(arguments.tensor("diag_embed", "input", input).shape)
    if not shape:
        raise ShapeError("diag_embed: the input is 0-dimensional, expected at least 1 dimension")
    rank, away = len(shape) + 1, arguments.integer("diag_embed", "offset", offset)
    first = arguments.dimension("diag_embed", dim1, rank, "dim1")
    second = arguments.dimension("diag_embed", dim2, rank, "dim2")
    if first == second:
        raise ShapeError(mistake("diag_embed", "dim2", dim2, f"another dimension than dim1 ({dim1})"))
    size = shape[-1] + abs(away)
    rest = iter(shape[:-1])
    whole = tuple(size if d in (first, second) else next(rest) for d in range(rank))
    zeros = zeros_of(TensorType(whole, input.dtype), device=str(input.device))
    path = (("diagonal", (("offset", away), ("dim1", first), ("dim2", second))),)
    return bind(UPDATE_VIEW, zeros, input, path=path)


@function(out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with a vector on a diagonal, or a copy of a diagonal of a matrix."""
    rank = len(arguments.tensor("diag", "input", input).shape)
    if rank == 1:
        return diag_embed(input, diagonal)
    if rank != 2:
        raise ShapeError(mistake("diag", "input", f"{rank}-dimensional", "1- or 2-dimensional"))
    return bind(lookup("copy"), lookup_function("diagonal")(input, diagonal))


@function()
def as_strided(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """Any strided view of the memory of a contiguous tensor; ``storage_offset`` counts from the start of its storage.

    Raises ``UnsupportedError`` where ``input`` is not contiguous or the view begins before it: call it on the base.
    """
    arguments.tensor("as_strided", "input", input)
    shape = arguments.sizes("as_strided", (tuple(size),))
    strides = tuple(arguments.integer("as_strided", "stride", step) for step in stride)
    if len(strides) != len(shape) or any(step < 0 for step in strides):
        raise ShapeError(mistake("as_strided", "stride", strides, f"{len(shape)} strides of 0 or more"))
    own = input.storage_offset()
    start = (
        own if storage_offset is None else arguments.integer("as_strided", "storage_offset", storage_offset)
    )
    if not input.is_contiguous() or start < own:
        raise UnsupportedError(
            "as_strided: the input is a view of other memory, expected a contiguous base; call it on that"
        )
    return bind(STRIDED, input, shape=shape, strides=strides, offset=start - own)


PIECES = 2**24
"""The most views that a call gives: each is a Python object, also where it is empty."""


def _slices(name: str, input: Any, dim: int, stops: Sequence[int]) -> tuple[Any, ...]:
    return bind_views(SPLIT, input, dim=dim, stops=tuple(stops)) if stops else ()


@function(name="split")
def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> Any:
    """A tuple of views of pieces along ``dim``: of one size (the last may be smaller), or of the sizes in a list.

    >>> import weft as wf
    >>> wf.split(wf.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    shape = tuple(arguments.tensor("split", "tensor", tensor).shape)
    if not shape:
        raise ShapeError("split: the tensor is 0-dimensional, expected at least 1 dimension")
    place = arguments.dimension("split", dim, len(shape))
    size = shape[place]
    if isinstance(split_size_or_sections, Sequence):
        sections = [
            arguments.integer("split", "split_size_or_sections", section)
            for section in split_size_or_sections
        ]
        if any(section < 0 for section in sections) or sum(sections) != size:
            raise ShapeError(
                mistake(
                    "split",
                    "split_size_or_sections",
                    tuple(sections),
                    f"sizes that add up to {size}, dimension {place}'s",
                )
            )
    else:
        each = arguments.integer("split", "split_size_or_sections", split_size_or_sections)
        if each < 0 or (each == 0 and size):
            raise ShapeError(mistake("split", "split_size_or_sections", each, "1 or more"))
        sections = [min(each, size - start) for start in range(0, size, each)] if size else [0]
    stops, total = [], 0
    for section in sections:
        total += section
        stops.append(total)
    return _slices("split", tensor, place, stops)


@function()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> Any:
    """A tuple of views of at most ``chunks`` pieces of equal size along ``dim``; the last piece may be smaller."""
    shape = tuple(arguments.tensor("chunk", "input", input).shape)
    if not shape:
        raise ShapeError("chunk: the input is 0-dimensional, expected at least 1 dimension")
    count = arguments.integer("chunk", "chunks", chunks)
    if not 1 <= count <= PIECES:
        raise ArgumentError(mistake("chunk", "chunks", count, f"from 1 to {PIECES:,}"))
    place = arguments.dimension("chunk", dim, len(shape))
    each = -(-shape[place] // count)
    return split(input, each, place) if each else _slices("chunk", input, place, [0] * count)


@function()
def tensor_split(input: Tensor, indices_or_sections: int | Sequence[int] | Tensor, dim: int = 0) -> Any:
    """A tuple of views of pieces along ``dim``: so many pieces of nearly equal size, or pieces cut at indices.

    The number or the indices may be in an integer tensor, 0-d or 1-d, which is read from its device.
    """
    if hasattr(indices_or_sections, "dtype"):
        indices_or_sections = _read_cuts(indices_or_sections)
    shape = tuple(arguments.tensor("tensor_split", "input", input).shape)
    if not shape:
        raise ShapeError("tensor_split: the input is 0-dimensional, expected at least 1 dimension")
    place = arguments.dimension("tensor_split", dim, len(shape))
    size = shape[place]
    if isinstance(indices_or_sections, Sequence):
        cuts = [
            slice(None, arguments.integer("tensor_split", "indices_or_sections", section))
            for section in indices_or_sections
        ]
        starts = [0, *(cut.indices(size)[1] for cut in cuts)]
        pairs = zip(starts, [*starts[1:], size], strict=True)
        return tuple(bind(SLICE, input, dim=place, start=a, stop=max(a, b), step=1) for a, b in pairs)
    count = arguments.integer("tensor_split", "indices_or_sections", indices_or_sections)
    if not 1 <= count <= PIECES:
        raise ArgumentError(mistake("tensor_split", "indices_or_sections", count, f"from 1 to {PIECES:,}"))
    least, more = divmod(size, count)
    return _slices("tensor_split", input, place, [(n + 1) * least + min(n + 1, more) for n in range(count)])


def _read_cuts(given: Any) -> Any:
    arguments.integral("tensor_split", "indices_or_sections", given.dtype)
    if len(given.shape) > 1:
        rank = f"{len(given.shape)}-dimensional"
        raise ShapeError(mistake("tensor_split", "indices_or_sections", rank, "0- or 1-dimensional"))
    return given.tolist()


@function()
def unbind(input: Tensor, dim: int = 0) -> Any:
    """A tuple of views of all slices along ``dim``, without that dimension."""
    shape = tuple(arguments.tensor("unbind", "input", input).shape)
    if not shape:
        raise ShapeError("unbind: the input is 0-dimensional, expected at least 1 dimension")
    place = arguments.dimension("unbind", dim, len(shape))
    return bind_views(UNBIND, input, dim=place) if shape[place] else ()


@function(method=False)
def broadcast_tensors(*tensors: Tensor) -> Any:
    """The tensors expanded to their common shape."""
    given = [arguments.tensor("broadcast_tensors", "tensors", tensor) for tensor in tensors]
    shape = broadcast_shapes("broadcast_tensors", *(tuple(value.shape) for value in given))
    return tuple(
        value if tuple(value.shape) == shape else bind(EXPAND, value, shape=shape) for value in given
    )


@function(method=False)
def meshgrid(*tensors: Tensor, indexing: str = "ij") -> Any:
    """Grids of coordinates: a view of each vector, expanded; ``"xy"`` exchanges the first two dimensions.

    >>> import weft as wf
    >>> wf.meshgrid(wf.tensor([1, 2]), wf.tensor([3, 4, 5]), indexing="ij")[0]
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], Sequence) else tensors
    if indexing not in ("ij", "xy"):
        raise ArgumentError(mistake("meshgrid", "indexing", repr(indexing), "'ij' or 'xy'"))
    vectors = []
    for vector in given:
        rank = len(arguments.tensor("meshgrid", "tensors", vector).shape)
        if rank > 1:
            raise ShapeError(
                mistake("meshgrid", "tensors", f"a {rank}-dimensional tensor", "vectors or 0-d tensors")
            )
        vectors.append(vector if rank else reshape(vector, 1))
    if not vectors:
        raise ArgumentTypeError("meshgrid: no tensors were given, expected one or more")
    swap = indexing == "xy" and len(vectors) > 1
    if swap:
        vectors[:2] = vectors[1::-1]
    shape = tuple(vector.shape[0] for vector in vectors)
    grids = []
    for axis, vector in enumerate(vectors):
        own = -1 if shape[axis] else 0
        line = reshape(vector, *(own if d == axis else 1 for d in range(len(shape))))
        grids.append(expand(line, *shape))
    if swap:
        grids[:2] = grids[1::-1]
    return tuple(grids)
