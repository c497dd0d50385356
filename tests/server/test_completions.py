"""Completions, embeddings and models by OpenAI's client."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import openai
import pytest
import torch

from tests.engine import byte_vocabulary
from tests.models.checkpoints import Case, model
from tests.server.running import CONTEXT, NAME, Served, serving

OPTIONS: Any = {"model": NAME, "temperature": 0, "max_tokens": 12}
VOCABULARY = len(byte_vocabulary.TOKENS)


def test_texts_and_ids_are_continued(served: Served) -> None:
    engine, client = served.engine, served.openai().completions
    ids = engine.tokenizer.encode("hello the")
    expected = engine.generate("hello the", max_tokens=12)
    for prompt in ("hello the", ids):
        found = client.create(prompt=prompt, **OPTIONS)
        assert found.choices[0].text == expected.text
        assert found.choices[0].finish_reason == expected.finish_reason
        assert found.usage is not None
        assert found.usage.prompt_tokens == len(ids)


def test_several_prompts_have_several_answers_each(served: Served) -> None:
    client = served.openai().completions
    prompts = ["hello", "the 12 12"]
    given: Any = {**OPTIONS, "temperature": 2, "n": 2, "seed": 1}
    found = client.create(prompt=prompts, **given)
    alone = [client.create(prompt=prompt, **given) for prompt in prompts]
    assert [choice.text for choice in found.choices] == [
        choice.text for answer in alone for choice in answer.choices
    ]
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    assert found.usage is not None
    read = [answer.usage.prompt_tokens for answer in alone if answer.usage]
    assert found.usage.prompt_tokens == sum(read)
    streamed = [""] * 4
    for chunk in client.create(prompt=prompts, **given, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == [choice.text for choice in found.choices]


def test_echo_and_usage_in_a_stream(served: Served) -> None:
    client = served.openai().completions
    given: Any = {**OPTIONS, "prompt": "hello the", "echo": True}
    whole = client.create(**given)
    assert whole.choices[0].text.startswith("hello the")
    chunks = list(client.create(**given, stream=True, stream_options={"include_usage": True}))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    assert chunks[-1].usage == whole.usage


def test_the_default_is_sixteen_tokens(served: Served) -> None:
    found = served.openai().completions.create(
        model=NAME, prompt="hello", temperature=0, extra_body={"ignore_eos": True}
    )
    assert found.usage is not None
    assert found.usage.completion_tokens == 16


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [VOCABULARY]}, f"prompt.*{VOCABULARY - 1}"),
        ({"prompt": "a", "suffix": "b"}, "'suffix'"),
        ({"prompt": [5] * CONTEXT}, rf"\b{CONTEXT} tokens.*\b{CONTEXT}\b"),
    ],
)
def test_impossible_prompts_are_named(served: Served, changed: dict[str, Any], parts: str) -> None:
    with pytest.raises(openai.BadRequestError, match=parts):
        served.openai().completions.create(**OPTIONS, **changed)


def reference(ids: list[int], pooling: str) -> np.ndarray:
    """Return the embedding by transformers."""
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT}
    with torch.no_grad():
        states = model(Case("llama", sizes)).model(torch.tensor([ids])).last_hidden_state[0]
    vector = states.mean(0) if pooling == "mean" else states[-1]
    return np.asarray(vector / vector.norm())


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_embeddings_are_those_of_transformers(served: Served, pooling: str) -> None:
    texts = ["hello the 12", "another text"]
    ids = [served.engine.tokenizer.encode(text) for text in texts]
    with serving(served.engine, pooling=pooling) as other:
        client = other.openai().embeddings
        coded = client.create(model=NAME, input=texts)  # the client asks for base64
        plain = client.create(model=NAME, input=ids[0], encoding_format="float")
        raw = client.with_raw_response.create(model=NAME, input=texts[1], encoding_format="base64")
    for found, each in zip(coded.data, ids, strict=True):
        np.testing.assert_allclose(found.embedding, reference(each, pooling), atol=2e-5)
    np.testing.assert_allclose(plain.data[0].embedding, coded.data[0].embedding, atol=1e-6)
    data = base64.b64decode(raw.http_response.json()["data"][0]["embedding"])
    np.testing.assert_allclose(np.frombuffer(data, "<f4"), coded.data[1].embedding, atol=1e-6)
    assert coded.usage.prompt_tokens == sum(map(len, ids))


def test_embeddings_are_refused_without_a_pooling_and_with_impossible_inputs(served: Served) -> None:
    with serving(served.engine) as other, pytest.raises(openai.BadRequestError, match="--pooling"):
        other.openai().embeddings.create(model=NAME, input="hello")
    client = served.openai().embeddings
    for wrong in ("", "x" * (CONTEXT + 1)):
        with pytest.raises(openai.BadRequestError, match="input"):
            client.create(model=NAME, input=wrong)
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.create(model=NAME, input="hello", dimensions=7)


def test_models(served: Served) -> None:
    client = served.openai().models
    (listed,) = client.list().data
    assert listed == client.retrieve(NAME)
    assert listed.id == NAME
    with pytest.raises(openai.NotFoundError, match=NAME):
        client.retrieve("organisation/other")
    (same,) = served.anthropic().models.list().data
    assert (same.id, same.type) == (NAME, "model")
    assert served.anthropic().models.retrieve(NAME).id == NAME
