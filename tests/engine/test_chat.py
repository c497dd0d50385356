"""Chats of an engine: events of a model that is made to write a call, async twins, and scores against transformers."""

from __future__ import annotations

import asyncio
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine import byte_vocabulary
from tests.engine.chat_templates import HERMES, OPENED
from tests.models.checkpoints import CASES, Case, model, write
from weft.cli import answering
from weft.devices.base import Device
from weft.engine import Completion, Engine
from weft.engine.parsing import Content, Reasoning, ToolArguments, ToolEnd, ToolStart
from weft.engine.scoring import windows
from weft.errors import ArgumentError, UnsupportedError

CONTEXT = 512
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
ASK = [{"role": "user", "content": "hello"}]
ANSWER = '<think>hm</think>See: <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'


class Forced:
    """A constraint that allows the tokens of one text alone."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens

    def mask(self, out: Any) -> None:
        out[:] = 0
        out[self.tokens[0] // 32] = 1 << self.tokens[0] % 32

    def consume(self, token: int) -> None:
        assert token == self.tokens.pop(0)

    @property
    def ended(self) -> bool:
        return not self.tokens


@lru_cache(maxsize=1)
def reference() -> Any:
    """Return a model of transformers with the vocabulary of bytes."""
    sizes = {"vocab_size": len(byte_vocabulary.TOKENS), "max_position_embeddings": CONTEXT}
    return model(Case("llama", {**CASES["llama"].changed, **sizes}))


def saved(path: Path, template: str | None) -> Path:
    extra = byte_vocabulary.metadata()
    return write(
        path, reference(), extra=extra if template is None else {**extra, "tokenizer.chat_template": template}
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.load(saved(tmp_path_factory.mktemp("chat") / "tiny.gguf", HERMES))


def forced(engine: Engine, text: str = ANSWER) -> dict[str, Any]:
    return {"constraint": Forced(engine.tokenizer.encode(text)), "max_tokens": 200}


def test_a_chat_gives_content_reasoning_and_calls(engine: Engine) -> None:
    answer = engine.chat(ASK, tools=TOOLS, **forced(engine))
    assert answer.text == ANSWER
    assert answer.message is not None
    (call,) = answer.message.tool_calls
    assert (answer.message.content, answer.message.reasoning) == ("See:", "hm")
    assert (call.name, json.loads(call.arguments), call.problem) == ("f", {"a": 1}, None)


def test_events_of_a_request_stream(engine: Engine) -> None:
    request = engine.submit_chat(ASK, tools=TOOLS, **forced(engine))
    events = list(request.events())
    assert [type(event) for event in events[:1] + events[-1:]] == [Reasoning, ToolEnd]
    kinds = [kind for at, kind in enumerate(map(type, events)) if at == 0 or type(events[at - 1]) is not kind]
    assert kinds == [Reasoning, Content, ToolStart, ToolArguments, ToolEnd]
    assert sum(isinstance(event, ToolArguments) for event in events) > 3
    without = engine.submit_chat(ASK, **forced(engine))
    assert all(isinstance(event, Reasoning | Content) for event in without.events())


def test_a_call_that_the_length_cuts_has_a_problem(engine: Engine) -> None:
    size = len(engine.tokenizer.encode(ANSWER.partition(": 1")[0]))
    answer = engine.chat(ASK, tools=TOOLS, **{**forced(engine), "max_tokens": size})
    assert answer.finish_reason == "length"
    assert answer.message is not None
    (call,) = answer.message.tool_calls
    assert call.arguments == '{"a"'
    assert call.problem is not None


def test_variables_and_the_reasoning_that_a_template_opens(tmp_path: Path, engine: Engine) -> None:
    with Engine.load(saved(tmp_path / "opened.gguf", OPENED)) as opened:
        answer = opened.chat(ASK, **forced(opened, "hm</think>Yes."))
        assert answer.message is not None
        assert (answer.message.content, answer.message.reasoning) == ("Yes.", "hm")
    prompts = [
        engine.submit_chat(ASK, variables={"enable_thinking": thinking}, max_tokens=1).result().prompt_tokens
        for thinking in (True, False)
    ]
    assert prompts[1] > prompts[0]


def test_tools_of_a_template_without_them(tmp_path: Path) -> None:
    with Engine.load(saved(tmp_path / "plain.gguf", "{{ messages[0].content }}")) as plain:
        with pytest.raises(UnsupportedError, match="no place"):
            plain.chat(ASK, tools=TOOLS)
        assert plain.chat(ASK, max_tokens=1).message is not None


def test_async_twins_equal_the_functions(engine: Engine) -> None:
    options: dict[str, Any] = {"max_tokens": 12, "ignore_eos": True, "temperature": 1.0, "seed": 3}

    async def all_of_them() -> tuple[Completion, Completion, str, str, list[Any]]:
        generated, chat = await asyncio.gather(
            engine.agenerate("hello", **options), engine.achat(ASK, **options)
        )
        streams = engine.astream("hello", **options), engine.astream_chat(ASK, **options)
        texts = ["".join([delta.text async for delta in stream]) for stream in streams]
        request = engine.submit_chat(ASK, tools=TOOLS, **forced(engine))
        return generated, chat, texts[0], texts[1], [event async for event in request.aevents()]

    generated, chat, text, chat_text, events = asyncio.run(all_of_them())
    assert generated.tokens == engine.generate("hello", **options).tokens
    assert chat.tokens == engine.chat(ASK, **options).tokens
    assert (text, chat_text) == (generated.text, chat.text)
    assert isinstance(events[-1], ToolEnd)
    assert chat.message is not None


def test_leaving_an_async_stream_frees_its_slot(engine: Engine) -> None:
    async def first() -> None:
        stream = engine.astream("hello", max_tokens=200, ignore_eos=True)
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        for _ in range(1000):
            if engine.stats().running == 0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the slot is not free")

    asyncio.run(first())


def expected(ids: list[int], window: int) -> list[float | None]:
    """Return transformers' log-probabilities, each token with the window that holds it first."""
    found: list[float | None] = [None] * len(ids)
    for start in windows(len(ids), window):
        part = torch.tensor([ids[start : start + window]])
        with torch.no_grad():
            logprobs = reference()(part).logits[0].log_softmax(-1)
        for at in range(1, part.shape[1]):
            if found[start + at] is None:
                found[start + at] = float(logprobs[at - 1, part[0, at]])
    return found


