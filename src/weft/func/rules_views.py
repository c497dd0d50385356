"""Batching rules of views: the same view of every sample, as one or more views of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from weft.dtypes import float32
from weft.func.calls import BatchedCall
from weft.ops import OPS, TensorType, bind, lookup
from weft.ops.views.ops import Path

Steps = list[tuple[str, dict[str, Any]]]


def _expand(attributes: dict[str, Any], shape: tuple[int, ...], size: int) -> Steps:
    goal = attributes["shape"]
    ones = (1,) * (len(goal) - len(shape))
    return [("reshape", {"shape": (size, *ones, *shape)}), ("expand", {"shape": (size, *goal)})]


def _unfold(attributes: dict[str, Any], shape: tuple[int, ...], size: int) -> Steps:
    shifted = {**attributes, "dim": attributes["dim"] + 1}
    if shape:
        return [("unfold", shifted)]
    # a 0-d tensor counts as a vector of one element, of which the first window is taken
    window = attributes["size"]
    return [
        ("reshape", {"shape": (size, 1)}),
        ("unfold", shifted),
        ("slice", {"dim": 1, "start": 0, "stop": 1, "step": 1}),
        ("reshape", {"shape": (size, window)}),
    ]


def _strided(attributes: dict[str, Any], shape: tuple[int, ...], size: int) -> Steps:
    moved = {"shape": (size, *attributes["shape"]), "strides": (math.prod(shape), *attributes["strides"])}
    return [("strided", {**moved, "offset": attributes["offset"]})]


VIEWS: dict[str, Callable[[dict[str, Any], tuple[int, ...], int], Steps]] = {
    "reshape": lambda given, shape, size: [("reshape", {"shape": (size, *given["shape"])})],
    "permute": lambda given, shape, size: [("permute", {"order": (0, *(d + 1 for d in given["order"]))})],
    "slice": lambda given, shape, size: [("slice", {**given, "dim": given["dim"] + 1})],
    "diagonal": lambda given, shape, size: [
        ("diagonal", {"offset": given["offset"], "dim1": given["dim1"] + 1, "dim2": given["dim2"] + 1})
    ],
    "expand": _expand,
    "unfold": _unfold,
    "strided": _strided,
}
"""The views of the whole tensor that apply a view to each sample, by the view's attributes and the sample's shape."""


def view(call: BatchedCall) -> Sequence[Any]:
    """Apply a view to every sample; memory is shared where it is shared for one sample."""
    value = call.front(0)
    if call.op.name == "strided" and not value.is_contiguous():
        value = bind(OPS["copy"], value)
    for name, attributes in VIEWS[call.op.name](call.attributes, call.shape(0), call.size):
        value = bind(OPS[name], value, **attributes)
    return (value,)


def mapped_path(path: Path, shape: tuple[int, ...], size: int) -> Path:
    """Return the path of views of the whole tensor that applies a path of views to each sample."""
    steps: list[tuple[str, tuple[tuple[str, Any], ...]]] = []
    for name, given in path:
        attributes = dict(given)
        steps += [
            (view_name, tuple(kept.items())) for view_name, kept in VIEWS[name](attributes, shape, size)
        ]
        (made,) = lookup(name).infer(TensorType(shape, float32), **attributes)
        shape = made.shape
    return tuple(steps)


def update_view(call: BatchedCall) -> Sequence[Any]:
    """Write through the same views of every sample."""
    path = mapped_path(call.attributes["path"], call.shape(0), call.size)
    return call.again(call.front(0), call.front(1), path=path)
