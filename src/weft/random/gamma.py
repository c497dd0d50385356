"""Logarithms of gamma variables, with the gradient to their shape parameter.

The method is that of Marsaglia and Tsang (*A simple method for generating gamma variables*, 2000). Each element has
``ATTEMPTS`` proposals, drawn with counters of the generator, and takes the first that is accepted. At least 95% of the
proposals are accepted, so that all are rejected with a probability below 1e-15; the element then takes the first
proposal. Variables are drawn as logarithms, since a variable of shape 0.001 is often below 1e-300.
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
"""Proposals for each element: a fixed number, so that the count of counters does not depend on the numbers drawn."""


def log_gamma_variables(shape: Tensor) -> Tensor:
    """Draw the logarithm of a gamma variable of rate 1 for each element of ``shape``, with gradients to ``shape``."""
    made: Tensor = _LogGamma.apply(shape)
    return made


def _draw(shape: Tensor) -> Tensor:
    """Draw the logarithms of gamma variables, without history."""
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
    drawn: Tensor = d.log() + logarithm.gather(0, first).squeeze(0)
    share = (-rand(shape.shape, **options)).log1p()
    return where(boosted, drawn + share / shape, drawn)  # type: ignore[no-any-return]


NODES, STEP, START = 72, 0.11, -3.7


def log_slope(shape: Tensor, logarithm: Tensor) -> Tensor:
    """Return the derivative of a gamma variable's logarithm to its shape at constant probability (Figurnov 2018).

    The derivative is the integral of (log t - digamma(shape)) over the density's tail that does not contain the mode,
    divided by the density at the variable. It is computed by the trapezoidal rule in y, where t is exp(-s) or exp(s)
    times the variable and s is proportional to exp(y - exp(-y)), to five digits or more (Takahasi and Mori 1974).
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
            made = _draw(wide.detach()).to(shape.dtype)
        ctx.save_for_backward(shape, made)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        shape, made = ctx.saved_tensors
        wide = shape.float() if shape.dtype.itemsize < 4 else shape
        gradient: Tensor = grad * log_slope(wide, made.to(wide.dtype)).to(shape.dtype)
        return gradient
