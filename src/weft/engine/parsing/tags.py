"""Calls as tags: ``<function=f><parameter=x>value</parameter></function>``, with types from the tool's JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from weft.engine.parsing.output import Output
from weft.engine.parsing.source import Malformed, Markers, Reader, Source
from weft.engine.parsing.values import WORDS, Emit, instead, to_json

FUNCTION, PARAMETER = "<function=", "<parameter="
END_FUNCTION, END_PARAMETER = "</function>", "</parameter>"
END_OF_NAME = Markers([">"])
END_OF_VALUE = Markers([END_PARAMETER])


def read_function(source: Source, output: Output) -> Reader[None]:
    """Read a function after ``<function=``, up to ``</function>``."""
    name = yield from _name(source)
    output.start(name)
    output.arguments("{")
    schema = output.tools.get(name)
    keys: set[str] = set()
    while True:
        yield from source.space()
        tag = yield from source.ahead(len(END_FUNCTION))
        if tag == END_FUNCTION:
            source.skip(len(tag))
            output.arguments("}")
            output.end()
            return
        yield from source.expect(PARAMETER)
        key = yield from _name(source)
        if key in keys:
            raise Malformed(f"the parameter {key[:40]!r} stands twice")
        output.arguments((", " if keys else "") + json.dumps(key, ensure_ascii=False) + ": ")
        keys.add(key)
        yield from _value(source, output.arguments, types(schema, key))


def types(schema: Any, key: str) -> frozenset[str]:
    """Return the types that a tool's schema allows for a parameter; ``string`` where it names none.

    >>> sorted(types({"properties": {"x": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}, "x"))
    ['integer', 'null']
    """
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    found = _types(properties.get(key)) if isinstance(properties, Mapping) else set()
    return frozenset(found or {"string"})


def _types(schema: Any) -> set[str]:
    if not isinstance(schema, Mapping):
        return set()
    given = schema.get("type")
    found = {given} if isinstance(given, str) else set(given) if isinstance(given, list) else set()
    for part in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(part) or ():
            found |= _types(option)
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if not found and isinstance(values, list):
        found |= {JSON_TYPES.get(type(value), "string") for value in values}
    return found


JSON_TYPES = {
    str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", list: "array", dict: "object"
}  # fmt: skip


def _integer(text: str) -> str:
    try:
        return str(int(text))
    except ValueError:
        value = float(text)  # such as 5.0
    if not value.is_integer():
        raise ValueError(text)
    return str(int(value))


def _number(text: str) -> str:
    value = to_json(text)
    float(value)
    return value


def _starting(start: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        value = to_json(text)
        if not value.startswith(start):
            raise ValueError(value)
        return value

    return read


def _word(*words: str) -> Callable[[str], str]:
    return lambda text: {word: WORDS[word] for word in words}[text.strip()]


READ = {
    "null": _word("null", "None"),
    "boolean": _word("true", "True", "false", "False"),
    "integer": _integer,
    "number": _number,
    "object": _starting("{"),
    "array": _starting("["),
}
"""What reads a value as JSON text, by the type of JSON Schema, in the order in which the types are tried."""


def _value(source: Source, emit: Emit, allowed: frozenset[str]) -> Reader[None]:
    """Read a value up to ``</parameter>``; a line break after the start and before the end is not part of it.

    A value that is of none of the allowed types is passed on as a string, so that its text is not lost.
    """
    yield from _line_break(source)
    if allowed == {"string"}:
        emit('"')
        tail = _WithoutLineBreak(lambda text: emit(json.dumps(text, ensure_ascii=False)[1:-1]))
        if not (yield from END_OF_VALUE.find(source, tail.push)):
            tail.flush()
            raise Malformed("the text ends within a parameter")
        emit('"')
        return
    pieces: list[str] = []
    ended = yield from END_OF_VALUE.find(source, pieces.append)
    text = "".join(pieces)
    if not ended:
        emit(json.dumps(text, ensure_ascii=False)[:-1])
        raise Malformed("the text ends within a parameter")
    emit(_converted(text.removesuffix("\n").removesuffix("\r"), allowed))


def _converted(text: str, allowed: frozenset[str]) -> str:
    for kind, read in READ.items():
        if kind in allowed:
            try:
                return read(text)
            except (ValueError, KeyError, Malformed):
                continue  # of another type
    return json.dumps(text, ensure_ascii=False)


class _WithoutLineBreak:
    """Passes text on without the line break at its end."""

    def __init__(self, emit: Emit) -> None:
        self._emit, self._held = emit, ""

    def push(self, text: str) -> None:
        text = self._held + text
        kept = text.removesuffix("\n").removesuffix("\r")
        self._held = text[len(kept) :]
        if kept:
            self._emit(kept)

    def flush(self) -> None:
        """Pass on what was held back."""
        if self._held:
            self._emit(self._held)


def _line_break(source: Source) -> Reader[None]:
    if (yield from source.peek()) == "\r":
        source.skip()
    if (yield from source.peek()) == "\n":
        source.skip()


def _name(source: Source) -> Reader[str]:
    pieces: list[str] = []
    if not (yield from END_OF_NAME.find(source, pieces.append)):
        raise Malformed(instead("", "'>'"))
    return "".join(pieces).strip()
