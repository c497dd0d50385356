"""``Grammar``: structured output: the tokens that may come next in an answer that keeps to a schema, regex or grammar.

Masks of tokens come from ``llguidance``, on the host, while the device computes the logits that they apply to. What the
library does not support is an error before anything is generated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import jsonschema_rs
import numpy as np

from weft.engine.packages import required
from weft.engine.schemas import check, narrowed, schema_of
from weft.engine.tokenizer import Tokenizer
from weft.errors import ArgumentError, UnsupportedError, mistake

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from weft.engine.request import Completion

PURPOSE = "structured output"
WHITESPACE = r"( |\n {0,20})"
"""What may stand where JSON allows whitespace: a space, or a new line and its indentation. More would let a model go on
with whitespace for ever."""
AFTER_SPACE = r"/[ \n]{1,8}/"
"""What may stand between the text that ends the thinking and the answer."""
STRICT = {"lenient": False, "coerce_one_of": False}
"""Overrides what a schema says to the library about leaving keywords out."""


SMALLEST = 1e-300
"""Numbers nearer to 0 are validated as the floats that they become."""


class Constraint:
    """The state of one answer in its grammar."""

    def __init__(self, matcher: LLMatcher, words: int) -> None:
        self._matcher, self._words = matcher, words
        self._fill = required("llguidance.numpy", PURPOSE).fill_next_token_bitmask

    def mask(self, out: np.ndarray[Any, Any]) -> None:
        """Write the tokens that may come next: bit ``v % 32`` of word ``v // 32`` of ``out``, uint32.

        Raises ``UnsupportedError`` where the grammar became too complex for the library.
        """
        self._fill(self._matcher, out[: self._words].view(np.int32)[None])
        out[self._words :] = 0
        if self._matcher.is_error():
            reason = self._matcher.get_error().partition("\n")[0]
            raise UnsupportedError(f"constraint: llguidance gave up ({reason})")

    def consume(self, token: int) -> None:
        """Take the next token of the answer; ``ArgumentError`` where the grammar does not allow it."""
        if not self._matcher.consume_token(token):
            reason = self._matcher.get_error().partition("\n")[0]
            raise ArgumentError(f"constraint: token {token} does not continue the answer ({reason})")

    @property
    def ended(self) -> bool:
        """Whether nothing but an end token may follow."""
        return bool(self._matcher.is_stopped())

    @property
    def complete(self) -> bool:
        """Whether the answer may end here."""
        return bool(self._matcher.is_accepting())


class Grammar:
    """A grammar over the tokens of a tokenizer; ``start()`` gives the state of a new answer.

    ``after`` is the text that ends the thinking of a reasoning model: what comes before it is free.
    """

    def __init__(
        self, body: Mapping[str, Any], tokenizer: Tokenizer, after: str | None, name: str, given: object
    ) -> None:
        vocabulary = _vocabulary(tokenizer)
        parts = [dict(body)] if after is None else [_thinking(after, tokenizer), {**body, "name": "answer"}]
        library = required("llguidance", PURPOSE)
        limits = library.LLParserLimits(verbose_errors=False)
        self._matcher = library.LLMatcher(
            vocabulary, json.dumps({"grammars": parts}), log_level=0, limits=limits
        )
        self._tokenizer, self._after = tokenizer, after
        self._words = -(-vocabulary.vocab_size // 32)
        wrong = self._matcher.get_error() or "; ".join(self._matcher.get_grammar_warnings()) or self._empty()
        if wrong:
            raise ArgumentError(
                mistake(
                    "structured output", name, repr(given)[:200], "what llguidance supports", wrong.strip()
                )
            )

    def _empty(self) -> str:
        """Return what is wrong with the first token's mask; nothing where it has a token."""
        words = np.zeros(self._words, np.uint32)
        try:
            self.start().mask(words)
        except UnsupportedError as error:
            return f"no text fits it ({error})"
        return "" if words.any() else "no text fits it"

    def start(self) -> Constraint:
        """Return the state of an answer that has no token yet."""
        return Constraint(self._matcher.deep_copy(), self._words)

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of an answer's tokens without the thinking and the end token."""
        tokenizer, after = self._tokenizer, self._after
        if after in tokenizer.control:
            tokens = tokens[list(tokens).index(tokenizer.control[after]) + 1 :]
            after = None
        text = tokenizer.decode([token for token in tokens if token not in tokenizer.eos])
        return text if after is None else text.partition(after)[2].lstrip()


