"""Calls of tools and reasoning, in both protocols; a constraint makes the random model write a given text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import numpy as np
import openai
import pytest

from tests.server.running import NAME, Served, load, serving
from weft.engine import Engine

TEMPLATE = (
    "{% if tools %}<|im_start|>system {{ tools | tojson }} answer with <tool_call>{}</tool_call><|im_end|>{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
)
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": "It rains.", "parameters": SCHEMA}}
]
TOOLS_ANTHROPIC: Any = [{"name": "weather", "description": "It rains.", "input_schema": SCHEMA}]
MESSAGES: Any = [{"role": "user", "content": "Rain?"}]
ARGUMENTS = [{"city": "Paris é", "days": 3}, {"city": "Oslo"}]
CALLS = "\n".join(
    f"<tool_call>\n{json.dumps({'name': 'weather', 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>"
    for arguments in ARGUMENTS
)
TEXT = f"<think>Which city?</think>Let me see.\n{CALLS}"
OPENAI: Any = {"model": NAME, "messages": MESSAGES, "tools": TOOLS, "max_tokens": 400}
ANTHROPIC: Any = {"model": NAME, "messages": MESSAGES, "tools": TOOLS_ANTHROPIC, "max_tokens": 400}


class Script:
    """A constraint that allows a single token at each place, and then the end."""

    def __init__(self, tokens: list[int]) -> None:
        self._tokens, self._at = tokens, 0

    @property
    def ended(self) -> bool:
        return self._at == len(self._tokens)

    def mask(self, out: np.ndarray) -> None:
        token = self._tokens[min(self._at, len(self._tokens) - 1)]
        out[:] = 0
        out[token // 32] = 1 << (token % 32)

    def consume(self, token: int) -> None:
        assert token == self._tokens[self._at]
        self._at += 1


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with load(tmp_path_factory.mktemp("tools"), template=TEMPLATE) as engine, serving(engine) as running:
        yield running


@pytest.fixture
def write(served: Served, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes each answer a text."""
    engine, submit = served.engine, Engine.submit

    def script(text: str) -> None:
        ids = engine.tokenizer.encode(text)

        def scripted(*arguments: Any, **options: Any) -> Any:
            return submit(engine, *arguments, **{**options, "constraint": Script(ids)})

        monkeypatch.setattr(engine, "submit", scripted)

    return script


def test_calls_in_a_whole_answer(served: Served, write: Callable[[str], None]) -> None:
    write(TEXT)
    (choice,) = served.openai().chat.completions.create(**OPENAI).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me see."
    assert choice.message.reasoning_content == "Which city?"  # type: ignore[attr-defined]
    assert [call.function.name for call in choice.message.tool_calls] == ["weather", "weather"]
    assert [json.loads(call.function.arguments) for call in choice.message.tool_calls] == ARGUMENTS
    assert len({call.id for call in choice.message.tool_calls}) == 2


def test_calls_in_a_stream(served: Served, write: Callable[[str], None]) -> None:
    write(TEXT)
    text, reasoning, calls, finish = "", "", {}, None
    for chunk in served.openai().chat.completions.create(**OPENAI, stream=True):
        (choice,) = chunk.choices
        text += choice.delta.content or ""
        reasoning += getattr(choice.delta, "reasoning_content", None) or ""
        for call in choice.delta.tool_calls or []:
            known = calls.setdefault(call.index, {"id": call.id, "name": call.function.name, "arguments": ""})
            known["arguments"] += call.function.arguments or ""
        finish = choice.finish_reason or finish
    assert (text, reasoning, finish) == ("Let me see.", "Which city?", "tool_calls")
    assert [json.loads(calls[index]["arguments"]) for index in (0, 1)] == ARGUMENTS
    assert all(calls[index]["name"] == "weather" and calls[index]["id"] for index in (0, 1))


def test_a_single_call_where_several_are_not_wanted(served: Served, write: Callable[[str], None]) -> None:
    write(TEXT)
    for stream in (False, True):
        given = served.openai().chat.completions.create(**OPENAI, parallel_tool_calls=False, stream=stream)
        if stream:
            choices = [chunk.choices[0] for chunk in given]
            names = [call.function.name for each in choices for call in each.delta.tool_calls or []]
            assert len([name for name in names if name]) == 1
            assert choices[-1].finish_reason == "tool_calls"
        else:
            assert len(given.choices[0].message.tool_calls) == 1
            assert given.choices[0].finish_reason == "tool_calls"
    write(TEXT)
    choice: Any = {"type": "auto", "disable_parallel_tool_use": True}
    found = served.anthropic().messages.create(**ANTHROPIC, tool_choice=choice)
    assert [block.type for block in found.content] == ["thinking", "text", "tool_use"]


