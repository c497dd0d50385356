"""``Chooser``: chooses the next token of each slot from logits, on the device.

The filters need no sorted vocabulary. Each keeps the tokens up to a threshold, which a bisection finds in 24 passes of
a comparison and a sum. A token is then drawn by the sums of blocks of the vocabulary and the sums within one block. The
token of a row depends on its logits, its parameters and its random number alone. On WebGPU the last bit of a sum may
differ with the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from weft import dtypes
from weft.engine import filters
from weft.engine.sampling import Sampling
from weft.tensors.creation import as_tensor, zeros
from weft.tensors.tensor import Tensor

PENALTIES = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""With the values that change nothing."""
PARAMETERS = ("temperature", *filters.FILTERS, *PENALTIES)
"""The columns of the table of slots."""
Array = np.ndarray[Any, Any]
TOP_COUNTS = (0, 5, 20)
"""Numbers of likely tokens that programs return; a request takes as many of them as it asked for."""


@dataclass(frozen=True)
class TokenLogprob:
    """A token with its log-probability, and the likeliest tokens at its place with theirs."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Needs:
    """What the present rows need of the program that chooses: a key of compiled programs.

    ``filters`` are names of ``filters.FILTERS``; ``logprobs`` is the number of likely tokens whose log-probabilities
    are returned beside the chosen token's.
    """

    sampled: bool = False
    filters: tuple[str, ...] = ()
    penalties: bool = False
    bias: bool = False
    masked: bool = False
    logprobs: int | None = None


@dataclass(frozen=True)
class Chosen:
    """Ids (R); ``extra`` holds their log-probabilities (R), then ids and log-probabilities of likely tokens (R, k)."""

    ids: Tensor
    extra: tuple[Tensor, ...] = ()

    def logprobs(self, wanted: Sequence[int | None]) -> list[TokenLogprob | None]:
        """Read the log-probabilities of the first rows: the token's, and those of ``wanted`` likely tokens."""
        if all(count is None for count in wanted):
            return [None] * len(wanted)
        ids, values, *top = (tensor.numpy()[: len(wanted)].tolist() for tensor in (self.ids, *self.extra))
        likely = (
            [tuple(zip(*pair, strict=True)) for pair in zip(*top, strict=True)] if top else [()] * len(ids)
        )
        return [
            None if count is None else TokenLogprob(token, value, pairs[:count])
            for count, token, value, pairs in zip(wanted, ids, values, likely, strict=True)
        ]


