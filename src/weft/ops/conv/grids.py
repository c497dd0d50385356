"""``grid_sample`` and ``affine_grid``: images sampled at any points, and the points of an affine map.

Both are composites of gathers and pointwise operations, and so have gradients of any order with respect to the image
and the points. Gradients of an image are summed in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from weft import dtypes
from weft.errors import ArgumentError, DTypeError, ShapeError, mistake
from weft.ops.conv.resampling_taps import CUBIC
from weft.ops.index.indexing import gather
from weft.ops.index.selection import where
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup
from weft.ops.views.movement import reshape, select

Taps = list[tuple[Tensor, Tensor | None]]
"""Integer places along a dimension, as floats, and their weights; ``None`` is a weight of 1."""
PADDINGS = ("zeros", "border", "reflection")
MODES = ("bilinear", "nearest", "bicubic")


def _position(points: Tensor, size: int, align: bool) -> Tensor:
    """Map points in [-1, 1] to places of samples, in [0, size - 1]."""
    return (points + 1.0) * ((size - 1) / 2) if align else ((points + 1.0) * size - 1.0) / 2


def _inside(position: Tensor, size: int, padding: str, align: bool) -> Tensor:
    """Map places outside of the image to places inside, by the padding mode; ``"zeros"`` leaves them."""
    if padding == "zeros":
        return position
    last = float(size - 1)
    if padding == "reflection":
        low, span = (0.0, last) if align else (-0.5, float(size))
        if span == 0.0:
            return position * 0.0
        distance = (position - low).abs()
        part, reflections = distance.fmod(span), (distance / span).floor()
        position = where((reflections / 2).floor() * 2 == reflections, part + low, span - part + low)
    return where(position > 0.0, where(position < last, position, last), 0.0)


def _taps(points: Tensor, size: int, mode: str, padding: str, align: bool) -> Taps:
    """Return the samples that points read along a dimension, and their weights."""
    position = _position(points, size, align)
    if mode == "bicubic":
        first = position.floor()
        return [
            (_inside(first + (tap - 1.0), size, padding, align).floor(), weight)
            for tap, weight in enumerate(_cubic(position - first))
        ]
    position = _inside(position, size, padding, align)
    if mode == "nearest":
        # the points have a gradient, of zeros, as in PyTorch
        weight = where(position > math.inf, position, 1.0) if points.requires_grad else None
        return [(position.round(), weight)]
    first = position.floor()
    part = position - first
    return [(first, 1.0 - part), (first + 1.0, part)]


def _cubic(t: Tensor) -> Sequence[Tensor]:
    """Return Keys' cubic weights of the four neighbours of a place at a distance ``t`` after the second neighbour."""

    def near(x: Tensor) -> Tensor:
        return ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0

    def far(x: Tensor) -> Tensor:
        return ((CUBIC * x - 5.0 * CUBIC) * x + 8.0 * CUBIC) * x - 4.0 * CUBIC

    return far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)


