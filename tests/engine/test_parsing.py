"""Parsers of answers: what each format's writer wrote is read back at any cut, and damaged texts lose nothing."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.engine.parsing import (
    Content,
    Event,
    Message,
    Reasoning,
    ToolArguments,
    ToolCall,
    ToolEnd,
    ToolStart,
    message,
    output_parser,
)
from weft.engine.parsing.formats import FORMATS, PLAIN
from weft.errors import ArgumentError, UnsupportedError

Call = tuple[str, dict[str, Any]]
TYPES = {"text": "string", "count": "integer", "size": "number", "on": "boolean", "list": "array", "more": "object",
         "maybe": ["string", "null"]}  # fmt: skip
SCHEMA = {"type": "object", "properties": {name: {"type": kind} for name, kind in TYPES.items()}}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}},
    {"name": "look.up", "input_schema": SCHEMA},
]


def joined(events: Sequence[Event]) -> list[Event]:
    """Return the events with neighbouring texts joined and ids by number."""
    found: list[Event] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, ToolStart):
            found.append(replace(event, id=str(event.index)))
        elif isinstance(event, Content | Reasoning | ToolArguments) and type(last) is type(event):
            assert isinstance(last, Content | Reasoning | ToolArguments)
            found[-1] = replace(last, text=last.text + event.text)
        else:
            found.append(event)
    return found


def parse(template: str, pieces: Sequence[str], tools: Any = TOOLS, prompt: str = "") -> list[Event]:
    parser = output_parser(template, tools, prompt=prompt)
    return joined([event for piece in pieces for event in parser.push(piece)] + parser.finish())


def read(template: str, text: str, tools: Any = TOOLS, prompt: str = "") -> Message:
    """Return the message, the same whole and letter by letter."""
    whole, letters = (parse(template, pieces, tools, prompt) for pieces in ([text], list(text)))
    assert whole == letters
    return message(whole)


def calls(found: Message) -> list[tuple[str, Any]]:
    """Return names and arguments of calls that are complete."""
    assert [call.problem for call in found.tool_calls] == [None] * len(found.tool_calls)
    return [(call.name, json.loads(call.arguments)) for call in found.tool_calls]


# Writers: an independent rendering of calls in each format.


def hermes(calls: Sequence[Call]) -> str:
    objects = (json.dumps({"name": name, "arguments": given}) for name, given in calls)
    return "\n".join(f"<tool_call>\n{text}\n</tool_call>" for text in objects)


def tags(calls: Sequence[Call]) -> str:
    def value(given: Any) -> str:
        return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)

    return "\n".join(
        f"<tool_call>\n<function={name}>\n"
        + "".join(f"<parameter={key}>\n{value(part)}\n</parameter>\n" for key, part in given.items())
        + "</function>\n</tool_call>"
        for name, given in calls
    )


def python(calls: Sequence[Call]) -> str:
    return ", ".join(f"{name}({', '.join(f'{k}={v!r}' for k, v in given.items())})" for name, given in calls)


def objects(calls: Sequence[Call]) -> str:
    return json.dumps([{"name": name, "arguments": given} for name, given in calls])


def harmony(calls: Sequence[Call]) -> str:
    return "<|call|><|start|>assistant".join(
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{json.dumps(given)}"
        for name, given in calls
    )


WRITERS: dict[str, tuple[str, Callable[[Sequence[Call]], str]]] = {
    "hermes": ("qwen3", hermes),
    "tags": ("qwen3_5", tags),
    "lfm2": ("lfm2", lambda calls: f"<|tool_call_start|>[{python(calls)}]<|tool_call_end|>"),
    "olmo3": (
        "olmo3",
        lambda calls: "\n".join(["<function_calls>", *(python([c]) for c in calls), "</function_calls>"]),
    ),
    "llama4": ("{{ '<|header_start|>' }}", lambda calls: f"[{python(calls)}]"),
    "llama3": ("llama", lambda calls: "; ".join(json.dumps({"name": n, "parameters": a}) for n, a in calls)),
    "granite": ("granite", lambda calls: "<|tool_call|>" + objects(calls)),
    "tool_calls": ("{{ '<tool_calls>' }}", lambda calls: f"<tool_calls>{objects(calls)}</tool_calls>"),
    "toolcall": ("{{ '<TOOLCALL>' }}", lambda calls: f"<TOOLCALL>{objects(calls)}</TOOLCALL>"),
    "mistral": ("mistral", lambda calls: "".join(f"[TOOL_CALLS]{n}[ARGS]{json.dumps(a)}" for n, a in calls)),
    "mistral list": (
        "mistral",
        lambda calls: (
            "[TOOL_CALLS] "
            + json.dumps(
                [{"name": n, "arguments": a, "id": f"abcdefgh{i}"} for i, (n, a) in enumerate(calls)]
            )
        ),
    ),
    "harmony": ("gpt_oss", harmony),
}
AT_THE_START = ("llama3", "llama4")
"""Formats whose calls have no marker, and stand at the beginning."""

texts = st.text(st.sampled_from("ab <>{}[]()'\"\\\n,;:=|/é🦙\t"), max_size=12)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "text": texts.filter(lambda text: "</parameter>" not in text),
    "count": st.integers(-(2**60), 2**60),
    "size": st.floats(allow_nan=False, allow_infinity=False),
    "on": st.booleans(),
    "list": st.lists(json_values, max_size=3),
    "more": st.dictionaries(texts, json_values, max_size=3),
    "maybe": st.none() | st.just("some text"),
}
arguments = st.fixed_dictionaries({}, optional=BY_TYPE)
some_calls = st.lists(
    st.tuples(st.sampled_from(["get_weather", "look.up"]), arguments), min_size=1, max_size=3
)


def pieces(text: str, cuts: Sequence[float]) -> list[str]:
    places = sorted({int(cut * len(text)) for cut in cuts} | {0, len(text)})
    return [text[first:last] for first, last in pairwise(places)] or [text]


cuts = st.lists(st.floats(0, 1), max_size=12)


def test_there_is_a_writer_for_every_format() -> None:
    assert {output_parser(template, TOOLS).format for template, _ in WRITERS.values()} == {
        row.name for row in FORMATS
    }


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=60, deadline=None)
@given(given_calls=some_calls, where=cuts)
def test_calls_are_read_back_at_any_cut(name: str, given_calls: list[Call], where: list[float]) -> None:
    template, write = WRITERS[name]
    text = write(given_calls)
    found = parse(template, pieces(text, where))
    assert found == parse(template, [text]) == parse(template, list(text))
    assert calls(message(found)) == given_calls
    assert message(found).content == ""


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in AT_THE_START and name != "harmony"])
def test_text_around_calls_is_content(name: str) -> None:
    template, write = WRITERS[name]
    given_calls: list[Call] = [("get_weather", {"count": 2})]
    found = read(template, "Let me see.\n" + write(given_calls))
    assert (found.content, calls(found)) == ("Let me see.", given_calls)
    found = read(template, "Let me see.\n\n" + write(given_calls) + "\n\nDone. ")
    assert (found.content, calls(found)) == ("Let me see.\n\nDone. ", given_calls)


@pytest.mark.parametrize("name", WRITERS)
def test_a_call_of_an_unknown_tool_is_a_call_where_a_marker_says_so(name: str) -> None:
    template, write = WRITERS[name]
    text = write([("unknown", {"count": 2})])
    found = read(template, text)
    if name in AT_THE_START:
        assert (found.content, found.tool_calls) == (text, ())
    else:
        assert calls(found) == [("unknown", {"count": 2 if name != "tags" else "2"})]


WORD = re.compile(r"w\d\d\dx")


def damaged(text: str, rng: random.Random) -> str:
    """Return the text with some letters lost, doubled, replaced or cut off, or a part of it repeated."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(5):
            case 0:
                text = text[:at] + text[at + 1 :]
            case 1:
                text = text[:at] + rng.choice("<>{}[]()\"'\\,:=| \nx0") + text[at:]
            case 2:
                text = text[:at]
            case 3:
                text = text[:at] + text[rng.randrange(len(text) + 1) :][: rng.randint(1, 40)] + text[at:]
            case 4:
                text = text[:at] + text[at + rng.randint(1, 12) :]
        text = text or "x"
    return text


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_texts_lose_no_word_and_end_in_a_clear_state(name: str) -> None:
    template, write = WRITERS[name]
    rng = random.Random(name)
    problems = 0
    for _ in range(300):
        words = iter(f"w{number:03}x" for number in rng.sample(range(1000), 40))
        given_calls: list[Call] = [
            (rng.choice(["get_weather", "look.up"]),
             {"text": f"{next(words)} {next(words)}", "list": [next(words), {next(words): None}], "count": 7,
              "more": {"k": next(words)}})
            for _ in range(rng.randint(1, 3))
        ]  # fmt: skip
        around = "" if name in (*AT_THE_START, "harmony") else f"{next(words)} {next(words)}\n"
        text = damaged(around + write(given_calls), rng)
        found = parse(template, pieces(text, [rng.random() for _ in range(rng.randint(0, 9))]))
        assert found == parse(template, [text]), text
        shown = str(found)
        assert [word for word in WORD.findall(text) if word not in shown] == [], text
        problems += _checked(found)
    assert problems > 5


