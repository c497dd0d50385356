"""Log-probabilities in OpenAI's two shapes against transformers, and sampling fields that the engine must get."""

from __future__ import annotations

from typing import Any

import openai
import pytest
import torch

from tests.engine import byte_vocabulary
from tests.models.checkpoints import Case, model
from tests.server.running import CONTEXT, NAME, Served
from weft.server.tokens import TokenTexts

OPTIONS: Any = {"model": NAME, "temperature": 0, "max_tokens": 12, "extra_body": {"ignore_eos": True}}
MESSAGES: Any = [{"role": "user", "content": "hello"}]
PROMPT = "hello the 12"


def expected(
    ids: list[int], tokens: list[int], count: int
) -> tuple[list[float], list[list[tuple[int, float]]]]:
    """Return the log-probabilities of tokens after a prompt, and the likeliest ones, by transformers."""
    sizes = {"vocab_size": len(byte_vocabulary.TOKENS), "max_position_embeddings": CONTEXT}
    with torch.no_grad():
        rows = model(Case("llama", sizes))(torch.tensor([ids + tokens])).logits[0].log_softmax(-1)
    rows = rows[len(ids) - 1 : -1]
    best = [[(int(at), float(value)) for value, at in zip(*row.topk(count), strict=True)] for row in rows]
    return [float(row[token]) for row, token in zip(rows, tokens, strict=True)], best


def test_completions(served: Served) -> None:
    engine = served.engine
    ids = engine.tokenizer.encode(PROMPT)
    tokens = engine.generate(ids, max_tokens=12, ignore_eos=True).tokens
    values, best = expected(ids, tokens, 3)
    texts = TokenTexts(engine.tokenizer)
    client = served.openai().completions
    found = client.create(prompt=PROMPT, **OPTIONS, logprobs=3).choices[0].logprobs
    assert found.tokens == [texts.text(token) for token in tokens]
    assert found.token_logprobs == pytest.approx(values, abs=1e-3)
    for top, row in zip(found.top_logprobs, best, strict=True):
        assert top == pytest.approx({texts.text(token): value for token, value in reversed(row)}, abs=1e-3)
    assert found.text_offset == [sum(map(len, found.tokens[:at])) for at in range(12)]
    pieces = list(client.create(prompt=PROMPT, **OPTIONS, logprobs=3, stream=True))
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        joined = [entry for piece in pieces for entry in getattr(piece.choices[0].logprobs, name)]
        assert joined == getattr(found, name)
    assert client.create(prompt=PROMPT, **OPTIONS).choices[0].logprobs is None
    with pytest.raises(openai.BadRequestError, match="echo"):
        client.create(prompt=PROMPT, **OPTIONS, logprobs=1, echo=True)


def test_chat(served: Served) -> None:
    engine, client = served.engine, served.openai().chat.completions
    template: Any = engine.template
    ids = template.tokens(MESSAGES, engine.tokenizer)
    tokens = engine.generate(ids, max_tokens=12, ignore_eos=True).tokens
    values, best = expected(ids, tokens, 2)
    found = (
        client.create(messages=MESSAGES, **OPTIONS, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    )
    texts = TokenTexts(engine.tokenizer)
    assert [entry.token for entry in found] == [texts.text(token) for token in tokens]
    assert [bytes(entry.bytes) for entry in found] == [texts.spelling(token) for token in tokens]
    assert [entry.logprob for entry in found] == pytest.approx(values, abs=1e-3)
    for entry, row in zip(found, best, strict=True):
        assert [top.token for top in entry.top_logprobs] == [texts.text(token) for token, _ in row]
        assert [top.logprob for top in entry.top_logprobs] == pytest.approx([v for _, v in row], abs=1e-3)
    streamed = []
    for piece in client.create(messages=MESSAGES, **OPTIONS, logprobs=True, top_logprobs=2, stream=True):
        if piece.choices[0].logprobs:
            streamed += piece.choices[0].logprobs.content
    assert streamed == found
    plain = client.create(messages=MESSAGES, **OPTIONS, logprobs=True).choices[0].logprobs.content
    assert all(entry.top_logprobs == [] for entry in plain)
    with pytest.raises(openai.BadRequestError, match="top_logprobs"):
        client.create(messages=MESSAGES, **OPTIONS, top_logprobs=2)


def test_single_tokens_add_up_to_a_text(served: Served) -> None:
    tokenizer = served.engine.tokenizer
    texts = TokenTexts(tokenizer)
    text = " hello é 日本 🙂  x\n"
    assert b"".join(texts.spelling(token) for token in tokenizer.encode(text)).decode() == text
    assert texts.text(byte_vocabulary.CONTROL_TOKENS["<|im_end|>"]) == "<|im_end|>"
    assert texts.text(tokenizer.encode("é")[0]) == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("given", "engines"),
    [
        ({"logit_bias": {"70": 100.0}}, {"logit_bias": {70: 100.0}}),
        (
            {"frequency_penalty": 2.0, "presence_penalty": 1.0},
            {"frequency_penalty": 2.0, "presence_penalty": 1.0},
        ),
        ({"repetition_penalty": 1.7}, {"repetition_penalty": 1.7}),
        (
            {"temperature": 1.5, "seed": -3, "top_p": 0.8},
            {"temperature": 1.5, "seed": 2**64 - 3, "top_p": 0.8},
        ),
        (
            {"temperature": 2, "seed": 4, "top_k": 5, "min_p": 0.01},
            {"temperature": 2.0, "seed": 4, "top_k": 5, "min_p": 0.01},
        ),
    ],
)
def test_fields_of_sampling_reach_the_engine(served: Served, given: Any, engines: Any) -> None:
    plain = served.engine.generate(PROMPT, max_tokens=24, ignore_eos=True)
    expected = served.engine.generate(PROMPT, max_tokens=24, ignore_eos=True, **engines)
    assert expected.text != plain.text
    body = {"model": NAME, "prompt": PROMPT, "max_tokens": 24, "ignore_eos": True, "temperature": 0, **given}
    answer = served.post("/v1/completions", body)
    assert answer.json()["choices"][0]["text"] == expected.text


def test_a_bias_outside_of_the_vocabulary_is_named(served: Served) -> None:
    body = {"model": NAME, "prompt": PROMPT, "logit_bias": {"99999": 1}}
    answer = served.post("/v1/completions", body)
    assert answer.status_code == 400
    assert "99999" in answer.json()["error"]["message"]
