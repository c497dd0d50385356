"""Answers that keep to a schema, and calls that must come, from a random model in both protocols."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import jsonschema_rs
import openai
import pytest

from tests.server.running import NAME, Served, load, serving
from tests.server.test_tools import TEMPLATE
from weft.errors import WeftError
from weft.server.prompts import Wanted, chat_prompt

SCHEMA: Any = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "colour": {"$ref": "#/$defs/colour"},
    },
    "required": ["name", "age", "colour"],
    "additionalProperties": False,
    "$defs": {"colour": {"enum": ["red", "green", "blue"]}},
}
OTHER: Any = {
    "type": "object",
    "properties": {"on": {"type": "boolean"}},
    "required": ["on"],
    "additionalProperties": False,
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": schema}}
    for name, schema in (("person", SCHEMA), ("light", OTHER))
]
TOOLS_ANTHROPIC: Any = [
    {"name": tool["function"]["name"], "input_schema": tool["function"]["parameters"]} for tool in TOOLS
]
BY_NAME = {"person": SCHEMA, "light": OTHER}
MESSAGES: Any = [{"role": "user", "content": "hello"}]
BASE: Any = {"model": NAME, "messages": MESSAGES, "max_tokens": 300}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield a server whose template has tools and no reasoning."""
    template = TEMPLATE.replace("<think></think>", "")
    with (
        load(tmp_path_factory.mktemp("structured"), template=template, positions=1024) as engine,
        serving(engine) as running,
    ):
        yield running


def valid(text: str, schema: Any = SCHEMA) -> None:
    """Check that a text is JSON of a schema."""
    jsonschema_rs.validator_for(schema).validate(json.loads(text))


@pytest.mark.parametrize("seed", range(3))
def test_answers_keep_to_a_schema(plain: Served, seed: int) -> None:
    client = plain.openai().chat.completions
    whole = client.create(**BASE, response_format=FORMAT, seed=seed).choices[0]
    assert whole.finish_reason == "stop"
    valid(whole.message.content)
    pieces = client.create(**BASE, response_format=FORMAT, seed=seed, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole.message.content
    form: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
    message = plain.anthropic().messages.create(**BASE, output_config=form)
    assert message.stop_reason == "end_turn"
    valid(message.content[0].text)


def test_several_answers_are_constrained_each_by_itself(plain: Served) -> None:
    found = plain.openai().chat.completions.create(**BASE, response_format=FORMAT, n=4, seed=1, temperature=2)
    for choice in found.choices:
        valid(choice.message.content)
    assert len({choice.message.content for choice in found.choices}) == 4


def test_a_json_object(plain: Served) -> None:
    form: Any = {"type": "json_object"}
    bias = {str(plain.engine.tokenizer.encode("}")[0]): 100}
    choice = plain.openai().chat.completions.create(**BASE, response_format=form, logit_bias=bias).choices[0]
    assert choice.finish_reason == "stop"
    assert isinstance(json.loads(choice.message.content), dict)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", [None, "light", "person"])
def test_calls_that_must_come(plain: Served, seed: int, name: str | None) -> None:
    named: Any = "required" if name is None else {"type": "function", "function": {"name": name}}
    client = plain.openai().chat.completions
    choice = client.create(**BASE, tools=TOOLS, tool_choice=named, seed=seed).choices[0]
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert call.function.name in ([name] if name else BY_NAME)
    valid(call.function.arguments, BY_NAME[call.function.name])
    wanted: Any = {"type": "any"} if name is None else {"type": "tool", "name": name}
    message = plain.anthropic().messages.create(**BASE, tools=TOOLS_ANTHROPIC, tool_choice=wanted)
    (block,) = message.content
    assert (message.stop_reason, block.type) == ("tool_use", "tool_use")
    valid(json.dumps(block.input), BY_NAME[block.name])


def test_a_schema_begins_after_the_reasoning(tmp_path_factory: pytest.TempPathFactory) -> None:
    with load(tmp_path_factory.mktemp("reasoning"), template=TEMPLATE) as engine:
        encode = engine.tokenizer.encode
        wanted = Wanted(schema=OTHER)
        thinking = chat_prompt(engine, MESSAGES, wanted, {}).constraint
        closed = chat_prompt(engine, MESSAGES, wanted, {"enable_thinking": False}).constraint
        assert thinking is not None
        assert closed is not None
        answer, before = thinking(), "<think>Which one? {}</think>"
        for token in encode(before + ' {"on": true'):
            assert not answer.complete
            answer.consume(token)
        answer.consume(encode("}")[0])
        assert answer.complete
        with pytest.raises(WeftError):
            closed().consume(encode("W")[0])


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nothing"}}}}, "nothing"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "string", "pattern": "(?=a)b"}}}}, "schema"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"tools": TOOLS, "response_format": FORMAT}, "response_format"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice.*'other'"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_to_is_told_before_an_answer(plain: Served, changed: Any, part: str) -> None:
    before = plain.engine.stats().requests
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match=part):
            plain.openai().chat.completions.create(**BASE, **changed, stream=stream)
    assert plain.engine.stats().requests == before


def test_anthropic_tells_so_too(plain: Served) -> None:
    form: Any = {"format": {"type": "json_schema", "schema": {"type": "nothing"}}}
    with pytest.raises(anthropic.BadRequestError, match="nothing"):
        plain.anthropic().messages.create(**BASE, output_config=form)
