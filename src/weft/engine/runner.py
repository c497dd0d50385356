"""``Runner``: a decoder on its device with a cache, as two compiled programs: prefill of a chunk, and one step.

A step takes the token of the step before from the device and leaves its own there, so that only the chosen ids are read
back. Programs are compiled for buckets of lengths, on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from weft import dtypes
from weft.autograd import no_grad
from weft.compiler.jit import jit
from weft.engine.sampling import Sampling, choose
from weft.errors import ArgumentError, mistake
from weft.models import CacheView, Decoder
from weft.models.cache import PAGE, pages_for
from weft.tensors.creation import arange, as_tensor, ones, zeros
from weft.tensors.tensor import Tensor

CHUNKS = (256, 64, 16, 1)
"""Tokens of a prefill call; the last chunk of a prompt is filled up to the next of them."""
LENGTHS = (256, 1024, 4096, 16384, 65536)
"""Lengths of the cache that a call reads."""


class Runner:
    """Runs one sequence of a model, of at most ``context`` tokens."""

    def __init__(self, model: Decoder, context: int, device: str) -> None:
        self.model, self.context, self.device = model, context, device
        self.cache = model.cache(1 + pages_for(context))
        self.pages = arange(1, 1 + pages_for(context), dtype=dtypes.int32, device=device).unsqueeze(0)
        self.row = ones(1, dtype=dtypes.int64, device=device)
        self.token = zeros(1, 1, dtype=dtypes.int64, device=device)
        self.position = zeros(1, dtype=dtypes.int64, device=device)
        self.choice = {
            name: zeros(1, dtype=kind, device=device)
            for name, kind in (
                ("temperature", dtypes.float32),
                ("top_k", dtypes.int64),
                ("top_p", dtypes.float32),
                ("min_p", dtypes.float32),
                ("uniform", dtypes.float32),
            )
        }
        self.used = context
        """Positions that were read; all of them before a text is begun, so that no step is possible."""
        self._greedy = True
        self._programs: dict[tuple[str, int], Callable[..., Any]] = {}

    def begin(self, ids: Sequence[int]) -> None:
        """Read the tokens of a new text; the next ``step`` chooses the token after them.

        Raises ``ArgumentError`` for no tokens, and for more than the context holds.
        """
        if not ids:
            raise ArgumentError(mistake("begin", "ids", "none", "at least one token"))
        if len(ids) > self.context:
            raise ArgumentError(
                f"prompt: {len(ids)} tokens, expected at most {self.context}, the context; shorten the prompt "
                "or load the engine with a larger context"
            )
        at, last = 0, len(ids) - 1
        while at < last:
            size = self._chunk(last - at, self.context - at)
            real = ids[at : min(at + size, last)]
            tokens = np.zeros((1, size), np.int64)
            tokens[0, : len(real)] = real
            positions = np.arange(at, at + size, dtype=np.int64)[None]
            program = self._program("prefill", self._length(at + size))
            program(as_tensor(tokens, device=self.device), as_tensor(positions, device=self.device))
            at += len(real)
        self.token.fill_(ids[-1])
        self.position.fill_(last)
        self.used = last

    def sample(self, sampling: Sampling) -> None:
        """Choose tokens so from now on."""
        for name in ("temperature", "top_k", "top_p", "min_p"):
            self.choice[name].fill_(getattr(sampling, name))
        self._greedy = sampling.temperature == 0

    def step(self, uniform: float = 0.0) -> Tensor:
        """Read the last token and choose the next one, (1) on the device; ``uniform`` is its random number."""
        if self.used >= self.context:
            raise ArgumentError(f"step: the context of {self.context} tokens is full")
        self.used += 1
        if not self._greedy:
            self.choice["uniform"].fill_(uniform)
        chosen: Tensor = self._program("greedy" if self._greedy else "sampled", self._length(self.used))()
        return chosen

    def _length(self, least: int) -> int:
        """The bucket of the cache for ``least`` positions."""
        return min(next((length for length in LENGTHS if length >= least), self.context), self.context)

    def _chunk(self, wanted: int, room: int) -> int:
        """Tokens of the next prefill call: the smallest chunk for what is wanted, or the largest."""
        sizes = [size for size in CHUNKS if size <= room]
        return min((size for size in sizes if size >= wanted), default=sizes[0])

    def _program(self, kind: str, length: int) -> Callable[..., Any]:
        key = (kind, length)
        if key not in self._programs:
            makers: dict[str, Callable[[int], Any]] = {
                "prefill": self._prefill,
                "greedy": self._greedy_step,
                "sampled": self._sampled_step,
            }
            program = jit(makers[kind](length))

            def run(*arguments: Any) -> Any:
                with no_grad():
                    return program(*arguments)

            self._programs[key] = run
        return self._programs[key]

    def _prefill(self, length: int) -> Callable[[Tensor, Tensor], None]:
        def prefill(tokens: Tensor, positions: Tensor) -> None:
            self.model.model(tokens, positions, self._view(positions, length))

        return prefill

    def _view(self, positions: Tensor, length: int) -> CacheView:
        """The view of the sequence, whose pages lie in order from page 1 on."""
        pages = self.pages[:, : pages_for(length)]
        return CacheView(self.cache, pages, positions.reshape(-1) + PAGE, self.row, positions, self.row)

    def _logits(self, length: int) -> Tensor:
        positions = self.position.unsqueeze(0)
        hidden = self.model.model(self.token, positions, self._view(positions, length))
        return self.model.logits(hidden[:, -1])

    def _advance(self, chosen: Tensor) -> Tensor:
        self.token.copy_(chosen.unsqueeze(0))
        self.position.add_(1)
        return chosen

    def _greedy_step(self, length: int) -> Callable[[], Tensor]:
        def greedy() -> Tensor:
            return self._advance(self._logits(length).argmax(-1))

        return greedy

    def _sampled_step(self, length: int) -> Callable[[], Tensor]:
        def sampled() -> Tensor:
            return self._advance(choose(self._logits(length), **self.choice))

        return sampled
