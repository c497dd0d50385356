"""Advanced indexing: ``x[...]`` with index tensors and masks, as in PyTorch.

Ints, slices, ``None`` and ``...`` are resolved first, to a view. Index tensors for some of the view's dimensions
remain: the op ``index`` reads at them and ``index_put`` writes. Where the indexed dimensions are not adjacent they are
moved to the front. A mask is replaced by index tensors of its true elements, whose number is read back from the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft import dtypes
from weft.errors import (
    ArgumentError,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    UnsupportedError,
    mistake,
)
from weft.ops.index.expanded import fill_where
from weft.ops.index.in_place_forms import both_forms
from weft.ops.index.index_tensors import counted, filled, put, read
from weft.ops.index.nonzero import nonzero
from weft.ops.make.creation import to_dtype
from weft.ops.pointwise.masked import Selection, is_traced, refuse
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.geometry import Geometry, broadcast_shapes
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup
from weft.ops.views.movement import any_ellipsis, basic_index, permute, reshape, sliced, unsqueeze
from weft.ops.views.movement import select as select_dim
from weft.ops.views.ops import RESHAPE


def is_tensor(item: Any) -> bool:
    """Return whether an index item is a tensor."""
    return hasattr(item, "dtype") and hasattr(item, "shape") and hasattr(item, "device")


def is_basic(items: Sequence[Any]) -> bool:
    """Return whether all items are ints, slices, ``None`` or ``...``, so that the result is a view."""
    return not any(is_tensor(item) or isinstance(item, bool) for item in items)


@dataclass(frozen=True)
class ResolvedIndex:
    """An index expression, resolved to a view of the input and index tensors for some of the view's dimensions."""

    view: Any
    dims: tuple[int, ...]
    indices: tuple[Any, ...]

    @property
    def adjacent(self) -> bool:
        """Whether the indexed dimensions are adjacent; the indices' dimensions then take their place in the result."""
        return self.dims == tuple(range(self.dims[0], self.dims[0] + len(self.dims)))

    @property
    def at(self) -> int:
        """The first of the indices' dimensions in the result: 0 where the indexed dimensions are not adjacent."""
        return self.dims[0] if self.adjacent else 0

    @property
    def order(self) -> tuple[int, ...]:
        """The order of the view's dimensions in which the indexed dimensions are adjacent: unchanged, or in front."""
        rank = len(self.view.shape)
        rest = (d for d in range(rank) if d not in self.dims)
        return tuple(range(rank)) if self.adjacent else (*self.dims, *rest)

    def read(self) -> Any:
        """Return the elements."""
        return read(_permuted(self.view, self.order), self.indices, self.at)

    def write(self, input: Any, values: Any, mode: str, into: bool) -> Any:
        """Write or fold values, which broadcast to the result's shape, into ``input`` (``into``) or a copy of it."""
        written = put(_permuted(self.view, self.order), values, self.indices, mode, into, dim=self.at)
        if into:
            return input
        result = _permuted(written, tuple(self.order.index(d) for d in range(len(self.order))))
        # the view of a mask may have merged dimensions
        return result if result.shape == input.shape else reshape(result, *input.shape)


def _permuted(value: Any, order: tuple[int, ...]) -> Any:
    return value if order == tuple(range(len(order))) else permute(value, *order)


