"""Random functions of layers: dropout of channels, alpha dropout, ``rrelu``, ``gumbel_softmax``."""

from __future__ import annotations

import math
from typing import Any

from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops import FUNCTIONS
from weft.ops.registry.arguments import floating
from weft.random.draws import drawing, dropout, rand
from weft.tensors.creation import ones
from weft.tensors.tensor import Tensor

ALPHA = -1.7580993408473766
"""The limit of SELU towards -inf: minus the product of its two constants (Klambauer et al. 2017)."""
SMALLEST = 2.0**-25
"""The least exponential random number, so that its logarithm is finite."""


def _probability(name: str, input: Tensor, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(mistake(name, "p", p, "a probability in [0, 1]"))
    floating(name, "input", input.dtype)


def _whole_channels(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, unbatched: int
) -> Tensor:
    """Zero whole channels at random; an input of ``unbatched`` dimensions has no batch."""
    _probability(name, input, p)
    if input.ndim < 2:
        raise ShapeError(
            mistake(name, "input", f"{input.ndim}-dimensional", "at least 2 dimensions, (N, C, *)")
        )
    if not training or p == 0.0:
        return input
    kept = 1 if input.ndim == unbatched else 2
    shape = (*input.shape[:kept], *(1,) * (input.ndim - kept))
    result = input * dropout(ones(shape, dtype=input.dtype, device=str(input.device)), p)
    return input.copy_(result) if inplace else result


@drawing
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero channels of (N, C, L) or (C, L) with probability ``p``, and scale the rest by 1 / (1 - p)."""
    if input.ndim not in (2, 3):
        raise ShapeError(mistake("dropout1d", "input", f"{input.ndim}-dimensional", "(N, C, L) or (C, L)"))
    return _whole_channels("dropout1d", input, p, training, inplace, 2)


@drawing
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero channels of (N, C, H, W) with probability ``p``, and scale the rest by 1 / (1 - p).

    The first two dimensions of any input, also of 3 dimensions, are N and C, as in PyTorch.
    """
    return _whole_channels("dropout2d", input, p, training, inplace, 0)


@drawing
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero channels of (N, C, D, H, W) or (C, D, H, W) with probability ``p``, and scale the rest by 1 / (1 - p)."""
    return _whole_channels("dropout3d", input, p, training, inplace, 4)


def _alpha(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]
) -> Tensor:
    _probability(name, input, p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        result = input * 0.0
    else:
        scale = 1.0 / math.sqrt((ALPHA * ALPHA * p + 1.0) * (1.0 - p))
        kept = (rand(shape, device=str(input.device)) >= p).to(input.dtype)
        result = input * (kept * scale) + ((1.0 - kept) * (ALPHA * scale) - ALPHA * scale * p)
    return input.copy_(result) if inplace else result


@drawing
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Set elements to SELU's lower limit with probability ``p``, keeping mean and variance (Klambauer et al. 2017)."""
    return _alpha("alpha_dropout", input, p, training, inplace, tuple(input.shape))


@drawing
def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Apply ``alpha_dropout`` to whole channels of (N, C, *)."""
    if input.ndim < 2:
        words = f"{input.ndim}-dimensional"
        raise ShapeError(mistake("feature_alpha_dropout", "input", words, "at least 2 dimensions, (N, C, *)"))
    shape = (*input.shape[:2], *(1,) * (input.ndim - 2))
    return _alpha("feature_alpha_dropout", input, p, training, inplace, shape)


@drawing
def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """``x``, or ``slope * x`` below 0: slopes are random in [lower, upper] if ``training``, else the mean of both."""
    floating("rrelu", "input", input.dtype)
    if not lower <= upper:
        raise ArgumentError(mistake("rrelu", "lower", lower, f"at most upper, {upper}"))
    slope: Any = (lower + upper) / 2
    if training:
        slope = lower + rand(input.shape, device=str(input.device)).to(input.dtype) * (upper - lower)
    result = FUNCTIONS["where"].function(input >= 0, input, input * slope)
    return input.copy_(result) if inplace else result


@drawing
def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the relaxed categorical distribution of ``logits`` (Jang et al. 2017, Maddison et al. 2017).

    ``tau`` is the temperature. ``hard`` gives one-hot vectors whose gradients are those of the relaxed sample. ``eps``
    is not used, as in PyTorch.
    """
    floating("gumbel_softmax", "logits", logits.dtype)
    uniform = 1.0 - rand(logits.shape, device=str(logits.device))
    noise = -(-uniform.log()).clamp(min=SMALLEST).log()
    soft: Tensor = FUNCTIONS["softmax"].function((logits + noise.to(logits.dtype)) / tau, dim)
    if not hard:
        return soft
    place = soft.argmax(dim, keepdim=True)
    chosen = (soft * 0.0).detach().scatter(dim, place, 1.0)
    return chosen - soft.detach() + soft
