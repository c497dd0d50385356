"""Writing and folding at indices: ``index_add``, ``index_put``, ``scatter`` and the like, with their in-place forms.

Indices that name a place more than once are taken in their own order: the last write stays, and folds are in a fixed
tree, so that the same call gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.ops.index.expanded import fill_where, put_repeated, repeated
from weft.ops.index.placement import INDEX_OP, INDEX_PUT, SCATTER, SCATTER_FOLD
from weft.ops.make.creation import to_dtype
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import FUNCTIONS, Precision, function
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rounding import rounded_once
from weft.ops.registry.table import lookup
from weft.ops.registry.targets import shared_memory
from weft.ops.views.movement import expand, reshape
from weft.ops.views.ops import SLICE

MOST_INDICES = 3
"""Index tensors that one kernel binds beside what it reads and writes; more are first made one."""


def filled(like: Any, value: Any, shape: Sequence[int] = ()) -> Any:
    """A tensor of one value with the dtype and device of another."""
    return bind(lookup("full"), value, shape=tuple(shape), dtype=like.dtype, device=str(like.device))


def counted(like: Any, count: int) -> Any:
    """0, 1, … as int64 on the device of another tensor."""
    return bind(lookup("arange"), 0, 1, count=count, dtype=dtypes.int64, device=str(like.device))


# Index tensors for the leading dimensions.


def combined(x: Any, indices: Sequence[Any], wrap: bool, dim: int) -> tuple[Any, Any]:
    """x with its indexed dimensions merged, and one index for them, where there are too many for one kernel.

    Each index is wrapped and checked on its own, by picking from 0, 1, ….
    """
    shape, behind = tuple(x.shape), dim + len(indices)
    flat: Any = None
    for index, size in zip(indices, shape[dim:], strict=False):
        wide = to_dtype(index, dtypes.int64)
        placed = bind(INDEX_OP, counted(x, size), wide, wrap=wrap, dim=0)  # wraps and checks
        flat = placed if flat is None else bind(lookup("add"), bind(lookup("mul"), flat, size), placed)
    return reshape(x, *shape[:dim], math.prod(shape[dim:behind]), *shape[behind:]), flat


def read(x: Any, indices: Sequence[Any], dim: int = 0) -> Any:
    """The elements that index tensors for the dimensions from ``dim`` on name; the indices' dimensions lie there."""
    if len(indices) > MOST_INDICES:
        x, flat = combined(x, indices, True, dim)
        indices = [flat]
    return bind(INDEX_OP, x, *indices, wrap=len(indices) <= MOST_INDICES, dim=dim)


def put(
    x: Any,
    values: Any,
    indices: Sequence[Any],
    mode: str,
    into: bool = False,
    wrap: bool = True,
    dim: int = 0,
) -> Any:
    """Write or fold ``values``, expanded, at index tensors for dimensions from ``dim`` on; ``into``: in x itself."""
    named = broadcast_shapes("index_put", *(tuple(i.shape) for i in indices))
    shape = (*x.shape[:dim], *named, *x.shape[dim + len(indices) :])
    if tuple(values.shape) != shape:
        values = _expanded(values, shape)
    if len(indices) <= MOST_INDICES:
        if into and (dims := repeated(x)):
            put_repeated(x, dims, values, indices, mode, wrap, dim)
            return x
        target = (x,) if into else None
        return bind(INDEX_PUT, x, values, *indices, mode=mode, wrap=wrap, dim=dim, into=target)
    merged, flat = combined(x, indices, wrap, dim)
    if into and (dims := repeated(merged)):
        put_repeated(merged, dims, values, [flat], mode, False, dim)
        return x
    result = reshape(bind(INDEX_PUT, merged, values, flat, mode=mode, wrap=False, dim=dim), *x.shape)
    return x.copy_(result) if into else result


def _expanded(values: Any, shape: tuple[int, ...]) -> Any:
    own = tuple(values.shape)
    while len(own) > len(shape) and own[0] == 1:
        own = own[1:]
    missing = len(shape) - len(own)
    if missing < 0 or any(size not in (1, shape[missing + d]) for d, size in enumerate(own)):
        raise ShapeError(
            mistake("index_put", "values' shape", tuple(values.shape), f"one that broadcasts to {shape}")
        )
    if own != tuple(values.shape):
        values = reshape(values, *own)
    return values if own == shape else expand(values, *shape)


# One index for one dimension.


