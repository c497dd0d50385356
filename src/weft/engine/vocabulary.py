"""``from_gguf``: the vocabulary in a GGUF file as a ``Tokenizer``: byte-level BPE, and the BPE of SentencePiece."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weft.engine.packages import required
from weft.engine.tokenizer import Tokenizer
from weft.errors import FormatError, UnsupportedError, mistake

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""GGUF's types of tokens. Control tokens and user-defined ones, which were added, are matched as a whole."""
SPACE = "\u2581"
"""How SentencePiece spells a space."""

_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_GPT2 = rf"{_CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+"
_WORDS = (
    rf"(?i:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}%s| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASES = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*%s|\p{{N}}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_ENDING = rf"(?i:{_CONTRACTIONS})?"
_LLAMA3, _QWEN2, _DIGITS = (_WORDS % "{1,3}",), (_WORDS % "",), (r"\p{N}", _GPT2)
_DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZERS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais"), (_GPT2,)),
    **dict.fromkeys(("llama-bpe", "llama-v3", "llama3", "falcon3", "pixtral", "lfm2"), _LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"), _LLAMA3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2"), _QWEN2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"), _DIGITS),
    **dict.fromkeys(("gpt-4o", "llama4"), (_CASES % (_ENDING, _ENDING, "{1,3}"),)),
    "tekken": (_CASES % ("", "", ""),),
    "deepseek-v3": (r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", _DEEPSEEK),
    "deepseek-coder": (
        r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", r"\p{N}",
    ),
}  # fmt: skip
"""How text is cut before merges, by ``tokenizer.ggml.pre``: patterns, each of which cuts what those before it left."""
BEGINS = frozenset({"llama-bpe", "llama-v3", "llama3", "falcon3", "pixtral", "lfm2"})
"""Kinds that begin a text with BOS unless the file forbids it."""
WHOLE_WORDS = BEGINS | {"tekken", "gpt-4o", "llama4"}
"""Kinds that take a word of the vocabulary without merges."""
END_TEXTS = ("<|eot_id|>", "<|im_end|>", "<|eom_id|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>")
"""Spellings of control tokens that end an answer whether the file says so or not."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a file by their texts, with their types, and the keys that hold them."""

    keys: _Keys
    ids: Mapping[str, int]
    kinds: Sequence[int]

    def of(self, *kinds: int) -> list[str]:
        """The texts of tokens of some types, in order."""
        return [text for text, kind in zip(self.ids, self.kinds, strict=True) if kind in kinds]


@dataclass(frozen=True)
class Model:
    """A kind of vocabulary: ``build`` makes the library's tokenizer, ``begins`` says whether texts begin with BOS."""

    build: Callable[[Vocabulary, Any], Any]
    begins: Callable[[Mapping[str, Any]], bool]


def from_gguf(metadata: Mapping[str, Any], path: str) -> Tokenizer:
    """The tokenizer in a GGUF file's metadata; ``UnsupportedError`` names a kind that weft lacks."""
    keys = _Keys(metadata, path)
    name = keys("model", str)
    if name not in MODELS:
        known = ", ".join(MODELS)
        raise UnsupportedError(
            mistake(repr(path), "tokenizer.ggml.model", repr(name)[:60], f"one of {known}")
        )
    texts, kinds = keys.texts("tokens"), keys("token_type", list)
    if len(texts) != len(kinds):
        raise keys.error("token_type", f"{len(kinds)} entries", f"{len(texts)}, as tokens")
    ids = {text: at for at, text in enumerate(texts)}
    if len(ids) != len(texts):
        twice = next(text for at, text in enumerate(texts) if ids[text] != at)
        raise keys.error("tokens", f"{twice!r} twice", "tokens that differ")
    vocabulary = Vocabulary(keys, ids, kinds)
    library = MODELS[name].build(vocabulary, required("tokenizers", "tokenizing"))
    control = vocabulary.of(CONTROL)
    library.add_special_tokens(control)
    ends = {keys.token(f"{end}_token_id", len(texts)) for end in ("eos", "eot", "eom")}
    ends |= {ids[text] for text in END_TEXTS if text in ids and kinds[ids[text]] == CONTROL}
    bos = keys.token("bos_token_id", len(texts))
    add_bos = metadata.get("tokenizer.ggml.add_bos_token", MODELS[name].begins(metadata))
    return Tokenizer(library, control, {end for end in ends if end is not None}, bos if add_bos else None)


def _byte_level(vocabulary: Vocabulary, library: Any) -> Any:
    """Return byte-level BPE with the pre-tokenizer that the file names."""
    keys = vocabulary.keys
    pre = keys.metadata.get("tokenizer.ggml.pre", "gpt-2")
    if not isinstance(pre, str) or pre not in PRE_TOKENIZERS:
        known = ", ".join(PRE_TOKENIZERS)
        raise UnsupportedError(
            mistake(repr(keys.path), "tokenizer.ggml.pre", repr(pre)[:60], f"one of {known}")
        )
    merges = _merges(keys, vocabulary.ids)
    made = library.Tokenizer(
        library.models.BPE(vocab=dict(vocabulary.ids), merges=merges, ignore_merges=pre in WHOLE_WORDS)
    )
    cuts = [
        library.pre_tokenizers.Split(library.Regex(pattern), "isolated") for pattern in PRE_TOKENIZERS[pre]
    ]
    bytes_of = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = library.pre_tokenizers.Sequence([*cuts, bytes_of])
    made.decoder = library.decoders.ByteLevel()
    made.add_tokens(vocabulary.of(USER_DEFINED))
    return made


def _sentencepiece(vocabulary: Vocabulary, library: Any) -> Any:
    """Return SentencePiece's BPE: of all neighbours those merge first whose piece has the best score; bytes else."""
    keys, ids = vocabulary.keys, vocabulary.ids
    scores = keys("scores", list)
    if len(scores) != len(ids) or not all(isinstance(score, float) for score in scores):
        raise keys.error("scores", f"{len(scores)} entries", f"{len(ids)} numbers, as tokens")
    unknown = keys.token("unknown_token_id", len(ids)) or 0
    prefix = keys.metadata.get("tokenizer.ggml.add_space_prefix", True)
    made = library.Tokenizer(
        library.models.BPE(
            vocab=dict(ids), merges=_merges_by_score(vocabulary, scores), unk_token=list(ids)[unknown],
            fuse_unk=True, byte_fallback=BYTE in vocabulary.kinds,
        )
    )  # fmt: skip
    replaced = library.normalizers.Replace(" ", SPACE)
    made.normalizer = (
        library.normalizers.Sequence([library.normalizers.Prepend(SPACE), replaced]) if prefix else replaced
    )
    decoders = library.decoders
    made.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if prefix else []),
        ]
    )
    # texts of added tokens are normalised too where no space is put before them
    added = [text for text in vocabulary.of(USER_DEFINED) if not prefix or SPACE not in text]
    made.add_tokens([library.AddedToken(text, normalized=not prefix, special=False) for text in added])
    return made


def _merges_by_score(vocabulary: Vocabulary, scores: Sequence[float]) -> list[tuple[str, str]]:
    """Return all pairs of pieces that make a piece, the best score first; of equal ones the longer first half."""
    ids = vocabulary.ids
    pieces = set(vocabulary.of(NORMAL, USER_DEFINED))
    found = [
        (-scores[ids[piece]], len(piece) - cut, piece)
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in pieces and piece[cut:] in pieces
    ]
    found.sort()
    return [(piece[:-rest], piece[-rest:]) for _, rest, piece in found]


def _merges(keys: _Keys, vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs of tokens, in the order in which they are merged."""
    merges = []
    for merge in keys.texts("merges"):
        first, _, second = merge.partition(" ")
        if first not in vocabulary or second not in vocabulary or first + second not in vocabulary:
            raise keys.error("merges", repr(merge), "two tokens and a space, which together are a token")
        merges.append((first, second))
    return merges


MODELS: Mapping[str, Model] = {
    "gpt2": Model(_byte_level, lambda metadata: metadata.get("tokenizer.ggml.pre") in BEGINS),
    "llama": Model(_sentencepiece, lambda metadata: True),
}
"""By ``tokenizer.ggml.model``."""


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
