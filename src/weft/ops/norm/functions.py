"""The norm functions of ``nn.functional``: each one ``norm`` over its dimensions, and the running statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops.make.creation import to_dtype
from weft.ops.norm.ops import NORM
from weft.ops.pointwise.expressions import pointwise
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup

EPSILON = {
    "float64": 2.220446049250313e-16,
    "float32": 1.1920928955078125e-07,
}
"""The distance from 1 to the next number of the type computed in: PyTorch's default ``eps`` of ``rms_norm``."""

NORMALIZE_BY = pointwise(
    "normalize_by",
    "(x - m) / sqrt(v + e) * w + b",
    "x m v e w b",
    "Values by a given mean and variance.",
    kinds="f",
)
RUNNING = pointwise(
    "running_average",
    "x * (1.0 - m) + y * m * k",
    "x y m k",
    "An average moved towards a new value.",
    kinds="f",
)


def _norm(
    where: str, x: Any, weight: Any, bias: Any, shape: Sequence[int], **options: Any
) -> tuple[Any, ...]:
    """The op with its parameters brought to ``shape``; the scale of a shift without one is 1."""
    arguments.floating(where, "input", x.dtype)
    size = math.prod(shape)
    made = []
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None:
            if math.prod(arguments.tensor(where, name, parameter).shape) != size:
                raise ShapeError(
                    mistake(where, f"{name}'s shape", tuple(parameter.shape), f"{size} elements")
                )
            parameter = bind(lookup("reshape"), parameter, shape=tuple(shape))
        made.append(parameter)
    if made[0] is None and made[1] is not None:
        like = made[1]
        made[0] = bind(lookup("full"), 1, shape=tuple(like.shape), dtype=like.dtype, device=str(like.device))
    result: tuple[Any, ...] = bind(NORM, x, *(value for value in made if value is not None), **options)
    return result


