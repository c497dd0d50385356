"""``POST /v1/messages``: Anthropic's messages, as a whole and as a stream, and the count of their tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Literal
from uuid import uuid4

from starlette.responses import JSONResponse, Response

from weft.engine import Engine
from weft.engine.parsing import Content, Event, Reasoning, ToolArguments, ToolStart
from weft.server.core import Answer, Piece, Run, ServerRequest
from weft.server.errors import anthropic_error
from weft.server.fields import JSONObject, Reply, check_model, refused, sampling
from weft.server.messages_body import (
    CountBody,
    MessagesBody,
    NamedChoice,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    Turn,
)
from weft.server.prompts import ChatPrompt, Wanted, chat_prompt
from weft.server.serving import EventStream, Exchange, event


class MessageUsage(Reply):
    """Tokens of a message; ``input_tokens`` are those that were not in the cache."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int = 0


class MessageReply(Reply):
    """A whole message; its content are blocks of ``text``, ``thinking`` and ``tool_use``."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[JSONObject]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"] | None
    stop_sequence: str | None
    usage: MessageUsage


class CountReply(Reply):
    """Tokens of messages."""

    input_tokens: int


async def messages(exchange: Exchange) -> Response:
    """Answer messages."""
    engine, body = exchange.core.engine, exchange.body
    check_model(engine, body.model)
    run = exchange.call.start(await asyncio.to_thread(request, engine, body))
    identity = f"msg_{uuid4().hex}"
    if body.stream:
        events = _events(run, identity, engine.name)
        return EventStream(
            exchange.call, events, lambda error: event(anthropic_error(error, identity), "error")
        )
    (answer,) = await run.answers()
    reply = _reply(run, identity, engine.name, answer)
    return JSONResponse(reply.model_dump())


async def count_tokens(exchange: Exchange) -> Response:
    """Count the tokens of messages as a prompt."""
    engine, body = exchange.core.engine, exchange.body
    check_model(engine, body.model)
    counted = await asyncio.to_thread(prompt, engine, body)
    return JSONResponse(CountReply(input_tokens=len(counted.ids)).model_dump())


def request(engine: Engine, body: MessagesBody) -> ServerRequest:
    """Return what the body asks of the engine."""
    options = {
        "temperature": 1.0 if body.temperature is None else float(body.temperature),
        "top_p": body.top_p,
        "top_k": body.top_k,
        "stop": tuple(body.stop_sequences) if body.stop_sequences else None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    chosen, asked = sampling(engine, body.max_tokens, given), prompt(engine, body)
    single = getattr(body.tool_choice, "disable_parallel_tool_use", False)
    return ServerRequest(
        [asked.ids], chosen, constraint=asked.constraint, parser=asked.parser, single_call=single
    )


def prompt(engine: Engine, body: CountBody) -> ChatPrompt:
    """Return the body's messages as a prompt; a last turn of the assistant is the beginning of the answer."""
    system = _text(body.system or "")
    given = [{"role": "system", "content": system}] if system else []
    given += [message for turn in body.messages for message in _messages(turn)]
    variables: JSONObject = {}
    if body.thinking is not None:
        variables["enable_thinking"] = body.thinking.type != "disabled"
    return chat_prompt(engine, given, _wanted(body), variables, body.messages[-1].role == "assistant")


def _wanted(body: CountBody) -> Wanted:
    """Return the tools that the model may call or must, in OpenAI's form, and the schema of its answer."""
    choice = "auto" if body.tool_choice is None else body.tool_choice.type
    form = None if body.output_config is None else body.output_config.format
    schema = None if form is None else form.schema_
    if choice == "none" or not body.tools:
        if choice not in ("none", "auto"):
            raise refused("tool_choice", "given without tools")
        return Wanted(schema=schema, field="output_config")
    tools: list[JSONObject] = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                **({"description": tool.description} if tool.description else {}),
                "parameters": tool.input_schema,
            },
        }
        for tool in body.tools
    ]
    name = body.tool_choice.name if isinstance(body.tool_choice, NamedChoice) else None
    return Wanted(tools, choice != "auto", name, schema, "output_config")


def _text(content: str | Sequence[Any]) -> str:
    """Return the texts of a content, a line each; other blocks are left out."""
    if isinstance(content, str):
        return content
    return "\n".join(block.text for block in content if isinstance(block, TextBlock))