def with_masks(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the items of an index with uint8 tensors as bool tensors: both are masks, as in PyTorch."""
    return tuple([
        to_dtype(item, dtypes.bool_) if is_tensor(item) and item.dtype is dtypes.uint8 else item for item in items
    ])  # fmt: skip


def resolve(input: Any, items: tuple[Any, ...]) -> ResolvedIndex:
    """Return the view of the basic items, and the index tensors of the other items."""
    items = with_masks(items)
    used = sum(_consumes(item) for item in items)
    rank = len(input.shape)
    if used > rank:
        raise IndexOutOfRangeError(f"too many indices: {used} given for a tensor of {rank} dimensions")
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexOutOfRangeError("an index may hold one ... only")
    if not any_ellipsis(items):
        items = (*items, Ellipsis)
    mixed = any(is_tensor(item) and (tuple(item.shape) or item.dtype is dtypes.bool_) for item in items)
    view, dim = input, 0
    dims: list[int] = []
    indices: list[Any] = []
    for item in items:
        if item is None:
            view, dim = unsqueeze(view, dim), dim + 1
        elif item is Ellipsis:
            dim += rank - used
        elif isinstance(item, slice):
            view, dim = sliced(view, dim, item), dim + 1
        elif isinstance(item, bool):
            view = unsqueeze(view, dim)
            dims.append(dim)
            indices.append(counted(view, int(item)))
            dim += 1
        elif not is_tensor(item) or (mixed and _is_number(item)):
            # beside other index tensors PyTorch takes a 0-d tensor as an int
            view = select_dim(view, dim, int(item.item()) if is_tensor(item) else item.__index__())
        else:
            view, found = _indexed(view, dim, item)
            dims += range(dim, dim + len(found))
            indices += found
            dim += len(found)
    _one_shape(indices)
    return ResolvedIndex(view, tuple(dims), tuple(indices))


def _one_shape(indices: Sequence[Any]) -> None:
    try:
        broadcast_shapes("index", *(tuple(index.shape) for index in indices))
    except ShapeError as error:
        raise IndexOutOfRangeError(str(error)) from None


def _consumes(item: Any) -> int:
    """Return the number of the input's dimensions that an item indexes."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return len(item.shape) if is_tensor(item) and item.dtype is dtypes.bool_ else 1


def _is_number(item: Any) -> bool:
    return not tuple(item.shape) and bool(item.dtype.is_integer)


def _indexed(view: Any, dim: int, item: Any) -> tuple[Any, list[Any]]:
    """Return the view and the index tensors of an index tensor or a mask.

    A mask gives the coordinates of its true elements. Where strides allow, its dimensions are merged in the view, so
    that a single index tensor suffices.
    """
    if item.dtype is not dtypes.bool_:
        if not item.dtype.is_integer:
            raise DTypeError(
                mistake(
                    "index",
                    "the index tensor's dtype",
                    item.dtype.name,
                    "an integer type, or bool for a mask",
                )
            )
        return view, [item]
    shape, rank = tuple(view.shape), len(item.shape)
    if rank == 0:
        view = unsqueeze(view, dim)
        return view, [reshape(nonzero(reshape(item, 1)), -1)]
    if tuple(item.shape) != shape[dim : dim + rank]:
        raise IndexOutOfRangeError(
            mistake(
                "index",
                "the mask's shape",
                tuple(item.shape),
                f"{shape[dim : dim + rank]}, the dimensions it selects from",
            )
        )
    merged = (*shape[:dim], math.prod(item.shape), *shape[dim + rank :])
    if rank > 1 and 0 not in shape and Geometry(shape, tuple(view.stride())).reshape(merged) is not None:
        return bind(RESHAPE, view, shape=merged), [reshape(nonzero(reshape(item, -1)), -1)]
    found = nonzero(item)
    return view, [select_dim(found, 1, d) for d in range(rank)]


def get(input: Any, items: tuple[Any, ...]) -> Any:
    """Return ``input[items]``."""
    if is_basic(items):
        return basic_index(input, items)
    if is_traced() and any(is_tensor(item) and item.dtype is dtypes.bool_ for item in items):
        single = _single_mask(input, items)
        return refuse("x[mask]") if single is None else Selection(input, items[0], single)
    return resolve(input, items).read()


def set_(input: Any, items: tuple[Any, ...], value: Any) -> None:
    """Carry out ``input[items] = value`` with tensors among the items; ``value`` is a tensor or a number."""
    if isinstance(value, Selection):
        _write_selection(input, items, value)
        return
    number = not is_tensor(value)
    if not number and value.dtype is not input.dtype:
        raise DTypeError(
            mistake("index_put", "the value's dtype", value.dtype.name, f"{input.dtype.name}, as the tensor written to",
                    "use .to(dtype)")
        )  # fmt: skip
    items = with_masks(items)
    single = _single_mask(input, items)
    if single is not None and (number or math.prod(value.shape) == 1):
        fill_where(input, single, filled(input, value) if number else reshape(value))
        return
    if is_traced() and any(is_tensor(item) and item.dtype is dtypes.bool_ for item in items):
        refuse("x[mask] = values")
    place = resolve(input, items)
    place.write(input, filled(input, value) if number else value, "replace", True)


def _write_selection(input: Any, items: tuple[Any, ...], value: Selection) -> None:
    """Carry out ``input[mask] = selection``, with a selection of the same mask, by ``where``."""
    single = _single_mask(input, items)
    if single is None or items[0] is not value.mask or tuple(value.whole.shape) != tuple(input.shape):
        refuse("x[mask] = values of another mask or shape")
    if value.whole.dtype is not input.dtype:
        raise DTypeError(
            mistake("index_put", "the value's dtype", value.whole.dtype.name, f"{input.dtype.name}, as the tensor "
                    "written to", "use .to(dtype)")
        )  # fmt: skip
    bind(lookup("where"), single, value.whole, input, into=(input,))


def _single_mask(input: Any, items: tuple[Any, ...]) -> Any:
    """Return the mask in a shape that broadcasts with the input, where a mask is the only item; else ``None``."""
    if len(items) != 1 or not is_tensor(items[0]) or items[0].dtype is not dtypes.bool_ or not items[0].shape:
        return None
    mask, rank = items[0], len(input.shape)
    if tuple(mask.shape) != tuple(input.shape[: len(mask.shape)]):
        return None  # resolve raises the error
    return reshape(mask, *mask.shape, *[1] * (rank - len(mask.shape)))


def index_put(
    input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False, *, into: bool = False
) -> Tensor:
    """``input`` with ``values`` written at ``input[indices]``, or added with ``accumulate``.

    Without ``accumulate``, the last value for an index that occurs several times is kept.
    """
    arguments.tensor("index_put", "input", input)
    arguments.tensor("index_put", "values", values)
    if not isinstance(indices, tuple | list):
        raise ArgumentError(mistake("index_put", "indices", type(indices).__name__, "a tuple of tensors"))
    place = resolve(input, tuple(slice(None) if index is None else index for index in indices))
    if not place.indices:
        raise UnsupportedError("index_put: no index tensor was given, expected one or more")
    return place.write(input, values, "sum" if accumulate else "replace", into)


both_forms("index_put", index_put, False, "widest")
