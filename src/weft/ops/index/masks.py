"""Functions of masks: ``masked_select``, ``masked_scatter`` and the forms that overwrite."""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.errors import (
    DTypeError,
    ShapeError,
    mistake,
)
from weft.ops.index.advanced import resolve
from weft.ops.index.expanded import fill_where
from weft.ops.index.selection import plan_fill
from weft.ops.pointwise.masked import is_traced, refuse
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.views.movement import basic_index, expand, reshape


@function(out=True)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the bool ``mask`` is true, in row-major order: a 1-d tensor; both operands are broadcast.

    The number of elements is read from the device.

    >>> import weft as wf
    >>> x = wf.tensor([1, 2, 3])
    >>> wf.masked_select(x, x > 1)
    tensor([2, 3])
    """
    shape = _broadcast_mask("masked_select", input, mask)
    if is_traced():
        refuse("masked_select")
    own = input if tuple(input.shape) == shape else expand(input, *shape)
    where = mask if tuple(mask.shape) == shape else expand(mask, *shape)
    if not shape:
        own, where = reshape(own, 1), reshape(where, 1)
    return resolve(own, (where,)).read()


def _broadcast_mask(name: str, input: Any, mask: Any) -> tuple[int, ...]:
    """Return the broadcast shape of input and mask; ``DTypeError`` unless the mask is bool."""
    arguments.tensor(name, "input", input)
    arguments.tensor(name, "mask", mask)
    if mask.dtype is not dtypes.bool_:
        raise DTypeError(mistake(name, "mask's dtype", mask.dtype.name, "bool"))
    return broadcast_shapes(name, tuple(input.shape), tuple(mask.shape))


@function()
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` where the n-th element with a true ``mask`` is replaced by the n-th of ``source``."""
    shape = _broadcast_mask("masked_scatter", input, mask)
    arguments.tensor("masked_scatter", "source", source)
    if source.dtype is not input.dtype:
        raise DTypeError(
            mistake(
                "masked_scatter", "source's dtype", source.dtype.name, f"{input.dtype.name}, as the input's"
            )
        )
    own = input if tuple(input.shape) == shape else expand(input, *shape)
    spread = mask if tuple(mask.shape) == shape else expand(mask, *shape)
    if not shape:
        return reshape(masked_scatter(reshape(own, 1), reshape(spread, 1), source))
    if is_traced():
        refuse("masked_scatter")
    place = resolve(own, (spread,))
    count = place.indices[0].shape[0]
    if math.prod(source.shape) < count:
        raise ShapeError(
            mistake(
                "masked_scatter",
                "source",
                f"{math.prod(source.shape)} elements",
                f"at least {count}, one for each true place",
            )
        )
    flat = (
        basic_index(reshape(source, -1), slice(0, count)) if math.prod(source.shape) else reshape(source, 0)
    )
    return place.write(own, flat, "replace", False)


@function(name="masked_fill_", top=False)
def masked_fill_(input: Tensor, mask: Tensor, value: Tensor | float) -> Tensor:
    """In-place version of ``masked_fill``; returns the tensor."""
    _, chosen, fill, target = plan_fill(input, mask, value)
    if broadcast_shapes("masked_fill_", tuple(target.shape), tuple(chosen.shape)) != tuple(target.shape):
        expected = f"one that broadcasts to {tuple(target.shape)}"
        raise ShapeError(mistake("masked_fill_", "mask's shape", tuple(chosen.shape), expected))
    fill_where(target, chosen, fill)
    return target


@function(name="masked_scatter_", top=False)
def masked_scatter_(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """In-place version of ``masked_scatter``; returns the tensor."""
    if _broadcast_mask("masked_scatter", input, mask) != tuple(input.shape):
        raise ShapeError(
            mistake(
                "masked_scatter",
                "mask's shape",
                tuple(mask.shape),
                f"one that broadcasts to {tuple(input.shape)}",
            )
        )
    return input.copy_(masked_scatter(input, mask, source))
