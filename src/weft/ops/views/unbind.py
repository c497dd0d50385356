"""``unbind`` and ``split`` as fused ops of eager mode: several views of a tensor, with a single gradient for all views.

Other interpreters bind each view by itself. The gradient concatenates the gradients of all views.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import UNFUSED
from weft.ops.registry.spec import Gradient, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.views.ops import Path, apply_path
from weft.ops.views.slice_gradients import slice_gradients


def _slice(dim: int, start: int, stop: int) -> tuple[str, tuple[tuple[str, Any], ...]]:
    return "slice", (("dim", dim), ("start", start), ("stop", stop), ("step", 1))


@lru_cache(maxsize=1024)
def _rows(shape: tuple[int, ...], *, dim: int) -> tuple[Path, ...]:
    rest = ("reshape", (("shape", (*shape[:dim], *shape[dim + 1 :])),))
    return tuple([(_slice(dim, at, at + 1), rest) for at in range(shape[dim])])


@lru_cache(maxsize=1024)
def _pieces(shape: tuple[int, ...], *, dim: int, stops: tuple[int, ...]) -> tuple[Path, ...]:
    starts = (0, *stops[:-1])
    return tuple([(_slice(dim, start, stop),) for start, stop in zip(starts, stops, strict=True)])


def _infer_unbind(x: TensorType, *, dim: int) -> tuple[TensorType, ...]:
    return (TensorType((*x.shape[:dim], *x.shape[dim + 1 :]), x.dtype),) * x.shape[dim]


def _infer_split(x: TensorType, *, dim: int, stops: tuple[int, ...]) -> tuple[TensorType, ...]:
    sizes = [stop - start for start, stop in zip((0, *stops[:-1]), stops, strict=True)]
    return tuple([TensorType((*x.shape[:dim], size, *x.shape[dim + 1 :]), x.dtype) for size in sizes])


def _reference_unbind(x: Any, *, dim: int) -> Any:
    import numpy

    return tuple(numpy.moveaxis(x, dim, 0))


def _reference_split(x: Any, *, dim: int, stops: tuple[int, ...]) -> Any:
    import numpy

    return tuple(numpy.split(x, stops[:-1], dim))


def _run_unbind(x: Any, *, dim: int) -> tuple[Any, ...]:
    return tuple([apply_path(x, path) for path in _rows(tuple(x.shape), dim=dim)])


def _run_split(x: Any, *, dim: int, stops: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple([apply_path(x, path) for path in _pieces(tuple(x.shape), dim=dim, stops=stops)])


def _gradient_unbind(context: Gradient, *grads: Any) -> list[Any]:
    dim, shape = context.attributes["dim"], context.types[0].shape
    if all(grad is not None for grad in grads):
        if dim < len(shape) - 1:  # concatenated along the next dimension, which is then split in two
            joined = bind(lookup("cat"), *grads, dim=dim)
            return [bind(lookup("reshape"), joined, shape=shape)]
        wide = (*shape[:-1], 1)
        return [bind(lookup("cat"), *[bind(lookup("reshape"), grad, shape=wide) for grad in grads], dim=dim)]
    row = (*shape[:dim], 1, *shape[dim + 1 :])
    calls = [
        (dict(_slice(dim, at, at + 1)[1]), bind(lookup("reshape"), grad, shape=row))
        for at, grad in enumerate(grads)
        if grad is not None
    ]
    return [slice_gradients(context.types[0], calls)]


def _gradient_split(context: Gradient, *grads: Any) -> list[Any]:
    dim, stops = context.attributes["dim"], context.attributes["stops"]
    if all(grad is not None for grad in grads):
        return [bind(lookup("cat"), *grads, dim=dim)]
    calls = [
        (dict(_slice(dim, start, stop)[1]), grad)
        for start, stop, grad in zip((0, *stops[:-1]), stops, grads, strict=True)
        if grad is not None
    ]
    return [slice_gradients(context.types[0], calls)]


UNBIND: OpSpec = declare(
    "unbind", rules=UNFUSED, infer=_infer_unbind, reference=_reference_unbind, run=_run_unbind, parts=_rows,
    gradient=_gradient_unbind, info={"materializes": False}, doc="Views of all slices along a dimension, without it.",
)  # fmt: skip
SPLIT: OpSpec = declare(
    "split", rules=UNFUSED, infer=_infer_split, reference=_reference_split, run=_run_split, parts=_pieces,
    gradient=_gradient_split, info={"materializes": False},
    doc="Views of the pieces of a dimension that end at the given stops.",
)  # fmt: skip


def bind_views(op: OpSpec, x: Any, **attributes: Any) -> tuple[Any, ...]:
    """Bind an op of several views and return a tuple of them, also of a single view."""
    made = bind(op, x, **attributes)
    return made if isinstance(made, tuple) else (made,)