class Chooser:
    """Keeps the sampling parameters of every slot, and the tokens that its penalties count, on the device."""

    def __init__(self, slots: int, vocab: int, device: str) -> None:
        self.slots, self.vocab, self.device = slots, vocab, device
        self._width = filters.padded(vocab)
        self._parameters = zeros(slots, len(PARAMETERS), device=device)
        self._counts: Tensor | None = None
        """(slots * width) int32: twice the occurrences in the answer, plus 1 where the prompt has the token."""
        self._bias: Tensor | None = None
        """(slots * width) float32."""
        self._samplings: dict[int, Sampling] = {}
        self._biased: set[int] = set()
        """Slots whose row of ``_bias`` is not 0."""

    def assign(
        self, slot: int, sampling: Sampling, prompt: Sequence[int], answer: Sequence[int] = ()
    ) -> None:
        """Give a slot to a request; ``answer`` holds the tokens that it has already.

        Raises ``ArgumentError`` for a token of ``logit_bias`` that the vocabulary lacks.
        """
        sampling.check_vocabulary(self.vocab)
        row = np.array([_parameter(sampling, name) for name in PARAMETERS], np.float32)
        self._parameters[slot] = as_tensor(row, device=self.device)
        if _penalised(sampling):
            if self._counts is None:
                self._counts = zeros(self.slots * self._width, dtype=dtypes.int32, device=self.device)
            counts = 2 * np.bincount(np.array(answer, np.int64), minlength=self._width)
            counts[np.array(prompt, np.int64)] += 1 - counts[np.array(prompt, np.int64)] % 2
            self._write(self._counts, slot, counts.astype(np.int32))
        if sampling.logit_bias or slot in self._biased:
            if self._bias is None:
                self._bias = zeros(self.slots * self._width, device=self.device)
            bias = np.zeros(self._width, np.float32)
            bias[list(sampling.logit_bias)] = list(sampling.logit_bias.values())
            self._write(self._bias, slot, bias)
            (self._biased.add if sampling.logit_bias else self._biased.discard)(slot)
        self._samplings[slot] = sampling

    def release(self, slot: int) -> None:
        """End a request's use of a slot."""
        self._samplings.pop(slot, None)

    def needs(self, slots: Sequence[int], masked: bool = False) -> Needs:
        """Return what the program must do for these slots; ``masked`` where a row has a grammar."""
        rows = [self._samplings[slot] for slot in slots if slot in self._samplings]
        drawn = [sampling for sampling in rows if not sampling.greedy]
        counts = [sampling.logprobs for sampling in rows if sampling.logprobs is not None]
        return Needs(
            sampled=bool(drawn),
            filters=tuple(
                name
                for name, row in filters.FILTERS.items()
                if any(getattr(sampling, name) != row.neutral for sampling in drawn)
            ),
            penalties=any(map(_penalised, rows)),
            bias=not self._biased.isdisjoint(slots),
            masked=masked,
            logprobs=next(size for size in TOP_COUNTS if size >= max(counts)) if counts else None,
        )

    def choose(
        self, logits: Tensor, slots: Tensor, uniform: Tensor | None, needs: Needs, masks: Tensor | None = None
    ) -> Chosen:
        """Choose a token for each row of ``logits`` (R, V).

        Args:
            logits: in any type of float.
            slots: of the rows, (R) int64; padded rows have a slot that no request has.
            uniform: a random number in [0, 1) for each row, where ``needs.sampled``.
            needs: what ``needs`` returned for the slots.
            masks: the tokens that each row may take, where ``needs.masked``: bit ``v % 32`` of word ``v // 32``,
                (R, ceil(V / 32)) int32.
        """
        raw = logits.float()
        given = filters.pad_vocabulary(raw)
        parameters = dict(zip(PARAMETERS, self._parameters.index_select(0, slots).unbind(1), strict=True))
        if needs.bias and self._bias is not None:
            given = given + self._rows(self._bias, slots)
        if needs.penalties and self._counts is not None:
            given = filters.penalise(given, self._rows(self._counts, slots), parameters)
        if masks is not None:
            given = filters.mask(given, masks)
        blocks = filters.in_blocks(given)
        if needs.sampled and uniform is not None:
            drawn = filters.weights(blocks, parameters, needs.filters)
            ids = filters.draw(drawn, uniform.where(parameters["temperature"] > 0, 0.0))
        else:
            ids = filters.first_largest(blocks)
        if needs.penalties and self._counts is not None:
            places = slots * self._width + ids
            self._counts.index_copy_(0, places, self._counts.index_select(0, places) + 2)
        return Chosen(
            ids, () if needs.logprobs is None else filters.log_probabilities(raw, ids, needs.logprobs)
        )

    def _rows(self, table: Tensor, slots: Tensor) -> Tensor:
        return table.reshape(self.slots, self._width).index_select(0, slots)

    def _write(self, table: Tensor, slot: int, row: Array) -> None:
        table[slot * self._width : (slot + 1) * self._width] = as_tensor(row, device=self.device)


def _parameter(sampling: Sampling, name: str) -> float:
    """Return a value as the programs want it."""
    if name == "temperature" and sampling.greedy:
        return 0.0
    value, row = float(getattr(sampling, name)), filters.FILTERS.get(name)
    return row.whole if row is not None and value == row.neutral else value


def _penalised(sampling: Sampling) -> bool:
    return any(getattr(sampling, name) != neutral for name, neutral in PENALTIES.items())
