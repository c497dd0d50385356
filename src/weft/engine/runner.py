"""``Runner``: a decoder with a cache as compiled programs: a chunk of prefill, and a token for many sequences.

A step takes each slot's last token and position from the device and leaves the next there, so that only the chosen ids
are read back. Slot 0 is for padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from weft import dtypes
from weft.autograd import no_grad
from weft.compiler.jit import jit
from weft.engine.choosing import Chooser, Chosen, Needs
from weft.models import CacheView, Decoder
from weft.models.cache import PAGE, pages_for
from weft.tensors.creation import as_tensor, ones, zeros
from weft.tensors.tensor import Tensor

CHUNKS = (16, 64, 256)
"""Tokens of a prefill call; the last chunk of a prompt is filled up to the next of them."""
ROWS = (1, 4, 16, 64, 256)
"""Rows of a step; fewer are filled up to the next of them."""


class Runner:
    """Runs up to ``slots`` sequences of at most ``context`` tokens, with ``pages`` pages for all of them."""

    def __init__(self, model: Decoder, slots: int, context: int, pages: int) -> None:
        self.model, self.slots, self.context = model, slots, context
        self.cache = model.cache(1 + pages, slots + 1)
        self.device = str(self.cache.device)
        self.chooser = Chooser(slots + 1, model.config.vocab_size, self.device)
        self._tokens = zeros(slots + 1, dtype=dtypes.int64, device=self.device)
        self._positions = zeros(slots + 1, dtype=dtypes.int64, device=self.device)
        self._table = np.zeros((slots + 1, pages_for(context)), np.int32)
        self._pages = self._put(self._table)
        self._changed = False
        self._rows: dict[tuple[int, ...], Tensor] = {}
        self._programs: dict[Any, Callable[..., Any]] = {}

    def set_pages(self, slot: int, pages: Sequence[int], first: int = 0) -> None:
        """Say which pages hold the sequence of a slot, from its page ``first`` on."""
        self._table[slot, first : first + len(pages)] = pages
        self._changed = True

    def start(self, slot: int, token: int, position: int) -> None:
        """Set the token that the slot's next step reads, and its position."""
        self._tokens[slot] = token
        self._positions[slot] = position

    def prefill(self, slot: int, ids: Sequence[int], position: int, reach: int) -> None:
        """Read up to ``CHUNKS[-1]`` tokens at ``position`` and after, of a sequence of ``reach`` tokens."""
        size = next(size for size in CHUNKS if size >= len(ids))
        tokens = np.zeros((1, size), np.int64)
        tokens[0, : len(ids)] = ids
        positions = np.full((1, size), position + len(ids) - 1)  # padding repeats the last, whose keys exist
        positions[0, : len(ids)] = np.arange(position, position + len(ids))
        self._upload()
        program = self._program(("prefill", size), self._prefill)
        program(*map(self._put, (tokens, positions, *(np.array([each]) for each in (slot, len(ids), reach)))))

    def step(self, slots: Sequence[int], uniform: Sequence[float], needs: Needs, masks: Any = None) -> Chosen:
        """Choose the next token of each slot by its number in [0, 1); padded rows follow those of ``slots``.

        ``masks()`` gives int32 (rows, words), the tokens that each row may take, where ``needs.masked``; it is called
        while the device computes.
        """
        size = rows_for(len(slots))
        padded = (*slots, *[0] * (size - len(slots)))
        if padded not in self._rows:
            self._rows = {padded: self._put(np.array(padded))}
        self._upload()
        numbers = [self._put(np.array([*uniform, *[0.0] * (size - len(slots))], np.float32))]
        rows = self._rows[padded]
        if needs.masked:
            logits = self._program(("logits", size), self._logits)(rows)
            choose = self._program(("choose", size, needs), lambda *given: self._choose(needs, *given))
            return Chosen(*choose(logits, rows, *numbers, self._put(masks())))
        numbers = numbers if needs.sampled else []
        return Chosen(
            *self._program(("step", size, needs), lambda *given: self._step(needs, *given))(rows, *numbers)
        )

    def _put(self, array: Any) -> Tensor:
        return as_tensor(array, device=self.device)

    def _upload(self) -> None:
        if self._changed:
            self._pages.copy_(self._put(self._table))
            self._changed = False

    def _program(self, key: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        if key not in self._programs:
            program = jit(function)

            def run(*arguments: Any) -> Any:
                with no_grad():
                    return program(*arguments)

            self._programs[key] = run
        return self._programs[key]

    def _prefill(self, tokens: Tensor, positions: Tensor, row: Tensor, length: Tensor, reach: Tensor) -> None:
        view = replace(self._view(positions, row, length), reach=reach)
        self.model.model(tokens, positions, view)

    def _view(self, positions: Tensor, rows: Tensor, lengths: Tensor) -> CacheView:
        """The view of sequences (B) whose tokens (B, T) are at ``positions``; padding goes to page 0."""
        pages = self._pages.index_select(0, rows)
        inside = positions.remainder(PAGE)
        slots = pages.gather(1, positions.div(PAGE, rounding_mode="floor")).to(dtypes.int64) * PAGE + inside
        view = CacheView(self.cache, pages, slots.reshape(-1), rows, positions, lengths)
        if positions.shape[1] > 1:
            view = CacheView(
                self.cache, pages, slots.where(view.real, inside).reshape(-1), rows, positions, lengths
            )
        return view

    def _logits(self, rows: Tensor) -> Tensor:
        tokens = self._tokens.index_select(0, rows).unsqueeze(1)
        positions = self._positions.index_select(0, rows).unsqueeze(1)
        view = self._view(positions, rows, ones(len(rows), dtype=dtypes.int64, device=self.device))
        return self.model.logits(self.model.model(tokens, positions, view)[:, -1])

    def _step(self, needs: Needs, rows: Tensor, uniform: Tensor | None = None) -> tuple[Any, ...]:
        return self._choose(needs, self._logits(rows), rows, uniform, None)

    def _choose(
        self, needs: Needs, logits: Tensor, rows: Tensor, uniform: Any, masks: Tensor | None
    ) -> tuple[Any, ...]:
        """Choose, and leave tokens and positions for the next step; slot 0 stays at position 0."""
        chosen = self.chooser.choose(logits, rows, uniform, needs, masks)
        self._tokens.index_copy_(0, rows, chosen.ids)
        self._positions.index_add_(0, rows, (rows > 0).to(dtypes.int64))
        return chosen.ids, chosen.extra


def rows_for(count: int) -> int:
    """Return the rows of the program that steps so many sequences."""
    return next(size for size in ROWS if size >= count)