def _selected(name: str, input: Any, dim: int, index: Any) -> tuple[int, Any]:
    arguments.tensor(name, "input", input)
    arguments.tensor(name, "index", index)
    arguments.integral(name, "index", index.dtype)
    if len(index.shape) > 1:
        raise ShapeError(mistake(name, "index", f"{len(index.shape)}-dimensional", "at most 1-dimensional"))
    place = arguments.dimension(name, dim, len(input.shape))
    return place, index if len(index.shape) else reshape(index, 1)


@function(out=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Slices of ``input`` along ``dim`` picked by the 1-d ``index``: one gather of rows.

    >>> import weft as wf
    >>> wf.index_select(wf.tensor([[1, 2], [3, 4], [5, 6]]), 0, wf.tensor([2, 0]))
    tensor([[5, 6],
            [1, 2]])
    """
    place, rows = _selected("index_select", input, dim, index)
    if input.shape:
        return bind(INDEX_OP, input, rows, wrap=False, dim=place)
    if tuple(rows.shape) != (1,):
        given = f"{rows.shape[0]} elements"
        raise ShapeError(mistake("index_select", "index", given, "one, as the input is 0-dimensional"))
    return reshape(bind(INDEX_OP, reshape(input, 1), rows, wrap=False, dim=0))


def named_shape(name: str, input: Any, dim: int, rows: Any, source: Any) -> tuple[int, ...]:
    """The shape of what is written to the rows along ``dim`` that are named; ``ShapeError`` where the source's differs.

    Of one row of a vector or of a 0-d tensor the source may be 0-d.
    """
    count = rows.shape[0]
    shape = tuple(count if d == dim else size for d, size in enumerate(input.shape)) or (count,)
    given = tuple(source.shape)
    if given != shape and not (not given and shape == (1,)):
        raise ShapeError(mistake(name, "source's shape", given, shape))
    if not input.shape and count != 1:
        raise ShapeError(mistake(name, "index", f"{count} elements", "one, as the input is 0-dimensional"))
    return shape


def _along(name: str, input: Any, dim: int, index: Any, source: Any, mode: str, into: bool) -> Any:
    """Rows of ``source`` along ``dim`` written or folded at the rows of ``input`` that ``index`` names."""
    place, rows = _selected(name, input, dim, index)
    arguments.tensor(name, "source", source)
    if source.dtype is not input.dtype:
        raise DTypeError(
            mistake(name, "source's dtype", source.dtype.name, f"{input.dtype.name}, as the input's")
        )
    shape = named_shape(name, input, place, rows, source)
    if into and repeated(input):
        raise shared_memory(f"{name}_")
    target = input if input.shape else reshape(input, 1)
    written = put(target, reshape(source, *shape), [rows], mode, into, wrap=False, dim=place)
    return input if into else written if input.shape else reshape(written)


def both_forms(
    name: str, function_: Callable[..., Any], out: bool = True, autocast: Precision | None = None
) -> None:
    """Register ``name``, with ``out=``, and ``name_`` that overwrites its tensor; ``function_`` takes ``into``."""
    import functools
    import inspect

    own = inspect.signature(function_)
    kept = [p for p in own.parameters.values() if p.name != "into"]

    def register(into: bool, key: str, doc: str) -> None:
        @functools.wraps(function_)
        def form(*given: Any, **named: Any) -> Any:
            return function_(*given, **named, into=into)

        form.__name__ = form.__qualname__ = key
        form.__doc__ = doc
        form.__signature__ = own.replace(parameters=kept)  # type: ignore[attr-defined]
        del form.__wrapped__
        form.__annotations__ = {n: a for n, a in function_.__annotations__.items() if n != "into"}
        precision = None if into else autocast
        function(name=key, top=not into, out=out and not into, autocast=precision)(form)

    register(False, name, function_.__doc__ or "")
    register(True, f"{name}_", f"``{name}`` that overwrites the tensor and gives it.")


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1, into: bool = False
) -> Tensor:
    """``input`` with ``alpha`` times each row of ``source`` along ``dim`` added at the row that ``index`` names."""
    factor = arguments.factor_of("index_add", "alpha", alpha, source)
    scaled = source if factor == 1 else to_dtype(bind(lookup("mul"), source, factor), source.dtype)
    return _along("index_add", input, dim, index, scaled, "sum", into)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, into: bool = False) -> Tensor:
    """``input`` with the rows along ``dim`` that ``index`` names replaced by ``source``'s; the last one stays."""
    return _along("index_copy", input, dim, index, source, "replace", into)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any, *, into: bool = False) -> Tensor:
    """``input`` with the rows along ``dim`` that ``index`` names filled with a number or a 0-d tensor."""
    place, rows = _selected("index_fill", input, dim, index)
    target = input if input.shape else reshape(input, 1)
    fill = _number_like("index_fill", input, value)
    if getattr(fill, "requires_grad", False):
        chosen = _mask_of(target, place, rows)
        if into:
            fill_where(target, chosen, fill)
            return input
        filled_by = bind(lookup("where"), chosen, fill, target)
        return filled_by if input.shape else reshape(filled_by)
    written = put(target, fill, [rows], "replace", into, dim=place)
    return input if into else written if input.shape else reshape(written)