def _checked(events: Sequence[Event]) -> int:
    """Check the order of a text's events; return how many calls have a problem."""
    problems = 0
    state: int | None = None
    count = 0
    arguments = ""
    for event in events:
        match event:
            case ToolStart(index, _, name):
                assert (state, index) == (None, count)
                assert name
                state, count, arguments = index, count + 1, ""
            case ToolArguments(index, text):
                assert index == state
                arguments += text
            case ToolEnd(index, problem):
                assert index == state
                state = None
                if problem is None:
                    assert isinstance(json.loads(arguments), dict)
                else:
                    problems += 1
            case Content(text) | Reasoning(text):
                assert state is None
                assert text
    assert state is None
    return problems


def test_the_arguments_stream_while_they_arrive() -> None:
    parser = output_parser("qwen2", TOOLS)
    text = hermes([("get_weather", {"text": "abcdefgh", "list": [1, 2, 3]})])
    at = text.index("efgh")
    events = joined(parser.push(text[:at]))
    assert events == [ToolStart(0, "0", "get_weather"), ToolArguments(0, '{"text": "abcd')]
    assert parser.push("efgh")[0] == ToolArguments(0, "efgh")


def test_content_streams_unless_it_may_become_a_marker() -> None:
    parser = output_parser("qwen2", TOOLS)
    assert parser.push("abc <b> <to") == [Content("abc <b>")]
    assert parser.push("ol_cal") == []
    assert parser.push("m>") == [Content(" <tool_calm>")]
    assert parser.push("\n") == []  # white space may stand before a call
    assert parser.finish() == [Content("\n")]
    with pytest.raises(ArgumentError, match="ended"):
        parser.push("more")


