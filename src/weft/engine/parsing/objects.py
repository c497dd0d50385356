"""Calls as JSON objects: ``{"name": …, "arguments": {…}}``, alone, one after another, or in a list; and Mistral's."""

from __future__ import annotations

import json
import re

from weft.engine.parsing.output import Output
from weft.engine.parsing.source import Malformed, Reader, Source
from weft.engine.parsing.values import Emit, instead, read_text, read_value, to_json

ARGUMENTS = ("arguments", "parameters")
IGNORED = ("type", "id")
"""Further keys of a call's object; an id is taken from there where it stands before the name."""
CALL_ID, ARGS = "[CALL_ID]", "[ARGS]"
NAME = re.compile(r"[^\s{}\[\]\"'<>(),:]+")


def read_objects(source: Source, output: Output, *, known: bool = False) -> Reader[None]:
    """Read an object, a list of objects, or several with ``;``, ``,`` or white space between them."""
    char = yield from source.space()
    listed = char == "["
    if listed:
        source.skip()
    while True:
        yield from read_object(source, output, known=known)
        char = yield from source.space()
        if char and char in ",;":
            source.skip()
            char = yield from source.space()
        if char == "{":
            continue
        if not listed:
            source.rewind()
        elif char == "]":
            source.skip()
        else:
            raise Malformed(instead(char, "']'"))
        return


def read_object(source: Source, output: Output, *, known: bool = False) -> Reader[None]:
    """Read the object of one call. Arguments that stand before the name are passed on behind it."""
    char = yield from source.space()
    if char != "{":
        raise Malformed(instead(char, "the object of a call"))
    source.skip()
    name: str | None = None
    early: str | None = None
    given, id = False, ""
    while True:
        key = yield from read_text(source, "a key of a call")
        yield from _colon(source)
        if key == "name" and name is None:
            name = yield from read_text(source, "the name of a tool")
            output.start(name, id=id, known=known)
            if early is not None:
                output.arguments(early)
        elif key in ARGUMENTS and not given:
            given = True
            if name is None:
                pieces: list[str] = []
                yield from read_arguments(source, pieces.append)
                early = "".join(pieces)
            else:
                yield from read_arguments(source, output.arguments)
        elif key in IGNORED:
            pieces = []
            yield from read_value(source, pieces.append)
            value = json.loads("".join(pieces))
            id = value if key == "id" and isinstance(value, str) else id
        else:
            raise Malformed(f"{key[:40]!r} is not a key of a call")
        char = yield from source.space()
        if char != ",":
            break
        source.skip()
    if name is None:
        raise Malformed("the object of a call names no tool")
    if char == "}":
        source.skip()
    elif not given:
        raise Malformed(instead(char, "'}'"))
    if not given:
        output.arguments("{}")
    output.end()  # also where only the object's brace is missing: the arguments are complete


def _colon(source: Source) -> Reader[None]:
    char = yield from source.space()
    if char != ":":
        raise Malformed(instead(char, "':'"))
    source.skip()


def read_arguments(source: Source, emit: Emit) -> Reader[None]:
    """Read arguments: an object, the JSON text of an object in a string, or null for none."""
    char = yield from source.space()
    if char == "{":
        yield from read_value(source, emit)
        return
    if char and char in "\"'":
        text = (yield from read_text(source, "arguments")).strip()
        value = to_json(text) if text else "{}"
    else:
        pieces: list[str] = []
        yield from read_value(source, pieces.append)
        value = "".join(pieces).replace("null", "{}")
    if not value.startswith("{"):
        raise Malformed(f"the arguments are {value[:40]}, expected an object")
    emit(value)


def read_mistral(source: Source, output: Output) -> Reader[None]:
    """Read what follows ``[TOOL_CALLS]``: a list of objects, or ``name[CALL_ID]id[ARGS]{…}``."""
    char = yield from source.space()
    if char and char in "[{":
        yield from read_objects(source, output)
        return
    name = yield from source.matching(NAME)
    id = ""
    if (yield from source.ahead(len(CALL_ID))) == CALL_ID:
        source.skip(len(CALL_ID))
        id = yield from source.matching(NAME)
    if (yield from source.ahead(len(ARGS))) == ARGS:
        source.skip(len(ARGS))
    char = yield from source.space()
    if char != "{":
        raise Malformed(instead(char, "the arguments of a call"))
    output.start(name, id=id)
    yield from read_arguments(source, output.arguments)
    output.end()
