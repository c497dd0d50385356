"""``ChatTemplate``: messages to the tokens of a prompt, by the Jinja template that a checkpoint carries."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from weft.engine.messages import Forms, forms, prepared, prepared_tools
from weft.engine.packages import required
from weft.engine.parsing.formats import Format, format_of
from weft.engine.tokenizer import Tokenizer
from weft.errors import ArgumentError, FormatError, UnsupportedError, mistake

TOOLS = ("tools", "xml_tools")
"""Names under which templates take tools."""
MARKS = [chr(code) for code in range(0xE000, 0xE100)]
"""Private-use characters, of which one that no message has keeps users' texts from spelling control tokens."""
NO_VARIABLES: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Prompt:
    """Messages as a template renders them: the text, and its tokens."""

    text: str
    ids: list[int]


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
        environment.filters["from_json"] = json.loads
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        self.source = source
        self._tokens = {"bos_token": bos, "eos_token": eos}
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise FormatError(
                mistake("chat template", f"line {getattr(error, 'lineno', '?')}", error, "a Jinja template")
            ) from error

    @cached_property
    def takes_tools(self) -> bool:
        """Whether the template has a place for tools."""
        return bool(self._tool_names)

    @cached_property
    def _tool_names(self) -> list[str]:
        return [name for name in TOOLS if re.search(rf"\b{name}\b", self.source)]

    @cached_property
    def format(self) -> Format:
        """How models with this template write tool calls."""
        return format_of(self.source)[0]

    @cached_property
    def forms(self) -> Forms:
        """What the template takes as arguments of calls and as content."""

        def render(messages: Sequence[Mapping[str, Any]]) -> str | None:
            with suppress(ArgumentError):
                return self._render({"messages": messages, "add_generation_prompt": False})
            return None

        return forms(render)

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool | None = None,
        continue_final_message: bool = False, tools: Sequence[Mapping[str, Any]] | None = None, **variables: Any,
    ) -> str:  # fmt: skip
        """Return the prompt as text.

        Args:
            messages: with ``role`` and ``content``, and ``tool_calls``, ``tool_call_id`` and ``reasoning_content``, in
                OpenAI's form; they are changed to what the template takes.
            add_generation_prompt: end with the start of an answer; by default, unless a message is continued.
            continue_final_message: end within the last message, which the answer continues.
            tools: that the model may call, in OpenAI's form or as the function's object alone.
            variables: further variables of the template, such as ``documents`` or ``enable_thinking``.

        Raises:
            ArgumentError: with the template's own words where it refuses the messages; where they are malformed.
            UnsupportedError: for tools where the template has no place for them, and for content that is not text.
        """
        values = self._values(messages, add_generation_prompt, continue_final_message, tools, variables)
        return self._text(values, continue_final_message)

    def _values(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool | None = None,
        continue_final_message: bool = False, tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] = NO_VARIABLES,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the template's variables."""
        given = prepared(messages, lambda: self.forms)
        if continue_final_message and add_generation_prompt:
            raise ArgumentError(
                "chat template: continue_final_message and add_generation_prompt exclude each other; give one of them"
            )
        if continue_final_message and not (given and isinstance(given[-1]["content"], str)):
            raise ArgumentError(
                "chat template: continue_final_message needs a last message whose content is a text"
            )
        if tools and not self.takes_tools:
            raise UnsupportedError(
                mistake(
                    "chat template",
                    "tools",
                    f"{len(tools)} tools",
                    "none",
                    "the template has no place for them",
                )
            )
        start = not continue_final_message if add_generation_prompt is None else add_generation_prompt
        return {
            "documents": None,
            **variables,
            "messages": given,
            **dict.fromkeys(["tools", *self._tool_names], prepared_tools(tools)),
            "add_generation_prompt": start,
        }

    def _text(self, values: dict[str, Any], continued: bool) -> str:
        """Render; with ``continued``, up to the end of the last message's content."""
        values["messages"] = [self._with_calls(message) for message in values["messages"]]
        if not continued:
            return self._render(values)
        mark = _unused(values)
        values["messages"][-1]["content"] += mark + " "
        text, found, rest = self._render(values).rpartition(mark)
        if not found:
            raise ArgumentError("chat template: the template leaves out the end of the message to continue")
        return text if rest.startswith(" ") else text.rstrip()  # the template trims contents

    def _with_calls(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message with its calls in its content, where the template itself leaves them out."""
        if "tool_calls" not in message or self.forms.calls:
            return message
        if self.format.write is None:
            raise UnsupportedError(
                mistake(
                    "chat template",
                    "tool_calls",
                    "given",
                    "none",
                    "the template leaves out the calls of answers",
                )
            )
        functions = [call["function"] for call in message["tool_calls"]]
        calls = [(function["name"], function["arguments"]) for function in functions]
        return {**message, "content": message["content"] + self.format.write(calls)}

    def _render(self, variables: Mapping[str, Any]) -> str:
        try:
            return str(self._template.render(**self._tokens, **variables))
        except Exception as error:  # a template is a program of others: it may raise anything
            raise ArgumentError(
                f"chat template: {error}; the messages do not suit this model's template"
            ) from error

    def prompt(
        self, messages: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, *,
        add_generation_prompt: bool | None = None, continue_final_message: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None, **variables: Any,
    ) -> Prompt:  # fmt: skip
        """Return the prompt as text and token ids; arguments and errors as for ``render``.

        Texts of messages, tools and variables never become control tokens.
        """
        values = self._values(messages, add_generation_prompt, continue_final_message, tools, variables)
        mark = _unused(values)
        values = {name: _marked(value, tokenizer, mark) for name, value in values.items()}
        text = self._text(values, continue_final_message)
        ids = tokenizer.encode_marked(text, mark)
        if tokenizer.bos is not None and ids[:1] != [tokenizer.bos]:
            ids.insert(0, tokenizer.bos)
        return Prompt(text.replace(mark, ""), ids)

    def tokens(
        self, messages: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, **variables: Any
    ) -> list[int]:
        """Return the token ids of ``prompt``."""
        return self.prompt(messages, tokenizer, **variables).ids


def _unused(values: Any) -> str:
    """Return a private-use character that is in none of the values."""
    text = json.dumps(values, ensure_ascii=False, default=str)
    mark = next((mark for mark in MARKS if mark not in text), None)
    if mark is None:
        raise ArgumentError("chat: messages that use every private character of U+E000 to U+E0FF")
    return mark


def _marked(value: Any, tokenizer: Tokenizer, mark: str) -> Any:
    """Return the value with every text in it marked, names of fields too."""
    if isinstance(value, str):
        return tokenizer.mark_control(value, mark)
    if isinstance(value, Mapping):
        return {_marked(key, tokenizer, mark): _marked(part, tokenizer, mark) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(part, tokenizer, mark) for part in value]
    return value


class _Refused(ValueError):
    """What ``raise_exception`` raises."""


def _raise(message: str) -> None:
    raise _Refused(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """Return JSON text as transformers' filter does: not escaped for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


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