@pytest.mark.parametrize(
    ("text", "prompt", "expected"),
    [
        ("<think>\nhm\n</think>\n\nYes.", "", Message("Yes.", "hm")),
        ("\n<think>hm</think>Yes.\n", "", Message("Yes.\n", "hm")),
        ("hm\n</think>\n\nYes.", "<|im_start|>assistant\n<think>\n", Message("Yes.", "hm")),
        ("<think>hm</think>Yes.", "<|im_start|>assistant\n<think>\n", Message("Yes.", "hm")),
        ("Yes.", "<think>\n\n</think>\n\n", Message("Yes.")),
        ("<think>\nhm, ", "", Message("", "hm, ")),
        ("<think>\n\n</think>\n\nYes.", "", Message("Yes.")),
        ("The tag <think> opens.</think>", "", Message("The tag <think> opens.</think>")),
        ("<think>a <tool_call> b</think> c", "", Message("c", "a <tool_call> b")),
        ("<think>a</think><think>b</think>c", "", Message("c", "ab")),
        ("<thin", "", Message("<thin")),
        (" \n ", "", Message(" \n ")),
        ("", "", Message()),
    ],
)
def test_reasoning(text: str, prompt: str, expected: Message) -> None:
    assert read("qwen3", text, prompt=prompt) == read("qwen3", text, None, prompt) == expected


