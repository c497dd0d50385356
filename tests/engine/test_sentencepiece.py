"""SentencePiece's vocabularies in GGUF files against ids of the ``sentencepiece`` package (``sentencepiece.json``).

The two vocabularies were trained on a few sentences, with byte fallback: ``prefix`` puts a space before a text,
``plain`` does not and has user-defined symbols.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weft.engine import Tokenizer
from weft.engine.tokenizer import from_json
from weft.engine.vocabulary import from_gguf
from weft.errors import FormatError

CASES = json.loads(Path(__file__).with_name("sentencepiece.json").read_text())


def metadata(name: str, **changed: Any) -> dict[str, Any]:
    """Return the metadata of a vocabulary; ``changed`` replaces keys, None removes one."""
    case = CASES[name]
    keys = {
        "model": "llama", "pre": "default", **{key: value for key, value in case.items() if key != "ids"},
        "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0, **changed,
    }  # fmt: skip
    return {f"tokenizer.ggml.{key}": value for key, value in keys.items() if value is not None}


def tokenizer(name: str, **changed: Any) -> Tokenizer:
    return from_gguf(metadata(name, **changed), "test.gguf")


@pytest.mark.parametrize("name", CASES)
def test_ids_are_those_of_sentencepiece(name: str) -> None:
    ours = tokenizer(name)
    again = from_json(ours.to_json(), ours.eos, ours.bos)
    for text, ids in CASES[name]["ids"]:
        assert ours.encode(text) == ids, text
        assert again.encode(text) == ids, text
        assert ours.decode(ids) == text
    assert len(CASES[name]["ids"]) == 10


@pytest.mark.parametrize("name", CASES)
def test_a_stream_of_bytes_never_gives_half_a_character(name: str) -> None:
    ours = tokenizer(name)
    for text, ids in CASES[name]["ids"]:
        stream, shown = ours.stream(), ""
        for token in ids:
            shown += stream(token) or ""
            assert text.lstrip(" ").startswith(shown.lstrip(" "))
        assert shown.lstrip(" ") == text.lstrip(" ")


def test_control_tokens_and_beginnings() -> None:
    ours = tokenizer("prefix")
    assert ours.bos == 1
    assert tokenizer("prefix", add_bos_token=False).bos is None
    assert ours.eos == {2}
    assert 2 not in ours.encode("</s>")
    assert ours.encode("</s>", control=True) == [2]
    turn = ["<end_of_turn>", *CASES["plain"]["tokens"][1:]]
    kinds = [3, *CASES["plain"]["token_type"][1:]]
    gemma = tokenizer("plain", tokens=turn, token_type=kinds, unknown_token_id=None)
    assert gemma.eos == {0, 2}


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"scores": None}, "scores"),
        ({"scores": [0.0]}, "scores"),
        ({"scores": ["0"] * 380}, "scores"),
        ({"unknown_token_id": 10**6}, "unknown_token_id"),
        ({"tokens": ["a"] * 380}, "tokens"),
    ],
)
def test_a_damaged_vocabulary_is_named(changed: dict[str, Any], part: str) -> None:
    with pytest.raises(FormatError, match=rf"tokenizer\.ggml\.{part}") as raised:
        tokenizer("plain", **changed)
    assert "test.gguf" in str(raised.value)