def test_anthropics_blocks(served: Served, write: Callable[[str], None]) -> None:
    write(TEXT)
    whole = served.anthropic().messages.create(**ANTHROPIC)
    with served.anthropic().messages.stream(**ANTHROPIC) as stream:
        final = stream.get_final_message()
    for found in (whole, final):
        assert found.stop_reason == "tool_use"
        assert [block.type for block in found.content] == ["thinking", "text", "tool_use", "tool_use"]
        assert found.content[0].thinking == "Which city?"
        assert found.content[1].text == "Let me see."
        assert [block.input for block in found.content[2:]] == ARGUMENTS
        assert all(block.name == "weather" for block in found.content[2:])


def test_a_call_that_is_cut(served: Served, write: Callable[[str], None]) -> None:
    write(TEXT)
    (choice,) = served.openai().chat.completions.create(**{**OPENAI, "max_tokens": 100}).choices
    assert choice.finish_reason == "length"
    found = served.anthropic().messages.create(**{**ANTHROPIC, "max_tokens": 100})
    assert found.stop_reason == "max_tokens"
    assert "tool_use" not in [block.type for block in found.content]


def test_without_tools_nothing_is_a_call(served: Served, write: Callable[[str], None]) -> None:
    write(CALLS)
    given = {name: value for name, value in OPENAI.items() if name != "tools"}
    for more in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        (choice,) = served.openai().chat.completions.create(**given, **more).choices
        assert (choice.message.content, choice.message.tool_calls) == (CALLS, None)
        assert choice.finish_reason == "stop"


def test_calls_and_results_of_tools_are_in_the_prompt(served: Served, write: Callable[[str], None]) -> None:
    write(TEXT)
    client = served.openai().chat.completions
    answer = client.create(**OPENAI).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in answer.tool_calls]
    later: Any = [*MESSAGES, answer, *results]
    found = client.create(**{**OPENAI, "messages": later}).usage.prompt_tokens
    template: Any = served.engine.template
    text = template.render([
        *MESSAGES,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [{"name": "weather", "arguments": each} for each in ARGUMENTS]},
        *({"role": "tool", "content": "sunny"} for _ in ARGUMENTS),
    ], tools=TOOLS)  # fmt: skip
    assert found == len(served.engine.tokenizer.encode(text, control=True))
    message = served.anthropic().messages.create(**ANTHROPIC)
    uses = [block for block in message.content if block.type == "tool_use"]
    turns: Any = [
        *MESSAGES,
        {"role": "assistant", "content": message.content},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in uses],
        },
    ]
    counted = served.anthropic().messages.count_tokens(model=NAME, messages=turns, tools=TOOLS_ANTHROPIC)
    assert counted.input_tokens == found


def test_thinking_is_a_variable_of_the_template(served: Served) -> None:
    count = served.anthropic().messages.count_tokens
    given: Any = {"model": NAME, "messages": MESSAGES}
    plain = count(**given).input_tokens
    assert count(**given, thinking={"type": "enabled", "budget_tokens": 1024}).input_tokens == plain
    more = served.engine.tokenizer.encode("<think></think>")
    assert count(**given, thinking={"type": "disabled"}).input_tokens == plain + len(more)
    used = [
        served.openai().chat.completions.create(**{**OPENAI, "max_tokens": 1}, extra_body=body).usage
        for body in ({}, {"chat_template_kwargs": {"enable_thinking": False}})
    ]
    assert used[1].prompt_tokens == used[0].prompt_tokens + len(more)


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"tools": None, "tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "function", "function": {"name": "with space"}}]}, "tools.0"),
        ({"extra_body": {"chat_template_kwargs": {"messages": []}}}, "chat_template_kwargs.messages"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}
                        ],
                    }
                ]
            },
            "arguments",
        ),
    ],
)
def test_mistakes_about_tools_are_named(served: Served, changed: dict[str, Any], part: str) -> None:
    with pytest.raises(openai.BadRequestError, match=part):
        served.openai().chat.completions.create(**{**OPENAI, **changed})


def test_tools_for_a_template_without_them(engine: Engine) -> None:
    with serving(engine) as other:
        with pytest.raises(openai.BadRequestError, match="tools"):
            other.openai().chat.completions.create(**OPENAI)
        with pytest.raises(anthropic.BadRequestError, match="tools"):
            other.anthropic().messages.create(**ANTHROPIC)
