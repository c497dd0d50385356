"""Limits on users' WGSL, which are checked before a driver sees it: driver parsers crash the process on deep nesting.

Drivers also allocate the private variables of every invocation in flight, without checking that there is enough memory.
"""

from __future__ import annotations

import ast
import itertools
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from weft.errors import ArgumentError, mistake

MOST_TEXT = 128 << 10
"""The most characters of a kernel."""
MOST_LEVELS = 127
"""The deepest nesting of brackets of any kind; WGSL guarantees 127 nested braces."""
MOST_ALTERNATIVES = 500
"""The most uses of ``else if``; drivers count each as a further level."""
MOST_PRIVATE = 64 << 10
"""The most bytes of an invocation's private variables; WGSL guarantees 8,192."""
MOST_WORK = {True: 2**40, False: 2**46}
"""The largest product of words of the source and invocations of a dispatch, on software drivers (True) and GPUs."""

_TOKEN = re.compile(r"[A-Za-z_]\w*|0[xX][0-9a-fA-F]+[iu]?|\d+[iu]?|->|[<>(){}\[\],:;=+*/%&|^~!?.@-]")
_GENERIC = re.compile(r"array|atomic|ptr|vec[234]|mat[234]x[234]|texture_\w+")
_SCALARS = {"f32": 4, "i32": 4, "u32": 4, "bool": 4, "f16": 2}
_OPERATORS: Mapping[type[ast.AST], Callable[..., int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.USub: operator.neg, ast.UAdd: operator.pos, ast.LShift: lambda a, b: a << min(b, 64),
}  # fmt: skip
_OPENING, _CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}, set(")]}>")


def check(name: str, plain: str) -> None:
    """Check a kernel's text, without its comments, against the limits.

    Raises:
        ArgumentError: a limit is exceeded; the message names it.
    """
    if len(plain) > MOST_TEXT:
        raise ArgumentError(mistake(name, "source", f"{len(plain):,} characters", f"at most {MOST_TEXT:,}"))
    tokens = _TOKEN.findall(plain)
    _check_levels(name, tokens)
    alternatives = sum(1 for pair in itertools.pairwise(tokens) if pair == ("else", "if"))
    if alternatives > MOST_ALTERNATIVES:
        raise ArgumentError(
            mistake(
                name,
                "source",
                f"{alternatives:,} uses of 'else if'",
                f"at most {MOST_ALTERNATIVES}",
                "use switch",
            )
        )
    size = _Sizes(name, tokens).total()
    if size > MOST_PRIVATE:
        raise ArgumentError(
            mistake(name, "the arrays of an invocation", f"{size:,} bytes", f"at most {MOST_PRIVATE:,}",
                    "keep large arrays in an input or output")
        )  # fmt: skip


def check_work(name: str, plain: str, invocations: int, software: bool) -> None:
    """Raise ``ArgumentError`` for a dispatch that would take too long."""
    words, most = max(1, len(_TOKEN.findall(plain))), MOST_WORK[software]
    if invocations * words > most:
        raise ArgumentError(
            mistake(name, "workgroup_count", f"{invocations:,} invocations of {words} words",
                    f"at most {most // words:,} invocations")
        )  # fmt: skip


def _check_levels(name: str, tokens: list[str]) -> None:
    closers: list[str] = []
    for before, token in zip(["", *tokens], tokens, strict=False):
        if token in "([{" or token == "<" and _GENERIC.fullmatch(before):
            closers.append(_OPENING[token])
        elif token in _CLOSING and token in closers[-1:]:
            closers.pop()
        if len(closers) > MOST_LEVELS:
            raise ArgumentError(
                mistake(name, "source", "nested deeper", f"at most {MOST_LEVELS} nested brackets")
            )


