"""Writes to expanded tensors, whose elements share memory along dimensions of stride 0.

PyTorch allows writes by masks and index tensors to expanded tensors, and refuses all other writes but ``fill_``. In an
expanded dimension all positions are the same element: the values of all positions are written to it, or added, in
order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weft import dtypes
from weft.ops.index.placement import INDEX_OP, INDEX_PUT
from weft.ops.index.selection import WHERE
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup
from weft.ops.views.movement import expand, reshape
from weft.ops.views.ops import SLICE


def repeated(x: Any) -> tuple[int, ...]:
    """Return the dimensions along which a tensor repeats its elements."""
    strides = x.stride()
    if 0 not in strides:
        return ()
    return tuple(
        d for d, (size, stride) in enumerate(zip(x.shape, strides, strict=True)) if stride == 0 and size > 1
    )


def without_repeats(x: Any, dims: Sequence[int]) -> Any:
    """Return the view of a tensor with only the first position of the repeated dimensions."""
    for d in dims:
        x = bind(SLICE, x, dim=d, start=0, stop=1, step=1)
    return x


def fill_where(x: Any, mask: Any, value: Any) -> None:
    """Write a single value to the elements of a tensor where a mask, which broadcasts to it, is true."""
    dims = repeated(x)
    if dims:
        spread = mask if tuple(mask.shape) == tuple(x.shape) else expand(mask, *x.shape)
        mask = bind(lookup("any"), spread, dims=dims, keepdim=True)
        x = without_repeats(x, dims)
    bind(WHERE, mask, value, x, into=(x,))


def put_repeated(
    x: Any, dims: Sequence[int], values: Any, indices: Sequence[Any], mode: str, wrap: bool, dim: int
) -> None:
    """Write or fold values at index tensors into a tensor that repeats its elements along ``dims``."""
    seen = without_repeats(x, dims)
    count = math.prod(seen.shape)
    numbers = bind(lookup("arange"), 0, 1, count=count, dtype=dtypes.int64, device=str(x.device))
    places = expand(reshape(numbers, *seen.shape), *x.shape)
    named = reshape(bind(INDEX_OP, places, *indices, wrap=wrap, dim=dim), -1)
    flat = reshape(seen, -1)
    written = bind(INDEX_PUT, flat, reshape(values, -1), named, mode=mode, wrap=False, dim=0)
    bind(lookup("copy"), reshape(written, *seen.shape), into=(seen,))
