"""Counts by index: ``bincount`` and ``one_hot``."""

from __future__ import annotations

import math
from typing import Any

from weft import dtypes
from weft.errors import (
    ArgumentTypeError,
    DTypeError,
    ShapeError,
    mistake,
)
from weft.ops.index.index_tensors import filled, put
from weft.ops.make.creation import to_dtype
from weft.ops.pointwise.masked import read_number
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup
from weft.ops.views.movement import expand, unsqueeze


@function(functional=True, top=False, method=False)
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 rows of zeros with a 1 at each index: (*) gives (*, num_classes), as ``torch.nn.functional.one_hot``.

    ``num_classes`` is by default the largest index + 1, which is read from the device.

    >>> import weft as wf
    >>> wf.nn.functional.one_hot(wf.tensor([1, 0]), 3)
    tensor([[0, 1, 0],
            [1, 0, 0]])
    """
    arguments.tensor("one_hot", "tensor", tensor)
    arguments.integral("one_hot", "tensor", tensor.dtype)
    classes = arguments.integer("one_hot", "num_classes", num_classes)
    if classes == -1:
        if not math.prod(tensor.shape):
            raise ArgumentTypeError(
                "one_hot: the tensor is empty, so num_classes cannot be inferred; give it"
            )
        classes = read_number("one_hot without num_classes", tensor.amax()) + 1
    shape = tuple(tensor.shape)
    zeros = bind(lookup("full"), 0, shape=(*shape, classes), dtype=dtypes.int64, device=str(tensor.device))
    ones = expand(filled(zeros, 1), *shape, 1)
    places = unsqueeze(to_dtype(tensor, dtypes.int64), len(shape))
    return bind(lookup("scatter"), zeros, ones, places, dim=len(shape), mode="replace")


@function()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """The count of each number from 0 to the largest in the 1-d ``input``, or the sum of its ``weights``.

    The largest number is read from the device. Sums have a fixed order. They are float32 for float32 weights and else
    float64, or float32 on a device without float64; integer weights are added exactly before they are converted.

    >>> import weft as wf
    >>> wf.bincount(wf.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    arguments.tensor("bincount", "input", input, 1)
    arguments.integral("bincount", "input", input.dtype)
    least = arguments.integer("bincount", "minlength", minlength)
    if least < 0:
        raise ShapeError(mistake("bincount", "minlength", least, "0 or more"))
    if weights is not None and tuple(arguments.tensor("bincount", "weights", weights).shape) != tuple(
        input.shape
    ):
        raise ShapeError(
            mistake("bincount", "weights' shape", tuple(weights.shape), f"{tuple(input.shape)}, as the input")
        )
    count = input.shape[0]
    if count:
        low, high = (read_number("bincount", end) for end in (input.amin(), input.amax()))
        if low < 0:
            raise ShapeError(mistake("bincount", "input", f"a tensor with {low}", "no negative numbers"))
        least = max(least, high + 1)
    if weights is None or not count:
        zeros = bind(lookup("full"), 0, shape=(least,), dtype=dtypes.int64, device=str(input.device))
        return put(zeros, expand(filled(zeros, 1), count), [input], "sum") if count else zeros
    exact = weights.dtype.kind != "float"  # sums of integers, as integers
    wide = weights.dtype if weights.dtype is dtypes.float32 else _widest(input)
    sums = bind(
        lookup("full"), 0, shape=(least,), dtype=dtypes.int64 if exact else wide, device=str(input.device)
    )
    return to_dtype(put(sums, to_dtype(weights, sums.dtype), [input], "sum"), wide)


def _widest(like: Any) -> dtypes.DType:
    """Return float64, or float32 on a device without float64."""
    try:
        bind(lookup("full"), 0, shape=(0,), dtype=dtypes.float64, device=str(like.device))
    except DTypeError:
        return dtypes.float32
    return dtypes.float64
