"""The stages between logits and a token, each a function of tensors whose rows are independent.

Logits of a row lie in blocks, (R, blocks, size), so that sums over a vocabulary have two levels on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from weft import dtypes
from weft.nn.functional import pad
from weft.tensors.creation import arange, zeros_like
from weft.tensors.tensor import Tensor

BLOCKS = (256, 128)
"""Tokens in a block: the first of these that divides the vocabulary; if none does, the vocabulary is padded."""
LEAST_TEMPERATURE = 1e-30
"""Stands for 0: only the largest logit has a weight above 0."""
BITS, UNIT = 24, 2.0**-17
"""Distances are compared as integers of so many bits, in units of ``UNIT``."""
FARTHEST = (2**BITS - 1) * UNIT
"""Largest distance; the weight of a token so far from the most likely one is 0 in float32."""


def block_size(vocab: int) -> int:
    """Return the tokens in a block."""
    return next((size for size in BLOCKS if vocab % size == 0), BLOCKS[0])


def padded(vocab: int) -> int:
    """Return the size of the vocabulary in whole blocks."""
    return -(-vocab // block_size(vocab)) * block_size(vocab)


def pad_vocabulary(logits: Tensor) -> Tensor:
    """Fill rows (R, V) up to whole blocks with logits that are never chosen."""
    missing = padded(logits.shape[-1]) - logits.shape[-1]
    return pad(logits, (0, missing), value=-math.inf) if missing else logits


def in_blocks(logits: Tensor) -> Tensor:
    """Return padded rows as (R, blocks, size)."""
    return logits.reshape(logits.shape[0], -1, block_size(logits.shape[-1]))


def penalise(logits: Tensor, counts: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """Lower the logits of tokens that were there: ``counts`` are twice the answer's, plus 1 for those of the prompt."""
    repetition, presence, frequency = (
        parameters[f"{name}_penalty"].unsqueeze(1) for name in ("repetition", "presence", "frequency")
    )
    repeated = (logits / repetition).where(logits > 0, logits * repetition)
    times = counts >> 1
    return repeated.where(counts > 0, logits) - times.float() * frequency - presence.where(times > 0, 0.0)


