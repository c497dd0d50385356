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
from weft.dtypes import DType
from weft.engine.choosing import Chooser, Chosen, Needs
from weft.models import CacheView, Decoder
from weft.models.cache import PAGE, pages_for
from weft.ops.index.distinct_rows import write_rows
from weft.tensors.creation import arange, as_tensor, ones, zeros
from weft.tensors.tensor import Tensor

CHUNKS = (16, 32, 64, 128, 256)
"""Tokens of a prefill call; the last chunk of a prompt is filled up to the next of them."""
ROWS = (1, 4, 16, 64, 256)
"""Rows of a step; fewer are filled up to the next of them."""
GREEDY = Needs()
"""Rows that all take their likeliest token are one program with the model; other choices are programs of their own."""


class Runner:
    """Runs up to ``slots`` sequences of at most ``context`` tokens, with room for ``tokens`` of all together."""

    def __init__(
        self, model: Decoder, slots: int, context: int, tokens: int | None = None, dtype: DType | None = None
    ) -> None:
        self.model, self.slots, self.context = model, slots, context
        self.recurrent = any(part.of_sequence for layer in model.stores() for part in layer.values())
        """Whether layers keep a state of the sequence; rows after the slots are then for copies of states."""
        rows = 1 + slots
        self.snapshots = range(rows, rows + 2 * slots if self.recurrent else rows)
        self.cache = model.cache(self._sizes(tokens or context), rows + len(self.snapshots), dtype)
        self.device = str(self.cache.device)
        self.chooser = Chooser(slots + 1, model.config.vocab_size, self.device)
        self._tokens = zeros(slots + 1, dtype=dtypes.int64, device=self.device)
        self._positions = zeros(slots + 1, dtype=dtypes.int64, device=self.device)
        shape = (slots + 1, pages_for(context))
        self._tables = {window: np.zeros(shape, np.int32) for window in self.cache.pages}
        self._pages = {window: self._put(table) for window, table in self._tables.items()}
        self._changed: set[int | None] = set()
        self._rows: dict[tuple[int, ...], Tensor] = {}
        self._programs: dict[Any, Callable[..., Any]] = {}

    def _sizes(self, tokens: int) -> dict[int | None, int]:
        """Return the pages for layers of each window: for all tokens, or for what every slot sees of its own."""
        windows = {
            part.window for layer in self.model.stores() for part in layer.values() if not part.of_sequence
        }
        sizes = dict.fromkeys(windows, 1 + pages_for(tokens))
        for window in windows:
            if window is not None:
                sizes[window] = min(sizes[window], 1 + self.slots * (pages_for(window + CHUNKS[-1]) + 1))
        return sizes

    def set_pages(self, window: int | None, slot: int, first: int, pages: Sequence[int]) -> None:
        """Say which pages of layers with a window hold the sequence of a slot, from its page ``first`` on."""
        self._tables[window][slot, first : first + len(pages)] = pages
        self._changed.add(window)

    def start(self, slot: int, token: int, position: int) -> None:
        """Set the token that the slot's next step reads, and its position."""
        self._tokens[slot] = token
        self._positions[slot] = position

    def copy_state(self, source: int, target: int) -> None:
        """Copy the state of recurrent layers from one row to another."""
        self._program("copy", self._copy)(*(self._put(np.array([row])) for row in (source, target)))

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
        rows = self._rows[padded]
        if needs == GREEDY:
            return Chosen(*self._program(("step", size), self._step)(rows))
        logits = self._program(("logits", size), self._logits)(rows)
        numbers = self._put(np.array([*uniform, *[0.0] * (size - len(slots))], np.float32))
        more = [self._put(masks())] if needs.masked else []
        choose = self._program(("choose", size, needs), lambda *given: self._choose(needs, *given))
        return Chosen(*choose(logits, rows, numbers, *more))

    def _put(self, array: Any) -> Tensor:
        return as_tensor(array, device=self.device)

    def _upload(self) -> None:
        for window in self._changed:
            self._pages[window].copy_(self._put(self._tables[window]))
        self._changed.clear()

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

    def _copy(self, source: Tensor, target: Tensor) -> None:
        for layer, stores in zip(self.cache.stored, self.model.stores(), strict=True):
            for name, part in stores.items():
                if part.of_sequence:
                    layer[name].index_copy_(0, target, layer[name].index_select(0, source))

    def _view(self, positions: Tensor, rows: Tensor, lengths: Tensor) -> CacheView:
        """The view of sequences (B) whose tokens (B, T) are at ``positions``; padding goes to page 0."""
        inside = positions.remainder(PAGE)
        place = positions.div(PAGE, rounding_mode="floor")
        pages = {window: table.index_select(0, rows) for window, table in self._pages.items()}
        slots = {
            window: own.gather(1, place).to(dtypes.int64) * PAGE + inside for window, own in pages.items()
        }
        if positions.shape[1] > 1:
            real = arange(positions.shape[1], device=self.device).unsqueeze(0) < lengths.unsqueeze(1)
            slots = {window: own.where(real, inside) for window, own in slots.items()}
        flat = {window: own.reshape(-1) for window, own in slots.items()}
        return CacheView(self.cache, pages, flat, rows, positions, lengths)

    def _logits(self, rows: Tensor) -> Tensor:
        tokens = self._tokens.index_select(0, rows).unsqueeze(1)
        positions = self._positions.index_select(0, rows).unsqueeze(1)
        view = self._view(positions, rows, ones(len(rows), dtype=dtypes.int64, device=self.device))
        return self.model.logits(self.model.model(tokens, positions, view)[:, -1])

    def _step(self, rows: Tensor) -> tuple[Any, ...]:
        return self._choose(GREEDY, self._logits(rows), rows)

    def _choose(
        self, needs: Needs, logits: Tensor, rows: Tensor, uniform: Tensor | None = None, masks: Tensor | None = None
    ) -> tuple[Any, ...]:  # fmt: skip
        """Choose, and leave tokens and positions for the next step; slot 0 stays at position 0."""
        chosen = self.chooser.choose(logits, rows, uniform, needs, masks)
        write_rows(self._tokens, rows, chosen.ids.to(dtypes.int64))
        positions = self._positions.index_select(0, rows) + (rows > 0).to(dtypes.int64)
        write_rows(self._positions, rows, positions)
        return chosen.ids, chosen.extra


def rows_for(count: int) -> int:
    """Return the rows of the program that steps so many sequences."""
    return next(size for size in ROWS if size >= count)
