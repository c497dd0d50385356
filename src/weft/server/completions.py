"""``POST /v1/completions``: OpenAI's completions of texts, as a whole and as a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import Field
from starlette.responses import JSONResponse, Response

from weft.engine import Engine
from weft.engine.parsing import message
from weft.server.core import Core, Finish, Run, ServerRequest
from weft.server.errors import openai_error
from weft.server.fields import (
    JSONObject,
    Reply,
    SamplingFields,
    Usage,
    check_model,
    refused,
    sampling,
    usage,
)
from weft.server.logprobs import CompletionLogprobs, completion_logprobs
from weft.server.serving import EventStream, Exchange, event

DEFAULT_TOKENS = 16
"""Tokens of an answer where the body states no number, as in OpenAI's API."""
Token = Annotated[int, Field(ge=0)]
Ids = Annotated[list[Token], Field(min_length=1)]
Prompt = (
    str
    | Ids
    | Annotated[list[str], Field(min_length=1, max_length=128)]
    | Annotated[list[Ids], Field(min_length=1, max_length=128)]
)


class CompletionBody(SamplingFields):
    """A request for completions. A prompt is a text or token ids; each prompt of a list gets answers of its own."""

    prompt: Prompt
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = None


class CompletionChoice(Reply):
    """A completion."""

    index: int
    text: str
    finish_reason: Finish
    logprobs: CompletionLogprobs | None


class CompletionReply(Reply):
    """Whole completions."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage


async def completions(exchange: Exchange) -> Response:
    """Continue texts."""
    engine, body = exchange.core.engine, exchange.body
    check_model(engine, body.model)
    run = exchange.call.start(await asyncio.to_thread(request, engine, body))
    head: JSONObject = {"id": f"cmpl-{uuid4().hex}", "created": int(time.time()), "model": engine.name}
    echoed = _echoed(engine, run) if body.echo else [""] * len(run.requests)
    if body.stream:
        events = _events(exchange.core, run, body, head, echoed)
        return EventStream(exchange.call, events, lambda error: event(openai_error(error)))
    choices = [
        CompletionChoice(
            index=index,
            text=begun + answer.message.content,
            finish_reason=answer.finish,
            logprobs=None
            if body.logprobs is None
            else completion_logprobs(exchange.core.tokens, answer.logprobs),
        )
        for index, (begun, answer) in enumerate(zip(echoed, await run.answers(), strict=True))
    ]
    return JSONResponse(CompletionReply(**head, choices=choices, usage=usage(run)).model_dump())


def request(engine: Engine, body: CompletionBody) -> ServerRequest:
    """Return what the body asks of the engine."""
    options = body.options()
    if body.echo and body.logprobs is not None:
        raise refused("echo", "not together with logprobs: the prompt's tokens get none")
    if body.logprobs is not None:
        options["logprobs"] = body.logprobs
    prompts = [encoded(engine, prompt, "prompt") for prompt in several(body.prompt)]
    return ServerRequest(prompts, sampling(engine, body.max_tokens or DEFAULT_TOKENS, options))


def several(given: Any) -> Sequence[str | list[int]]:
    """Return the prompts or inputs of a body as a list."""
    return [given] if isinstance(given, str) or isinstance(given[0], int) else given


def encoded(engine: Engine, text: str | list[int], field: str) -> list[int]:
    """Return the tokens of a text, after the token that begins a sequence; token ids stay."""
    if not isinstance(text, str):
        size = engine.model.config.vocab_size
        if wrong := [token for token in text if token >= size]:
            raise refused(field, f"token {wrong[0]}, expected 0 to {size - 1}, the vocabulary")
        return text
    start = [] if engine.tokenizer.bos is None else [engine.tokenizer.bos]
    ids = start + engine.tokenizer.encode(text)
    if not ids:
        raise refused(field, "an empty text, expected at least one token")
    return ids


def _echoed(engine: Engine, run: Run) -> list[str]:
    """Return the prompt's text for each answer."""
    texts = [engine.tokenizer.decode(prompt, control=True) for prompt in run.job.prompts]
    return [text for text in texts for _ in range(run.job.sampling.n)]


async def _events(
    core: Core, run: Run, body: CompletionBody, head: JSONObject, echoed: Sequence[str]
) -> AsyncGenerator[bytes]:
    """Yield the chunks of all answers, the usage where it is wanted, and the end mark."""
    wanted = body.stream_options is not None and body.stream_options.include_usage
    head = {**head, "object": "text_completion", **({"usage": None} if wanted else {})}

    def chunk(index: int, text: str, finish: str | None, logprobs: Any = None) -> bytes:
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}
        return event({**head, "choices": [choice]})

    starts = [0] * len(echoed)
    for index, text in enumerate(echoed):
        if text:
            yield chunk(index, text, None)
    async with aclosing(run.pieces()) as pieces:
        async for piece in pieces:
            text, logprobs = message(piece.events).content, None
            if body.logprobs is not None:
                found = completion_logprobs(core.tokens, piece.logprobs, starts[piece.choice])
                starts[piece.choice] += sum(map(len, found.tokens))
                logprobs = found.model_dump()
            yield chunk(piece.choice, text, piece.finish, logprobs)
    if wanted:
        yield event({**head, "choices": [], "usage": usage(run).model_dump()})
    yield event("[DONE]")