@pytest.mark.parametrize("length", [1, 2, 65, 512, 1100])
def test_scores_equal_transformers(device: Device, tmp_path: Path, length: int) -> None:
    ids = np.random.default_rng(length).integers(0, len(byte_vocabulary.TOKENS), length).tolist()
    with Engine.load(saved(tmp_path / "tiny.gguf", None), device=device.name) as loaded:
        score = loaded.score(ids)
    theirs = expected(ids, CONTEXT)
    assert score.tokens == ids
    assert score.logprobs[0] is theirs[0] is None
    np.testing.assert_allclose(score.logprobs[1:], theirs[1:], rtol=1e-3, atol=1e-3)  # type: ignore[arg-type]
    if length > 1:
        mean = -np.mean([value for value in theirs if value is not None])
        assert score.perplexity == pytest.approx(math.exp(mean), rel=1e-3)
    else:
        assert math.isnan(score.perplexity)


def test_scores_of_texts(engine: Engine) -> None:
    score = engine.score("hello the 12")
    assert score.tokens == engine.tokenizer.encode("hello the 12")
    assert score.total < 0
    running = engine.submit("hello", max_tokens=6, ignore_eos=True)
    assert engine.score("hello the 12") == score  # a request that runs is not disturbed
    assert running.result().tokens == engine.generate("hello", max_tokens=6, ignore_eos=True).tokens
    for wrong in ("", [], [10**6]):
        with pytest.raises(ArgumentError, match="prompt"):
            engine.score(wrong)


def test_the_command_shows_reasoning_before_the_answer(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answering.show(engine.submit_chat(ASK, **forced(engine, "<think>\nhm\n</think>\n\nYes.")))
    assert capsys.readouterr().out == "hm\n\nYes.\n"
    assert answer.message is not None
    assert (answer.message.content, answer.message.reasoning) == ("Yes.", "hm")
