"""``Grammar``: structured output: which tokens may come next so that an answer keeps to a JSON Schema, regex or grammar.

Masks of tokens come from ``llguidance``, on the host, while the device computes the logits that they apply to. What the
library does not support is an error before anything is generated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import jsonschema_rs
import numpy as np

from weft.engine.packages import required
from weft.engine.tokenizer import Tokenizer
from weft.errors import ArgumentError, UnsupportedError, mistake

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

PURPOSE = "structured output"
WHITESPACE = r"( |\n {0,20})"
"""What may stand where JSON allows whitespace: a space, or a new line and its indentation. More would let a model go on
with whitespace for ever."""
AFTER_SPACE = r"/[ \n]{1,8}/"
"""What may stand between the text that ends the thinking and the answer."""
STRICT = {"lenient": False, "coerce_one_of": False}
"""Overrides what a schema says to the library about leaving keywords out."""


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
        self._check()

    def consume(self, token: int) -> None:
        """Take the next token of the answer; ``ArgumentError`` where the grammar does not allow it."""
        if not self._matcher.consume_token(token):
            self._check()
            raise ArgumentError(f"constraint: token {token} does not continue the answer")

    @property
    def ended(self) -> bool:
        """Whether nothing but an end token may follow."""
        return bool(self._matcher.is_stopped())

    @property
    def complete(self) -> bool:
        """Whether the answer may end here."""
        return bool(self._matcher.is_accepting())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise UnsupportedError(f"constraint: {self._matcher.get_error()}")


class Grammar:
    """A grammar over the tokens of a tokenizer; ``start()`` gives the state of a new answer.

    ``after`` is the text that ends the thinking of a reasoning model: what comes before it is free.
    """

    def __init__(
        self, body: Mapping[str, Any], tokenizer: Tokenizer, after: str | None, name: str, given: object
    ) -> None:
        vocabulary = _vocabulary(tokenizer)
        parts = [dict(body)] if after is None else [_thinking(after, tokenizer), {**body, "name": "answer"}]
        matcher = required("llguidance", PURPOSE).LLMatcher(
            vocabulary, json.dumps({"grammars": parts}), log_level=0
        )
        wrong = matcher.get_error() or "; ".join(matcher.get_grammar_warnings())
        if wrong:
            raise ArgumentError(
                mistake("structured output", name, repr(given)[:200], "what llguidance supports", wrong.strip())
            )
        self._matcher, self._tokenizer, self._after = matcher, tokenizer, after
        self._words = -(-vocabulary.vocab_size // 32)

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

    Properties come in the order of the schema. Keywords that no draft of JSON Schema has are annotations, as the
    standard says, unless they look like a mistyped one.

    Raises:
        ArgumentError: names what ``llguidance`` does not support, or what is wrong with the schema.
    """
    schema = schema_of(schema)
    for part in _subschemas(schema):
        _check_keywords(part)
    body = required("llguidance", PURPOSE).LLMatcher.grammar_from_json_schema(
        schema, defaults={"whitespace_pattern": WHITESPACE}, overrides=STRICT
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


def schema_of(schema: Any) -> dict[str, Any]:
    """Return the JSON Schema of a model of pydantic, or the given one.

    Raises ``ArgumentError`` for anything else, and where the schema contradicts JSON Schema's own rules.
    """
    found = schema.model_json_schema() if hasattr(schema, "model_json_schema") else schema
    if found is True:
        found = {}
    if not isinstance(found, Mapping):
        expected = "a JSON Schema (a dictionary) or a model of pydantic"
        raise ArgumentError(mistake("structured output", "schema", repr(schema)[:200], expected))
    try:
        jsonschema_rs.validator_for(found)
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            mistake("structured output", "schema", repr(found)[:200], "a JSON Schema", str(error))
        ) from error
    return dict(found)


def read_object(schema: Any, text: str) -> Any:
    """Return the value of a JSON text: an instance of a model of pydantic, or what a JSON Schema allows.

    Raises ``ArgumentError`` where the text does not fit.
    """
    try:
        if hasattr(schema, "model_validate_json"):
            return schema.model_validate_json(text)
        value = json.loads(text)
        jsonschema_rs.validator_for(schema_of(schema)).validate(value)
    except ValueError as error:  # of json, jsonschema_rs and pydantic
        raise ArgumentError(
            mistake("structured output", "the answer", repr(text)[:200], "a text that fits the schema", str(error))
        ) from error
    return value


_vocabularies: WeakKeyDictionary[Tokenizer, LLTokenizer] = WeakKeyDictionary()


def _vocabulary(tokenizer: Tokenizer) -> LLTokenizer:
    """Return the library's form of a tokenizer, made once: some 0.4 s for 49,152 tokens."""
    if tokenizer not in _vocabularies:
        if not tokenizer.eos:
            raise UnsupportedError("structured output: the tokenizer names no end token, by which an answer ends")
        library = required("llguidance", PURPOSE)
        try:
            _vocabularies[tokenizer] = library.LLTokenizer(tokenizer.to_json(), eos_token=sorted(tokenizer.eos))
        except Exception as error:  # the library raises no narrower class
            raise UnsupportedError(f"structured output: llguidance does not take this tokenizer ({error})") from error
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


# What a schema says

BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
SEVERAL = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
SINGLE = ("items", "additionalItems", "additionalProperties")
"""Keywords whose values hold schemas: by name, in a list, or one."""
KEYWORDS = (
    *BY_NAME, *SEVERAL, *SINGLE, "$ref", "const", "enum", "type", "minItems", "maxItems", "required", "minProperties",
    "maxProperties", "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "uniqueItems", "contains", "propertyNames", "dependentRequired",
)  # fmt: skip
OTHERS = frozenset({"id", "title", "description", "default", "examples", "example", "deprecated", "$id", "$schema", "if", "then",
                    "else", "not", "minContains", "maxContains", "dependencies", "dependentSchemas"})  # fmt: skip


def _subschemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and all schemas in it."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for keyword, value in schema.items():
        parts: Any = []
        if keyword in BY_NAME and isinstance(value, Mapping):
            parts = value.values()
        elif keyword in SEVERAL and isinstance(value, list):
            parts = value
        elif keyword in SINGLE:
            parts = [value]
        for part in parts:
            yield from _subschemas(part)


def _check_keywords(schema: Mapping[str, Any]) -> None:
    """Raise ``ArgumentError`` for what the library would take in silence and not keep to."""
    for keyword in schema:
        near = get_close_matches(keyword, KEYWORDS, 1, 0.85)
        if keyword not in KEYWORDS and keyword not in OTHERS and near:
            raise ArgumentError(mistake("structured output", "schema", f"the keyword {keyword!r}", repr(near[0])))
    least = schema.get("minProperties", 0)
    if least > len(schema.get("required", ())) + 1:
        expected = f"at most {len(schema.get('required', ())) + 1}, the required properties and another"
        fix = "name them in properties and required, because names of others may repeat"
        raise ArgumentError(mistake("structured output", "schema", f"minProperties {least}", expected, fix))
