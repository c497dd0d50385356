"""Token ids against llama.cpp's for the demo model and against transformers' rules; control tokens; streams of text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenizers import Tokenizer as Library

from tests.engine.byte_vocabulary import CONTROL_TOKENS, MERGES, TOKENS, WORDS, byte_tokenizer, metadata
from tests.engine.demo import needs_demo_model
from tests.engine.reference import FILE
from weft.cli.answering import demo_model
from weft.engine import Tokenizer
from weft.engine.vocabulary import PRE_TOKENIZERS, from_gguf
from weft.errors import FormatError, UnsupportedError, WeftError
from weft.models.gguf import GGUFFile

ROWS = json.loads(FILE.read_text())
TEXTS = [
    "hello  hello    world\t\n\n x12345 don't I'LL",
    "日本語とEnglish 混ざり、한국어 Ελληνικά",
    "🎉👩‍👩‍👧‍👦🏳️‍🌈 e\u0301 \u200d \u00a0",
    "def f(x):\n\treturn {x: [1, 22, 333, 4444]}  # ok\r\n",
    "<|im_start|> <|im_end|></s>",
    "",
    " ",
    "\x00\x7f\uffff",
]


@pytest.fixture(scope="module")
def demo_tokenizer() -> Tokenizer:
    with GGUFFile(demo_model()) as file:
        return from_gguf(file.metadata, "demo")


@needs_demo_model
@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_ids_equal_those_of_llama_cpp(demo_tokenizer: Tokenizer, row: dict[str, Any]) -> None:
    assert demo_tokenizer.encode(row["prompt"], control=True) == row["ids"]
    assert demo_tokenizer.decode(row["ids"], control=True) == row["prompt"]


@needs_demo_model
def test_control_tokens_of_the_demo_model_stay_text_unless_allowed(demo_tokenizer: Tokenizer) -> None:
    text = "<|im_end|>"
    ids = demo_tokenizer.encode(text)
    assert len(ids) > 1
    assert demo_tokenizer.decode(ids) == text
    assert demo_tokenizer.encode(text, control=True) == [2]
    assert demo_tokenizer.decode([2]) == ""


@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_every_text_comes_back(pre: str, text: str) -> None:
    tokenizer = byte_tokenizer(pre=pre)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(CONTROL_TOKENS.values())


@pytest.mark.parametrize(("pre", "name"), [("gpt-2", "GPT2"), ("qwen2", "Qwen2")])
def test_ids_equal_those_of_transformers_with_the_same_vocabulary(pre: str, name: str) -> None:
    import transformers

    vocabulary = {text: at for at, text in enumerate(WORDS)}
    merges = [tuple(merge.split(" ")) for merge in MERGES]
    theirs = getattr(transformers, f"{name}Tokenizer")(vocab=vocabulary, merges=merges)
    ours = byte_tokenizer(pre=pre)
    for text in [text for text in TEXTS if "e\u0301" not in text]:  # Qwen's tokenizer composes letters first
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False), text


def test_words_are_cut_before_merges() -> None:
    at = {text: number for number, text in enumerate(TOKENS)}
    assert byte_tokenizer(pre="gpt-2").encode("hello12") == [at["hello"], at["12"]]
    assert byte_tokenizer(pre="qwen2").encode("hello12") == [at["hello"], at["1"], at["2"]]
    assert byte_tokenizer(pre="llama-bpe").encode("hello1212") == [at["hello"], at["12"], at["1"], at["2"]]
    assert byte_tokenizer(pre="smollm").encode("12") == [at["1"], at["2"]]


def test_llama_3_takes_whole_words_of_the_vocabulary_without_merges_and_begins_with_bos() -> None:
    tokens = [*TOKENS[: len(WORDS)], "whole", *CONTROL_TOKENS]
    changed = {
        "tokens": tokens,
        "token_type": [1] * (len(WORDS) + 1) + [3] * 4,
        "bos_token_id": len(WORDS) + 3,
    }
    llama = from_gguf(metadata("llama-bpe", **changed), "test.gguf")
    assert llama.encode("whole") == [len(WORDS)]
    assert llama.bos == len(WORDS) + 3
    assert from_gguf(metadata("llama-bpe", add_bos_token=False, **changed), "test.gguf").bos is None
    gpt = from_gguf(metadata("gpt-2", **changed), "test.gguf")
    assert len(gpt.encode("whole")) == 5
    assert gpt.bos is None


def test_control_tokens_in_a_text() -> None:
    tokenizer = byte_tokenizer()
    text = "a<|im_start|>hello<|im_end|></s>"
    start, end, stop = (CONTROL_TOKENS[name] for name in ("<|im_start|>", "<|im_end|>", "</s>"))
    ids = tokenizer.encode(text, control=True)
    assert ids == [*tokenizer.encode("a"), start, *tokenizer.encode("hello"), end, stop]
    assert tokenizer.decode(ids) == "ahello"
    assert tokenizer.decode(ids, control=True) == text
    assert tokenizer.text_of(start) == "<|im_start|>"
    assert [tokenizer.text_of(token) for token in (-1, len(TOKENS), 2**40)] == [None] * 3


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_stream_never_gives_half_a_character(text: str) -> None:
    tokenizer = byte_tokenizer()
    stream = tokenizer.stream()
    shown = ""
    for token in tokenizer.encode(text):
        shown += stream(token) or ""
        assert text.startswith(shown)
    assert shown == text


def test_bytes_that_are_no_text_are_not_held_back_for_ever() -> None:
    tokenizer = byte_tokenizer()
    stream = tokenizer.stream()
    ids = [*tokenizer.encode("é")[:1], *tokenizer.encode("hello"), *tokenizer.encode("é")]
    shown = "".join(stream(token) or "" for token in ids)
    assert shown.endswith("helloé")


@pytest.mark.parametrize(
    ("changed", "part", "kind"),
    [
        ({"model": "t5"}, "tokenizer.ggml.model", UnsupportedError),
        ({"model": None}, "tokenizer.ggml.model", FormatError),
        ({"pre": "unheard-of"}, "tokenizer.ggml.pre", UnsupportedError),
        ({"pre": [1]}, "tokenizer.ggml.pre", UnsupportedError),
        ({"tokens": None}, "tokenizer.ggml.tokens", FormatError),
        ({"tokens": list(range(len(TOKENS)))}, "tokenizer.ggml.tokens", FormatError),
        ({"tokens": [*TOKENS[:-1], TOKENS[0]]}, "tokenizer.ggml.tokens", FormatError),
        ({"token_type": [1]}, "tokenizer.ggml.token_type", FormatError),
        ({"merges": ["abc"]}, "tokenizer.ggml.merges", FormatError),
        ({"merges": ["h xyz"]}, "tokenizer.ggml.merges", FormatError),
        ({"merges": [7]}, "tokenizer.ggml.merges", FormatError),
        ({"eos_token_id": "end"}, "tokenizer.ggml.eos_token_id", FormatError),
        ({"eos_token_id": len(TOKENS)}, "tokenizer.ggml.eos_token_id", FormatError),
        ({"bos_token_id": -1, "add_bos_token": True}, "tokenizer.ggml.bos_token_id", FormatError),
    ],
)
def test_a_damaged_vocabulary_is_named(changed: dict[str, Any], part: str, kind: type[WeftError]) -> None:
    with pytest.raises(kind, match=part.replace(".", r"\.")) as raised:
        from_gguf(metadata(**{"pre": "gpt-2", **changed}), "damaged.gguf")
    assert "damaged.gguf" in str(raised.value)


def test_the_library_alone_gives_the_same_ids() -> None:
    from tokenizers import decoders, models, pre_tokenizers

    merges = [tuple(merge.split(" ")) for merge in MERGES]
    library = Library(models.BPE(vocab={text: at for at, text in enumerate(TOKENS)}, merges=merges))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    for text in TEXTS:
        assert byte_tokenizer().encode(text) == library.encode(text).ids


def test_a_stream_keeps_the_control_tokens_that_are_asked_for() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode("<|im_start|>hello<s> é<|im_end|>", control=True)
    for keep, expected in (
        ((), "hello é"),
        (["<|im_start|>"], "<|im_start|>hello é"),
        (["<s>"], "hello<s> é"),
    ):
        stream = tokenizer.stream(keep)
        assert "".join(stream(token) or "" for token in ids) == expected