def test_reasoning_before_between_and_after_calls() -> None:
    call = hermes([("get_weather", {})])
    found = read("qwen3", f"<think>a</think>\n\n{call}\n<think>b</think>\n{call}")
    assert (found.content, found.reasoning, len(calls(found))) == ("", "ab", 2)


def test_reasoning_between_brackets() -> None:
    template = "{{ '[TOOL_CALLS]' }}{{ '[THINK]' }}{{ '[/THINK]' }}"
    found = read(template, '[THINK]hm[/THINK]Yes.[TOOL_CALLS]get_weather[ARGS]{"on": true}')
    assert (found.content, found.reasoning, calls(found)) == ("Yes.", "hm", [("get_weather", {"on": True})])


def test_a_template_without_reasoning_leaves_its_tags() -> None:
    assert read("{{ messages }}", "<think>a</think>b", None) == Message("<think>a</think>b")


CALL = '<tool_call>{"name": "f", "arguments": '
HARMONY = "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HARMONY + "<|channel|>final<|message|>Hi <b>.<|return|>", Message("Hi <b>.", "Think.")),
        (HARMONY + "<|channel|>final<|message|>Hi", Message("Hi", "Think.")),
        (HARMONY + HARMONY.replace("Think", "More") + "<|channel|>final<|message|>Hi", Message("Hi", "Think.\n\nMore.")),
        ("<|channel|>commentary<|message|>First:<|end|><|start|>assistant<|channel|>final<|message|>Hi",
         Message("First:\n\nHi")),
        ("<|channel|>analysis<|message|>Think.", Message("", "Think.")),
        ("<|channel|>analysis", Message("<|channel|>analysis")),
        ("Just text.", Message("Just text.")),
        (" to the point", Message(" to the point")),
        ("<|channel|>final<|message|>a<|channel|>analysis<|message|>b", Message("a", "b")),
        ("<|channel|>analysis to=python code<|message|>print(1)<|call|>", Message("", "print(1)")),
    ],
)  # fmt: skip
def test_channels(text: str, expected: Message) -> None:
    assert read("gpt_oss", text) == expected


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.get_weather <|constrain|>json",
        " to=functions.get_weather<|channel|>commentary <|constrain|>json",
        "<|channel|>commentary to=functions.get_weather json",
        "<|channel|>analysis to=functions.get_weather code",
        "<|channel|>commentary to=get_weather",
    ],
)
def test_recipients(header: str) -> None:
    found = read("gpt_oss", HARMONY + header + '<|message|>{"on": true}<|call|>')
    assert (found.content, found.reasoning, calls(found)) == ("", "Think.", [("get_weather", {"on": True})])


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("{'on': True, 'maybe': None}", {"on": True, "maybe": None}),
        ('{"text": "a\nb\tc"}', {"text": "a\nb\tc"}),
        (r'{"text": "\d\'"}', {"text": "\\d'"}),
        (r'{"text": "\x41\u00e9\U0001F999"}', {"text": "Aé🦙"}),
        (r'{"text": "\uZ"}', {"text": "\\uZ"}),
        ('{"list": [1, 2,], }', {"list": [1, 2]}),
        ('{"list": (1, .5, 5., 0x10, 1_000, 1e3)}', {"list": [1, 0.5, 5.0, 16, 1000, 1000.0]}),
        ('"{\\"on\\": true}"', {"on": True}),
        ("null", {}),
        ('""', {}),
        ("{}", {}),
    ],
)
def test_small_mistakes_in_arguments_are_mended(given_text: str, expected: dict[str, Any]) -> None:
    assert calls(read("qwen2", CALL + given_text + "}</tool_call>")) == [("f", expected)]


