"""``Request``: a prompt that is being answered: its text piece by piece, and the answer so far."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from weft.engine.parsing import Content, Event, Message, message
from weft.engine.stopping import StopTexts

if TYPE_CHECKING:
    from weft.engine.choosing import TokenLogprob
    from weft.engine.driver import Driver
    from weft.engine.parsing import OutputParser
    from weft.engine.sampling import Sampling
    from weft.engine.tokenizer import Tokenizer


@dataclass
class Completion:
    """An answer.

    ``finish_reason`` is ``stop`` (an end token, a stop text, or the end of a grammar), ``length``, ``cancelled``, or
    None while it runs. ``cached_tokens`` of the prompt were not computed again. ``prompt_seconds`` run until the first
    token is there, ``seconds`` from then on. ``text`` is all that the model wrote; of a chat, ``message`` has the
    content, the reasoning and the tool calls in it.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: str | None = None
    stop_text: str | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list)
    prompt_seconds: float = 0.0
    seconds: float = 0.0
    message: Message | None = None

    @property
    def tokens_per_second(self) -> float:
        """Tokens after the first, by the time that they took."""
        return (len(self.tokens) - 1) / self.seconds if self.seconds and len(self.tokens) > 1 else 0.0


@dataclass(frozen=True)
class Delta:
    """A piece of an answer: text that may be shown, the tokens since the piece before, and how the answer ended."""

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: str | None = None


class Request:
    """A prompt that is being answered; iterate over it for the pieces, with ``for`` or ``async for``.

    Leaving the iteration before its end cancels the request. ``completion`` is the answer so far.
    """

    def __init__(
        self, prompt: list[int], sampling: Sampling, most: int, tokenizer: Tokenizer, driver: Driver,
        constraint: Any = None, parser: OutputParser | None = None,
    ) -> None:  # fmt: skip
        self.prompt, self.sampling, self.most, self.constraint = prompt, sampling, most, constraint
        self.parser = parser
        self._events: list[Event] = []
        """``most`` is the number of tokens after which the answer is cut."""
        self.completion = Completion(prompt_tokens=len(prompt))
        self.cancelled = False
        self.failure: BaseException | None = None
        self.uniform = np.random.default_rng(sampling.seed)
        self._eos = frozenset() if sampling.ignore_eos else tokenizer.eos
        self._decode = tokenizer.stream(() if parser is None else parser.controls)
        self._stops = StopTexts(sampling.stop)
        self._began, self._first = time.perf_counter(), 0.0
        self._pieces: deque[Delta] = deque()
        self._held: tuple[list[int], list[TokenLogprob]] = ([], [])
        self._driver, self._news = driver, threading.Event()
        self._watchers: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    @property
    def finished(self) -> bool:
        """Whether no more tokens come."""
        return self.completion.finish_reason is not None or self.failure is not None

    def cancel(self) -> None:
        """End the request; its place is free from the next step on."""
        self.cancelled = True

    def __iter__(self) -> Iterator[Delta]:
        """Yield the pieces as they come; an error of the device is raised here."""
        try:
            while (piece := self._next()) is not None:
                yield piece
        finally:
            self.cancel()

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """Yield the pieces as they come, without blocking the event loop."""
        self._driver.start()
        watcher = (asyncio.get_running_loop(), asyncio.Event())
        self._watchers.append(watcher)
        try:
            while True:
                watcher[1].clear()
                ended = self.finished  # before the look for a piece, because another thread adds the last one
                if (piece := self._taken()) is not None:
                    yield piece
                elif ended:
                    self._raise()
                    return
                else:
                    await watcher[1].wait()
        finally:
            self._watchers.remove(watcher)
            self.cancel()

    def result(self) -> Completion:
        """Wait for the end; return the whole answer."""
        for _ in self.events():
            pass
        return self.completion

    def events(self) -> Iterator[Event]:
        """Yield content, reasoning and tool calls as they come; content alone where the request has no parser."""
        for delta in self:
            yield from self._parsed(delta)

    async def aevents(self) -> AsyncIterator[Event]:
        """Yield what ``events`` yields, without blocking the event loop."""
        async for delta in self:
            for event in self._parsed(delta):
                yield event

    async def aresult(self) -> Completion:
        """Return what ``result`` returns, without blocking the event loop."""
        async for _ in self.aevents():
            pass
        return self.completion

    def _parsed(self, delta: Delta) -> list[Event]:
        if self.parser is None:
            return [Content(delta.text)] if delta.text else []
        events = self.parser.push(delta.text) + (self.parser.finish() if delta.finish_reason else [])
        self._events += events
        if delta.finish_reason:
            self.completion.message = message(self._events)
        return events

    def _taken(self) -> Delta | None:
        return self._pieces.popleft() if self._pieces else None

    def _next(self) -> Delta | None:
        """Wait for the next piece; None at the end."""
        while True:
            ended = self.finished
            if (piece := self._taken()) is not None:
                return piece
            if ended:
                self._raise()
                return None
            self._driver.wait(self)

    def _raise(self) -> None:
        if self.failure is not None:
            raise self.failure

    @property
    def pending(self) -> bool:
        """Whether there is nothing new for the one who iterates."""
        return not self._pieces and not self.finished

    def wait(self) -> None:
        """Return when there is something new, which another thread brings."""
        self._news.clear()
        if self.pending:
            self._news.wait()

    # What the scheduler calls

    def take(self, token: int, logprob: TokenLogprob | None = None) -> bool:
        """Add a token to the answer; return whether the token, its text, the grammar or the length ends it."""
        answer, now = self.completion, time.perf_counter()
        if not answer.tokens:
            self._first, answer.prompt_seconds = now, now - self._began
        answer.seconds = now - self._first
        answer.tokens.append(token)
        self._held[0].append(token)
        if logprob is not None:
            answer.logprobs.append(logprob)
            self._held[1].append(logprob)
        if self.constraint is not None:
            self.constraint.consume(token)
        if token in self._eos:
            self.end("stop")
            return True
        text = self._stops.push(self._decode(token) or "")
        if self._stops.found is not None:
            answer.stop_text = self._stops.found
            self.end("stop", text)
        elif self.constraint is not None and self.constraint.ended:
            self.end("stop", text)
        elif len(answer.tokens) >= self.most:
            self.end("length", text)
        elif text:
            self._push(text)
        return self.finished

    def end(self, reason: str, text: str = "") -> None:
        """End the answer, with the text that was held back."""
        if self._stops.found is None:
            text += self._stops.finish()
        self._push(text, reason)

    def fail(self, error: BaseException) -> None:
        """End the request with an error that its iteration raises."""
        self.failure = error
        self._wake()

    def _push(self, text: str, reason: str | None = None) -> None:
        """Add a piece; the last one is there before the request counts as finished."""
        tokens, logprobs = self._held
        self._held = ([], [])
        self.completion.text += text
        self._pieces.append(Delta(text, tuple(tokens), tuple(logprobs), reason))
        self.completion.finish_reason = reason
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        for loop, event in tuple(self._watchers):
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)
