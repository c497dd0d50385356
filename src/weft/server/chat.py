"""``POST /v1/chat/completions``: OpenAI's chat completions, as a whole and as a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal
from uuid import uuid4

from starlette.responses import JSONResponse, Response

from weft.engine import Engine
from weft.engine.parsing import Content, Event, Reasoning, ToolArguments, ToolStart
from weft.server.chat_body import ChatBody, Message, NamedTool, ObjectFormat, SchemaFormat
from weft.server.core import Answer, Core, Finish, Piece, Run, ServerRequest
from weft.server.errors import openai_error
from weft.server.fields import JSONObject, Reply, Usage, check_model, refused, sampling, usage
from weft.server.logprobs import ChatLogprobs, chat_logprobs
from weft.server.prompts import Wanted, chat_prompt, checked_variables
from weft.server.serving import EventStream, Exchange, event


class FunctionReply(Reply):
    """A called function."""

    name: str
    arguments: str


class ToolCallReply(Reply):
    """A call of a tool."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionReply


class MessageReply(Reply):
    """An answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallReply] | None = None


class ChatChoice(Reply):
    """An answer of several."""

    index: int
    message: MessageReply
    finish_reason: Finish
    logprobs: ChatLogprobs | None


class ChatReply(Reply):
    """Whole answers."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


async def chat(exchange: Exchange) -> Response:
    """Answer messages."""
    engine, body = exchange.core.engine, exchange.body
    check_model(engine, body.model)
    run = exchange.call.start(await asyncio.to_thread(request, engine, body))
    head: JSONObject = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": engine.name}
    if body.stream:
        events = _events(exchange.core, run, body, head)
        return EventStream(exchange.call, events, lambda error: event(openai_error(error)))
    choices = [
        _choice(exchange.core, index, answer, body.logprobs)
        for index, answer in enumerate(await run.answers())
    ]
    return JSONResponse(ChatReply(**head, choices=choices, usage=usage(run)).model_dump())


def request(engine: Engine, body: ChatBody) -> ServerRequest:
    """Return what the body asks of the engine."""
    options = body.options()
    if body.top_logprobs is not None and not body.logprobs:
        raise refused("top_logprobs", "given without logprobs: true")
    if body.logprobs:
        options["logprobs"] = body.top_logprobs or 0
    most = body.max_completion_tokens or body.max_tokens
    chosen = sampling(engine, most, options)
    messages = [_message(message) for message in body.messages]
    variables = checked_variables(body.chat_template_kwargs, "chat_template_kwargs")
    if body.reasoning_effort is not None:
        variables["reasoning_effort"] = body.reasoning_effort
    prompt = chat_prompt(engine, messages, _wanted(body), variables)
    single = body.parallel_tool_calls is False
    return ServerRequest(
        [prompt.ids], chosen, constraint=prompt.constraint, parser=prompt.parser, single_call=single
    )


def _wanted(body: ChatBody) -> Wanted:
    """Return the tools that the model may call or must, and the schema of its answer."""
    choice, schema = body.tool_choice or "auto", None
    if isinstance(body.response_format, ObjectFormat):
        schema = {"type": "object"}
    if isinstance(body.response_format, SchemaFormat):
        given = body.response_format.json_schema.schema_
        schema = {"type": "object"} if given is None else given
    if choice == "none" or not body.tools:
        if choice not in ("none", "auto"):
            raise refused("tool_choice", "given without tools")
        return Wanted(schema=schema)
    tools = [tool.model_dump(exclude_none=True) for tool in body.tools]
    name = choice.function.name if isinstance(choice, NamedTool) else None
    return Wanted(tools, choice != "auto", name, schema)


def _message(message: Message) -> JSONObject:
    """Return a message as the engine's templates take it."""
    role = "system" if message.role == "developer" else message.role
    return {**message.model_dump(exclude_none=True), "role": role}


def _choice(core: Core, index: int, answer: Answer, logprobs: bool | None) -> ChatChoice:
    """Return a whole answer."""
    found = answer.message
    calls = [
        ToolCallReply(id=call.id, function=FunctionReply(name=call.name, arguments=call.arguments))
        for call in found.tool_calls
    ]
    message = MessageReply(
        content=None if calls and not found.content else found.content,
        reasoning_content=found.reasoning or None,
        tool_calls=calls or None,
    )
    return ChatChoice(
        index=index,
        message=message,
        finish_reason=answer.finish,
        logprobs=chat_logprobs(core.tokens, answer.logprobs) if logprobs else None,
    )


async def _events(core: Core, run: Run, body: ChatBody, head: JSONObject) -> AsyncGenerator[bytes]:
    """Yield the chunks of all answers, the usage where it is wanted, and the end mark."""
    wanted = body.stream_options is not None and body.stream_options.include_usage
    head = {**head, "object": "chat.completion.chunk", **({"usage": None} if wanted else {})}
    begun: set[int] = set()
    async with aclosing(run.pieces()) as pieces:
        async for piece in pieces:
            logprobs = chat_logprobs(core.tokens, piece.logprobs).model_dump() if body.logprobs else None
            for choice in _chunks(piece, piece.choice not in begun, logprobs):
                yield event({**head, "choices": [choice]})
            begun.add(piece.choice)
    if wanted:
        yield event({**head, "choices": [], "usage": usage(run).model_dump()})
    yield event("[DONE]")


def _chunks(piece: Piece, first: bool, logprobs: JSONObject | None) -> list[JSONObject]:
    """Return the choices of the chunks of a piece: one for each event, and one for the end of an answer."""
    deltas = [delta for each in piece.events if (delta := _delta(each))]
    if first:
        deltas = [{"role": "assistant", "content": ""}, *deltas]
    if logprobs is not None and piece.logprobs and not deltas:
        deltas = [{"content": ""}]
    choices: list[JSONObject] = [
        {"index": piece.choice, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas
    ]
    if logprobs is not None and piece.logprobs:
        choices[-1]["logprobs"] = logprobs
    if piece.finish:
        last = {"index": piece.choice, "delta": {}, "logprobs": None, "finish_reason": piece.finish}
        choices.append(last)
    return choices


def _delta(new: Event) -> JSONObject:
    """Return an event as the change of a message."""
    match new:
        case Content(text):
            return {"content": text}
        case Reasoning(text):
            return {"reasoning_content": text}
        case ToolStart(index, identity, name):
            function = {"name": name, "arguments": ""}
            return {
                "tool_calls": [{"index": index, "id": identity, "type": "function", "function": function}]
            }
        case ToolArguments(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
    return {}
