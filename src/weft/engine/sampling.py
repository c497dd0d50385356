"""``Sampling``: how the next token is chosen from logits, as validated data; and the choice itself, on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from weft.errors import ArgumentError, mistake
from weft.tensors.creation import arange
from weft.tensors.tensor import Tensor


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen and when a text ends.

    Args:
        temperature: divides the logits; 0 always takes the most likely token.
        top_k: only the k most likely tokens; 0 for all.
        top_p: the fewest tokens whose probabilities add up to at least p (Holtzman et al. 2020).
        min_p: only tokens at least min_p times as likely as the most likely one.
        seed: of the request's random numbers; None draws one.
        max_tokens: most tokens that are made.
        stop: texts before which the answer ends; they are not part of it.
        ignore_eos: go on after the model's end token.

    >>> Sampling(temperature=0.7, top_p=0.9).top_k
    0
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    def __post_init__(self) -> None:
        """Check every value."""
        self._check("temperature", float, 0.0, math.inf, "a number from 0 on, below infinity")
        self._check("top_k", int, 0, 2**31, "an integer from 0 on; 0 for all")
        self._check("top_p", float, 0.0, 1.0 + 1e-12, "a number above 0, up to 1", above=True)
        self._check("min_p", float, 0.0, 1.0 + 1e-12, "a number from 0 to 1")
        self._check("max_tokens", int, 1, 2**31, "an integer from 1 on")
        if self.seed is not None:
            self._check("seed", int, 0, 2**64, "an integer from 0 to 2**64 - 1, or None")
        if not isinstance(self.stop, tuple) or not all(isinstance(text, str) and text for text in self.stop):
            raise ArgumentError(
                mistake("Sampling", "stop", repr(self.stop)[:80], "a tuple of texts, none empty")
            )

    def _check(
        self, name: str, kind: type, least: float, past: float, expected: str, above: bool = False
    ) -> None:
        value = getattr(self, name)
        fits = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        if not fits or not (least <= value < past) or (above and value == least):
            raise ArgumentError(mistake("Sampling", name, repr(value)[:60], expected))


def choose(
    logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor, min_p: Tensor, uniform: Tensor
) -> Tensor:
    """Choose a token for each row of ``logits`` (R, V) by numbers ``uniform`` (R) in [0, 1); gives ids (R).

    All other arguments are (R). Rows of temperature 0 take the most likely token. ``top_k`` is applied first, then
    ``top_p`` to what is left, then ``min_p``.
    """
    column: Any = (slice(None), None)
    warmth = temperature[column]
    ordered, order = (logits / warmth.clamp(min=1e-6)).sort(dim=-1, descending=True)
    weights = ordered.softmax(-1)
    rank = arange(weights.shape[-1], device=str(logits.device)).unsqueeze(0)
    limit = top_k[column]
    weights = weights.masked_fill((rank >= limit) & (limit > 0), 0.0)
    before = weights.cumsum(-1) - weights
    total = weights.sum(-1, keepdim=True)
    keep = (before < top_p[column] * total) & (weights >= min_p[column] * weights[:, :1])
    weights = weights.masked_fill(~keep, 0.0)
    sums = weights.cumsum(-1)
    place = (sums <= uniform[column] * sums[:, -1:]).sum(-1, keepdim=True)
    kept = (weights > 0).sum(-1, keepdim=True)
    place = place.minimum(kept - 1).masked_fill(warmth == 0, 0)
    return order.gather(-1, place).squeeze(-1)
