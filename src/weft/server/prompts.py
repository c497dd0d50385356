"""Messages and tools of a request as the model's template takes them, and as the tokens of a prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from weft.engine import Engine
from weft.server.errors import ServerError
from weft.server.fields import JSONObject, refused


def chat_prompt(
    engine: Engine, messages: Sequence[JSONObject], variables: Mapping[str, Any], begun: str = ""
) -> list[int]:
    """Return the tokens of messages by the model's template; ``begun`` is the beginning of the answer.

    Raises:
        ServerError: 400 where the model has no template, or a template without tools is given some.
        ArgumentError: where the template refuses the messages.
    """
    template = engine.template
    if template is None:
        message = f"the model {engine.name!r} carries no chat template; use /v1/completions"
        raise ServerError(400, message, "messages")
    ids = template.tokens(messages, engine.tokenizer, **variables)
    return [*ids, *(engine.tokenizer.encode(begun) if begun else ())]


def parsed_arguments(text: str, field: str) -> JSONObject:
    """Return the arguments of a call of a tool, which templates take as an object."""
    try:
        arguments = json.loads(text or "{}")
    except ValueError as error:
        raise refused(field, f"not JSON ({error})") from error
    if not isinstance(arguments, dict):
        raise refused(field, f"a JSON {type(arguments).__name__}, expected an object")
    return arguments
