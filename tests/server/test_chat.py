"""Chat completions by OpenAI's client, whole and streamed, against the engine itself."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.server.running import CONTEXT, NAME, Served

MESSAGES: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello the 12"}]
OPTIONS: Any = {"model": NAME, "messages": MESSAGES, "temperature": 0, "max_tokens": 24}
IGNORE = {"extra_body": {"ignore_eos": True}}


def test_a_whole_answer_is_the_engines(served: Served) -> None:
    expected = served.engine.chat(MESSAGES, max_tokens=24)
    found = served.openai().chat.completions.create(**OPTIONS)
    (choice,) = found.choices
    assert choice.message.content == expected.text
    assert choice.message.role == "assistant"
    assert choice.finish_reason == expected.finish_reason
    assert (found.object, found.model) == ("chat.completion", NAME)
    assert found.usage is not None
    assert found.usage.prompt_tokens == expected.prompt_tokens
    assert found.usage.completion_tokens == len(expected.tokens)
    assert found.usage.total_tokens == expected.prompt_tokens + len(expected.tokens)


def test_the_pieces_of_a_stream_are_the_whole_answer(served: Served) -> None:
    whole = served.openai().chat.completions.create(**OPTIONS, **IGNORE)
    options = {"stream_options": {"include_usage": True}}
    chunks = list(served.openai().chat.completions.create(**OPTIONS, **IGNORE, **options, stream=True))
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == whole.choices[0].message.content
    finishes = [chunk.choices[0].finish_reason for chunk in chunks[:-1]]
    assert finishes == [None] * (len(chunks) - 2) + ["length"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_several_answers_differ_and_repeat_by_their_seed(served: Served) -> None:
    given = {**OPTIONS, "temperature": 2, "seed": 5, "n": 3, **IGNORE}
    client = served.openai().chat.completions
    first, again = (client.create(**given) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert len(set(texts)) == 3
    assert texts == [choice.message.content for choice in again.choices]
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    streamed = {0: "", 1: "", 2: ""}
    for chunk in client.create(**given, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert list(streamed.values()) == texts
    alone = client.create(**{**given, "seed": 6, "n": 1})
    assert alone.choices[0].message.content == texts[1]


def test_a_stop_text_ends_an_answer(served: Served) -> None:
    given = {**OPTIONS, "temperature": 2, "max_tokens": 60, **IGNORE}
    client = served.openai().chat.completions
    whole = client.create(**given, seed=3).choices[0].message.content
    assert whole
    stop = whole[10:12]
    for stops in (stop, ["never so", stop]):
        found = client.create(**given, seed=3, stop=stops).choices[0]
        assert found.message.content == whole[: whole.index(stop)]
        assert found.finish_reason == "stop"


def test_content_in_parts_and_an_earlier_answer(served: Served) -> None:
    client = served.openai().chat.completions
    parts = [{"type": "text", "text": "hello"}, {"type": "text", "text": "the"}]
    found = client.create(**{**OPTIONS, "messages": [{"role": "user", "content": parts}]})
    expected = client.create(**{**OPTIONS, "messages": [{"role": "user", "content": "hello\nthe"}]})
    assert found.usage == expected.usage
    answer: Any = found.choices[0].message
    later = client.create(**{**OPTIONS, "messages": [*MESSAGES, answer, *MESSAGES[1:]]})
    assert later.usage is not None
    assert expected.usage is not None
    assert later.usage.prompt_tokens > expected.usage.prompt_tokens


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "nobody", "content": "a"}]}, "messages.0"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}]}]},
            "messages.0",
        ),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ""}, "stop"),
    ],
)
def test_impossible_values_are_named(served: Served, changed: dict[str, Any], field: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        served.openai().chat.completions.create(**{**OPTIONS, **changed})
    assert field in caught.value.message
    assert caught.value.param is not None
    assert caught.value.param.startswith(field)
    assert caught.value.type == "invalid_request_error"


def test_unknown_fields_are_named(served: Served) -> None:
    with pytest.raises(openai.BadRequestError, match=r"'one'.*'two'") as caught:
        served.openai().chat.completions.create(**OPTIONS, extra_body={"two": 2, "one": None})
    assert (caught.value.param, caught.value.code) == ("one", "unknown_field")
    with pytest.raises(openai.BadRequestError, match=r"messages\.0\.user\.mood"):
        message: Any = {"role": "user", "content": "a", "mood": "b"}
        served.openai().chat.completions.create(**{**OPTIONS, "messages": [message]})


def test_a_prompt_over_the_context_names_both_counts(served: Served) -> None:
    message: Any = {"role": "user", "content": "x" * CONTEXT}
    expected = served.openai().chat.completions
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match=rf"\b5\d\d tokens.*\b{CONTEXT}\b"):
            expected.create(**{**OPTIONS, "messages": [message]}, stream=stream)


def test_another_model_is_not_found(served: Served) -> None:
    with pytest.raises(openai.NotFoundError, match=NAME) as caught:
        served.openai().chat.completions.create(**{**OPTIONS, "model": "gpt-9"})
    assert caught.value.code == "model_not_found"
