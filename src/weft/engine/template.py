"""``ChatTemplate``: messages to the tokens of a prompt, by the Jinja template that a checkpoint carries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from weft.engine.packages import required
from weft.engine.tokenizer import Tokenizer
from weft.errors import ArgumentError, FormatError, mistake

MARKS = [chr(code) for code in range(0xE000, 0xE100)]
"""Private-use characters, of which one that no message has keeps users' texts from spelling control tokens."""


class ChatTemplate:
    """A template, run in Jinja's immutable sandbox with what templates of model cards expect.

    Texts of messages never become control tokens, whatever they spell.
    """

    def __init__(self, source: str, bos: str = "", eos: str = "") -> None:
        jinja2 = required("jinja2", "chat templates")
        sandbox = required("jinja2.sandbox", "chat templates").ImmutableSandboxedEnvironment
        environment = sandbox(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _generation()]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        self._tokens = {"bos_token": bos, "eos_token": eos}
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise FormatError(
                mistake("chat template", f"line {getattr(error, 'lineno', '?')}", error, "a Jinja template")
            ) from error

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True, **variables: Any
    ) -> str:
        """The prompt as text. Raises ``ArgumentError`` with the template's own words where it refuses the messages."""
        given = {
            **self._tokens,
            **variables,
            "messages": list(messages),
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return str(self._template.render(**given))
        except Exception as error:  # a template is a program of others: it may raise anything
            raise ArgumentError(
                f"chat template: {error}; the messages do not suit this model's template"
            ) from error

    def tokens(
        self, messages: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, **variables: Any
    ) -> list[int]:
        """The prompt as token ids; ``variables`` (tools, documents) are the template's, and guarded as messages are."""
        text = json.dumps([*messages, variables], ensure_ascii=False, default=str)
        mark = next((mark for mark in MARKS if mark not in text), None)
        if mark is None:
            raise ArgumentError("chat: messages that use every private character of U+E000 to U+E0FF")
        guarded = [_marked(message, tokenizer, mark) for message in messages]
        others = {name: _marked(value, tokenizer, mark) for name, value in variables.items()}
        ids = tokenizer.encode_marked(self.render(guarded, **others), mark)
        if tokenizer.bos is not None and ids[:1] != [tokenizer.bos]:
            ids.insert(0, tokenizer.bos)
        return ids


def _marked(value: Any, tokenizer: Tokenizer, mark: str) -> Any:
    """The value with every text in it marked."""
    if isinstance(value, str):
        return tokenizer.mark_control(value, mark)
    if isinstance(value, Mapping):
        return {key: _marked(part, tokenizer, mark) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(part, tokenizer, mark) for part in value]
    return value


class _Refused(ValueError):
    """What ``raise_exception`` raises."""


def _raise(message: str) -> None:
    raise _Refused(message)


def _tojson(value: Any, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, **options)


def _generation() -> Any:
    """``{% generation %}``: marks the assistant's part for training; here its content stands as it is."""
    jinja2 = required("jinja2", "chat templates")
    extension = required("jinja2.ext", "chat templates").Extension

    class Generation(extension):  # type: ignore[misc, valid-type]
        tags = frozenset({"generation"})

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.Scope(body, lineno=line)

    return Generation
