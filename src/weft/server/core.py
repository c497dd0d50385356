"""``Core``: what the protocols share: admission, running requests of the engine, and the end of the server.

A protocol makes a ``ServerRequest`` of a body, ``Core.start`` submits it, and the protocol writes the ``Piece``s of the
``Run`` in its own shape.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from weft.engine import Engine, Request, Sampling
from weft.engine.choosing import TokenLogprob
from weft.engine.grammar import Constraint
from weft.engine.parsing import Content, Event, Message, OutputParser, ToolEnd, message
from weft.server.errors import ServerError
from weft.server.metrics import Metrics
from weft.server.settings import Settings
from weft.server.tokens import TokenTexts

Finish = Literal["stop", "length", "tool_calls"]


FINISHES: Mapping[str | None, Finish | None] = {
    None: None,
    "cancelled": None,
    "stop": "stop",
    "length": "length",
}
"""How an answer ends, by the engine's word for it; what was cancelled here is read no further."""


@dataclass(frozen=True)
class ServerRequest:
    """What is asked of the engine: ``sampling.n`` answers to each prompt.

    Args:
        prompts: token ids of each prompt.
        sampling: how tokens are chosen; answer k of a prompt has the seed plus k.
        constraint: makes the constraint of an answer's text.
        parser: makes the parser that tells text, reasoning and calls of tools apart; None for plain text.
        single_call: end an answer after its first call of a tool.
    """

    prompts: Sequence[Sequence[int]]
    sampling: Sampling
    constraint: Callable[[], Constraint] | None = None
    parser: Callable[[], OutputParser] | None = None
    single_call: bool = False


@dataclass(frozen=True)
class Piece:
    """New events and tokens of one answer; ``finish`` is ``stop``, ``length`` or ``tool_calls`` in its last piece."""

    choice: int
    events: Sequence[Event]
    logprobs: Sequence[TokenLogprob]
    finish: Finish | None
    stop_text: str | None = None


@dataclass
class Answer:
    """A whole answer."""

    events: list[Event] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: Finish = "stop"
    stop_text: str | None = None

    def add(self, piece: Piece) -> None:
        """Append a piece."""
        self.events.extend(piece.events)
        self.logprobs.extend(piece.logprobs)
        self.finish = piece.finish or self.finish
        self.stop_text = piece.stop_text

    @property
    def message(self) -> Message:
        """Its content, reasoning and calls of tools."""
        return message(self.events)