def _check(input: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    name = "grid_sample"
    for argument, value in (("input", input), ("grid", grid)):
        arguments.tensor(name, argument, value)
        arguments.floating(name, argument, value.dtype)
    if input.dtype != grid.dtype:
        raise DTypeError(
            mistake(name, "grid's dtype", grid.dtype.name, f"{input.dtype.name}, as the input's")
        )
    shape, rank = tuple(input.shape), len(input.shape) - 2
    if rank not in (2, 3) or 0 in shape[2:]:
        raise ShapeError(
            mistake(name, "input's shape", shape, "(N, C, H, W) or (N, C, D, H, W), of sizes from 1")
        )
    given = tuple(grid.shape)
    if len(given) != rank + 2 or given[0] != shape[0] or given[-1] != rank:
        raise ShapeError(
            mistake(name, "grid's shape", given, f"({shape[0]}, *out, {rank}), {rank + 2} dimensions")
        )
    if mode not in MODES or (mode == "bicubic" and rank == 3):
        known = MODES if rank == 2 else MODES[:2]
        raise ArgumentError(
            mistake(name, "mode", repr(mode), f"one of {', '.join(known)} for {rank + 2} dimensions")
        )
    if padding_mode not in PADDINGS:
        raise ArgumentError(
            mistake(name, "padding_mode", repr(padding_mode), f"one of {', '.join(PADDINGS)}")
        )


@function(functional=True, method=False, top=False, wide=True)
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Sample images (N, C, H, W) at the points of ``grid`` (N, *out, 2), as ``torch.nn.functional.grid_sample``.

    Volumes (N, C, D, H, W) take a grid (N, *out, 3). A point is (x, y) or (x, y, z), from -1 to 1 across the image.
    ``mode`` is ``"bilinear"``, ``"nearest"`` or, for images, ``"bicubic"``. ``padding_mode`` gives the values outside
    of the image: ``"zeros"``, ``"border"`` or ``"reflection"``.

    >>> import weft as wf
    >>> points = wf.tensor([[[[0.0, 0.0], [1.0, 1.0]]]])
    >>> wf.nn.functional.grid_sample(wf.arange(4.0).reshape(1, 1, 2, 2), points, align_corners=True).tolist()
    [[[[1.5, 3.0]]]]
    """
    _check(input, grid, mode, padding_mode)
    n, channels, *sizes = input.shape
    out, rank, align = tuple(grid.shape[1:-1]), len(sizes), bool(align_corners)
    places = math.prod(out)
    taps = [
        _taps(reshape(select(grid, -1, rank - 1 - axis), n, 1, places), size, mode, padding_mode, align)
        for axis, size in enumerate(sizes)
    ]
    flat = reshape(input, n, channels, math.prod(sizes))
    total: Tensor = None
    for chosen in product(*taps):
        valid: Tensor = None
        place: Tensor = 0
        for (at, _), size in zip(chosen, sizes, strict=True):
            inside = (at >= 0.0) & (at <= float(size - 1))
            valid = inside if valid is None else valid & inside
            place = place * size + where(inside, at, 0.0).to(dtypes.int64)
        value = where(valid, gather(flat, 2, place.expand(n, channels, places)), 0.0)
        for _, weight in chosen:
            value = value if weight is None else value * weight
        total = value if total is None else total + value
    return reshape(total, n, channels, *out)


@function(functional=True, method=False, top=False, wide=True)
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Return the grid with which ``grid_sample`` applies affine maps: maps (N, 2, 3) give points (N, H, W, 2).

    ``size`` is the sampled image's shape (N, C, H, W). For volumes (N, C, D, H, W), maps (N, 3, 4) give points
    (N, D, H, W, 3).

    >>> import weft as wf
    >>> theta = wf.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> wf.nn.functional.affine_grid(theta, (1, 1, 1, 2), align_corners=True).tolist()
    [[[[-1.0, 0.0], [1.0, 0.0]]]]
    """
    arguments.tensor("affine_grid", "theta", theta)
    arguments.floating("affine_grid", "theta", theta.dtype)
    n, *rest = arguments.sizes("affine_grid", (tuple(size),))
    rank = len(rest) - 1
    if rank not in (2, 3) or min((n, *rest)) < 1:
        raise ShapeError(
            mistake("affine_grid", "size", tuple(size), "(N, C, H, W) or (N, C, D, H, W), from 1")
        )
    if tuple(theta.shape) != (n, rank, rank + 1):
        raise ShapeError(
            mistake("affine_grid", "theta's shape", tuple(theta.shape), f"({n}, {rank}, {rank + 1})")
        )
    ones = (1,) * rank
    total = reshape(select(theta, 2, rank), n, *ones, rank)
    for axis, count in enumerate(rest[1:]):
        last = count - 1 if align_corners else count
        first, step = ((1 - count) / last, 2 / last) if count > 1 else (0.0, 0.0)
        along = bind(
            lookup("arange"),
            float(first),
            float(step),
            count=count,
            dtype=theta.dtype,
            device=str(theta.device),
        )
        factor = reshape(select(theta, 2, rank - 1 - axis), n, *ones, rank)
        total = total + factor * reshape(along, *ones[:axis], count, *ones[axis + 1 :], 1)
    return total