def _messages(turn: Turn) -> Iterator[JSONObject]:
    """Yield the messages of a turn as templates take them: results of tools are messages of their own."""
    if isinstance(turn.content, str):
        yield {"role": turn.role, "content": turn.content}
        return
    if turn.role == "user":
        texts = [block for block in turn.content if isinstance(block, TextBlock)]
        for block in turn.content:
            if not isinstance(block, TextBlock):
                result = _text(block.content or "")
                yield {"role": "tool", "content": result, "tool_call_id": block.tool_use_id}
        if texts or not turn.content:
            yield {"role": "user", "content": _text(texts)}
        return
    message: JSONObject = {"role": "assistant", "content": _text(turn.content)}
    thoughts = [block.thinking for block in turn.content if isinstance(block, ThinkingBlock)]
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    calls = [
        {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": block.input}}
        for block in turn.content
        if isinstance(block, ToolUseBlock)
    ]
    yield {**message, "tool_calls": calls} if calls else message


REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def _stop(finish: str, stop_text: str | None) -> JSONObject:
    """Return why a message ended."""
    if finish == "stop" and stop_text is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": stop_text}
    return {"stop_reason": REASONS[finish], "stop_sequence": None}


def _usage(run: Run) -> MessageUsage:
    cached = run.cached_tokens
    return MessageUsage(
        input_tokens=run.prompt_tokens - cached,
        output_tokens=run.completion_tokens,
        cache_read_input_tokens=cached,
    )


def _reply(run: Run, identity: str, model: str, answer: Answer) -> MessageReply:
    """Return a whole message: thinking, then text, then calls of tools."""
    content: list[JSONObject] = []
    found = answer.message
    if found.reasoning:
        content.append({"type": "thinking", "thinking": found.reasoning, "signature": ""})
    if found.content or not (found.tool_calls or found.reasoning):
        content.append({"type": "text", "text": found.content})
    for call in found.tool_calls:
        if call.problem is not None:  # its arguments are not the object that a block must have
            content.append({"type": "text", "text": call.arguments})
            continue
        arguments = json.loads(call.arguments)
        content.append({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments})
    stop = _stop(answer.finish, answer.stop_text)
    return MessageReply(id=identity, model=model, content=content, usage=_usage(run), **stop)


class _Blocks:
    """The blocks of a stream: at most one is open, and a new kind of event closes it."""

    def __init__(self) -> None:
        self.count = 0
        self._open: object = None

    def take(self, new: Event) -> Iterator[bytes]:
        """Yield the events of the stream for an event of the answer."""
        match new:
            case Content(text):
                yield from self._begin("text", {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            case Reasoning(text):
                yield from self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case ToolStart(index, id_, name):
                block = {"type": "tool_use", "id": id_, "name": name, "input": {}}
                yield from self._begin(index, block)
            case ToolArguments(_, text):
                yield self._delta({"type": "input_json_delta", "partial_json": text})

    def _begin(self, kind: object, block: JSONObject) -> Iterator[bytes]:
        if self._open == kind:
            return
        yield from self.close()
        self._open, self.count = kind, self.count + 1
        yield _event("content_block_start", index=self.count - 1, content_block=block)

    def _delta(self, delta: JSONObject) -> bytes:
        return _event("content_block_delta", index=self.count - 1, delta=delta)

    def close(self) -> Iterator[bytes]:
        """Yield the end of the open block."""
        if self._open is not None:
            self._open = None
            yield _event("content_block_stop", index=self.count - 1)


def _event(kind: str, **data: Any) -> bytes:
    return event({"type": kind, **data}, kind)


async def _events(run: Run, identity: str, model: str) -> AsyncGenerator[bytes]:
    """Yield the events of a message."""
    start = MessageReply(
        id=identity, model=model, content=[], stop_reason=None, stop_sequence=None, usage=_usage(run)
    )
    yield _event("message_start", message=start.model_dump())
    blocks, last = _Blocks(), Piece(0, (), (), "stop")
    async with aclosing(run.pieces()) as pieces:
        async for piece in pieces:
            for new in piece.events:
                for data in blocks.take(new):
                    yield data
            last = piece
    if not blocks.count:
        for data in blocks.take(Content("")):
            yield data
    for data in blocks.close():
        yield data
    stop = _stop(last.finish or "stop", last.stop_text)
    yield _event("message_delta", delta=stop, usage=_usage(run).model_dump())
    yield _event("message_stop")
