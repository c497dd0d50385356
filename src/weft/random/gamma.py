"""Gamma variables, drawn by their logarithms, with the gradient to their shape parameter.

Drawn by Marsaglia and Tsang (*A simple method for generating gamma variables*, 2000): of ``ATTEMPTS`` proposals for
each element, whose numbers are counters of the generator, the first that is accepted. At least 95% of the proposals
are, so that none is with probability below 1e-15; then the first proposal stays. Logarithms hold what a float cannot:
a variable of shape 0.001 is often below 1e-300.
"""

from __future__ import annotations

from typing import Any

from weft import dtypes
from weft.autograd import Function, no_grad
from weft.ops import FUNCTIONS
from weft.random.draws import rand, randn
from weft.tensors.creation import arange
from weft.tensors.tensor import Tensor

ATTEMPTS = 12
"""Proposals for each element: a fixed number, so that a draw has its counters whatever the numbers are."""


def log_gamma_variables(shape: Tensor) -> Tensor:
    """The logarithms of gamma variables of rate 1, one for each element of ``shape``, with gradients to it."""
    made: Tensor = _LogGamma.apply(shape)
    return made


def _drawn(shape: Tensor) -> Tensor:
    where, size = FUNCTIONS["where"].function, (ATTEMPTS, *shape.shape)
    options: dict[str, Any] = {"dtype": shape.dtype, "device": str(shape.device)}
    boosted = shape < 1
    d = where(boosted, shape + 1, shape) - 1 / 3
    cube_root = 1 + randn(size, **options) / (9 * d).sqrt()
    positive = cube_root > 0
    logarithm = 3 * where(positive, cube_root, 1.0).log()
    normal = (cube_root - 1) * (9 * d).sqrt()
    bound = normal * normal / 2 - d * logarithm.expm1() + d * logarithm
    accepted = positive.logical_and(rand(size, **options).log() < bound)
    first = accepted.to(dtypes.int32).argmax(0, True)
    found: Tensor = d.log() + logarithm.gather(0, first).squeeze(0)
    share = (-rand(shape.shape, **options)).log1p()
    return where(boosted, found + share / shape, found)  # type: ignore[no-any-return]


NODES, STEP, START = 72, 0.11, -3.7


def log_slope(shape: Tensor, logarithm: Tensor) -> Tensor:
    """The derivative of a gamma variable's logarithm with respect to its shape, its probability held (Figurnov 2018).

    It is the integral of (log t - digamma(shape)) over the density's tail that is away from its mode, over the density
    at the variable. The trapezoidal rule in y, where t is exp(-s) or exp(s) times the variable and s is proportional
    to exp(y - exp(-y)), gives it to five digits or more (Takahasi and Mori 1974).
    """
    where = FUNCTIONS["where"].function
    options: dict[str, Any] = {"dtype": shape.dtype, "device": str(shape.device)}
    y = arange(NODES, **options) * STEP + START
    spread, slope = (y - (-y).exp()).exp(), 1 + (-y).exp()
    a, log_z = shape.unsqueeze(-1), logarithm.unsqueeze(-1)
    z = log_z.exp()
    lower = z <= a
    root = a.sqrt()
    below = 1 / (a - z + where(a < 1, a, root)).abs()
    above = (1 / (z - a + z.sqrt()).abs()).clamp(max=1.0)
    s = where(lower, below, above) * spread
    sign = where(lower, -1.0, 1.0)
    exponent = sign * (a * s) - z * (sign * s).clamp(max=80.0).expm1()
    terms = exponent.exp() * (log_z + sign * s - a.digamma()) * (s * slope)
    made: Tensor = (sign * terms).sum(-1) * STEP
    return made


class _LogGamma(Function):
    """Draws whose backward pass multiplies by ``log_slope``."""

    @staticmethod
    def forward(ctx: Any, shape: Tensor) -> Tensor:
        wide = shape.float() if shape.dtype.itemsize < 4 else shape
        with no_grad():
            made = _drawn(wide.detach()).to(shape.dtype)
        ctx.save_for_backward(shape, made)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        shape, made = ctx.saved_tensors
        wide = shape.float() if shape.dtype.itemsize < 4 else shape
        found: Tensor = grad * log_slope(wide, made.to(wide.dtype)).to(shape.dtype)
        return found