@pytest.mark.parametrize(
    ("given_text", "start", "problem"),
    [
        ("[1]", "", "object"),
        ('{"a" 1}', '{"a"', "':'"),
        ('{"a": [1', '{"a": [1', "']'"),
        ('{"a": nan}', '{"a": ', "'nan'"),
        ('{"a": 0x}', '{"a": ', "'0x'"),
        ('{"a": +1e999}', '{"a": ', "finite"),
        ('{"a": 01.x}', '{"a": ', "'01.x'"),
        ("{a: 1}", "{", "quotes"),
        ('{"a": "b', '{"a": "b', "string"),
        ('{"a": ' + "[" * 200, '{"a": ' + "[" * 99, "deeper"),
    ],
)
def test_arguments_that_are_none(given_text: str, start: str, problem: str) -> None:
    found = read("qwen2", CALL + given_text)
    (call,) = found.tool_calls
    assert (call.name, call.arguments) == ("f", start)
    assert call.problem is not None
    assert problem in call.problem


@pytest.mark.parametrize(
    ("template", "text", "names"),
    [
        ("qwen2", '<tool_call>[{"name": "a", "arguments": {}}, {"name": "b"}]</tool_call>', ["a", "b"]),
        ("qwen2", '<tool_call>{"name": "a", "arguments": {}}\n{"name": "b", "arguments": {}}</tool_call>', ["a", "b"]),
        ("qwen2", '<tool_call>{"name": "a", "arguments": {}}<tool_call>{"name": "b"}</tool_call>', ["a", "b"]),
        ("qwen2", '<tool_call>{"arguments": {}, "name": "a"}</tool_call>', ["a"]),
        ("qwen2", '<tool_call>{"type": "function", "name": "a", "parameters": {}}', ["a"]),
        ("qwen2", '<tool_call>{"name": "a", "arguments": {}</tool_call>', ["a"]),
        ("qwen2", "<tool_call><function=a></function></tool_call>", ["a"]),
        ("qwen3_5", "<function=a>\n</function>\n</tool_call>", ["a"]),
        ("qwen3_5", "<tool_call><function=a></function><function=b></function></tool_call>", ["a", "b"]),
        ("llama", '<|python_tag|>{"name": "a", "parameters": {}}', ["a"]),
        ("{{ '<|header_start|>' }}", "<|python_start|>[a(), b(x=1)]<|python_end|>", ["a", "b"]),
        ("mistral", "[TOOL_CALLS]a{}", ["a"]),
        ("olmo3", "<function_calls>a(x={'k': [True]})</function_calls>", ["a"]),
    ],
)  # fmt: skip
def test_variants_of_formats(template: str, text: str, names: list[str]) -> None:
    found = read(template, text)
    assert [name for name, _ in calls(found)] == names
    assert found.content == ""


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("qwen2", "<tool_call>not JSON</tool_call>"),
        ("qwen2", '<tool_call>{"nam": "a"}</tool_call>'),
        ("qwen2", '<tool_call>{"name": 5}</tool_call>'),
        ("qwen2", '<tool_call>{"name": "a\\nb", "arguments": {}}</tool_call>'),
        ("qwen2", '<tool_call>{"name": "", "arguments": {}}</tool_call>'),
        ("qwen2", "<tool_call>"),
        ("llama", '{"name": "Ada", "born": 1815}'),
        ("llama", '{"answer": [1, 2]}'),
        ("llama", 'Sure: {"name": "get_weather", "parameters": {}}'),
        ("{{ '<|header_start|>' }}", "[1, 2, 3]"),
        ("{{ '<|header_start|>' }}", "[a link](https://example.org)"),
        ("mistral", "[TOOL_CALLS] and more"),
        ("lfm2", "<|tool_call_start|>[1]<|tool_call_end|>"),
    ],
)
def test_text_that_is_no_call_stays_content(template: str, text: str) -> None:
    assert read(template, text) == Message(text)


