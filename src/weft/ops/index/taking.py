"""Elements taken by index tensors of other shapes: ``take`` from the flattened tensor, ``take_along_dim``."""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.errors import ShapeError, mistake
from weft.ops.index.indexing import GATHER
from weft.ops.index.placement import INDEX_OP
from weft.ops.make.creation import to_dtype
from weft.ops.pointwise.expressions import pointwise
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.interpreters import bind
from weft.ops.views.movement import expand, reshape


@function(out=INDEX_OP)
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened ``input`` at ``index``, in the shape of ``index``."""
    arguments.tensor("take", "input", input)
    arguments.tensor("take", "index", index)
    arguments.integral("take", "index", index.dtype)
    return bind(
        INDEX_OP, reshape(input, -1) if 0 not in input.shape else reshape(input, 0), index, wrap=True, dim=0
    )


@function(out=GATHER)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` with ``input`` and ``indices`` broadcast except along ``dim``; of flattened tensors without ``dim``.

    Negative indices count from the end.
    """
    arguments.tensor("take_along_dim", "input", input)
    arguments.integral(
        "take_along_dim", "indices", arguments.tensor("take_along_dim", "indices", indices).dtype
    )
    if dim is None:
        flat = reshape(input, math.prod(input.shape))
        return bind(GATHER, flat, _wrapped(reshape(indices, math.prod(indices.shape)), flat.shape[0]), dim=0)
    if len(input.shape) != len(indices.shape):
        raise ShapeError(
            mistake(
                "take_along_dim",
                "indices",
                f"{len(indices.shape)}-dimensional",
                f"{len(input.shape)}-dimensional",
            )
        )
    place = arguments.dimension("take_along_dim", dim, len(input.shape))
    own, other = list(input.shape), list(indices.shape)
    if own:
        own[place] = other[place] = 1
        common = list(broadcast_shapes("take_along_dim", own, other))
        own, other = list(common), list(common)
        own[place], other[place] = input.shape[place], indices.shape[place]
    wrapped = _wrapped(indices, input.shape[place] if input.shape else 1)
    return bind(GATHER, expand(input, *own), expand(wrapped, *other), dim=place)


WRAPPED = pointwise("wrapped_index", "where(x < 0, x + size, x)", "x size", "An index; below 0 from the end.",
                    kinds="i", derivative=("", ""))  # fmt: skip


def _wrapped(indices: Any, size: int) -> Any:
    return indices if indices.dtype.kind == "uint" else bind(WRAPPED, to_dtype(indices, dtypes.int64), size)
