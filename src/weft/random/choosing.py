"""``multinomial``: places drawn with probabilities, by the order of exponential clocks or by a cumulative sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft import dtypes
from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops import FUNCTIONS, interpreter_stack
from weft.ops.registry.arguments import floating
from weft.ops.registry.arguments import tensor as checked_tensor
from weft.random.draws import drawing, rand
from weft.random.generator import Generator
from weft.tensors.creation import arange

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


@drawing
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Places drawn with the weights of each row: (n) gives (num_samples), (m, n) gives (m, num_samples), int64.

    Without ``replacement`` no place is drawn twice. Weights that are negative, infinite or NaN, rows that sum to 0, and
    too few weights above 0 raise ``ArgumentError``, for which the device is read; in a traced function they do not.

    >>> import weft as wf
    >>> wf.multinomial(wf.tensor([0.0, 3.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    weights = checked_tensor("multinomial", "input", input).detach()
    floating("multinomial", "input", weights.dtype)
    if weights.ndim not in (1, 2):
        raise ShapeError(
            mistake("multinomial", "input", f"{weights.ndim}-dimensional", "1- or 2-dimensional")
        )
    size = weights.shape[-1]
    if num_samples < 1 or (not replacement and num_samples > size):
        most = "1 or more" if replacement else f"from 1 to {size}, as there is no replacement"
        raise ArgumentError(mistake("multinomial", "num_samples", num_samples, most))
    weights = weights if weights.dtype is dtypes.float64 else weights.float()
    if interpreter_stack()[0].executes and weights.numel():
        _check(weights, 1 if replacement else num_samples)
    if replacement:
        found = _with_replacement(weights, num_samples, generator)
    else:
        clocks = -(
            -rand(*weights.shape, dtype=weights.dtype, device=str(weights.device), generator=generator)
        ).log1p()
        # the first to ring; a place without weight never does
        times = (clocks / weights).masked_fill(weights == 0, float("inf"))
        found = times.topk(num_samples, -1, largest=False).indices
    return found if out is None else out.copy_(found)


def _check(weights: Tensor, least: int) -> None:
    right = (weights >= 0) & weights.isfinite()
    enough = (weights > 0).sum(-1) >= least
    if not bool((right.all() & enough.all()).item()):
        raise ArgumentError(
            mistake("multinomial", "input", "weights that are negative, not finite, or too few above 0",
                    f"finite weights of 0 or more, in each row at least {least} above 0")
        )  # fmt: skip


def _with_replacement(weights: Tensor, count: int, generator: Generator | None) -> Tensor:
    """Where uniform numbers fall into the cumulative sum; never behind the last place that has weight."""
    ends = weights.cumsum(-1)
    shape = (*weights.shape[:-1], count)
    points = (
        rand(*shape, dtype=weights.dtype, device=str(weights.device), generator=generator) * ends[..., -1:]
    )
    places = FUNCTIONS["searchsorted"].function(ends, points, right=True)
    last = (arange(weights.shape[-1], device=str(weights.device)) * (weights > 0)).amax(-1, keepdim=True)
    found: Tensor = places.minimum(last)
    return found
