"""``multinomial``: indices drawn with probabilities, by exponential variables or by a cumulative sum."""

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
    """Draw indices with the weights of each row: (n) gives (num_samples), (m, n) gives (m, num_samples), int64.

    Without ``replacement`` no index is drawn twice. Weights that are negative, infinite or NaN, rows that sum to 0, and
    too few weights above 0 raise ``ArgumentError``; the check reads the device, and is left out in a traced function.

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
        indices = _with_replacement(weights, num_samples, generator)
    else:
        exponential = -(
            -rand(*weights.shape, dtype=weights.dtype, device=str(weights.device), generator=generator)
        ).log1p()
        # the smallest of the exponential variables of these rates; an index without weight is never drawn
        times = (exponential / weights).masked_fill(weights == 0, float("inf"))
        indices = times.topk(num_samples, -1, largest=False).indices
    return indices if out is None else out.copy_(indices)


def _check(weights: Tensor, least: int) -> None:
    """Raise ``ArgumentError`` for invalid weights, or fewer than ``least`` above 0 in a row."""
    valid = (weights >= 0) & weights.isfinite()
    enough = (weights > 0).sum(-1) >= least
    if not bool((valid.all() & enough.all()).item()):
        raise ArgumentError(
            mistake("multinomial", "input", "weights that are negative, not finite, or too few above 0",
                    f"finite weights of 0 or more, in each row at least {least} above 0")
        )  # fmt: skip


def _with_replacement(weights: Tensor, count: int, generator: Generator | None) -> Tensor:
    """Draw indices by uniform numbers in the cumulative sum, at most the last index with a weight above 0."""
    ends = weights.cumsum(-1)
    shape = (*weights.shape[:-1], count)
    points = (
        rand(*shape, dtype=weights.dtype, device=str(weights.device), generator=generator) * ends[..., -1:]
    )
    indices = FUNCTIONS["searchsorted"].function(ends, points, right=True)
    last = (arange(weights.shape[-1], device=str(weights.device)) * (weights > 0)).amax(-1, keepdim=True)
    bounded: Tensor = indices.minimum(last)
    return bounded
