"""``Tokenizer``: text to token ids and back, with control tokens recognised only where the caller allows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine.packages import required
from weft.errors import FormatError, UnsupportedError, mistake

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

CONTROL, USER_DEFINED = 3, 4
"""GGUF's types of tokens that are matched as a whole: control tokens, and others that were added."""


class Tokenizer:
    """A vocabulary with its rules, over the ``tokenizers`` library.

    ``bos`` begins a sequence where the model wants that; ``eos`` are the tokens that end one.
    """

    def __init__(
        self, library: Library, control: Iterable[str], eos: Iterable[int], bos: int | None = None
    ) -> None:
        self._library = library
        self.eos, self.bos = frozenset(eos), bos
        self.control: dict[str, int] = {}
        for text in control:
            token = library.token_to_id(text)
            if token is None:
                raise FormatError(mistake("Tokenizer", "control", repr(text), "a token of the vocabulary"))
            self.control[text] = token
        library.encode_special_tokens = True  # control tokens are found here, not there
        longest_first = sorted(self.control, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @property
    def size(self) -> int:
        """Tokens in the vocabulary, added ones included."""
        return int(self._library.get_vocab_size())

    def encode(self, text: str, control: bool = False) -> list[int]:
        """Token ids of a text. With ``control``, text that spells a control token becomes that token.

        No token is put before or after.
        """
        if not control or self._pattern is None:
            return list(self._library.encode(text, add_special_tokens=False).ids)
        ids: list[int] = []
        at = 0
        for found in self._pattern.finditer(text):
            ids += self.encode(text[at : found.start()]) if found.start() > at else []
            ids.append(self.control[found[0]])
            at = found.end()
        return ids + (self.encode(text[at:]) if at < len(text) else [])

    def mark_control(self, text: str, mark: str) -> str:
        """Put ``mark`` into each spelling of a control token, so that ``encode`` does not find it."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: found[0][0] + mark + found[0][1:], text)

    def encode_marked(self, text: str, mark: str) -> list[int]:
        """Token ids of a text; a ``mark`` keeps the spelling of a control token from being it, and is dropped."""
        if self._pattern is None:
            return self.encode(text.replace(mark, ""))
        ids: list[int] = []
        at = 0
        for found in [*self._pattern.finditer(text), None]:
            between = text[at : len(text) if found is None else found.start()].replace(mark, "")
            ids += self.encode(between) if between else []
            if found is not None:
                ids.append(self.control[found[0]])
                at = found.end()
        return ids

    def decode(self, ids: Sequence[int], control: bool = False) -> str:
        """The text of ids; control tokens are left out unless asked for."""
        return str(self._library.decode(list(ids), skip_special_tokens=not control))

    def text_of(self, token: int) -> str | None:
        """How a token is spelled in the vocabulary; None where there is no such token."""
        found = self._library.id_to_token(token) if 0 <= token < 2**32 else None
        return None if found is None else str(found)

    def to_json(self) -> str:
        """The vocabulary and its rules as a ``tokenizer.json``."""
        return str(self._library.to_str())

    def stream(self, keep: Collection[str] = ()) -> Callable[[int], str | None]:
        """A function that takes the ids of a text one by one and returns what is complete: never half a character.

        Control tokens are left out, apart from those of ``keep``, which become their text.
        """
        decoders = required("tokenizers", "tokenizing").decoders
        state, library = decoders.DecodeStream(skip_special_tokens=not keep), self._library
        dropped = {token for text, token in self.control.items() if text not in keep}
        return lambda token: "" if token in dropped else state.step(library, token)


def from_json(text: str, eos: Iterable[int], bos: int | None = None) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``."""
    library = required("tokenizers", "tokenizing").Tokenizer.from_str(text)
    added = [token.content for token in library.get_added_tokens_decoder().values() if token.special]
    return Tokenizer(library, added, eos, bos)


def _smollm(pre: Any) -> list[Any]:
    return [pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)]