def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    into: bool = False,
) -> Tensor:
    """Rows of ``source`` along ``dim`` folded (prod, mean, amax, amin) into the rows that ``index`` names."""
    place, rows = _selected("index_reduce", input, dim, index)
    arguments.tensor("index_reduce", "source", source)
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise ArgumentError(
            mistake("index_reduce", "reduce", repr(reduce), "'prod', 'mean', 'amax' or 'amin'")
        )
    shape = named_shape("index_reduce", input, place, rows, source)
    source = reshape(source, *shape) if input.shape else reshape(source)
    view = [1] * max(len(input.shape), 1)
    view[place] = -1
    spread = expand(reshape(rows, *view), *source.shape) if source.shape else reshape(rows)
    form = FUNCTIONS["scatter_reduce_" if into else "scatter_reduce"].function
    return form(input, dim, spread, source, reduce, include_self=include_self)


def _mask_of(x: Any, dim: int, rows: Any) -> Any:
    """Which rows along ``dim`` are named, to broadcast with x; a row that is named twice is one row."""
    size, device = x.shape[dim], str(x.device)
    nowhere, true = (
        bind(lookup("full"), given, shape=shape, dtype=dtypes.bool_, device=device)
        for given, shape in ((False, (size,)), (True, ()))
    )
    shape = [1] * len(x.shape)
    shape[dim] = size
    return reshape(put(nowhere, true, [rows], "replace"), *shape)


def _number_like(name: str, input: Any, value: Any) -> Any:
    if hasattr(value, "shape"):
        if tuple(value.shape):
            raise ShapeError(
                mistake(name, "value", f"of shape {tuple(value.shape)}", "a number or a 0-d tensor")
            )
        return to_dtype(value, input.dtype)
    return filled(input, value)


# scatter: an index for each element.


def _elements(name: str, input: Any, dim: int, index: Any) -> int:
    arguments.tensor(name, "input", input)
    arguments.tensor(name, "index", index)
    arguments.integral(name, "index", index.dtype)
    return arguments.dimension(name, dim, len(input.shape))


def _source(name: str, input: Any, index: Any, src: Any) -> Any:
    """``src``, cut to the index's sizes; numbers become tensors of them."""
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
    """A scatter that takes 0-d tensors for vectors of one element where input and index differ in that, as PyTorch."""
    import functools

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
    """``out[index[i][j]][j] = src[i][j]`` (for dim 0), the last of equal places; ``src`` may be a number.

    ``reduce``: ``"add"`` or ``"multiply"`` in place of writing (as in PyTorch, better written ``scatter_reduce``).
    """
    place = _elements("scatter", input, dim, index)
    if reduce not in _REDUCE:
        raise ArgumentError(mistake("scatter", "reduce", repr(reduce), "None, 'add' or 'multiply'"))
    values, mode = _source("scatter", input, index, src), _REDUCE[reduce]
    op = SCATTER_FOLD if mode == "prod" else SCATTER
    return bind(op, input, values, index, dim=place, mode=mode, into=(input,) if into else None)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, into: bool = False) -> Tensor:
    """The input with ``src[i][j]`` added at ``[index[i][j]][j]`` (for dim 0); equal places add up in a fixed order."""
    place = _elements("scatter_add", input, dim, index)
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
    """``src`` folded (sum, prod, mean, amax, amin) into ``input`` at the places that ``index`` names.

    Without ``include_self`` the old values of places that are named do not count. Mean of integers rounds down.
    """
    place = _elements("scatter_reduce", input, dim, index)
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

_BOTH: dict[str, Callable[..., Any]] = {
    "index_add": index_add, "index_copy": index_copy, "index_fill": index_fill, "index_reduce": index_reduce,
    **{form.__name__: _with_vectors(form) for form in (scatter, scatter_add, scatter_reduce)},
}  # fmt: skip
for _name, _form in _BOTH.items():
    both_forms(
        _name, _form, _name != "index_fill", "widest" if _name == "scatter_add" else None
    )  # as in PyTorch
