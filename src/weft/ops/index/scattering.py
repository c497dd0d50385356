"""``scatter``, ``scatter_add`` and ``scatter_reduce``, which write or fold each element at an index of its own.

A place that indices name more than once is written in the order of the indices: the last write stays, and folds have a
fixed tree, so that the same call gives the same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.ops.index.in_place_forms import both_forms
from weft.ops.index.index_tensors import filled
from weft.ops.index.placement import SCATTER, SCATTER_FOLD
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rounding import rounded_once
from weft.ops.registry.table import lookup
from weft.ops.views.movement import expand, reshape
from weft.ops.views.ops import SLICE


def _checked_dim(name: str, input: Any, dim: int, index: Any) -> int:
    """Return the normalised dimension; raise where the index is no integer tensor."""
    arguments.tensor(name, "input", input)
    arguments.tensor(name, "index", index)
    arguments.integral(name, "index", index.dtype)
    return arguments.dimension(name, dim, len(input.shape))


def _source(name: str, input: Any, index: Any, src: Any) -> Any:
    """Return ``src`` cut to the index's sizes, or a number expanded to the index's shape."""
    if not hasattr(src, "shape"):
        number = filled(input, src)
        return expand(number, *index.shape) if index.shape else number
    if src.dtype is not input.dtype:
        raise DTypeError(mistake(name, "src's dtype", src.dtype.name, f"{input.dtype.name}, as the input's"))
    if len(src.shape) != len(index.shape):
        raise ShapeError(
            mistake(name, "src", f"{len(src.shape)}-dimensional", f"{len(index.shape)}-dimensional, as index")
        )
    for d, (size, own) in enumerate(zip(index.shape, src.shape, strict=True)):
        if size > own:
            raise ShapeError(
                mistake(name, f"index's size at dimension {d}", size, f"at most {own}, as src has")
            )
        if size < own:
            src = bind(SLICE, src, dim=d, start=0, stop=size, step=1)
    return src


def _with_vectors(form: Callable[..., Any]) -> Callable[..., Any]:
    """Return a scatter that takes a 0-d input or index beside a vector for a vector of one element, as PyTorch's."""

    def vector(value: Any) -> Any:
        return reshape(value, 1) if getattr(value, "shape", None) == () else value

    @functools.wraps(form)
    def scatter_form(input: Any, dim: int, index: Any, *rest: Any, into: bool = False, **named: Any) -> Any:
        ranks = [len(getattr(value, "shape", ())) for value in (input, index)]
        if sorted(ranks) != [0, 1]:
            return form(input, dim, index, *rest, into=into, **named)
        rest = tuple(map(vector, rest))
        named = {name: vector(value) for name, value in named.items()}
        written = form(vector(input), dim, vector(index), *rest, into=into, **named)
        return input if into else reshape(written, *input.shape)

    return scatter_form


_REDUCE = {None: "replace", "add": "sum", "multiply": "prod"}


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any, *, reduce: str | None = None, into: bool = False
) -> Tensor:
    """``input`` with ``src[i][j]`` written at ``[index[i][j]][j]`` (for dim 0); ``src`` may be a number.

    Of equal places the last one stays. ``reduce`` is ``"add"`` or ``"multiply"`` to fold in place of writing; in new
    programs ``scatter_reduce`` does this.
    """
    place = _checked_dim("scatter", input, dim, index)
    if reduce not in _REDUCE:
        raise ArgumentError(mistake("scatter", "reduce", repr(reduce), "None, 'add' or 'multiply'"))
    values, mode = _source("scatter", input, index, src), _REDUCE[reduce]
    op = SCATTER_FOLD if mode == "prod" else SCATTER
    return bind(op, input, values, index, dim=place, mode=mode, into=(input,) if into else None)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, into: bool = False) -> Tensor:
    """``input`` with ``src[i][j]`` added at ``[index[i][j]][j]`` (for dim 0); equal places add up in a fixed order."""
    place = _checked_dim("scatter_add", input, dim, index)
    arguments.tensor("scatter_add", "src", src)
    values = _source("scatter_add", input, index, src)
    return bind(SCATTER, input, values, index, dim=place, mode="sum", into=(input,) if into else None)


