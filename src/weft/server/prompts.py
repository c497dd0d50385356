"""Messages and tools of a request as a prompt, and the parser of its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from weft.engine import Engine
from weft.engine.parsing import OutputParser, output_parser
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
class ChatPrompt:
    """The tokens of a prompt, and what makes the parser of an answer to it."""

    ids: list[int]
    parser: Callable[[], OutputParser]


def chat_prompt(
    engine: Engine,
    messages: Sequence[JSONObject],
    tools: Sequence[JSONObject] | None,
    variables: Mapping[str, Any],
    continued: bool = False,
) -> ChatPrompt:
    """Return messages as a prompt by the model's template; with ``continued`` the answer goes on with the last one.

    Raises:
        ServerError: 400 where the model has no template.
        ArgumentError: where the template refuses the messages, or they are malformed.
        UnsupportedError: for tools where the template has no known form of their calls.
    """
    template = engine.template
    if template is None:
        message = f"the model {engine.name!r} carries no chat template; use /v1/completions"
        raise ServerError(400, message, "messages")
    prompt = template.prompt(
        messages, engine.tokenizer, tools=tools, continue_final_message=continued, **variables
    )
    make = partial(output_parser, template.source, tools, prompt=prompt.text)
    make()  # tools that the format does not know are told now
    return ChatPrompt(prompt.ids, make)


def checked_variables(given: Mapping[str, Any] | None, field: str) -> JSONObject:
    """Return variables of the template from a body."""
    for name in sorted(RESERVED & set(given or ())):
        raise refused(f"{field}.{name}", "set by the server")
    return dict(given or {})
