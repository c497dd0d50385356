"""The pooling functions: they check arguments, and bind the pooling ops over batched images."""

from __future__ import annotations

from typing import Any

from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops.conv.pooling import MAX_POOL
from weft.ops.conv.pooling_means import AVG_POOL
from weft.ops.conv.ranks import by_rank
from weft.ops.registry import arguments
from weft.ops.registry.annotations import OptionalPair, Pair, Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.spec import OpSpec
from weft.ops.registry.table import lookup
from weft.ops.views.windows import tuple_of


def _over_images(op: OpSpec, where: str, rank: int, input: Any, **attributes: Any) -> tuple[Any, ...]:
    """Return the op's outputs for an input (N, C, *size), or (C, *size), which is bound as a batch of size 1."""
    reshape, shape = lookup("reshape"), tuple(input.shape)
    batched = len(shape) == rank + 2
    out = bind(op, input if batched else bind(reshape, input, shape=(1, *shape)), **attributes)
    outputs = out if isinstance(out, tuple) else (out,)
    return (
        outputs if batched else tuple(bind(reshape, value, shape=tuple(value.shape[1:])) for value in outputs)
    )


def _image(where: str, rank: int, input: Any) -> None:
    """Raise unless the input is an image (C, *size) or a batch of them (N, C, *size)."""
    arguments.tensor(where, "input", input)
    if len(input.shape) != rank + 1:
        arguments.tensor(where, "input", input, rank + 2)


def _sliding(where: str, rank: int, kernel_size: Any, stride: Any, padding: Any) -> dict[str, Any]:
    kernel = tuple_of(where, "kernel_size", kernel_size, rank, 1)
    # PyTorch takes an empty list for None here
    steps = kernel if stride is None or stride in ((), []) else tuple_of(where, "stride", stride, rank, 1)
    pads = tuple_of(where, "padding", padding, rank)
    if any(2 * pad > size for pad, size in zip(pads, kernel, strict=True)):
        raise ShapeError(mistake(where, "padding", pads, f"at most half of kernel_size {kernel}"))
    return {"kernel": kernel, "stride": steps, "padding": pads}


def _bins(where: str, rank: int, input: Any, output_size: Any) -> tuple[int, ...]:
    """Return the sizes of an adaptive output; ``None`` keeps a size of the input."""
    _image(where, rank, input)
    given = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * rank
    if len(given) == rank:
        given = tuple(
            kept if size is None else size for size, kept in zip(given, input.shape[-rank:], strict=True)
        )
    return tuple_of(where, "output_size", given, rank)


def _even(sizes: tuple[int, ...], bins: tuple[int, ...]) -> dict[str, Any]:
    """Return the attributes of bins: those of windows where all bins have one size, which are faster."""
    if any(size == 0 or n == 0 or n % size for n, size in zip(sizes, bins, strict=True)):
        return {"bins": bins}
    kernel = tuple(n // size for n, size in zip(sizes, bins, strict=True))
    return {"kernel": kernel, "stride": kernel, "padding": (0,) * len(kernel), "ceil_mode": False}


_WHERE: dict[str, Any] = {"functional": True, "method": False, "top": False}


@by_rank(
    "max_pool{}d",
    {
        1: """The largest element of each window of (N, C, L) or (C, L), as ``torch.nn.functional.max_pool1d``.""",
        2: """The largest element of each window of (N, C, H, W) or (C, H, W), as ``torch.nn.functional.max_pool2d``.

    ``stride`` defaults to ``kernel_size``; padding counts as -inf and may be at most half the kernel.
    """,
        3: """The largest element of each window of (N, C, D, H, W), as ``torch.nn.functional.max_pool3d``.""",
    },
    **_WHERE,
)
def _max_pool(
    rank: int,
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    where = f"max_pool{rank}d"
    _image(where, rank, input)
    window = _sliding(where, rank, kernel_size, stride, padding)
    gaps = tuple_of(where, "dilation", dilation, rank, 1)
    out = _over_images(MAX_POOL, where, rank, input, **window, dilation=gaps, ceil_mode=bool(ceil_mode))
    return out if return_indices else out[0]


def _avg_pool(
    rank: int,
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    where = f"avg_pool{rank}d"
    _image(where, rank, input)
    window = _sliding(where, rank, kernel_size, stride, padding)
    divisor = (
        0 if divisor_override is None else arguments.integer(where, "divisor_override", divisor_override)
    )
    if divisor_override is not None and divisor == 0:
        raise ArgumentError(mistake(where, "divisor_override", 0, "not 0"))
    return _over_images(
        AVG_POOL, where, rank, input, **window, ceil_mode=bool(ceil_mode), include_padding=bool(count_include_pad),
        divisor=divisor,
    )[0]  # fmt: skip


@function(**_WHERE)
def avg_pool1d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of (N, C, L) or (C, L), as ``torch.nn.functional.avg_pool1d``."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


avg_pools = {1: avg_pool1d} | by_rank(
    "avg_pool{}d",
    {
        2: """The mean of each window of (N, C, H, W) or (C, H, W), as ``torch.nn.functional.avg_pool2d``.""",
        3: """The mean of each window of (N, C, D, H, W) or (C, D, H, W), as ``torch.nn.functional.avg_pool3d``.""",
    },
    **_WHERE,
)(_avg_pool)
"""The average pooling functions by number of spatial dimensions."""


@by_rank(
    "adaptive_avg_pool{}d",
    {
        1: """(N, C, L) or (C, L) divided into ``output_size`` windows, and their means.""",
        2: """(N, C, H, W) or (C, H, W) divided into ``output_size`` windows, and their means; None keeps a size.""",
        3: """(N, C, D, H, W) or without N divided into ``output_size`` windows, and their means; None keeps a size.""",
    },
    **_WHERE,
)
def adaptive_avg_pools(rank: int, input: Tensor, output_size: OptionalPair) -> Tensor:
    """The adaptive average pooling functions by number of spatial dimensions."""
    where = f"adaptive_avg_pool{rank}d"
    bins = _bins(where, rank, input, output_size)
    if all(size == 1 for size in bins):
        dims = tuple(range(len(input.shape) - rank, len(input.shape)))
        return bind(lookup("mean"), input, dims=dims, keepdim=True)
    window = _even(tuple(input.shape[-rank:]), bins)
    more = {} if "bins" in window else {"include_padding": False, "divisor": 0}
    return _over_images(AVG_POOL, where, rank, input, **window, **more)[0]


@by_rank(
    "adaptive_max_pool{}d",
    {
        1: """(N, C, L) or (C, L) divided into ``output_size`` windows, and their largest elements.""",
        2: """(N, C, H, W) or (C, H, W) divided into ``output_size`` windows, and their largest elements.""",
        3: """(N, C, D, H, W) or without N divided into ``output_size`` windows, and their largest elements.""",
    },
    **_WHERE,
)
def _adaptive_max(
    rank: int, input: Tensor, output_size: OptionalPair, return_indices: bool = False
) -> Tensor:
    where = f"adaptive_max_pool{rank}d"
    bins = _bins(where, rank, input, output_size)
    window = _even(tuple(input.shape[-rank:]), bins)
    more = {} if "bins" in window else {"dilation": (1,) * rank}
    out = _over_images(MAX_POOL, where, rank, input, **window, **more)
    return out if return_indices else out[0]