_IDENTITY: dict[str, Callable[[dtypes.DType], Any]] = {
    "sum": lambda dtype: 0,
    "mean": lambda dtype: 0,
    "prod": lambda dtype: 1,
    "amax": lambda dtype: _extreme(dtype, -1),
    "amin": lambda dtype: _extreme(dtype, 1),
}


def _extreme(dtype: dtypes.DType, sign: int) -> Any:
    if dtype.kind == "float":
        return sign * float("inf")
    if dtype.kind == "bool":
        return sign > 0
    bits = min(dtype.bits, 32)  # on a device without 64 bits int64 is stored in 32
    if dtype.bits == 64:
        bits = 64
    if dtype.kind == "uint":
        return (1 << bits) - 1 if sign > 0 else 0
    return (1 << (bits - 1)) - 1 if sign > 0 else -(1 << (bits - 1))


def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    into: bool = False,
) -> Tensor:
    """``input`` with ``src`` reduced into it at the indices ``index`` along ``dim``.

    ``reduce`` is ``"sum"``, ``"prod"``, ``"mean"``, ``"amax"`` or ``"amin"``; a mean of integers rounds down. Without
    ``include_self`` the old values at these places do not count.
    """
    place = _checked_dim("scatter_reduce", input, dim, index)
    arguments.tensor("scatter_reduce", "src", src)
    if reduce not in _IDENTITY:
        raise ArgumentError(
            mistake("scatter_reduce", "reduce", repr(reduce), f"one of {', '.join(_IDENTITY)}")
        )
    values = _source("scatter_reduce", input, index, src)
    fresh = None
    if not include_self:
        start = filled(input, _bounded(input, reduce))
        fresh = expand(start, *index.shape) if index.shape else start
    records = input.requires_grad or values.requires_grad  # the gradient may read the old values
    if into and reduce != "mean" and (fresh is None or not records):
        if fresh is not None:
            bind(SCATTER, input, fresh, index, dim=place, mode="replace", into=(input,))
        op = SCATTER if reduce == "sum" else SCATTER_FOLD
        return bind(op, input, values, index, dim=place, mode=reduce, into=(input,))
    base = bind(lookup("copy"), input) if into else input
    if fresh is not None:
        base = bind(SCATTER, input, fresh, index, dim=place, mode="replace")
    form: Callable[..., Any] = _FORMS.get(reduce, _folded)
    result = form(base, values, index, place, reduce, include_self)
    return input.copy_(result) if into else result


def _bounded(input: Any, reduce: str) -> Any:
    value = _IDENTITY[reduce](input.dtype)
    if isinstance(value, int) and input.element_size() < input.dtype.itemsize:
        return max(min(value, 2**31 - 1), -(2**31))
    return value


def _folded(base: Any, values: Any, index: Any, dim: int, reduce: str, include_self: bool) -> Any:
    return bind(SCATTER if reduce == "sum" else SCATTER_FOLD, base, values, index, dim=dim, mode=reduce)


def _mean(base: Any, values: Any, index: Any, dim: int, reduce: str, include_self: bool) -> Any:
    total = _folded(base, values, index, dim, "sum", include_self)
    start = filled(base, 1, base.shape)
    zeros, ones = (_source("scatter_reduce", base, index, number) for number in (0, 1))
    if not include_self:
        start = bind(SCATTER, start, zeros, index, dim=dim, mode="replace")
    count = bind(SCATTER, start, ones, index, dim=dim, mode="sum")
    if base.dtype.kind == "float":
        return bind(lookup("div"), total, count)
    return bind(lookup("floor_divide"), total, count)


_FORMS: dict[str, Callable[..., Any]] = {"mean": rounded_once(_mean)}

for _form in (scatter, scatter_add, scatter_reduce):
    both_forms(_form.__name__, _with_vectors(_form), autocast="widest" if _form is scatter_add else None)