def _trailing(
    where: str, input: Any, normalized_shape: Any, weight: Any, bias: Any
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dimensions to fold, and the parameters' shape against the input."""
    arguments.tensor(where, "input", input)
    own = arguments.sizes(
        where, (normalized_shape,) if isinstance(normalized_shape, int) else (tuple(normalized_shape),)
    )
    shape, count = tuple(input.shape), len(own)
    if not count or shape[-count:] != own:
        raise ShapeError(
            mistake(where, "input's shape", shape, f"(*, {', '.join(map(str, own))}), as normalized_shape")
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and tuple(arguments.tensor(where, name, parameter).shape) != own:
            raise ShapeError(
                mistake(where, f"{name}'s shape", tuple(parameter.shape), f"{own}, the normalized_shape")
            )
    rank = len(shape)
    return tuple(range(rank - count, rank)), (1,) * (rank - count) + own


@function(functional=True, method=False, autocast="float32")
def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 over the last dimensions, those of ``normalized_shape`` (Ba et al. 2016), as PyTorch."""
    dims, shape = _trailing("layer_norm", input, normalized_shape, weight, bias)
    return _norm("layer_norm", input, weight, bias, shape, dims=dims, eps=float(eps), center=True)[0]


@function(functional=True, method=False, autocast="float32")
def rms_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Root mean square 1 over the last dimensions (Zhang and Sennrich 2019); ``eps`` None is an epsilon.

    It is that of the type computed in: float32's for 16-bit input.
    """
    dims, shape = _trailing("rms_norm", input, normalized_shape, weight, None)
    arguments.floating("rms_norm", "input", input.dtype)
    least = EPSILON[input.dtype.compute.name] if eps is None else float(eps)
    return _norm("rms_norm", input, weight, None, shape, dims=dims, eps=least, center=False)[0]


def _channels(where: str, input: Any, least_rank: int = 2) -> int:
    arguments.tensor(where, "input", input)
    if len(input.shape) < least_rank:
        raise ShapeError(
            mistake(
                where,
                "input",
                f"{len(input.shape)}-dimensional",
                f"at least {least_rank}-dimensional, (N, C, ...)",
            )
        )
    return int(input.shape[1])


def _per_channel(where: str, channels: int, **given: Any) -> None:
    for name, value in given.items():
        if value is not None and tuple(arguments.tensor(where, name, value).shape) != (channels,):
            raise ShapeError(
                mistake(where, f"{name}'s shape", tuple(value.shape), f"({channels},), one for each channel")
            )


@function(functional=True, method=False, autocast="float32")
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 over each of ``num_groups`` groups of channels of (N, C, ...) (Wu and He 2018)."""
    channels = _channels("group_norm", input)
    groups = arguments.integer("group_norm", "num_groups", num_groups)
    if groups < 1 or channels % groups:
        raise ShapeError(
            mistake("group_norm", "num_groups", num_groups, f"a divisor of the {channels} channels")
        )
    _per_channel("group_norm", channels, weight=weight, bias=bias)
    shape, reshape = tuple(input.shape), lookup("reshape")
    split = (shape[0], groups, channels // groups, math.prod(shape[2:]))
    out = _norm(
        "group_norm", bind(reshape, input, shape=split), weight, bias, (1, groups, channels // groups, 1), dims=(2, 3),
        eps=float(eps), center=True,
    )[0]  # fmt: skip
    return bind(reshape, out, shape=shape)


def _by_given(x: Any, mean: Any, variance: Any, weight: Any, bias: Any, eps: float) -> Any:
    """Normalised by running statistics: pointwise."""
    shape = (1, x.shape[1], *(1,) * (len(x.shape) - 2))
    operands = [
        default if one is None else bind(lookup("reshape"), one, shape=shape)
        for one, default in ((mean, 0.0), (variance, 1.0), (weight, 1.0), (bias, 0.0))
    ]
    return to_dtype(bind(NORMALIZE_BY, x, *operands[:2], float(eps), *operands[2:]), x.dtype)


def _move(running: Any, value: Any, momentum: Any, scale: float) -> None:
    """Move a running statistic in place."""
    if running is not None:
        fresh = bind(lookup("reshape"), value, shape=tuple(running.shape))
        bind(RUNNING, running, to_dtype(fresh, running.dtype), momentum, scale, into=(running,))


@function(functional=True, method=False, top=False)
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 over the batch, channel by channel of (N, C, ...) (Ioffe and Szegedy 2015), as PyTorch.

    While ``training`` the batch's own statistics count, and the running ones move towards them in place by
    ``momentum`` (the variance without bias); else the running ones count.
    """
    channels = _channels("batch_norm", input)
    _per_channel(
        "batch_norm", channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                mistake("batch_norm", "running_mean or running_var", None, "tensors unless training")
            )
        return _by_given(input, running_mean, running_var, weight, bias, eps)
    rank = len(input.shape)
    dims = (0, *range(2, rank))
    count = math.prod(input.shape[d] for d in dims)
    if count == 1:
        raise ArgumentError(
            mistake(
                "batch_norm", "input's shape", tuple(input.shape), "more than 1 value per channel in training"
            )
        )
    out, mean, variance = _norm(
        "batch_norm",
        input,
        weight,
        bias,
        (1, channels, *(1,) * (rank - 2)),
        dims=dims,
        eps=float(eps),
        center=True,
    )
    _move(running_mean, mean, momentum, 1.0)
    _move(running_var, variance, momentum, count / (count - 1) if count else 1.0)
    return to_dtype(out, input.dtype)  # under autocast the statistics are wider


@function(functional=True, method=False, top=False)
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 over each channel of each example of (N, C, ...) (Ulyanov et al. 2016), as PyTorch."""
    channels = _channels("instance_norm", input, 3)
    _per_channel(
        "instance_norm",
        channels,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                mistake(
                    "instance_norm", "running_mean or running_var", None, "tensors without use_input_stats"
                )
            )
        return _by_given(input, running_mean, running_var, weight, bias, eps)
    rank = len(input.shape)
    count = math.prod(input.shape[2:])
    if count == 1:
        raise ArgumentError(
            mistake("instance_norm", "input's shape", tuple(input.shape), "more than 1 spatial element")
        )
    out, mean, variance = _norm(
        "instance_norm", input, weight, bias, (1, channels, *(1,) * (rank - 2)), dims=tuple(range(2, rank)),
        eps=float(eps), center=True,
    )  # fmt: skip
    if running_mean is not None or running_var is not None:
        average = lookup("mean")
        _move(running_mean, bind(average, mean, dims=(0,), keepdim=False), momentum, 1.0)
        _move(running_var, bind(average, variance, dims=(0,), keepdim=False), momentum, count / (count - 1))
    return out