class Run:
    """The engine's requests for one ``ServerRequest``; they end with ``close``, however far they are."""

    def __init__(self, job: ServerRequest, requests: Sequence[Request]) -> None:
        self.job, self.requests = job, requests

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Yield the pieces of all answers as they come. Raises what the engine raises."""
        queue: asyncio.Queue[Piece | Exception] = asyncio.Queue()
        readers = [
            asyncio.create_task(self._read(choice, request, queue))
            for choice, request in enumerate(self.requests)
        ]
        try:
            running = len(readers)
            while running:
                piece = await queue.get()
                if isinstance(piece, Exception):
                    raise piece
                running -= piece.finish is not None
                yield piece
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def _read(self, choice: int, request: Request, queue: asyncio.Queue[Piece | Exception]) -> None:
        """Put the pieces of one answer, or the exception that ends it, into the queue."""
        parser, called = request.parser, False
        try:
            async for delta in request:
                finish = FINISHES[delta.finish_reason]
                events: list[Event] = [Content(delta.text)] if delta.text else []
                if parser is not None:
                    events = parser.push(delta.text) + (parser.finish() if finish else [])
                ends = [
                    at for at, event in enumerate(events) if isinstance(event, ToolEnd) and not event.problem
                ]
                called = called or bool(ends)
                if self.job.single_call and ends:
                    events, finish = events[: ends[0] + 1], "stop"
                    request.cancel()
                if called and finish == "stop":
                    finish = "tool_calls"
                stop = request.completion.stop_text if finish else None
                queue.put_nowait(Piece(choice, events, delta.logprobs, finish, stop))
                if finish:
                    return
            raise ServerError(503, "the answer was cut off: the engine was closed")
        except Exception as error:
            queue.put_nowait(error)

    async def answers(self) -> list[Answer]:
        """Return all answers when they are whole."""
        answers = [Answer() for _ in self.requests]
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                answers[piece.choice].add(piece)
        return answers

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts, each counted once."""
        return sum(map(len, self.job.prompts))

    @property
    def completion_tokens(self) -> int:
        """Tokens that were made so far, of all answers."""
        return sum(len(request.completion.tokens) for request in self.requests)

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompts that were found in the cache."""
        return sum(request.completion.cached_tokens for request in self.requests[:: self.job.sampling.n])

    def close(self) -> None:
        """Free the slots."""
        for request in self.requests:
            request.cancel()


class Call:
    """One request of a client while it is served: its places, its deadline, its runs."""

    def __init__(self, core: Core) -> None:
        self.core, self.places = core, 0
        self.deadline = asyncio.get_running_loop().time() + core.settings.timeout
        self.runs: list[Run] = []

    def take(self, places: int) -> None:
        """Take this many of the server's places in all; ``ServerError`` 429 where they are taken, 503 at the end."""
        core = self.core
        if core.stopping:
            raise ServerError(503, "the server is shutting down", code="shutting_down")
        most = core.engine.stats().slots + core.settings.queue
        if core.places - self.places + places > most:
            message = f"{core.places} requests run or wait, expected at most {most}; try again later"
            raise ServerError(429, message, code="queue_full", headers={"Retry-After": "1"})
        core.places += places - self.places
        self.places = places

    def start(self, job: ServerRequest) -> Run:
        """Submit a request to the engine. Raises ``ServerError`` 429, and what ``Engine.submit`` raises."""
        self.take(max(1, len(job.prompts) * job.sampling.n))
        run = Run(job, [])
        self.runs.append(run)
        requests: list[Request] = []
        run.requests = requests
        for prompt in job.prompts:
            for sampling in job.sampling.answers():
                constraint = None if job.constraint is None else job.constraint()
                parser = None if job.parser is None else job.parser()
                request = self.core.engine.submit(prompt, sampling, constraint=constraint, parser=parser)
                requests.append(request)
        return run

    @asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """Raise ``ServerError`` when the request's time is over, or the server's."""
        core = self.core
        try:
            async with asyncio.timeout_at(self.deadline) as limit:
                core.limits.add(limit)
                try:
                    yield
                finally:
                    core.limits.discard(limit)
        except TimeoutError as error:
            if core.stopping:
                raise ServerError(503, "the server is shutting down", code="shutting_down") from error
            message = f"the answer took more than {core.settings.timeout:g} s, the server's limit"
            raise ServerError(504, message, code="timeout") from error

    def close(self) -> None:
        """Free the slots and the places."""
        for run in self.runs:
            run.close()
            self.core.metrics.ran(run.prompt_tokens, run.completion_tokens, run.cached_tokens)
        self.runs = []
        self.core.places -= self.places
        self.places = 0


class Core:
    """An engine and what the server knows about its requests."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine, self.settings, self.metrics = engine, settings, Metrics(engine)
        self.created, self.places, self.stopping = int(time.time()), 0, False
        self.limits: set[asyncio.Timeout] = set()
        self.tokens = TokenTexts(engine.tokenizer)

    def stop(self) -> None:
        """Refuse new requests from now on, and end those that still run after the time to drain."""
        self.stopping = True
        asyncio.get_running_loop().call_later(self.settings.drain, self._end)

    def _end(self) -> None:
        now = asyncio.get_running_loop().time()
        for limit in self.limits:
            with suppress(RuntimeError):  # it has expired by itself
                limit.reschedule(now)
