"""The normalization functions of ``nn.functional``: the op ``norm`` over their dimensions, and running statistics."""

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
"""Machine epsilon by the type of the computation: PyTorch's default ``eps`` of ``rms_norm``."""

NORMALIZE_BY = pointwise(
    "normalize_by",
    "(x - m) / sqrt(v + e) * w + b",
    "x m v e w b",
    "Values normalized by a given mean and variance, scaled and shifted.",
    kinds="f",
)
RUNNING = pointwise(
    "running_average",
    "x * (1.0 - m) + y * m * k",
    "x y m k",
    "An exponential moving average with a new value.",
    kinds="f",
)


def _norm(
    where: str, x: Any, weight: Any, bias: Any, shape: Sequence[int], **options: Any
) -> tuple[Any, ...]:
    """Bind the op with its parameters reshaped to ``shape``; a bias without a weight gets a weight of 1."""
    arguments.floating(where, "input", x.dtype)
    size = math.prod(shape)
    parameters = []
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None:
            if math.prod(arguments.tensor(where, name, parameter).shape) != size:
                raise ShapeError(
                    mistake(where, f"{name}'s shape", tuple(parameter.shape), f"{size} elements")
                )
            parameter = bind(lookup("reshape"), parameter, shape=tuple(shape))
        parameters.append(parameter)
    scale, shift = parameters
    if scale is None and shift is not None:
        scale = bind(lookup("full"), 1, shape=tuple(shift.shape), dtype=shift.dtype, device=str(shift.device))
    result: tuple[Any, ...] = bind(NORM, x, *(p for p in (scale, shift) if p is not None), **options)
    return result


def _trailing(
    where: str, input: Any, normalized_shape: Any, weight: Any, bias: Any
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the dimensions to normalize over, and the parameters' shape that broadcasts to the input."""
    arguments.tensor(where, "input", input)
    sizes = arguments.sizes(
        where, (normalized_shape,) if isinstance(normalized_shape, int) else (tuple(normalized_shape),)
    )
    shape, count = tuple(input.shape), len(sizes)
    if not count or shape[-count:] != sizes:
        raise ShapeError(
            mistake(where, "input's shape", shape, f"(*, {', '.join(map(str, sizes))}), as normalized_shape")
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and tuple(arguments.tensor(where, name, parameter).shape) != sizes:
            raise ShapeError(
                mistake(where, f"{name}'s shape", tuple(parameter.shape), f"{sizes}, the normalized_shape")
            )
    rank = len(shape)
    return tuple(range(rank - count, rank)), (1,) * (rank - count) + sizes


@function(functional=True, method=False, autocast="float32")
def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize to mean 0 and variance 1 over the last dimensions, those of ``normalized_shape`` (Ba et al. 2016).

    As ``torch.nn.functional.layer_norm``. ``weight`` and ``bias`` have the shape ``normalized_shape``.

    >>> import weft as wf
    >>> wf.nn.functional.layer_norm(wf.tensor([[1.0, 3.0]]), 2, eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    dims, shape = _trailing("layer_norm", input, normalized_shape, weight, bias)
    return _norm("layer_norm", input, weight, bias, shape, dims=dims, eps=float(eps), center=True)[0]


@function(functional=True, method=False, autocast="float32")
def rms_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Normalize to root mean square 1 over the last dimensions (Zhang and Sennrich 2019).

    As ``torch.nn.functional.rms_norm``. The default ``eps`` is the machine epsilon of the type of the computation,
    float32's for 16-bit input.
    """
    dims, shape = _trailing("rms_norm", input, normalized_shape, weight, None)
    arguments.floating("rms_norm", "input", input.dtype)
    epsilon = EPSILON[input.dtype.compute.name] if eps is None else float(eps)
    return _norm("rms_norm", input, weight, None, shape, dims=dims, eps=epsilon, center=False)[0]


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
    """Normalize each of ``num_groups`` groups of channels of (N, C, ...) to mean 0 and variance 1 (Wu and He 2018)."""
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


def _by_running(x: Any, mean: Any, variance: Any, weight: Any, bias: Any, eps: float) -> Any:
    """Normalize by running statistics, a pointwise op."""
    shape = (1, x.shape[1], *(1,) * (len(x.shape) - 2))
    operands = [
        default if value is None else bind(lookup("reshape"), value, shape=shape)
        for value, default in ((mean, 0.0), (variance, 1.0), (weight, 1.0), (bias, 0.0))
    ]
    return to_dtype(bind(NORMALIZE_BY, x, *operands[:2], float(eps), *operands[2:]), x.dtype)


def _update_running(running: Any, value: Any, momentum: Any, scale: float) -> None:
    """Update a running statistic in place."""
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
    """Normalize each channel of (N, C, ...) to mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015).

    As ``torch.nn.functional.batch_norm``. With ``training`` the statistics are the batch's, and the running statistics
    are updated in place: exponential moving averages of the mean and of the unbiased variance, with ``momentum`` the
    weight of the new value. Without ``training`` the running statistics are used.
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
        return _by_running(input, running_mean, running_var, weight, bias, eps)
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
    _update_running(running_mean, mean, momentum, 1.0)
    _update_running(running_var, variance, momentum, count / (count - 1) if count else 1.0)
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
    """Normalize each channel of each example of (N, C, ...) to mean 0 and variance 1 (Ulyanov et al. 2016).

    As ``torch.nn.functional.instance_norm``. Without ``use_input_stats`` the running statistics are used.
    """
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
        return _by_running(input, running_mean, running_var, weight, bias, eps)
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
        _update_running(running_mean, bind(average, mean, dims=(0,), keepdim=False), momentum, 1.0)
        _update_running(
            running_var, bind(average, variance, dims=(0,), keepdim=False), momentum, count / (count - 1)
        )
    return out
