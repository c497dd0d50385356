"""Messages and tools as chat templates take them.

Callers write messages in OpenAI's form: arguments of calls are JSON text, content may be null or a list of parts,
reasoning has several names. Templates differ in which of these they take; ``Forms`` says which, for one template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weft.errors import ArgumentError, UnsupportedError, mistake

REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names of a message's reasoning; templates read one of them."""
NEEDLE = "needle"
CALL_ID = "abcdefghi"
"""Nine letters, as Mistral's templates ask for."""

Render = Callable[[Sequence[Mapping[str, Any]]], str | None]
"""Renders messages; None where the template refuses them."""


@dataclass(frozen=True)
class Forms:
    """What a template takes.

    Attributes:
        objects: arguments of calls as objects, not as JSON text.
        parts: content as a list of parts; all templates take a text.
        calls: calls of earlier answers; some templates leave them out.
    """

    objects: bool
    parts: bool
    calls: bool


def forms(render: Render) -> Forms:
    """Return what a template takes, by rendering messages of each form."""
    given = {"key": NEEDLE}
    texts = [render(_called(arguments)) for arguments in (given, json.dumps(given))]
    objects, text = map(_rendered, texts)
    parts = _rendered(render([_user([{"type": "text", "text": NEEDLE}])]))
    return Forms(objects or not text, parts, objects or text or texts == [None, None])


def _rendered(text: str | None) -> bool:
    """Return whether the needle is there, and not inside of a Python object that was printed."""
    return text is not None and NEEDLE in text and f"'{NEEDLE}'}}" not in text


def _user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _called(arguments: Any) -> list[dict[str, Any]]:
    """Return messages with a call that has these arguments."""
    call = {"id": CALL_ID, "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [
        _user("a"),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": CALL_ID, "name": "f", "content": "b"},
    ]


def prepared(messages: Sequence[Mapping[str, Any]], takes: Callable[[], Forms]) -> list[dict[str, Any]]:
    """Return messages as a template takes them; the given ones stay as they are.

    Raises:
        ArgumentError: for a message that is none, or arguments that are not an object.
        UnsupportedError: for content that is not text.
    """
    names: dict[str, str] = {}
    return [_message(message, f"messages[{at}]", names, takes) for at, message in enumerate(messages)]


def _message(given: Any, where: str, names: dict[str, str], takes: Callable[[], Forms]) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not isinstance(given.get("role"), str):
        raise ArgumentError(mistake(where, "the message", repr(given)[:80], "an object with a role"))
    message = dict(given)
    content = message.get("content")
    if content is None:
        message["content"] = ""
    elif not isinstance(content, str):
        message["content"] = _content(content, where, takes)
    reasoning = next((message[name] for name in REASONING if message.get(name) is not None), None)
    if reasoning is not None:
        message |= dict.fromkeys(REASONING, reasoning)
    if message.get("tool_calls"):
        calls = message["tool_calls"]
        if not isinstance(calls, Sequence) or isinstance(calls, str):
            raise ArgumentError(mistake(where, "tool_calls", repr(calls)[:80], "a list"))
        message["tool_calls"] = [
            _call(call, f"{where}.tool_calls[{at}]", names, takes) for at, call in enumerate(calls)
        ]
    elif "tool_calls" in message:
        del message["tool_calls"]  # templates that ask whether it is there expect calls in it
    if message["role"] == "tool" and "name" not in message and message.get("tool_call_id") in names:
        message["name"] = names[message["tool_call_id"]]
    return message


def _content(parts: Any, where: str, takes: Callable[[], Forms]) -> Any:
    """Return content in parts, which must be texts; joined by line breaks where the template takes no parts."""
    if not isinstance(parts, Sequence):
        raise ArgumentError(mistake(where, "content", repr(parts)[:80], "a text, or a list of parts"))
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
        if kind != "text" or not isinstance(part.get("text"), str):
            raise UnsupportedError(mistake(where, "a part of content", f"of type {kind!r}", "a text"))
    return [dict(part) for part in parts] if takes().parts else "\n".join(part["text"] for part in parts)


def _call(given: Any, where: str, names: dict[str, str], takes: Callable[[], Forms]) -> dict[str, Any]:
    """Return a call with its function's arguments in the template's form."""
    function = given.get("function", given) if isinstance(given, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ArgumentError(mistake(where, "the call", repr(given)[:80], "an object with a function's name"))
    arguments = function.get("arguments")
    if arguments is None:
        arguments = {}
    try:
        value = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError) as error:
        raise ArgumentError(mistake(where, "arguments", f"not JSON ({error})", "an object")) from error
    if not isinstance(value, Mapping):
        raise ArgumentError(mistake(where, "arguments", repr(value)[:80], "an object"))
    given_id = given.get("id")
    if isinstance(given_id, str):
        names[given_id] = function["name"]
    form = value if takes().objects else json.dumps(value, ensure_ascii=False)
    whole = {"type": "function", **given} if "function" in given else {"type": "function"}
    return {**whole, "function": {**function, "arguments": form}}


def prepared_tools(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Return tools as ``{"type": "function", "function": {…}}``, which templates take; None for none.

    >>> prepared_tools([{"name": "f", "input_schema": {}}])
    [{'type': 'function', 'function': {'name': 'f', 'parameters': {}}}]
    """
    if not tools:
        return None
    found = []
    for at, tool in enumerate(tools):
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise ArgumentError(mistake(f"tools[{at}]", "the tool", repr(tool)[:80], "an object with a name"))
        function = dict(function)
        if "input_schema" in function:
            function["parameters"] = function.pop("input_schema")
        found.append({"type": "function", "function": function})
    return found
