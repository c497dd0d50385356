"""Reads a value of JSON, or a literal of Python, and passes it on as JSON text while it arrives.

Models write arguments with small mistakes, which are mended where the meaning is plain: control characters and
unknown escapes in strings, single quotes, ``True``, ``False`` and ``None``, tuples, trailing commas.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

from weft.engine.parsing.source import Malformed, Reader, Source, complete

MOST_DEPTH = 100
"""Levels of lists and objects."""
CLOSING = {"{": "}", "[": "]", "(": ")"}
"""The end of a list or an object, by its start."""
WORDS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}
JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
OTHER_NUMBER = re.compile(r"[+-]?(?:0[xob][0-9a-fA-F]+|[0-9_]*\.?[0-9_]*(?:[eE][+-]?[0-9]+)?)")
ATOM = re.compile(r"[0-9A-Za-z_.+-]+")
MOST_ATOM = 1000
"""Characters of a number or a word."""
PLAIN = {quote: re.compile(rf'[^{quote}"\\\x00-\x1f]+') for quote in "\"'"}
ESCAPES = {**{char: "\\" + char for char in '"\\/bfnrt'}, "'": "'", "\n": "", "a": "\\u0007", "v": "\\u000b"}
"""What JSON writes for an escape of JSON or Python; all other escapes are text that begins with a backslash."""
HEX = {"x": 2, "u": 4, "U": 8}
"""Hexadecimal digits after a letter that escapes a character by its code."""

Emit = Callable[[str], None]


def read_value(source: Source, emit: Emit) -> Reader[None]:
    """Read a value; raise ``Malformed`` where the text is none. What was passed on before that is a start of JSON."""
    closing: list[str] = []  # of the open lists and objects, as they stand in the source
    while True:
        char = yield from source.space()
        if char in CLOSING:
            if len(closing) >= MOST_DEPTH:
                raise Malformed(f"the value is nested deeper than {MOST_DEPTH} levels")
            source.skip()
            emit("[" if char == "(" else char)
            closing.append(CLOSING[char])
            char = yield from source.space()
            if char != closing[-1]:
                if closing[-1] == "}":
                    yield from _key(source, emit)
                continue
        elif char and char in "\"'":
            yield from read_string(source, emit)
        else:
            yield from _atom(source, emit)
        while True:
            if not closing:
                return
            char = yield from source.space()
            if char == closing[-1]:
                source.skip()
                emit("]" if closing.pop() != "}" else "}")
                continue
            if char != ",":
                raise Malformed(instead(char, f"',' or {closing[-1]!r}"))
            source.skip()
            char = yield from source.space()
            if char != closing[-1]:
                emit(", ")
                if closing[-1] == "}":
                    yield from _key(source, emit)
                break


def read_string(source: Source, emit: Emit) -> Reader[None]:
    """Read a string in single or double quotes; pass on a string of JSON."""
    quote = yield from source.peek()
    source.skip()
    emit('"')
    while True:
        char = yield from source.peek()
        if not char:
            raise Malformed("the text ends within a string")
        if plain := source.run(PLAIN[quote]):
            emit(plain)
            continue
        source.skip()
        if char == quote:
            emit('"')
            return
        if char == "\\":
            yield from _escape(source, emit)
        else:
            emit(json.dumps(char)[1:-1])


def read_text(source: Source, what: str) -> Reader[str]:
    """Read a string and return its text; ``Malformed`` names what was expected where there is no string."""
    char = yield from source.space()
    if not char or char not in "\"'":
        raise Malformed(instead(char, what))
    pieces: list[str] = []
    yield from read_string(source, pieces.append)
    return str(json.loads("".join(pieces)))


def to_json(text: str) -> str:
    """Return the JSON text of a whole value; ``Malformed`` where the text is none.

    >>> to_json("{'a': (1, True)}")
    '{"a": [1, true]}'
    """
    source = Source()
    source.feed(text)
    source.end()
    pieces: list[str] = []
    complete(read_value(source, pieces.append))
    if char := complete(source.space()):
        raise Malformed(f"{char!r} follows the value")
    return "".join(pieces)


def _key(source: Source, emit: Emit) -> Reader[None]:
    char = yield from source.space()
    if not char or char not in "\"'":
        raise Malformed(instead(char, "a name in quotes"))
    yield from read_string(source, emit)
    char = yield from source.space()
    if char != ":":
        raise Malformed(instead(char, "':'"))
    source.skip()
    emit(": ")


def _atom(source: Source, emit: Emit) -> Reader[None]:
    """Read a number or a word."""
    text = yield from source.matching(ATOM)
    if text in WORDS:
        emit(WORDS[text])
    elif len(text) <= MOST_ATOM and JSON_NUMBER.fullmatch(text):
        emit(text)
    elif text and len(text) <= MOST_ATOM and OTHER_NUMBER.fullmatch(text):
        emit(_number(text))
    else:
        char = text or (yield from source.peek())
        raise Malformed(instead(char, "a value"))


def _number(text: str) -> str:
    """Return a number as JSON writes it."""
    try:
        return str(int(text, 0))
    except ValueError:
        pass  # no integer: read as a floating-point number
    try:
        value = float(text)
    except ValueError:
        raise Malformed(f"{text[:40]!r} is not a number") from None
    if not math.isfinite(value):
        raise Malformed(f"{text[:40]!r} is not a finite number")
    return repr(value)


def _escape(source: Source, emit: Emit) -> Reader[None]:
    char = yield from source.peek()
    if not char:
        raise Malformed("the text ends within a string")
    if char in HEX:
        digits = (yield from source.ahead(1 + HEX[char]))[1:]
        if len(digits) == HEX[char] and re.fullmatch(r"[0-9a-fA-F]+", digits) and int(digits, 16) < 0x110000:
            source.skip(1 + len(digits))
            emit(f"\\u{digits}" if char == "u" else json.dumps(chr(int(digits, 16)))[1:-1])
            return
    elif char in ESCAPES:
        source.skip()
        emit(ESCAPES[char])
        return
    emit("\\\\")


def instead(char: str, expected: str) -> str:
    """Say what stands in the place of what was expected."""
    return (
        f"{char[:20]!r} stands where {expected} was expected" if char else f"the text ends before {expected}"
    )
