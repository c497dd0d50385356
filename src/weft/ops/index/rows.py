"""Rows along one dimension that a 1-d index names: ``index_select`` reads them, ``index_add`` and the like write them.

A row that the index names more than once is written in the order of the index: the last write stays, and sums have a
fixed order.
"""

from __future__ import annotations

from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.ops.index.expanded import fill_where, repeated
from weft.ops.index.in_place_forms import both_forms
from weft.ops.index.index_tensors import filled, put
from weft.ops.index.placement import INDEX_OP
from weft.ops.make.creation import to_dtype
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import FUNCTIONS, function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup
from weft.ops.registry.targets import shared_memory
from weft.ops.views.movement import expand, reshape


def _checked_rows(name: str, input: Any, dim: int, index: Any) -> tuple[int, Any]:
    """Return the normalised dimension and the index as a 1-d tensor; raise for an index of another kind."""
    arguments.tensor(name, "input", input)
    arguments.tensor(name, "index", index)
    arguments.integral(name, "index", index.dtype)
    if len(index.shape) > 1:
        raise ShapeError(mistake(name, "index", f"{len(index.shape)}-dimensional", "at most 1-dimensional"))
    place = arguments.dimension(name, dim, len(input.shape))
    return place, index if len(index.shape) else reshape(index, 1)


@function(out=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of ``input`` along ``dim`` that the 1-d integer ``index`` names, in its order; a new tensor.

    The result has ``index``'s size along ``dim`` and the input's other sizes.

    >>> import weft as wf
    >>> wf.index_select(wf.tensor([[1, 2], [3, 4], [5, 6]]), 0, wf.tensor([2, 0]))
    tensor([[5, 6],
            [1, 2]])
    """
    place, rows = _checked_rows("index_select", input, dim, index)
    if input.shape:
        return bind(INDEX_OP, input, rows, wrap=False, dim=place)
    if tuple(rows.shape) != (1,):
        given = f"{rows.shape[0]} elements"
        raise ShapeError(mistake("index_select", "index", given, "one, as the input is 0-dimensional"))
    return reshape(bind(INDEX_OP, reshape(input, 1), rows, wrap=False, dim=0))


def rows_shape(name: str, input: Any, dim: int, rows: Any, source: Any) -> tuple[int, ...]:
    """Return the shape that a source for the rows ``rows`` along ``dim`` has; ``ShapeError`` where it has another.

    The source may be 0-d where one row of a vector or of a 0-d tensor is written.
    """
    count = rows.shape[0]
    shape = tuple(count if d == dim else size for d, size in enumerate(input.shape)) or (count,)
    given = tuple(source.shape)
    if given != shape and not (not given and shape == (1,)):
        raise ShapeError(mistake(name, "source's shape", given, shape))
    if not input.shape and count != 1:
        raise ShapeError(mistake(name, "index", f"{count} elements", "one, as the input is 0-dimensional"))
    return shape


def _put_rows(name: str, input: Any, dim: int, index: Any, source: Any, mode: str, into: bool) -> Any:
    """Write or fold the rows of ``source`` along ``dim`` into the rows of ``input`` that ``index`` names."""
    place, rows = _checked_rows(name, input, dim, index)
    arguments.tensor(name, "source", source)
    if source.dtype is not input.dtype:
        raise DTypeError(
            mistake(name, "source's dtype", source.dtype.name, f"{input.dtype.name}, as the input's")
        )
    shape = rows_shape(name, input, place, rows, source)
    if into and repeated(input):
        raise shared_memory(f"{name}_")
    target = input if input.shape else reshape(input, 1)
    written = put(target, reshape(source, *shape), [rows], mode, into, wrap=False, dim=place)
    return input if into else written if input.shape else reshape(written)


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1, into: bool = False
) -> Tensor:
    """``input`` with ``alpha`` times each row of ``source`` along ``dim`` added at the row that ``index`` names."""
    factor = arguments.scalar_factor("index_add", "alpha", alpha, source)
    scaled = source if factor == 1 else to_dtype(bind(lookup("mul"), source, factor), source.dtype)
    return _put_rows("index_add", input, dim, index, scaled, "sum", into)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, into: bool = False) -> Tensor:
    """``input`` with the rows along ``dim`` that ``index`` names replaced by those of ``source``.

    Where ``index`` names a row several times, the last one is kept.
    """
    return _put_rows("index_copy", input, dim, index, source, "replace", into)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any, *, into: bool = False) -> Tensor:
    """``input`` with the rows along ``dim`` that ``index`` names filled with a number or a 0-d tensor."""
    place, rows = _checked_rows("index_fill", input, dim, index)
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
    """``input`` with the rows of ``source`` along ``dim`` reduced into the rows that ``index`` names.

    ``reduce`` is ``"prod"``, ``"mean"``, ``"amax"`` or ``"amin"``. Without ``include_self`` the old values of these
    rows do not count.
    """
    place, rows = _checked_rows("index_reduce", input, dim, index)
    arguments.tensor("index_reduce", "source", source)
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise ArgumentError(
            mistake("index_reduce", "reduce", repr(reduce), "'prod', 'mean', 'amax' or 'amin'")
        )
    shape = rows_shape("index_reduce", input, place, rows, source)
    source = reshape(source, *shape) if input.shape else reshape(source)
    view = [1] * max(len(input.shape), 1)
    view[place] = -1
    spread = expand(reshape(rows, *view), *source.shape) if source.shape else reshape(rows)
    form = FUNCTIONS["scatter_reduce_" if into else "scatter_reduce"].function
    return form(input, dim, spread, source, reduce, include_self=include_self)


def _mask_of(x: Any, dim: int, rows: Any) -> Any:
    """Return a mask of the rows along ``dim`` that the index names, of a shape that broadcasts with x."""
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


for _form in (index_add, index_copy, index_reduce):
    both_forms(_form.__name__, _form)
both_forms("index_fill", index_fill, out=False)
