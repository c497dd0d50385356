"""A vocabulary of all bytes, a few merges and control tokens, as metadata of a GGUF file."""

from __future__ import annotations

from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

from weft.engine import Tokenizer
from weft.engine.vocabulary import from_gguf

LETTERS: list[str] = sorted(ByteLevel.alphabet())
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ Ġ", "ĠĠ ĠĠ", "Ġ t", "1 2"]
WORDS = [*LETTERS, *(merge.replace(" ", "") for merge in MERGES)]
CONTROL_TOKENS = {
    text: len(WORDS) + number for number, text in enumerate(("<|im_start|>", "<|im_end|>", "<s>", "</s>"))
}
TOKENS = [*WORDS, *CONTROL_TOKENS]


def metadata(pre: str = "gpt-2", **changed: Any) -> dict[str, Any]:
    """Return the metadata of the vocabulary; ``changed`` replaces keys of ``tokenizer.ggml``, None removes one."""
    keys = {
        "model": "gpt2",
        "pre": pre,
        "tokens": TOKENS,
        "token_type": [1] * len(WORDS) + [3] * len(CONTROL_TOKENS),
        "merges": MERGES,
        "eos_token_id": CONTROL_TOKENS["<|im_end|>"],
        **changed,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in keys.items() if value is not None}


def byte_tokenizer(bos: bool = False, pre: str = "gpt-2") -> Tokenizer:
    """Return the tokenizer, with ``<s>`` before each sequence if wanted."""
    extra = {"bos_token_id": CONTROL_TOKENS["<s>"], "add_bos_token": True} if bos else {}
    return from_gguf(metadata(pre, **extra), "test.gguf")