def json_grammar(schema: Any, tokenizer: Tokenizer, after: str | None = None) -> Grammar:
    """Return the grammar of the JSON texts that a schema allows, a JSON Schema or a model of pydantic.

    Properties come in the order of the schema.

    Raises:
        ArgumentError: names what ``llguidance`` does not support, or what is wrong with the schema.
    """
    schema = schema_of(schema)
    check(schema)
    body = required("llguidance", PURPOSE).LLMatcher.grammar_from_json_schema(
        narrowed(schema), defaults={"whitespace_pattern": WHITESPACE}, overrides=STRICT
    )
    return Grammar(json.loads(body)["grammars"][0], tokenizer, after, "schema", schema)


def regex_grammar(pattern: str, tokenizer: Tokenizer, after: str | None = None) -> Grammar:
    """Return the grammar of the texts that match a regular expression as a whole (syntax of Rust's ``regex``)."""
    if not isinstance(pattern, str):
        raise ArgumentError(mistake("structured output", "regex", repr(pattern)[:80], "a text"))
    body = required("llguidance", PURPOSE).LLMatcher.grammar_from_regex(pattern)
    return Grammar(json.loads(body)["grammars"][0], tokenizer, after, "regex", pattern)


def lark_grammar(source: str, tokenizer: Tokenizer, after: str | None = None) -> Grammar:
    """Return a context-free grammar, written in llguidance's form of Lark's syntax."""
    if not isinstance(source, str):
        raise ArgumentError(mistake("structured output", "grammar", repr(source)[:80], "a text"))
    return Grammar({"lark_grammar": source}, tokenizer, after, "grammar", source)


def read_object(schema: Any, text: str) -> Any:
    """Return the value of a JSON text: an instance of a model of pydantic, or what a JSON Schema allows.

    Numbers beyond float64 become infinite, as ``json.loads`` reads them.

    Raises ``ArgumentError`` where the text does not fit.
    """
    try:
        if hasattr(schema, "model_validate_json"):
            return schema.model_validate_json(text)
        exact = json.loads(text, parse_float=_exact)
        jsonschema_rs.validator_for(schema_of(schema)).validate(exact)
        return json.loads(text)
    except ValueError as error:  # of json, jsonschema_rs and pydantic
        raise ArgumentError(
            mistake(
                "structured output", "the answer", repr(text)[:200], "a text that fits the schema", str(error)
            )
        ) from error


def read_answer(grammar: Grammar, schema: Any, answer: Completion) -> Any:
    """Return the value of an answer; ``ArgumentError`` where it was cut before its end."""
    if answer.finish_reason != "stop":
        made = f"cut after {len(answer.tokens)} tokens ({answer.finish_reason})"
        fix = "allow more by max_tokens or a larger context"
        raise ArgumentError(mistake("structured output", "the answer", made, "a whole one", fix))
    return read_object(schema, grammar.text(answer.tokens))


def _exact(text: str) -> Decimal:
    """Return a number as it is written, where float64 has it; validators give up at far larger and smaller ones."""
    value = float(text)
    if math.isinf(value):
        return Decimal("1e309").copy_sign(Decimal(value))
    return Decimal(text) if abs(value) > SMALLEST else Decimal(value)


_vocabularies: WeakKeyDictionary[Tokenizer, LLTokenizer] = WeakKeyDictionary()


def _vocabulary(tokenizer: Tokenizer) -> LLTokenizer:
    """Return the library's form of a tokenizer, made once: some 0.4 s for 49,152 tokens."""
    if tokenizer not in _vocabularies:
        if not tokenizer.eos:
            raise UnsupportedError(
                "structured output: the tokenizer names no end token, by which an answer ends"
            )
        library = required("llguidance", PURPOSE)
        try:
            _vocabularies[tokenizer] = library.LLTokenizer(
                tokenizer.to_json(), eos_token=sorted(tokenizer.eos)
            )
        except Exception as error:  # the library raises no narrower class
            raise UnsupportedError(
                f"structured output: llguidance does not take this tokenizer ({error})"
            ) from error
    return _vocabularies[tokenizer]


def _thinking(after: str, tokenizer: Tokenizer) -> dict[str, str]:
    """Return the grammar of free text up to ``after``, then the grammar named ``answer``."""
    if not isinstance(after, str) or not after:
        raise ArgumentError(mistake("structured output", "after", repr(after), "a text that is not empty"))
    if after in tokenizer.control:
        source = f"start: /(?s:.*)/ <[{tokenizer.control[after]}]> SPACE? @answer"
    else:
        source = f"start: thinking SPACE? @answer\nthinking[suffix={json.dumps(after)}]: /(?s:.*)/"
    return {"lark_grammar": f"{source}\nSPACE: {AFTER_SPACE}"}
