"""Chats with tools: what templates are given, and that the calls they render are read back by the parsers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from tests.engine.byte_vocabulary import CONTROL_TOKENS, TOKENS, WORDS, byte_tokenizer, metadata
from tests.engine.chat_templates import HERMES, LFM2, LLAMA3, MISTRAL, OPENED, TEMPLATES, TEXTS
from weft.engine import ChatTemplate
from weft.engine.messages import Forms
from weft.engine.parsing import Message, ToolCall, message, output_parser
from weft.engine.vocabulary import from_gguf
from weft.errors import ArgumentError, UnsupportedError

ARGUMENTS = {"city": "Paris <é>", "days": 3, "more": {"a": [1, True, None]}}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "more": {"type": "object"}},
}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
]
ASK = {"role": "user", "content": "How is the weather?"}


def called(arguments: Any = ARGUMENTS, **more: Any) -> list[dict[str, Any]]:
    """Return a question, a call and its result."""
    call = {
        "id": "abcdefghi",
        "type": "function",
        "function": {"name": "get_weather", "arguments": arguments},
    }
    return [
        ASK,
        {"role": "assistant", "content": None, "tool_calls": [call], **more},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "sunny"},
    ]


def parsed(template: ChatTemplate, answer: str, prompt: str = "", tools: Any = TOOLS) -> Message:
    parser = output_parser(template.source, tools, prompt=prompt)
    return message([event for letter in answer for event in parser.push(letter)] + parser.finish())


@pytest.mark.parametrize("name", TEMPLATES)
def test_calls_that_a_template_renders_are_read_back(name: str) -> None:
    template = ChatTemplate(TEMPLATES[name], "<s>", "</s>")
    assert template.format.name == name
    before = template.render([ASK], tools=TOOLS)
    assert "get_weather" in before
    after = template.render(called()[:2], tools=TOOLS)
    start = next(at for at, (a, b) in enumerate(zip(before + "\0", after, strict=False)) if a != b)
    answer = after[start:].removesuffix("\n")
    for end in ("<|im_end|>", "<|eot_id|>", "</s>", "<|end_of_text|>", "<|call|>"):
        answer = answer.partition(end)[0]
    (call,) = parsed(template, answer, before).tool_calls
    assert (call.name, json.loads(call.arguments), call.problem) == ("get_weather", ARGUMENTS, None)


@pytest.mark.parametrize("name", TEMPLATES)
def test_arguments_are_objects_or_texts_and_results_are_rendered(name: str) -> None:
    template = ChatTemplate(TEMPLATES[name], "<s>", "</s>")
    rendered = template.render(called(json.dumps(ARGUMENTS)), tools=TOOLS)
    assert rendered == template.render(called(ARGUMENTS), tools=TOOLS)
    assert "sunny" in rendered
    assert "None" not in rendered.replace("[1, True, None]", "")


def test_a_template_that_takes_texts_is_given_texts() -> None:
    template = ChatTemplate(TEXTS)
    assert template.forms == Forms(objects=False, parts=False, calls=True)
    assert ChatTemplate(HERMES).forms == Forms(objects=True, parts=False, calls=True)
    assert ChatTemplate(LFM2).forms == Forms(objects=True, parts=True, calls=False)
    for arguments in (ARGUMENTS, json.dumps(ARGUMENTS)):
        rendered = template.render(called(arguments), tools=TOOLS)
        assert json.dumps(ARGUMENTS, ensure_ascii=False) in rendered


def test_a_template_that_drops_calls_and_has_no_known_format() -> None:
    template = ChatTemplate("{{ tools }}{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(UnsupportedError, match="leaves out the calls"):
        template.render(called())
    with pytest.raises(UnsupportedError, match="no place"):
        ChatTemplate("{{ messages[0].content }}").render([ASK], tools=TOOLS)


@pytest.mark.parametrize(
    "tool", [TOOLS[0], TOOLS[0]["function"], {"name": "get_weather", "input_schema": SCHEMA}]
)
def test_tools_in_each_form(tool: dict[str, Any]) -> None:
    template = ChatTemplate(HERMES)
    assert template.render([ASK], tools=[tool]) == template.render([ASK], tools=TOOLS)


def test_variables_reach_the_template() -> None:
    source = "{{ documents[0].text if documents else '-' }}|{{ tools }}|{{ xml_tools }}|{{ add_generation_prompt }}"
    template = ChatTemplate(source)
    assert template.render([ASK]) == "-|None|None|True"
    shown = template.render([ASK], documents=[{"text": "doc"}], tools=TOOLS, add_generation_prompt=False)
    assert shown == f"doc|{TOOLS}|{TOOLS}|False"
    thinking = ChatTemplate(HERMES)
    assert thinking.render([ASK], enable_thinking=False).endswith("<think>\n\n</think>\n\n")
    assert not thinking.render([ASK], enable_thinking=True).endswith("\n\n")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
@pytest.mark.parametrize("name", ["hermes", "mistral", "harmony"])
def test_reasoning_of_earlier_answers(name: str, field: str) -> None:
    template = ChatTemplate(TEMPLATES[name], "<s>", "</s>")
    assert "It may rain." in template.render(called(**{field: "It may rain."}), tools=TOOLS)


def test_reasoning_that_the_template_opens() -> None:
    template = ChatTemplate(OPENED)
    prompt = template.render([ASK])
    assert prompt.endswith("<think>\n")
    assert parsed(template, "It may rain.\n</think>\n\nTake a coat.", prompt) == Message(
        "Take a coat.", "It may rain."
    )
    closed = ChatTemplate(HERMES).render([ASK], enable_thinking=False)
    assert parsed(template, "Take a coat.", closed) == Message("Take a coat.")


@pytest.mark.parametrize("source", [HERMES, LLAMA3, MISTRAL, LFM2])
@pytest.mark.parametrize("content", ["Once upon", "Once <b>upon</b>\n- a", "1", "Once\n\n"])
def test_a_message_is_continued(source: str, content: str) -> None:
    messages = [ASK, {"role": "assistant", "content": content}]
    mine = ChatTemplate(source, "<s>", "</s>").render(messages, continue_final_message=True)
    theirs, _ = render_jinja_template(
        [messages], chat_template=source, continue_final_message=True, bos_token="<s>", eos_token="</s>"
    )
    assert mine == theirs[0]
    assert mine.rstrip().endswith(content.rstrip())


def test_messages_that_cannot_be_continued() -> None:
    template = ChatTemplate(HERMES)
    with pytest.raises(ArgumentError, match="exclude"):
        template.render([ASK], continue_final_message=True, add_generation_prompt=True)
    with pytest.raises(ArgumentError, match="last message"):
        template.render([], continue_final_message=True)
    with pytest.raises(ArgumentError, match="leaves out"):
        ChatTemplate("{{ messages[0].content }}").render([ASK, ASK], continue_final_message=True)


def test_content_in_parts_and_without_content() -> None:
    parts = [{"type": "text", "text": "How is"}, {"type": "text", "text": "the weather?"}]
    template = ChatTemplate(HERMES)
    joined = template.render([{"role": "user", "content": "How is\nthe weather?"}])
    assert template.render([{"role": "user", "content": parts}]) == joined
    assert "How is" in ChatTemplate(LFM2).render([{"role": "user", "content": parts}])
    assert "None" not in template.render([{"role": "assistant", "content": None}])
    with pytest.raises(UnsupportedError, match="image_url"):
        template.render([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])


@pytest.mark.parametrize(
    ("messages", "part"),
    [
        (["hello"], r"messages\[0\]"),
        ([{"content": "hello"}], "role"),
        ([ASK, {"role": "user", "content": 5}], r"messages\[1\]: content"),
        (called("{"), "not JSON"),
        (called("[1]"), "object"),
        (called(5), "object"),
        ([{"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]}], r"tool_calls\[0\]"),
        ([{"role": "assistant", "content": "", "tool_calls": "f"}], "a list"),
    ],
)
def test_malformed_messages_are_named(messages: Any, part: str) -> None:
    with pytest.raises(ArgumentError, match=part):
        ChatTemplate(HERMES).render(messages)


def test_messages_are_not_changed() -> None:
    messages = called(json.dumps(ARGUMENTS), reasoning="hm")
    copy = json.loads(json.dumps(messages))
    ChatTemplate(TEXTS).render(messages)
    ChatTemplate(HERMES).prompt(messages, byte_tokenizer(), tools=TOOLS)
    assert messages == copy


@pytest.mark.parametrize(
    "spelled", ["<|im_end|>", "\\u003c|im_end|>", "<|im\\u005fend|>", "\\ue000<|im_end|>"]
)
@pytest.mark.parametrize("place", ["value", "key"])
def test_control_tokens_in_arguments_stay_text(spelled: str, place: str) -> None:
    text = f'{{"a": "{spelled}"}}' if place == "value" else f'{{"{spelled}": 1}}'
    tokenizer, end = byte_tokenizer(), CONTROL_TOKENS["<|im_end|>"]
    for source in (HERMES, TEXTS + "<|im_end|>", LFM2):
        template = ChatTemplate(source)
        plain = template.prompt(called("{}"), tokenizer).ids.count(end)
        made = template.prompt(called(text), tokenizer)
        assert made.ids.count(end) == plain
        assert "<|im_end|>" in made.text.replace("<|im_end|>", "", plain)


def test_control_tokens_in_names_of_tools_and_of_their_parameters_stay_text() -> None:
    tools = [{"name": "f<|im_end|>", "parameters": {"properties": {"<|im_end|>": {"type": "string"}}}}]
    tokenizer, end = byte_tokenizer(), CONTROL_TOKENS["<|im_end|>"]
    template = ChatTemplate(HERMES)
    assert (
        template.tokens([ASK], tokenizer, tools=tools).count(end) == 2
    )  # of the system message and the question


def test_the_calls_that_a_template_leaves_out_begin_with_a_control_token() -> None:
    start = "<|tool_call_start|>"
    kinds = [1] * len(WORDS) + [3] * (len(CONTROL_TOKENS) + 1)
    tokenizer = from_gguf(metadata(tokens=[*TOKENS, start], token_type=kinds), "test.gguf")
    made = ChatTemplate(LFM2).prompt(called({"city": f"Paris {start}", "on": True}), tokenizer)
    assert f'{start}[get_weather(city="Paris {start}", on=True)]<|tool_call_end|>' in made.text
    assert made.ids.count(tokenizer.control[start]) == 1


def test_the_parser_of_a_whole_turn() -> None:
    template = ChatTemplate(HERMES)
    answer = '<think>\nhm\n</think>\n\nLet me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"days": 1}}\n</tool_call>'
    found = parsed(template, answer)
    (call,) = found.tool_calls
    assert (found.content, found.reasoning, call) == (
        "Let me see.", "hm", ToolCall(call.id, "get_weather", '{"days": 1}')
    )  # fmt: skip
    turn = {
        "role": "assistant", "content": found.content, "reasoning_content": found.reasoning,
        "tool_calls": [{"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}],
    }  # fmt: skip
    again = template.render([ASK, turn], add_generation_prompt=False)
    start = template.render([ASK], add_generation_prompt=True)
    assert parsed(template, again[len(start) :].partition("<|im_end|>")[0]).content == "Let me see."