class _Sizes:
    """The sizes of the types in a text: arrays of constant size, and structs and aliases with such arrays."""

    def __init__(self, name: str, tokens: list[str]) -> None:
        self.name, self.tokens = name, tokens
        self.constants = dict(self._constants())
        self.named: dict[str, int] = {}

    def total(self) -> int:
        """Return the total size of all occurrences of types with an array, in bytes."""
        found, at = 0, 0
        while at < len(self.tokens):
            token = self.tokens[at]
            if token in ("struct", "alias") and at + 2 < len(self.tokens):
                at = self._declare(at)
            elif token == "array" or token in self.named:
                size, at = self._type(at)
                found += size if token == "array" else self.named[token]
            else:
                at += 1
        return found

    def _declare(self, at: int) -> int:
        """Record the size of a struct or an alias; return the position behind it."""
        kind, name = self.tokens[at], self.tokens[at + 1]
        end = self._end(at, "}" if kind == "struct" else ";")
        size, place = 0, at + 2
        while place < end:
            if self.tokens[place - 1] in (":", "=") and (self.tokens[place] not in "({["):
                member, place = self._type(place)
                size += member
            else:
                place += 1
        if size:
            self.named[name] = size
        return end

    def _end(self, at: int, closer: str) -> int:
        try:
            return self.tokens.index(closer, at)
        except ValueError:
            return len(self.tokens)

    def _type(self, at: int) -> tuple[int, int]:
        """Return the size of the type at a position (0 where it is not constant), and the position behind it."""
        token = self.tokens[at]
        if at + 1 >= len(self.tokens) or self.tokens[at + 1] != "<":
            shape = re.fullmatch(r"(?:vec|mat([234])x)([234])([fiuh])?", token)
            if shape is not None:
                return int(shape[1] or 1) * (4 if shape[2] == "3" else int(shape[2])) * 4, at + 1
            return self.named.get(token, _SCALARS.get(token, 0)), at + 1
        inner, place = self._type(at + 2)
        if token == "array":
            if self.tokens[place : place + 1] != [","]:
                return 0, place + 1  # a runtime-sized array
            end = self._closing(place)
            return max(inner, 1) * self._constant(self.tokens[place + 1 : end]), end + 1
        shape = re.fullmatch(r"(?:vec|mat([234])x)([234])", token)
        size = (
            inner if shape is None else int(shape[1] or 1) * (4 if shape[2] == "3" else int(shape[2])) * inner
        )
        return size, self._closing(place - 1) + 1

    def _closing(self, at: int) -> int:
        """Return the position of the closing angle bracket for the bracket that is open at a position."""
        depth = 0
        for place in range(at, len(self.tokens)):
            token = self.tokens[place]
            depth += (token in ("(", "[") or token == "<") - (token in (")", "]"))
            if token == ">":
                if depth <= 0:
                    return place
                depth -= 1
        return len(self.tokens)

    def _constants(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the names of module constants with the tokens of their expressions."""
        for at, token in enumerate(self.tokens):
            if token in ("const", "override"):
                end = self._end(at, ";")
                if "=" in self.tokens[at:end] and at + 1 < end:
                    yield self.tokens[at + 1], self.tokens[self.tokens.index("=", at) + 1 : end]

    def _constant(self, tokens: list[str]) -> int:
        """Return the value of a constant integer expression."""
        try:
            value = self._value(_parsed(tokens), 0)
        except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
            raise ArgumentError(
                mistake(
                    self.name,
                    "the size of an array",
                    repr(" ".join(tokens)[:80]),
                    "an integer or arithmetic on constants",
                )
            ) from None
        return max(value, 0)

    def _value(self, node: Any, level: int) -> int:
        if level > MOST_LEVELS:
            raise ValueError("circular constants")
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.Name(id=name) if name in self.constants:
                return self._value(_parsed(self.constants[name]), level + 1)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](self._value(left, level + 1), self._value(right, level + 1))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](self._value(operand, level + 1))
            case ast.Call(func=ast.Name(id="u32" | "i32"), args=[argument], keywords=[]):
                return self._value(argument, level + 1)
            case _:
                raise ValueError("not a constant expression")


def _parsed(tokens: list[str]) -> ast.expr:
    """Parse a constant expression as Python: integers lose their suffixes, and ``/`` becomes ``//``."""
    plain = [re.sub(r"(?<=[0-9a-fA-F])[iu]$", "", token) for token in tokens]
    text = " ".join(plain).replace("/", "//").replace("< <", "<<").strip(" ,")
    return ast.parse(text, mode="eval").body
