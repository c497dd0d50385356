"""Functions of channels: ``pixel_shuffle``, ``channel_shuffle``, ``local_response_norm``, and power-average pooling."""

from __future__ import annotations

import math

from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops.conv.pooling_functions import avg_pools
from weft.ops.conv.ranks import by_rank
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Pair, Tensor
from weft.ops.registry.functions import function
from weft.ops.views.movement import permute, reshape
from weft.ops.views.padding import pad
from weft.ops.views.windows import tuple_of


def _factor(name: str, argument: str, value: int) -> int:
    given = arguments.integer(name, argument, value)
    if given < 1:
        raise ArgumentError(mistake(name, argument, given, "1 or more"))
    return given


@function(functional=True, method=False)
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Rearrange channels into space: (*, C * r * r, H, W) to (*, C, H * r, W * r) (Shi et al. 2016).

    >>> import weft as wf
    >>> wf.nn.functional.pixel_shuffle(wf.arange(4.0).reshape(4, 1, 1), 2).tolist()
    [[[0.0, 1.0], [2.0, 3.0]]]
    """
    shape = tuple(arguments.tensor("pixel_shuffle", "input", input).shape)
    r = _factor("pixel_shuffle", "upscale_factor", upscale_factor)
    if len(shape) < 3 or shape[-3] % (r * r):
        expected = f"(*, C, H, W) with C a multiple of {r * r}"
        raise ShapeError(mistake("pixel_shuffle", "input's shape", shape, expected))
    *front, channels, h, w = shape
    split = reshape(input, *front, channels // (r * r), r, r, h, w)
    d = len(front)
    moved = permute(split, *range(d), d, d + 3, d + 1, d + 4, d + 2)
    return reshape(moved, *front, channels // (r * r), h * r, w * r)


@function(functional=True, method=False)
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Rearrange space into channels, the inverse of ``pixel_shuffle``: (*, C, H * r, W * r) to (*, C * r * r, H, W)."""
    shape = tuple(arguments.tensor("pixel_unshuffle", "input", input).shape)
    r = _factor("pixel_unshuffle", "downscale_factor", downscale_factor)
    if len(shape) < 3 or shape[-2] % r or shape[-1] % r:
        expected = f"(*, C, H, W) with H and W multiples of {r}"
        raise ShapeError(mistake("pixel_unshuffle", "input's shape", shape, expected))
    *front, channels, h, w = shape
    split = reshape(input, *front, channels, h // r, r, w // r, r)
    d = len(front)
    moved = permute(split, *range(d), d, d + 2, d + 4, d + 1, d + 3)
    return reshape(moved, *front, channels * r * r, h // r, w // r)


@function(functional=True, method=False)
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave the channels of ``groups`` equal groups of (N, C, *) (Zhang et al. 2018)."""
    shape = tuple(arguments.tensor("channel_shuffle", "input", input).shape)
    count = _factor("channel_shuffle", "groups", groups)
    if len(shape) < 3 or shape[1] % count:
        expected = f"(N, C, *) with C a multiple of {count}"
        raise ShapeError(mistake("channel_shuffle", "input's shape", shape, expected))
    n, channels, *rest = shape
    split = reshape(input, n, count, channels // count, *rest)
    return reshape(permute(split, 0, 2, 1, *range(3, len(shape) + 1)), *shape)


@function(functional=True, method=False, top=False, wide=True)
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Normalize each element of (N, C, *) by the neighbouring channels (Krizhevsky et al. 2012).

    ``x / (k + alpha * mean)^beta``, with the mean of the squares of ``size`` channels around the element's; channels
    beyond the ends count as 0.
    """
    shape = tuple(arguments.tensor("local_response_norm", "input", input).shape)
    arguments.floating("local_response_norm", "input", input.dtype)
    if len(shape) < 3:
        raise ShapeError(
            mistake("local_response_norm", "input", f"{len(shape)}-dimensional", "3 dimensions or more")
        )
    width = _factor("local_response_norm", "size", size)
    if not input.numel():
        return input
    squares = reshape(input * input, shape[0], 1, shape[1], math.prod(shape[2:]))
    squares = pad(squares, (0, 0, width // 2, (width - 1) // 2))
    means = reshape(avg_pools[2](squares, (width, 1), stride=1), *shape)
    return input / (means * alpha + k) ** beta


def _lp_pool(
    rank: int,
    input: Tensor,
    norm_type: float,
    kernel_size: Pair,
    stride: Pair | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    name = f"lp_pool{rank}d"
    means = avg_pools[rank](_powers(name, input, norm_type), kernel_size, stride, 0, ceil_mode)
    return _root(means, norm_type, tuple_of(name, "kernel_size", kernel_size, rank, 1))


@function(functional=True, method=False, top=False, wide=True)
def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: int,
    stride: Pair | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-th root of the sum of p-th powers of each window, (N, C, L) or (C, L): ``norm_type`` is p."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


by_rank(
    "lp_pool{}d",
    {
        2: """The p-th root of the sum of p-th powers of each window, (N, C, H, W) or (C, H, W): ``norm_type`` is p.""",
        3: """The p-th root of the sum of p-th powers of each window, (N, C, D, H, W) or (C, D, H, W).""",
    },
    functional=True,
    method=False,
    top=False,
    wide=True,
)(_lp_pool)


def _powers(name: str, input: Tensor, norm_type: float) -> Tensor:
    arguments.tensor(name, "input", input)
    arguments.floating(name, "input", input.dtype)
    if norm_type == 0:
        raise ArgumentError(mistake(name, "norm_type", norm_type, "a number other than 0"))
    return input**norm_type


def _root(means: Tensor, norm_type: float, kernel: tuple[int, ...]) -> Tensor:
    """Return the p-th root of each window's sum, 0 where the sum is negative, as in PyTorch."""
    return (means.sign() * means.abs().relu() * math.prod(kernel)) ** (1.0 / norm_type)