def _split(pattern: str) -> Callable[[Any], list[Any]]:
    def made(pre: Any) -> list[Any]:
        regex = required("tokenizers", "tokenizing").Regex(pattern)
        return [pre.Split(regex, "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)]

    return made


_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZERS: Mapping[str, Callable[[Any], list[Any]]] = {
    "smollm": _smollm,
    "gpt-2": lambda pre: [pre.ByteLevel(add_prefix_space=False)],
    "llama-bpe": _split(_WORDS % "{1,3}"),
    "qwen2": _split(_WORDS % ""),
}
"""How text is cut before merges, by ``tokenizer.ggml.pre``."""


WHOLE_WORDS = frozenset({"llama-bpe"})
"""Kinds that take a word of the vocabulary without merges, and begin a text with BOS unless the file forbids it."""


def from_gguf(metadata: Mapping[str, Any], path: str) -> Tokenizer:
    """The tokenizer in a GGUF file's metadata; ``UnsupportedError`` names a kind that weft lacks."""
    library, keys = required("tokenizers", "tokenizing"), _Keys(metadata, path)
    model, pre = keys("model", str), metadata.get("tokenizer.ggml.pre", "gpt-2")
    if model != "gpt2":
        raise UnsupportedError(mistake(repr(path), "tokenizer.ggml.model", repr(model)[:60], "'gpt2'"))
    if not isinstance(pre, str) or pre not in PRE_TOKENIZERS:
        known = ", ".join(PRE_TOKENIZERS)
        raise UnsupportedError(mistake(repr(path), "tokenizer.ggml.pre", repr(pre)[:60], f"one of {known}"))
    texts, kinds = keys.texts("tokens"), keys("token_type", list)
    if len(texts) != len(kinds):
        raise keys.error("token_type", f"{len(kinds)} entries", f"{len(texts)}, as tokens")
    vocabulary = {text: at for at, text in enumerate(texts)}
    if len(vocabulary) != len(texts):
        twice = next(text for at, text in enumerate(texts) if vocabulary[text] != at)
        raise keys.error("tokens", f"{twice!r} twice", "tokens that differ")
    tokenizer = library.Tokenizer(
        library.models.BPE(
            vocab=vocabulary, merges=_merges(keys, vocabulary), ignore_merges=pre in WHOLE_WORDS
        )
    )
    tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence(PRE_TOKENIZERS[pre](library.pre_tokenizers))
    tokenizer.decoder = library.decoders.ByteLevel()
    control = [text for text, kind in zip(texts, kinds, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens(control)
    tokenizer.add_tokens([text for text, kind in zip(texts, kinds, strict=True) if kind == USER_DEFINED])
    ends = [keys.token(f"{name}_token_id", len(texts)) for name in ("eos", "eot", "eom")]
    bos = keys.token("bos_token_id", len(texts))
    add_bos = metadata.get("tokenizer.ggml.add_bos_token", pre in WHOLE_WORDS)
    return Tokenizer(tokenizer, control, {end for end in ends if end is not None}, bos if add_bos else None)


def _merges(keys: _Keys, vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs of tokens, in the order in which they are merged."""
    merges = []
    for merge in keys.texts("merges"):
        first, _, second = merge.partition(" ")
        if first not in vocabulary or second not in vocabulary or first + second not in vocabulary:
            raise keys.error("merges", repr(merge), "two tokens and a space, which together are a token")
        merges.append((first, second))
    return merges


class _Keys:
    """The checked keys ``tokenizer.ggml`` of a file."""

    def __init__(self, metadata: Mapping[str, Any], path: str) -> None:
        self.metadata, self.path = metadata, path

    def error(self, key: str, given: object, expected: str) -> FormatError:
        """An impossible value."""
        return FormatError(mistake(repr(self.path), f"tokenizer.ggml.{key}", str(given)[:60], expected))

    def __call__(self, key: str, kind: type) -> Any:
        """The value of a key that must be there."""
        value = self.metadata.get(f"tokenizer.ggml.{key}")
        if not isinstance(value, kind):
            raise self.error(key, repr(value), f"a {kind.__name__}")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        values: list[str] = self(key, list)
        wrong = next((value for value in values if not isinstance(value, str)), None)
        if wrong is not None:
            raise self.error(key, repr(wrong), "texts")
        return values

    def token(self, key: str, size: int) -> int | None:
        """A token's id in a vocabulary of ``size``; None where the file names none."""
        value: int | None = self.metadata.get(f"tokenizer.ggml.{key}")
        if value is not None and (type(value) is not int or not 0 <= value < size):
            raise self.error(key, repr(value), f"a token, 0 to {size - 1}")
        return value
