"""Initialization in place, as ``torch.nn.init``: each function fills a tensor without recording, and returns it."""

from __future__ import annotations

import math
from typing import Any

from weft.autograd import no_grad
from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops.registry.lazy_fronts import check_functions
from weft.random import Generator
from weft.random.filling import drawn
from weft.tensors.tensor import Tensor

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_",
    "orthogonal_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip

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
    """Return the gain that preserves the variance through a nonlinearity; ``param`` is the slope of ``leaky_relu``.

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
    """Return fan-in and fan-out of a weight (out, in, *kernel): the inputs of an output, and the outputs of an input.

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
    with no_grad():
        return tensor.copy_(drawn("init", op, tensor, (float(a), float(b)), generator))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill a tensor with uniform numbers in [a, b) and return it."""
    return _filled("random_uniform", tensor, a, b, generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill a tensor with normal numbers of mean ``mean`` and standard deviation ``std`` and return it."""
    if std < 0:
        raise ArgumentError(mistake("normal_", "std", std, "0 or more"))
    return _filled("random_normal", tensor, mean, std, generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill a tensor with one value and return it, as ``torch.nn.init.constant_``."""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill a tensor with 0 and return it."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill a tensor with 1 and return it."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with uniform numbers in [-bound, bound] (Glorot and Bengio 2010).

    ``bound`` is ``gain * sqrt(6 / (fan_in + fan_out))``.

    >>> import weft as wf
    >>> bool((xavier_uniform_(wf.empty(2, 4)).abs() <= 1).all())
    True
    """
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers of std ``gain * sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio 2010)."""
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
    """Fill with uniform numbers in [-bound, bound], ``bound = gain * sqrt(3 / fan)`` (He et al. 2015).

    ``fan``, ``gain`` and the arguments are those of ``kaiming_normal_``.

    >>> import weft as wf
    >>> weight = wf.empty(8, 3)
    >>> bool((kaiming_uniform_(weight, nonlinearity="relu").abs() <= 2**0.5).all())
    True
    """
    bound = math.sqrt(3.0) * _kaiming_deviation(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill with normal numbers of standard deviation ``gain / sqrt(fan)`` (He et al. 2015).

    ``fan`` is the number of inputs of an output (``mode="fan_in"``) or of outputs of an input (``"fan_out"``), ``gain``
    that of ``calculate_gain(nonlinearity, a)``; ``a`` is the slope of ``leaky_relu``.
    """
    return normal_(tensor, 0.0, _kaiming_deviation(tensor, a, mode, nonlinearity), generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill with numbers of the normal distribution of ``mean`` and ``std``, truncated to [a, b].

    The distribution function is inverted on the host in float64. Each element takes one random number, so that the
    generator's counter advances by a fixed amount.
    """
    if not a < b or std <= 0:
        raise ArgumentError(mistake("trunc_normal_", "a, b, std", (a, b, std), "a below b, std above 0"))
    from statistics import NormalDist

    import numpy

    uniform_(tensor, 0.0, 1.0, generator)
    normal = NormalDist()
    low, high = normal.cdf((a - mean) / std), normal.cdf((b - mean) / std)
    uniform = tensor.detach().to("cpu").double().numpy()
    probabilities = numpy.clip(low + uniform * (high - low), 1e-15, 1 - 1e-15).reshape(-1)
    values = numpy.clip([mean + std * normal.inv_cdf(float(p)) for p in probabilities], a, b)
    return _written(tensor, values.reshape(tensor.shape))


def _written(tensor: Tensor, values: Any) -> Tensor:
    """Copy host values into a tensor."""
    from weft.tensors.tensor import tensor as made

    with no_grad():
        return tensor.copy_(made(values, dtype=tensor.dtype, device=str(tensor.device)))


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity and return it; ``ShapeError`` for other than 2 dimensions."""
    import numpy

    if tensor.ndim != 2:
        raise ShapeError(mistake("eye_", "tensor", f"of shape {tuple(tensor.shape)}", "2 dimensions"))
    return _written(tensor, numpy.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill a weight (O, I, *kernel) of 3 to 5 dimensions so that the convolution is the identity, group by group."""
    import numpy

    if not 3 <= tensor.ndim <= 5:
        raise ShapeError(mistake("dirac_", "tensor", f"of shape {tuple(tensor.shape)}", "3 to 5 dimensions"))
    if groups < 1 or tensor.shape[0] % groups:
        raise ArgumentError(mistake("dirac_", "groups", groups, f"a divisor of {tensor.shape[0]}"))
    values = numpy.zeros(tensor.shape)
    rows = tensor.shape[0] // groups
    centre = tuple(size // 2 for size in tensor.shape[2:])
    for group in range(groups):
        for channel in range(min(rows, tensor.shape[1])):
            values[(group * rows + channel, channel, *centre)] = 1.0
    return _written(tensor, values)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix times ``gain`` (Saxe et al. 2013).

    A tensor (first, *rest) is treated as a matrix (first, product of rest).

    The generator draws normal numbers; their QR decomposition is computed on the host in float64.
    """
    if tensor.ndim < 2:
        raise ShapeError(
            mistake("orthogonal_", "tensor", f"of shape {tuple(tensor.shape)}", "2 dimensions or more")
        )
    import numpy

    if not tensor.numel():
        return tensor
    normal_(tensor, 0.0, 1.0, generator)
    rows = tensor.shape[0]
    drawn = numpy.asarray(tensor.detach().to("cpu").double().numpy()).reshape(rows, -1)
    wide = rows < drawn.shape[1]
    q, r = numpy.linalg.qr(drawn.T if wide else drawn)
    q *= numpy.where(numpy.diagonal(r) < 0, -1.0, 1.0)  # uniform over all orthogonal matrices
    return _written(tensor, gain * (q.T if wide else q).reshape(tensor.shape))


check_functions(globals())
