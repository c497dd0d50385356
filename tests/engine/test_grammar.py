"""Structured output: every answer fits its schema, pattern or grammar; what cannot be kept to is an error before."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pydantic
import pytest

from tests.engine import byte_vocabulary
from tests.engine.byte_vocabulary import byte_tokenizer
from tests.engine.demo import demo, needs_demo_model
from tests.engine.schemas import Random
from tests.models.checkpoints import CASES, Case, model, write
from weft.devices.base import Device
from weft.engine import Constraint, Engine, Grammar, Tokenizer, json_grammar, lark_grammar, regex_grammar
from weft.engine.tokenizer import from_json
from weft.errors import ArgumentError, UnsupportedError

VOCABULARY = len(byte_vocabulary.TOKENS)
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
TOKENIZER = byte_tokenizer()
QUOTE = TOKENIZER.encode('"')[0]
ENDS = {QUOTE: 12.0, **{TOKENIZER.encode(end)[0]: 4.0 for end in "}],"}, min(TOKENIZER.eos): 12.0}
"""Biases by which a model of random weights comes to an end."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"vocab_size": VOCABULARY + 40, "max_position_embeddings": 1024, "num_hidden_layers": 1}
    extra = {**byte_vocabulary.metadata(), "tokenizer.chat_template": TEMPLATE}
    made = model(Case("llama", {**CASES["llama"].changed, **sizes}))
    return write(tmp_path_factory.mktemp("grammar") / "tiny.gguf", made, extra=extra)


@pytest.fixture(scope="module")
def engine(path: Path) -> Engine:
    return Engine.load(path, cache_tokens=16 * 1024)


def exact(text: str) -> Any:
    """Return the value of a JSON text with numbers as they are written; huge ones as a number beyond all floats."""

    def number(digits: str) -> Decimal:
        value = float(digits)
        if 1e-300 < abs(value) < 1e308:
            return Decimal(digits)
        return Decimal(value) if abs(value) < 1 else Decimal("1e309").copy_sign(Decimal(value))

    return json.loads(text, parse_float=number)


def fits(schema: Any, text: str) -> bool:
    """Return whether a text is valid, formats included."""
    return jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(exact(text))


