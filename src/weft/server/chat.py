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
from weft.server.chat_body import AssistantMessage, ChatBody, Message, Text, ToolMessage
from weft.server.core import Answer, Finish, Piece, Run, ServerRequest
from weft.server.errors import openai_error
from weft.server.fields import JSONObject, Reply, Usage, check_model, refused, sampling, usage
from weft.server.prompts import chat_prompt, parsed_arguments
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
    logprobs: JSONObject | None


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
        return EventStream(exchange.call, _events(run, body, head), lambda error: event(openai_error(error)))
    answers = await run.answers()
    choices = [_choice(index, answer) for index, answer in enumerate(answers)]
    return JSONResponse(ChatReply(**head, choices=choices, usage=usage(run)).model_dump())


def request(engine: Engine, body: ChatBody) -> ServerRequest:
    """Return what the body asks of the engine."""
    options = body.options()
    for name in ("tools", "tool_choice", "response_format", "logprobs", "top_logprobs"):
        if getattr(body, name):
            raise refused(name, "not supported yet")
    messages = [_message(message, f"messages.{at}") for at, message in enumerate(body.messages)]
    variables = dict(body.chat_template_kwargs or {})
    prompt = chat_prompt(engine, messages, variables)
    most = body.max_completion_tokens or body.max_tokens
    return ServerRequest([prompt], sampling(engine, most, options), body.n or 1)


def _text(content: Text) -> str:
    """Return the text of a content; its parts are lines."""
    return content if isinstance(content, str) else "\n".join(part.text for part in content)


def _message(message: Message, field: str) -> JSONObject:
    """Return a message as templates take it."""
    role = "system" if message.role == "developer" else message.role
    result: JSONObject = {"role": role, "content": _text(message.content or "")}
    if isinstance(message, AssistantMessage):
        if message.reasoning_content:
            result["reasoning_content"] = message.reasoning_content
        if message.tool_calls:
            result["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.function.name,
                        "arguments": parsed_arguments(
                            call.function.arguments, f"{field}.tool_calls.{at}.function.arguments"
                        ),
                    },
                }
                for at, call in enumerate(message.tool_calls)
            ]
    if isinstance(message, ToolMessage):
        result["tool_call_id"] = message.tool_call_id
    if message.name:
        result["name"] = message.name
    return result


def _choice(index: int, answer: Answer) -> ChatChoice:
    """Return a whole answer."""
    calls = [
        ToolCallReply(id=call.id, function=FunctionReply(name=call.name, arguments=call.arguments))
        for call in answer.calls
    ]
    message = MessageReply(
        content=None if calls and not answer.text else answer.text,
        reasoning_content=answer.reasoning or None,
        tool_calls=calls or None,
    )
    return ChatChoice(index=index, message=message, finish_reason=answer.finish, logprobs=None)


async def _events(run: Run, body: ChatBody, head: JSONObject) -> AsyncGenerator[bytes]:
    """Yield the chunks of all answers, the usage where it is wanted, and the end mark."""
    wanted = body.stream_options is not None and body.stream_options.include_usage
    head = {**head, "object": "chat.completion.chunk", **({"usage": None} if wanted else {})}
    begun: set[int] = set()
    async with aclosing(run.pieces()) as pieces:
        async for piece in pieces:
            for choice in _chunks(piece, piece.choice not in begun):
                yield event({**head, "choices": [choice]})
            begun.add(piece.choice)
    if wanted:
        yield event({**head, "choices": [], "usage": usage(run).model_dump()})
    yield event("[DONE]")


def _chunks(piece: Piece, first: bool) -> list[JSONObject]:
    """Return the choices of the chunks of a piece: one for each event, and one for the end of an answer."""
    deltas = [_delta(each) for each in piece.events]
    if first:
        deltas = [{"role": "assistant", "content": ""}, *deltas]
    choices: list[JSONObject] = [
        {"index": piece.choice, "delta": delta, "logprobs": None, "finish_reason": None}
        for delta in deltas
        if delta
    ]
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
