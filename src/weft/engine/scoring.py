"""``Scorer``: the log-probability of each token of a text, by windows of the context that run side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from weft import dtypes
from weft.autograd import no_grad
from weft.compiler.jit import jit
from weft.models import CacheView, Decoder
from weft.models.cache import pages_for
from weft.tensors.creation import as_tensor
from weft.tensors.tensor import Tensor

CHUNK = 64
"""Tokens of each window that a call reads."""
ROWS = 4
"""The most windows that a call reads side by side."""
CACHED = 8192
"""Tokens of all windows of a call; a single window may have more."""


@dataclass(frozen=True)
class Score:
    """The tokens of a text, and the natural logarithm of each one's probability after those before it.

    The first token has no probability, None. In a text longer than the window, a token has at least half a window
    before it.

    >>> Score([5, 7, 7], [None, -1.0, -3.0]).perplexity == math.exp(2)
    True
    """

    tokens: list[int]
    logprobs: list[float | None] = field(default_factory=list)

    @property
    def total(self) -> float:
        """The logarithm of the text's probability after its first token."""
        return sum(logprob for logprob in self.logprobs if logprob is not None)

    @property
    def perplexity(self) -> float:
        """The exponential of the mean negative log-probability; not a number for a single token."""
        return math.exp(-self.total / (len(self.tokens) - 1)) if len(self.tokens) > 1 else math.nan


class Scorer:
    """Computes scores with a model, in windows of at most ``window`` tokens."""

    def __init__(self, model: Decoder, window: int) -> None:
        self._model, self._window = model, window
        self._rows = max(1, min(ROWS, CACHED // window))
        self._cache = model.cache(1 + self._rows * pages_for(window), self._rows + 1)
        self._program = jit(self._logprobs)

    def score(self, ids: Sequence[int]) -> Score:
        """Return the score of token ids."""
        found: list[float | None] = [None] * len(ids)
        starts = windows(len(ids), self._window)
        for first in range(0, len(starts), self._rows):
            group = starts[first : first + self._rows]
            rows = 1 if len(group) == 1 else self._rows
            texts = [ids[start : start + self._window] for start in group]
            for start, logprobs in zip(group, self._read(texts, rows), strict=False):
                new = self._window // 2 - 1 if start else 0  # the window before has the tokens up to here
                found[start + new + 1 : start + 1 + len(logprobs)] = logprobs[new:]
        return Score(list(ids), found)

    def _read(self, texts: Sequence[Sequence[int]], rows: int) -> list[list[float]]:
        """Return the log-probabilities of all tokens but the first of each text, which are read side by side."""
        longest = max(map(len, texts))
        parts = []
        for at in range(0, longest - 1, CHUNK):
            inputs, targets = (np.zeros((rows, CHUNK), np.int64) for _ in range(2))
            lengths = [min(max(len(text) - 1 - at, 0), CHUNK) for text in texts] + [0] * (rows - len(texts))
            positions = np.zeros((rows, CHUNK), np.int64)
            for row, (text, length) in enumerate(zip(texts, lengths, strict=False)):
                inputs[row, :length] = text[at : at + length]
                targets[row, :length] = text[at + 1 : at + length + 1]
                positions[row] = at + np.minimum(np.arange(CHUNK), max(length - 1, 0))
            reach = [len(text) for text in texts] + [1] * (rows - len(texts))
            view = self._cache.view(positions, lengths, reach)
            places = (view.rows, view.positions, view.lengths, view.reach)
            tokens = (as_tensor(array, device=self._cache.device) for array in (inputs, targets))
            with no_grad():
                logprobs = self._program(
                    *tokens, list(view.pages.values()), list(view.slots.values()), *places
                )
            parts.append(logprobs.numpy())
        whole = np.concatenate(parts, axis=1) if parts else np.zeros((rows, 0))
        return [whole[row, : len(text) - 1].tolist() for row, text in enumerate(texts)]

    def _logprobs(
        self,
        inputs: Tensor,
        targets: Tensor,
        pages: Sequence[Tensor],
        slots: Sequence[Tensor],
        *places: Tensor,
    ) -> Tensor:
        windows = tuple(self._cache.pages)  # the view has pages and slots in their order
        tables, flat = (dict(zip(windows, each, strict=True)) for each in (pages, slots))
        view = CacheView(self._cache, tables, flat, *places)
        logits = self._model.logits(self._model.model(inputs, view.positions, view)).to(dtypes.float32)
        return logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def windows(length: int, window: int) -> list[int]:
    """Return the starts of windows that cover a text; each overlaps half of the one before.

    >>> windows(10, 4), windows(4, 4)
    ([0, 2, 4, 6], [0])
    """
    step = max(window // 2, 1)
    return list(range(0, max(length - window, 0) + step, step)) if length > window else [0]