@pytest.mark.parametrize("name", WRITERS)
def test_without_tools_nothing_is_a_call(name: str) -> None:
    template, write = WRITERS[name]
    text = write([("get_weather", {"count": 2})])
    if name != "harmony":  # its messages name their recipient
        assert read(template, text, None) == read(template, text, []) == Message(text)


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, "5.0", 5),
        ({"type": "integer"}, "five", "five"),
        ({"type": "number"}, "-1.5e3", -1500.0),
        ({"type": "boolean"}, "True", True),
        ({"type": "string"}, "5", "5"),
        ({"type": "string"}, " a\n", " a\n"),
        ({"type": ["string", "null"]}, "null", None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "7", 7),
        ({"enum": [1, 2]}, "2", 2),
        ({"enum": ["1", "2"]}, "2", "2"),
        ({"const": True}, "true", True),
        ({"type": "array"}, "[1, 'a']", [1, "a"]),
        ({"type": "object"}, '{"a": "<b>"}', {"a": "<b>"}),
        ({"type": "object"}, "[1]", "[1]"),
        ({}, "5", "5"),
        (True, "5", "5"),
    ],
)
def test_types_of_tags_are_those_of_the_schema(schema: Any, text: str, expected: Any) -> None:
    tools = [{"name": "f", "parameters": {"properties": {"x": schema}}}]
    written = f"<tool_call>\n<function=f>\n<parameter=x>\n{text}\n</parameter>\n</function>\n</tool_call>"
    assert calls(read("qwen3_5", written, tools)) == [("f", {"x": expected})]


def test_the_ids_of_mistral_have_nine_letters_and_all_ids_differ() -> None:
    for template, pattern in (("mistral", r"[0-9A-Za-z]{9}"), ("qwen2", r"call_[0-9a-f]{24}")):
        write = WRITERS["mistral" if template == "mistral" else "hermes"][1]
        parser = output_parser(template, TOOLS)
        found = message(parser.push(write([("look.up", {})] * 3)) + parser.finish())
        ids = [call.id for call in found.tool_calls]
        assert len(set(ids)) == 3
        assert all(re.fullmatch(pattern, id) for id in ids)
    parser = output_parser("mistral", TOOLS)
    found = message(parser.push("[TOOL_CALLS]look.up[CALL_ID]a1b2c3d4e[ARGS]{}") + parser.finish())
    assert found.tool_calls == (ToolCall("a1b2c3d4e", "look.up", "{}"),)


def test_markers_are_not_part_of_each_other() -> None:
    for row in FORMATS:
        markers = {*row.calls, *row.close.values(), "<think>", "</think>", "[THINK]", "[/THINK]"}
        assert not [(a, b) for a in markers for b in markers if a != b and a in b]


def test_tools_that_a_template_has_no_form_for() -> None:
    with pytest.raises(UnsupportedError, match="hermes"):
        output_parser("{{ messages }}", TOOLS)
    with pytest.raises(UnsupportedError, match="template"):
        output_parser(None, TOOLS)
    assert output_parser("{{ messages }}").format == PLAIN.name
    for wrong in ([{}], [{"function": {}}], ["f"], [{"name": 5}]):
        with pytest.raises(ArgumentError, match="name"):
            output_parser("qwen2", wrong)


def test_the_control_tokens_that_a_parser_needs() -> None:
    assert output_parser("llama", TOOLS).controls == {"<|python_tag|>", "<think>", "</think>"}
    assert output_parser("llama").controls == {"<think>", "</think>"}
    assert "<|message|>" in output_parser("gpt_oss").controls
    assert {"[TOOL_CALLS]", "[ARGS]"} <= output_parser("mistral", TOOLS).controls