def allowed(constraint: Constraint, words: int = -(-VOCABULARY // 32)) -> list[int]:
    mask = np.zeros(words, np.uint32)
    constraint.mask(mask)
    return np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist()


def walk(grammar: Grammar, rng: np.random.Generator, most: int = 400) -> str | None:
    """Return a text of random tokens that the masks allow; None where it does not end."""
    constraint, tokens, quotes = grammar.start(), list[int](), rng.choice([0.0, 0.3])
    while not constraint.ended:
        choices = allowed(constraint)
        tokens.append(QUOTE if QUOTE in choices and rng.random() < quotes else int(rng.choice(choices)))
        constraint.consume(tokens[-1])
        if len(tokens) == most:
            return None
    return grammar.text(tokens)


def test_answers_of_a_random_model_to_500_random_schemas_fit(engine: Engine) -> None:
    requests = []
    for seed in range(500):
        schema = Random(seed).schema()
        grammar = json_grammar(schema, engine.tokenizer)
        options: dict[str, Any] = {"temperature": 1.0, "seed": seed, "max_tokens": 900, "logit_bias": ENDS}
        requests.append((schema, grammar, engine.submit("x", constraint=grammar.start(), **options)))
    whole = 0
    for schema, grammar, request in requests:
        answer = request.result()
        text = grammar.text(answer.tokens)
        if answer.finish_reason == "stop":
            assert fits(schema, text), (schema, text)
            whole += 1
    assert whole == 500


@needs_demo_model
def test_answers_of_the_demo_model_to_random_schemas_fit() -> None:
    requests = []
    for seed in range(8):
        schema = Random(1000 + seed, depth=2).schema()
        grammar = json_grammar(schema, demo().tokenizer)
        messages = [{"role": "user", "content": "Give me an example in JSON. Be short."}]
        options: dict[str, Any] = {"temperature": 0.7, "seed": seed, "max_tokens": 80}
        requests.append(
            (schema, grammar, demo().submit_chat(messages, constraint=grammar.start(), **options))
        )
    whole = 0
    for schema, grammar, request in requests:
        answer = request.result()
        if answer.finish_reason == "stop":
            text = grammar.text(answer.tokens)
            assert fits(schema, text), (schema, text)
            whole += 1
    assert whole >= 4


FORMATS = ["date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"]
NUMBERS: list[dict[str, Any]] = [
    {"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1.25},
    {"type": "number", "exclusiveMinimum": 1, "maximum": 2},
    {"type": "number", "minimum": -0.1, "exclusiveMaximum": 0},
    {"type": "number", "exclusiveMinimum": -1, "exclusiveMaximum": 0},
    {"type": "number", "minimum": 0.1, "maximum": 0.3},
    {"type": "number", "multipleOf": 0.25, "minimum": 0},
    {"type": "integer", "exclusiveMinimum": -3, "exclusiveMaximum": 12, "multipleOf": 5},
    {"exclusiveMinimum": 0, "maximum": 1, "minimum": 0, "type": ["number", "null"]},
    {"type": "number"},
]


@pytest.mark.parametrize(
    "schema", [*({"type": "string", "format": name} for name in FORMATS), *NUMBERS], ids=str
)
def test_random_texts_of_formats_and_ranges_fit(schema: dict[str, Any]) -> None:
    grammar, rng = json_grammar(schema, TOKENIZER), np.random.default_rng(0)
    texts = [text for _ in range(120) if (text := walk(grammar, rng)) is not None]
    assert len(texts) > 100
    assert [text for text in texts if not fits(schema, text)] == []


def test_dates_that_random_texts_seldom_reach() -> None:
    grammar = json_grammar({"type": "string", "format": "date"}, TOKENIZER)

    def takes(date: str) -> bool:
        constraint = grammar.start()
        return all(
            token in allowed(constraint) and constraint.consume(token) is None
            for token in TOKENIZER.encode(f'"{date}"')
        )

    years = [4, 100, 400, 1900, 1904, 2000, 2023, 2024, 2100, 9996]
    leap = [year for year in years if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)]
    assert [year for year in years if takes(f"{year:04}-02-29")] == leap
    assert not takes("0000-01-01")
    assert not takes("2024-04-31")
    assert takes("0001-12-31")


REFUSED: list[tuple[Any, str]] = [
    ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    ({"not": {"type": "string"}}, "not"),
    ({"properties": {"a": {"if": {"type": "string"}, "then": {"minLength": 3}}}}, "if.*then"),
    ({"type": "array", "contains": {"type": "string"}}, "contains"),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, "dependentRequired"),
    ({"type": "object", "propertyNames": {"pattern": "^a"}}, "propertyNames"),
    ({"type": "object", "unevaluatedProperties": False}, "unevaluatedProperties"),
    ({"oneOf": [{"minimum": 3}, {"maximum": 5}]}, "oneOf"),
    ({"oneOf": [{"minimum": 3}, {"maximum": 5}], "x-guidance": {"coerce_one_of": True}}, "oneOf"),
    ({"type": "array", "uniqueItems": True, "x-guidance": {"lenient": True}}, "uniqueItems"),
    ({"type": "string", "format": "iri"}, "iri"),
    ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
    ({"$ref": "http://elsewhere/schema"}, "elsewhere"),
    ({"type": "object", "minProperties": 2}, "minProperties 2"),
    ({"type": "string", "minLenght": 3}, "minLenght.*minLength"),
    ({"anyOf": [{"type": "object", "aditionalProperties": False}]}, "aditionalProperties"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "minimum"),
    ({"type": "number", "minimum": -1.5, "maximum": -1.375, "multipleOf": 0.25}, "no text fits"),
    ({"enum": []}, "schema"),
    ({"type": "strin"}, "strin"),
    ({"type": "string", "minLength": "3"}, "schema"),
    (False, "False"),
    ([1], "pydantic"),
    ("text", "pydantic"),
]


@pytest.mark.parametrize(("schema", "named"), REFUSED, ids=str)
def test_schemas_that_cannot_be_kept_to_are_refused_before_anything_is_generated(
    engine: Engine, schema: Any, named: str
) -> None:
    before = engine.stats().requests
    with pytest.raises(ArgumentError, match=named):
        engine.generate_object("x", schema)
    assert engine.stats().requests == before


def test_annotations_and_unknown_keywords_are_taken() -> None:
    known = {
        "title": "t",
        "description": "d",
        "default": 1,
        "examples": [1],
        "deprecated": True,
        "$comment": "c",
    }
    grammar = json_grammar({"type": "boolean", **known, "x-order": 3, "units": "m"}, TOKENIZER)
    assert {walk(grammar, np.random.default_rng(seed)) for seed in range(20)} == {"true", "false"}
    everything = json_grammar(True, TOKENIZER)
    assert walk(everything, np.random.default_rng(3)) is not None


@pytest.mark.parametrize("pattern", ["[a-c]{3,5}", "(yes|no|maybe)!?", "[0-9]{2}:[0-9]{2}", "ünï[😀-😎]"])
def test_answers_match_a_regular_expression_as_a_whole(pattern: str) -> None:
    grammar = regex_grammar(pattern, TOKENIZER)
    for seed in range(20):
        text = walk(grammar, np.random.default_rng(seed))
        assert text is not None
        assert re.fullmatch(pattern, text)


def test_answers_keep_to_a_context_free_grammar() -> None:
    grammar = lark_grammar('start: pair\npair: "(" pair? ")"', TOKENIZER)
    texts = {walk(grammar, np.random.default_rng(seed)) for seed in range(20)}
    assert {"()", "(())"} <= texts
    assert all(text == "(" * (len(text) // 2) + ")" * (len(text) // 2) for text in texts if text)


@pytest.mark.parametrize(
    ("make", "given"),
    [(regex_grammar, "(a"), (regex_grammar, 3), (lark_grammar, "start: b"), (lark_grammar, None)],
)
def test_patterns_and_grammars_with_mistakes(make: Callable[..., Grammar], given: Any) -> None:
    with pytest.raises(ArgumentError, match="structured output"):
        make(given, TOKENIZER)


@pytest.mark.parametrize("after", ["", 3])
def test_the_end_of_thinking_is_a_text(after: Any) -> None:
    with pytest.raises(ArgumentError, match="after"):
        regex_grammar("a", TOKENIZER, after)


def test_the_grammar_begins_after_the_thinking() -> None:
    grammar = json_grammar({"type": "integer"}, TOKENIZER, after="</think>")
    constraint = grammar.start()
    assert len(allowed(constraint)) > 150
    assert not TOKENIZER.eos & set(allowed(constraint))
    thought = TOKENIZER.encode('hm, </th {"a": 1} </think>')
    for token in thought:
        constraint.consume(token)
    letters = {TOKENIZER.decode([token]) for token in allowed(constraint)}
    assert letters == {*"-0123456789 \n", "12", "  ", "    "}
    for token in (rest := TOKENIZER.encode("\n\n12")):
        assert not constraint.complete
        constraint.consume(token)
    assert constraint.complete
    assert TOKENIZER.eos <= set(allowed(constraint))
    assert grammar.text([*thought, *rest, min(TOKENIZER.eos)]) == "12"
    with pytest.raises(ArgumentError, match="token"):
        constraint.consume(TOKENIZER.encode("x")[0])


def test_a_control_token_ends_the_thinking() -> None:
    end = TOKENIZER.control["<|im_start|>"]
    grammar = regex_grammar("ab", TOKENIZER, after="<|im_start|>")
    constraint, tokens = (
        grammar.start(),
        [*TOKENIZER.encode("hello <|im_start|>"), end, *TOKENIZER.encode("ab")],
    )
    assert end in allowed(constraint)
    assert not TOKENIZER.eos & set(allowed(constraint))
    for token in tokens:
        assert token in allowed(constraint)
        constraint.consume(token)
    assert constraint.ended
    assert grammar.text(tokens) == "ab"


def sentence_pieces() -> Tokenizer:
    """Return a tokenizer whose words have spaces as ``▁`` and whose other bytes are ``<0xNN>``."""
    words = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *"abcdtrue123[],{}:",
        "▁a",
        "tr",
        "true",
    ]
    merges = [("▁", "a"), ("t", "r"), ("tr", "ue")]
    words.append("ue")
    merges.insert(2, ("u", "e"))
    content = {
        "model": {"type": "BPE", "vocab": {word: at for at, word in enumerate(dict.fromkeys(words))},
                  "merges": [" ".join(pair) for pair in merges], "byte_fallback": True, "unk_token": "<unk>"},
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "added_tokens": [{"id": at, "content": text, "special": True, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False} for at, text in enumerate(["<unk>", "<s>", "</s>"])],
    }  # fmt: skip
    return from_json(json.dumps(content), [2])


@pytest.mark.parametrize("make", [byte_tokenizer, sentence_pieces], ids=["bytes", "sentencepiece"])
def test_tokens_mean_the_same_texts_as_in_the_tokenizer(make: Callable[[], Tokenizer]) -> None:
    tokenizer = make()
    text = regex_grammar("(?s:.*)", tokenizer)
    words = -(-tokenizer.size // 32)
    free = set(allowed(text.start(), words))
    assert not free & (set(tokenizer.control.values()) - tokenizer.eos)
    assert tokenizer.eos <= free
    for token in sorted(free - tokenizer.eos):
        spelled = tokenizer.decode([token])
        if "\ufffd" in spelled or not spelled:
            continue
        constraint = regex_grammar(re.escape(spelled), tokenizer).start()
        constraint.consume(token)
        assert constraint.complete, (token, spelled)
    accented = regex_grammar("é", tokenizer).start()
    for token in tokenizer.encode("é"):
        assert token in allowed(accented, words)
        accented.consume(token)
    assert accented.complete


def test_a_tokenizer_without_an_end_token() -> None:
    with pytest.raises(UnsupportedError, match="no end token"):
        regex_grammar("a", Tokenizer(TOKENIZER._library, [], []))


def test_bits_beyond_the_tokenizer_are_never_set() -> None:
    words = -(-VOCABULARY // 32)
    mask = np.full(words + 3, 2**32 - 1, np.uint32)
    regex_grammar("(?s:.*)", TOKENIZER).start().mask(mask)
    assert not mask[words:].any()
    assert int(mask[words - 1]) < 2 ** (VOCABULARY % 32)


class Person(pydantic.BaseModel):
    """A model with a nested part and an optional one."""

    name: str = pydantic.Field(max_length=8)
    age: int = pydantic.Field(ge=0, lt=150)
    tags: list[str] = pydantic.Field(max_length=2)
    friend: Person | None = None


def test_objects_are_instances_of_the_model(device: Device, path: Path) -> None:
    loaded = Engine.load(path, device=device.name, slots=2)
    person = loaded.generate_object("x", Person, temperature=1.0, seed=3, logit_bias=ENDS)
    assert isinstance(person, Person)
    assert 0 <= person.age < 150
    with pytest.raises(ArgumentError, match="cut after 3 tokens"):
        loaded.generate_object("x", Person, max_tokens=3)


def test_objects_from_messages_and_without_blocking(engine: Engine) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"enum": [1, 2]}},
        "required": ["n"],
        "additionalProperties": False,
    }
    messages = [{"role": "user", "content": "hello"}]
    found = engine.generate_object(messages, schema)
    assert found in ({"n": 1}, {"n": 2})
    assert asyncio.run(engine.agenerate_object(messages, schema)) == found
    thought = engine.generate_object(messages, schema, after="<|im_start|>", temperature=1.0, seed=1,
                                     logit_bias={TOKENIZER.control["<|im_start|>"]: 3.0})  # fmt: skip
    assert thought in ({"n": 1}, {"n": 2})


def test_a_constraint_of_one_request_leaves_the_others_alone(engine: Engine) -> None:
    options: dict[str, Any] = {"max_tokens": 24, "temperature": 1.0, "seed": 5, "ignore_eos": True}
    alone = engine.generate("hello", **options).tokens
    grammar = regex_grammar("(yes|no)( (yes|no)){8}", engine.tokenizer)
    bound, free = (
        engine.submit("hello", constraint=grammar.start(), max_tokens=64),
        engine.submit("hello", **options),
    )
    assert free.result().tokens == alone
    assert re.fullmatch("(yes|no)( (yes|no)){8}", bound.result().text)
    assert bound.completion.finish_reason == "stop"


class Failing(Constraint):
    """Allows everything, and fails at its third mask or token."""

    def __init__(self, at: str) -> None:
        self.at, self.count = at, 0

    def _step(self, at: str) -> None:
        self.count += at == self.at
        if self.count == 3:
            raise UnsupportedError("too complex")

    def mask(self, out: np.ndarray[Any, Any]) -> None:
        self._step("mask")
        out.fill(2**32 - 1)

    def consume(self, token: int) -> None:
        self._step("token")

    @property
    def ended(self) -> bool:
        return False


@pytest.mark.parametrize("at", ["mask", "token"])
def test_a_constraint_that_fails_ends_its_request_alone(engine: Engine, at: str) -> None:
    before = engine.stats()
    failing = engine.submit("x", constraint=Failing(at), max_tokens=9, ignore_eos=True)
    other = engine.submit("x", max_tokens=9, ignore_eos=True)
    with pytest.raises(UnsupportedError, match="too complex"):
        failing.result()
    assert len(other.result().tokens) == 9
    after = engine.stats()
    assert (after.failed - before.failed, after.running, after.pages_free) == (1, 0, after.pages)
