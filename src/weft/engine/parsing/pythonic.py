"""Calls as Python writes them: ``[f(a=1), g(b="x")]``, or one on each line."""

from __future__ import annotations

import json
import re

from weft.engine.parsing.output import Output
from weft.engine.parsing.source import Malformed, Reader, Source
from weft.engine.parsing.values import instead, read_value

DOTTED = re.compile(r"[\w.\-]+")
WORD = re.compile(r"\w+")


def read_calls(source: Source, output: Output, *, known: bool = False) -> Reader[None]:
    """Read calls in brackets with commas between them, or without brackets one after another."""
    char = yield from source.space()
    listed = char == "["
    if listed:
        source.skip()
    while True:
        yield from source.space()
        yield from read_call(source, output, known=known)
        char = yield from source.space()
        if char == ",":
            source.skip()
            char = yield from source.space()
        if listed and char == "]":
            source.skip()
            return
        if DOTTED.match(char):
            continue
        if listed:
            raise Malformed(instead(char, "',' or ']'"))
        source.rewind()
        return


def read_call(source: Source, output: Output, *, known: bool = False) -> Reader[None]:
    """Read ``name(key=value, …)``."""
    name = yield from source.matching(DOTTED)
    char = yield from source.peek()
    if char != "(" or not name:
        raise Malformed(instead(name or char, "a call"))
    source.skip()
    output.start(name, known=known)
    output.arguments("{")
    keys: set[str] = set()
    while (char := (yield from source.space())) != ")":
        key = yield from source.matching(WORD)
        char = yield from source.space()
        if not key or char != "=":
            raise Malformed(instead(char if key else key or char, "'=' after the name of an argument"))
        if key in keys:
            raise Malformed(f"the argument {key[:40]!r} stands twice")
        source.skip()
        output.arguments((", " if keys else "") + json.dumps(key, ensure_ascii=False) + ": ")
        keys.add(key)
        yield from read_value(source, output.arguments)
        char = yield from source.space()
        if char == ",":
            source.skip()
        elif char != ")":
            raise Malformed(instead(char, "',' or ')'"))
    source.skip()
    output.arguments("}")
    output.end()
