"""Initialisation in place, as ``torch.nn.init``: each fills a tensor, records nothing, and gives the tensor."""

from __future__ import annotations

import math
from typing import Any

from weft.autograd import no_grad
from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops import OPS, bind
from weft.random import Generator, default_generator
from weft.tensors.tensor import Tensor

GAINS = {
    "linear": 1.0,
    "conv2d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}
"""The recommended gain of each nonlinearity (PyTorch's table); ``leaky_relu``'s follows from its slope."""


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity; ``param`` is the slope of ``leaky_relu``.

    >>> round(calculate_gain("relu"), 4)
    1.4142
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity not in GAINS:
        expected = ", ".join(sorted([*GAINS, "leaky_relu"]))
        raise ArgumentError(
            mistake("calculate_gain", "nonlinearity", repr(nonlinearity), f"one of {expected}")
        )
    return GAINS[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """Fan-in and fan-out of a weight (out, in, *kernel): inputs of an output, and outputs of an input.

    >>> import weft as wf
    >>> fans(wf.empty(8, 3, 5, 5))
    (75, 200)
    """
    if tensor.ndim < 2:
        raise ShapeError(
            mistake(
                "init", "tensor", f"of shape {tuple(tensor.shape)}", "at least 2 dimensions to count fans"
            )
        )
    area = math.prod(tensor.shape[2:])
    return tensor.shape[1] * area, tensor.shape[0] * area


def _filled(op: str, tensor: Tensor, a: float, b: float, generator: Generator | None) -> Tensor:
    device = str(tensor.device)
    source = generator or default_generator(device)
    if source.device != device:
        raise ArgumentError(
            mistake("init", "generator", f"on {source.device}", f"on {device}, as the tensor")
        )
    state, low, high = source.take(tensor.numel())
    with no_grad():
        drawn = bind(OPS[op], state, low, high, float(a), float(b), shape=tensor.shape, dtype=tensor.dtype)
        return tensor.copy_(drawn)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform numbers in [a, b)."""
    return _filled("random_uniform", tensor, a, b, generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal numbers of a mean and a standard deviation."""
    if std < 0:
        raise ArgumentError(mistake("normal_", "std", std, "0 or more"))
    return _filled("random_normal", tensor, mean, std, generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere."""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform within ``gain * sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with deviation ``gain * sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def _kaiming_deviation(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    modes: dict[str, Any] = dict(zip(("fan_in", "fan_out"), fans(tensor), strict=True))
    if mode not in modes:
        raise ArgumentError(mistake("kaiming", "mode", repr(mode), "'fan_in' or 'fan_out'"))
    return calculate_gain(nonlinearity, a) / math.sqrt(modes[mode])


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform within ``gain * sqrt(3 / fan)`` (He et al. 2015); ``a`` is the slope of ``leaky_relu``."""
    bound = math.sqrt(3.0) * _kaiming_deviation(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with deviation ``gain / sqrt(fan)`` (He et al. 2015); ``a`` is the slope of ``leaky_relu``."""
    return normal_(tensor, 0.0, _kaiming_deviation(tensor, a, mode, nonlinearity), generator)