def mask(logits: Tensor, words: Tensor) -> Tensor:
    """Take away the tokens (R, V) whose bits in ``words`` (R, W) int32 are 0; padding needs no bits."""
    rows, width = logits.shape
    missing = -(-width // 32) - words.shape[1]
    words = pad(words, (0, missing)) if missing else words
    bits = words.unsqueeze(-1) >> arange(32, dtype=dtypes.int32, device=str(logits.device))
    return logits.reshape(rows, -1, 32).masked_fill((bits & 1) == 0, -math.inf).reshape(rows, width)


def first_largest(blocks: Tensor) -> Tensor:
    """Return the first place of the largest logit of each row, (R)."""
    size = blocks.shape[-1]
    block = blocks.amax(-1).argmax(-1, keepdim=True)
    return (block * size).squeeze(1) + _block(blocks, block).argmax(-1)


@dataclass(frozen=True)
class Filter:
    """A filter of weights: ``apply(kept, distance, value)`` sets those of the tokens that it drops to 0.

    ``neutral`` is the value of ``Sampling`` that keeps all tokens, and ``whole`` the value that does so on the device.
    """

    apply: Callable[[Tensor, Tensor, Tensor], Tensor]
    neutral: float
    whole: float


def weights(blocks: Tensor, parameters: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """Return weights of tokens in proportion to their probabilities, after temperature and the filters ``names``."""
    columns = {name: value.reshape(-1, 1, 1) for name, value in parameters.items()}
    largest = blocks.amax(-1, keepdim=True).amax(-2, keepdim=True)
    distance = ((largest - blocks) / columns["temperature"].clamp(min=LEAST_TEMPERATURE)).clamp(max=FARTHEST)
    kept = (-distance).exp()
    for name, row in FILTERS.items():
        if name in names:
            kept = row.apply(kept, distance, columns[name])
    return kept


def _top_k(kept: Tensor, distance: Tensor, most: Tensor) -> Tensor:
    return _nearest(kept, distance, None, most)


def _top_p(kept: Tensor, distance: Tensor, share: Tensor) -> Tensor:
    return _nearest(kept, distance, kept, share * total(kept))


def _min_p(kept: Tensor, distance: Tensor, least: Tensor) -> Tensor:
    return kept.masked_fill(kept < least, 0.0)  # the weight of the most likely token is 1


def _typical(kept: Tensor, distance: Tensor, share: Tensor) -> Tensor:
    """Keep tokens whose information, ``distance`` but for a constant, is nearest to its mean, the entropy."""
    whole = total(kept)
    mean = total(kept * distance) / whole
    return _nearest(kept, (distance - mean).abs(), kept, share * whole)


FILTERS: Mapping[str, Filter] = {
    "top_k": Filter(_top_k, 0, math.inf),
    "top_p": Filter(_top_p, 1, math.inf),
    "min_p": Filter(_min_p, 0, 0),
    "typical_p": Filter(_typical, 1, math.inf),
}
"""In the order in which they are applied."""


def _nearest(kept: Tensor, distance: Tensor, measure: Tensor | None, goal: Tensor) -> Tensor:
    """Keep tokens by distance, nearest first, until they measure at least ``goal``: their number, or their weight.

    The largest threshold whose strictly nearer tokens measure less than ``goal`` is found bit by bit.
    """
    places = (distance * (1 / UNIT)).floor()
    limit = zeros_like(goal)
    for bit in reversed(range(BITS)):
        trial = limit + float(2**bit)
        nearer = places < trial
        measured = total(nearer.float() if measure is None else measure.masked_fill(~nearer, 0.0))
        limit = trial.where(measured < goal, limit)
    return kept.masked_fill(places > limit, 0.0)


def total(values: Tensor) -> Tensor:
    """Return the sums of rows in blocks, (R, 1, 1)."""
    return values.sum(-1, keepdim=True).sum(-2, keepdim=True)


def draw(kept: Tensor, uniform: Tensor) -> Tensor:
    """Return the first token of each row whose weight and those before it make the share ``uniform``, (R).

    ``kept`` is (R, blocks, size). The weight of the token is above 0, whatever the sums round to.
    """
    size = kept.shape[-1]
    sums = kept.sum(-1)
    block, rest = _reached(sums, uniform.unsqueeze(1) * sums.sum(-1, keepdim=True))
    inside, _ = _reached(_block(kept, block), rest)
    return (block * size + inside).squeeze(1)


def _reached(values: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first place (R, 1) where the sums of ``values`` (R, N) pass the target, and its rest there."""
    sums, count = values.cumsum(-1), values.shape[-1]
    places = arange(count, device=str(values.device))
    some = values > 0
    first = places.where((sums > target) & some, count).amin(-1, keepdim=True)
    place = first.minimum(places.where(some, -1).amax(-1, keepdim=True))
    return place, target - (sums - values).gather(-1, place)


def _block(blocks: Tensor, index: Tensor) -> Tensor:
    """Return one block of each row, (R, size), by its index (R, 1)."""
    rows, _, size = blocks.shape
    return blocks.gather(1, index.unsqueeze(-1).expand(rows, 1, size)).squeeze(1)


def log_probabilities(logits: Tensor, ids: Tensor, count: int) -> tuple[Tensor, ...]:
    """Return those of the tokens ``ids`` (R); where ``count`` is above 0, also that many likely ids and theirs."""
    blocks = in_blocks(pad_vocabulary(logits))
    largest = blocks.amax(-1, keepdim=True).amax(-2, keepdim=True)
    scale = (largest + total((blocks - largest).exp()).log()).squeeze(-1)
    chosen = (logits.gather(1, ids.unsqueeze(1)) - scale).squeeze(1)
    if not count:
        return (chosen,)
    values, likely = logits.topk(min(count, logits.shape[1]))
    return chosen, likely, values - scale
