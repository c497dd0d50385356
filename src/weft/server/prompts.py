"""Messages and tools of a request as a prompt, and the parser of its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from weft.engine import Engine
from weft.engine.grammar import Constraint, json_grammar
from weft.engine.parsing import OutputParser, output_parser
from weft.engine.parsing.formats import format_of
from weft.server.errors import ServerError
from weft.server.fields import JSONObject, refused

RESERVED = frozenset(
    (
        "messages",
        "tools",
        "tokenizer",
        "add_generation_prompt",
        "continue_final_message",
        "bos_token",
        "eos_token",
    )
)
"""Variables of templates that a body cannot set by itself."""


@dataclass(frozen=True)
class Wanted:
    """What a request asks of the form of an answer, each protocol in its own fields.

    Args:
        tools: that the model may call, in OpenAI's form.
        forced: whether the answer must be a call of a tool.
        name: the tool that a forced call must have; None for any.
        schema: the JSON Schema of the answer; None for any text.
        field: the field with the schema, for messages.
    """

    tools: Sequence[JSONObject] | None = None
    forced: bool = False
    name: str | None = None
    schema: Any = None
    field: str = "response_format"


@dataclass(frozen=True)
class ChatPrompt:
    """The tokens of a prompt, and what makes the parser and the constraint of an answer to it."""

    ids: list[int]
    parser: Callable[[], OutputParser]
    constraint: Callable[[], Constraint] | None


def chat_prompt(
    engine: Engine,
    messages: Sequence[JSONObject],
    wanted: Wanted,
    variables: Mapping[str, Any],
    continued: bool = False,
) -> ChatPrompt:
    """Return messages as a prompt by the model's template; with ``continued`` the answer goes on with the last one.

    Raises:
        ServerError: 400 where the model has no template, or its format of answers cannot be constrained.
        ArgumentError: where the template refuses the messages, they are malformed, or a schema is not supported.
        UnsupportedError: for tools where the template has no known form of their calls.
    """
    template = engine.template
    if template is None:
        message = f"the model {engine.name!r} carries no chat template; use /v1/completions"
        raise ServerError(400, message, "messages")
    prompt = template.prompt(
        messages, engine.tokenizer, tools=wanted.tools, continue_final_message=continued, **variables
    )
    make = partial(output_parser, template.source, wanted.tools, prompt=prompt.text, objects=wanted.forced)
    make()  # tools that the format does not know are told now
    if wanted.schema is None and not wanted.forced:
        return ChatPrompt(prompt.ids, make, None)
    field = "tool_choice" if wanted.forced else wanted.field
    format, reasoning = format_of(template.source)
    if format.whole is not None:
        raise refused(field, f"not supported for answers in the format {format.name}")
    if wanted.tools and not wanted.forced:
        raise refused(field, "not together with tools, of which a call would be another text")
    schema = call_schema(wanted) if wanted.forced else wanted.schema
    after = None if reasoning is None or prompt.text.rstrip().endswith(reasoning[1]) else reasoning[1]
    return ChatPrompt(prompt.ids, make, json_grammar(schema, engine.tokenizer, after).start)


def call_schema(wanted: Wanted) -> JSONObject:
    """Return the schema of a forced call: ``{"name": …, "arguments": …}`` of one of the tools."""
    functions = {tool["function"]["name"]: tool["function"] for tool in wanted.tools or ()}
    if wanted.name is not None and wanted.name not in functions:
        raise refused("tool_choice", f"the tool {wanted.name[:80]!r} is none of {', '.join(functions)}")
    calls: list[JSONObject] = []
    shared: JSONObject = {"$defs": {}, "definitions": {}}  # references begin at the root
    for name in functions if wanted.name is None else [wanted.name]:
        parameters = dict(functions[name].get("parameters") or {"type": "object"})
        for keyword, known in shared.items():
            for key, definition in parameters.pop(keyword, {}).items():
                if known.setdefault(key, definition) != definition:
                    raise refused("tools", f"two tools define {key!r} differently; rename one definition")
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": name}, "arguments": parameters},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    root = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return {**root, **{keyword: known for keyword, known in shared.items() if known}}


def checked_variables(given: Mapping[str, Any] | None, field: str) -> JSONObject:
    """Return variables of the template from a body."""
    for name in sorted(RESERVED & set(given or ())):
        raise refused(f"{field}.{name}", "set by the server")
    return dict(given or {})
