"""``Scheduler``: continuous batching: requests join and leave between steps (Yu et al., Orca, 2022).

A step of work is a chunk of prefill for the oldest request that is not read yet, then one token for every request that
is. Pages are given out as sequences grow; where none is left, the youngest request gives its pages back and is read
again later, which does not change its tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from weft.engine.choosing import Chosen
from weft.engine.pages import Key, PagePool, chain
from weft.engine.paging import Pages, Paging
from weft.engine.request import Request
from weft.engine.runner import CHUNKS, Runner, rows_for
from weft.engine.snapshots import Snapshots
from weft.errors import ArgumentError, WeftError
from weft.models.cache import PAGE


@dataclass(eq=False)
class Sequence:
    """A request in a slot: its tokens, its pages, and how many positions are computed or on their way."""

    request: Request
    slot: int
    ids: list[int]
    pages: Pages = field(default_factory=Pages)
    keys: list[Key] = field(default_factory=list)
    computed: int = 0
    launched: int = 0
    """Tokens of the answer that are computed or on their way."""
    ready: bool = False
    period: int = 0
    """Of its rotations (``DecoderConfig.rope_period``)."""

    @property
    def unread(self) -> int:
        """Tokens that prefill has still to read; the last one is read by the step that chooses the next."""
        return 0 if self.ready else len(self.ids) - 1 - self.computed


@dataclass(frozen=True)
class Stats:
    """Figures of an engine: now running and waiting, and totals since it was loaded."""

    slots: int
    running: int
    waiting: int
    pages: int
    pages_free: int
    requests: int
    finished: int
    cancelled: int
    failed: int
    preempted: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    steps: int


class Scheduler:
    """Runs requests on a ``Runner``; one thread at a time calls ``step``, any thread ``add``."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        pools = {window: PagePool(pages) for window, pages in runner.cache.pages.items()}
        self.paging = Paging(pools, CHUNKS[-1], runner.set_pages)
        self.snapshots = Snapshots(runner.snapshots)
        self.arriving: deque[Request] = deque()
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self._free = list(range(runner.slots, 0, -1))
        self._pending: deque[tuple[list[Sequence], Chosen, Callable[[], Any]]] = deque()
        self._ahead = 0 if runner.device.startswith("cpu") else 1
        """Steps that are queued before an earlier one's tokens are read; the CPU computes at once."""
        self._helper = ThreadPoolExecutor(1, "weft-masks")
        self._totals = dict.fromkeys(
            ("requests", "finished", "cancelled", "failed", "preempted", "prompt_tokens", "cached_tokens",
             "completion_tokens", "steps"), 0
        )  # fmt: skip

    def add(self, request: Request) -> None:
        """Take a request; it begins with a later step."""
        self._totals["requests"] += 1
        self.arriving.append(request)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.arriving or self.waiting or self.running)

    def stats(self) -> Stats:
        """The present figures."""
        return Stats(
            slots=self.runner.slots, running=len(self.running), waiting=len(self.waiting) + len(self.arriving),
            pages=self.paging.total, pages_free=self.paging.free, **self._totals,
        )  # fmt: skip

    def step(self) -> None:
        """Do a step of work: admit, read a chunk, choose tokens, hand out those that are computed.

        An error ends all requests, whose iterations raise it.
        """
        try:
            self._admit()
            self._prefill()
            self._decode()
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, Exception):
                raise

    def _fail(self, error: BaseException) -> None:
        """End all requests with an error."""
        self._pending.clear()
        for sequence in [*self.running, *self.waiting]:
            self._leave(sequence)
            sequence.request.fail(error)
            self._totals["failed"] += 1
        while self.arriving:
            self.arriving.popleft().fail(error)
            self._totals["failed"] += 1
        self.running.clear()
        self.waiting.clear()

    def close(self) -> None:
        """End all requests and the helper thread."""
        self._fail(ArgumentError("the engine was closed"))
        self._helper.shutdown()

    # Joining and leaving

    def _admit(self) -> None:
        while self.arriving:
            request = self.arriving.popleft()
            self.waiting.append(Sequence(request, 0, list(request.prompt)))
        for sequence in [*self.running, *self.waiting]:
            if sequence.request.cancelled and not sequence.request.finished:
                sequence.request.end("cancelled")
                self._totals["cancelled"] += 1
                self._remove(sequence)
        while self.waiting and self._free and self._place(self.waiting[0]):
            sequence = self.waiting[0]
            sequence.slot = self._free.pop()
            self.running.append(self.waiting.popleft())
            request = sequence.request
            self.runner.chooser.assign(
                sequence.slot, request.sampling, request.prompt, request.completion.tokens
            )
            self.paging.show(sequence.pages, sequence.slot)
            if self.runner.recurrent and sequence.computed:
                key = sequence.keys[sequence.computed // PAGE - 1]
                self.runner.copy_state(self.snapshots.row(key), sequence.slot)

    def _place(self, sequence: Sequence) -> bool:
        """Take the known pages of a sequence, if there is room for the rest of its tokens."""
        period = self.runner.model.config.rope_period(len(sequence.ids))
        if period != sequence.period:
            sequence.keys, sequence.period = [], period
        sequence.keys = chain(sequence.ids, (len(sequence.ids) - 1) // PAGE, sequence.keys, period)
        known = self.paging.match(sequence.keys)
        if self.runner.recurrent:
            known = self.snapshots.longest(sequence.keys[:known])
        pages = self.paging.begin(sequence.keys, known, len(sequence.ids))
        if pages is None:
            return False
        sequence.pages, sequence.computed = pages, known * PAGE
        if not sequence.request.completion.tokens:
            sequence.request.completion.cached_tokens = sequence.computed
            self._totals["cached_tokens"] += sequence.computed
            self._totals["prompt_tokens"] += len(sequence.ids)
        return True

    def _leave(self, sequence: Sequence) -> None:
        """Free a sequence's slot and pages."""
        if sequence.slot:
            self.runner.chooser.release(sequence.slot)
            self._free.append(sequence.slot)
        self.paging.give(sequence.pages)
        sequence.slot, sequence.ready, sequence.computed = 0, False, 0

    def _remove(self, sequence: Sequence) -> None:
        (self.running if sequence in self.running else self.waiting).remove(sequence)
        self._leave(sequence)

    def _make_room(self, sequence: Sequence, tokens: int) -> bool:
        """Grow a sequence at the cost of younger ones; False where it had to give way itself."""
        while not self.paging.grow(sequence.pages, sequence.slot, tokens):
            self._read(0)
            if sequence not in self.running:
                return False
            youngest = self.running[-1]
            self._read_again(youngest)
            self._totals["preempted"] += 1
            if youngest is sequence:
                return False
        return True

    def _read_again(self, sequence: Sequence) -> None:
        """Take a sequence's pages; it waits to be read again."""
        self.running.remove(sequence)
        self._leave(sequence)
        self.waiting.appendleft(sequence)

    def _rotate(self) -> None:
        """Have the sequences read again whose next token changes the rotations of all tokens."""
        period = self.runner.model.config.rope_period
        if period(self.runner.context) == 0:
            return
        for sequence in [each for each in self.running if each.ready]:
            if period(sequence.computed + 1) != sequence.period:
                self._read(0)
                if sequence in self.running:
                    self._read_again(sequence)

    def _publish(self, sequence: Sequence) -> None:
        """Make the pages known whose positions are all computed, and the state after them if that is now."""
        full, rest = divmod(sequence.computed, PAGE)
        sequence.keys = chain(sequence.ids, max(full, len(sequence.keys)), sequence.keys, sequence.period)
        self.paging.publish(sequence.pages, sequence.keys[:full])
        self.paging.drop(sequence.pages, sequence.computed)
        if self.runner.recurrent and full and not rest:
            row = self.snapshots.put(sequence.keys[full - 1])
            if row is not None:
                self.runner.copy_state(sequence.slot, row)

    # Work

    def _prefill(self) -> None:
        sequence = next((each for each in self.running if not each.ready), None)
        if sequence is None:
            return
        count = min(sequence.unread, CHUNKS[-1])
        if self.runner.recurrent and count > PAGE:  # ends with a page, so that the state there can be kept
            count -= (sequence.computed + count) % PAGE
        if count and self._make_room(sequence, sequence.computed + count):
            at = sequence.computed
            self.runner.prefill(sequence.slot, sequence.ids[at : at + count], at, len(sequence.ids))
            sequence.computed += count
            self._publish(sequence)
        if sequence.slot and not sequence.unread:
            self.runner.start(sequence.slot, sequence.ids[-1], sequence.computed)
            sequence.launched = len(sequence.request.completion.tokens)
            sequence.ready = True

    def _decode(self) -> None:
        self._rotate()
        rows = []
        for sequence in list(self.running):
            wanted = sequence.ready and sequence.launched < sequence.request.most
            if wanted and sequence.slot and self._make_room(sequence, sequence.computed + 1):
                rows.append(sequence)
        rows = [sequence for sequence in rows if sequence.slot and sequence.ready]
        if not rows:
            self._read(0)
            return
        constrained = any(sequence.request.constraint is not None for sequence in rows)
        if constrained:
            self._read(0)
            rows = [sequence for sequence in rows if not sequence.request.finished]
            if not rows:
                return
        slots = [sequence.slot for sequence in rows]
        uniform = [float(sequence.request.uniform.random(dtype=np.float32)) for sequence in rows]
        needs = self.runner.chooser.needs(slots, constrained)
        masks = self._helper.submit(self._masks, rows).result if needs.masked else None
        chosen = self.runner.step(slots, uniform, needs, masks)
        for sequence in rows:
            sequence.computed += 1
            sequence.launched += 1
        self._pending.append((rows, chosen, chosen.ids._numpy_later()))
        self._totals["steps"] += 1
        self._read(self._ahead)
        for sequence in rows:
            if sequence.slot and sequence.computed % PAGE == 0:
                self._publish(sequence)

    def _masks(self, rows: list[Sequence]) -> Any:
        """Return the tokens that each row's grammar allows next, as bits; all ones without a grammar."""
        words = -(-self.runner.model.config.vocab_size // 32)
        masks = np.full((rows_for(len(rows)), words), 2**32 - 1, np.uint32)
        for sequence, mask in zip(rows, masks, strict=False):
            if sequence.request.constraint is not None:
                try:
                    sequence.request.constraint.mask(mask)
                except WeftError as error:
                    sequence.request.fail(error)
        return masks.view(np.int32)

    def _read(self, ahead: int) -> None:
        """Hand out the tokens of all but the last ``ahead`` steps."""
        while len(self._pending) > ahead:
            rows, chosen, ids_of = self._pending.popleft()
            ids = ids_of()[: len(rows)].tolist()
            logprobs = chosen.logprobs([sequence.request.sampling.logprobs for sequence in rows])
            for sequence, token, logprob in zip(rows, ids, logprobs, strict=True):
                if sequence.request.failure is not None and sequence in self.running:
                    self._totals["failed"] += 1
                    self._remove(sequence)
                if sequence.request.finished or not sequence.slot:
                    continue
                sequence.ids.append(token)
                try:
                    ended = sequence.request.take(token, logprob)
                except WeftError as error:  # of the request's constraint
                    sequence.request.fail(error)
                    ended = True
                self._totals["completion_tokens"] += 1
                if ended:
                    self._totals["finished" if sequence.request.failure is None else "failed"] += 1
                    self._remove(sequence)
