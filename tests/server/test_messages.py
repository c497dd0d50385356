"""Messages by Anthropic's client, whole and streamed, and the count of their tokens."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.server.running import CONTEXT, NAME, Served

MESSAGES: Any = [{"role": "user", "content": "hello the 12"}]
GREEDY = {"temperature": 0}
OPTIONS: Any = {
    "model": NAME, "messages": MESSAGES, "system": "be brief", "max_tokens": 24,
    "extra_body": GREEDY,  # the client has no arguments for sampling
}  # fmt: skip


def test_a_whole_message_is_the_engines_answer(served: Served) -> None:
    given = [{"role": "system", "content": "be brief"}, *MESSAGES]
    expected = served.engine.chat(given, max_tokens=24)
    found = served.anthropic().messages.create(**OPTIONS)
    assert [block.type for block in found.content] == ["text"]
    assert found.content[0].text == expected.text
    assert (found.role, found.type, found.model) == ("assistant", "message", NAME)
    assert found.stop_reason == {"stop": "end_turn", "length": "max_tokens"}[str(expected.finish_reason)]
    usage = found.usage
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == expected.prompt_tokens
    assert usage.output_tokens == len(expected.tokens)


def test_the_events_of_a_stream_make_the_whole_message(served: Served) -> None:
    whole = served.anthropic().messages.create(**OPTIONS)
    kinds, text = [], ""
    with served.anthropic().messages.stream(**OPTIONS) as stream:
        for event in stream:
            kinds.append(event.type)
            text += event.text if event.type == "text" else ""
        final = stream.get_final_message()
    assert text == final.content[0].text == whole.content[0].text
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_a_stop_sequence_is_named(served: Served) -> None:
    given = {**OPTIONS, "max_tokens": 40}
    whole = served.anthropic().messages.create(**given).content[0].text
    stop = whole[4:6]
    found = served.anthropic().messages.create(**given, stop_sequences=["never so", stop])
    assert (found.stop_reason, found.stop_sequence) == ("stop_sequence", stop)
    assert found.content[0].text == whole[: whole.index(stop)]
    with served.anthropic().messages.stream(**given, stop_sequences=["never so", stop]) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", stop)


def test_tokens_are_counted_as_the_prompt_has_them(served: Served) -> None:
    client = served.anthropic().messages
    found = client.create(**OPTIONS)
    given = {name: OPTIONS[name] for name in ("model", "messages", "system")}
    expected = found.usage.input_tokens + (found.usage.cache_read_input_tokens or 0)
    assert client.count_tokens(**given).input_tokens == expected


def test_the_beginning_of_an_answer_is_continued(served: Served) -> None:
    client = served.anthropic().messages
    begun = "hello the"
    more: Any = [*MESSAGES, {"role": "assistant", "content": begun}]
    given = {"model": NAME, "system": "be brief"}
    count = client.count_tokens(**given, messages=more).input_tokens
    ids = served.engine.tokenizer.encode(begun)
    assert count == client.count_tokens(**given, messages=MESSAGES).input_tokens + len(ids)
    template: Any = served.engine.template
    before = template.tokens([{"role": "system", "content": "be brief"}, *MESSAGES], served.engine.tokenizer)
    expected = served.engine.generate([*before, *ids], max_tokens=8)
    found = client.create(**{**OPTIONS, "messages": more, "max_tokens": 8})
    assert found.content[0].text == expected.text


def test_blocks_of_content(served: Served) -> None:
    client = served.anthropic().messages
    blocks: Any = [{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}]
    system: Any = [{"type": "text", "text": "be brief"}]
    first = client.create(**{**OPTIONS, "messages": [{"role": "user", "content": blocks}], "system": system})
    turns: Any = [
        {"role": "user", "content": blocks},
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": "the"},
    ]
    later = client.create(**{**OPTIONS, "messages": turns})
    read = [each.usage.input_tokens + (each.usage.cache_read_input_tokens or 0) for each in (first, later)]
    assert read[1] > read[0]


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"extra_body": {"temperature": 1.5}}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"extra_body": {"mood": 1}}, "'mood'"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "image"),
        ({"messages": [{"role": "user", "content": "x" * CONTEXT}]}, rf"\b5\d\d tokens.*\b{CONTEXT}\b"),
    ],
)
def test_mistakes_have_anthropics_shape(served: Served, changed: dict[str, Any], part: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=part) as caught:
        served.anthropic().messages.create(**{**OPTIONS, **changed})
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")


def test_another_model_is_not_found(served: Served) -> None:
    with pytest.raises(anthropic.NotFoundError, match=NAME):
        served.anthropic().messages.create(**{**OPTIONS, "model": "other"})
