"""Bounds on users' WGSL, held before a driver sees it: parsers of drivers end the process where text nests too deep.

Drivers also take the memory of an invocation's own variables for every invocation that is under way, without asking
whether there is so much.
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
"""Characters of a kernel."""
MOST_LEVELS = 127
"""Brackets of any kind within each other; WGSL promises that 127 braces are taken."""
MOST_ALTERNATIVES = 500
"""Uses of ``else if``, each of which drivers take for one level more."""
MOST_PRIVATE = 64 << 10
"""Bytes of the variables of an invocation; WGSL promises 8,192."""
MOST_WORK = {True: 2**40, False: 2**46}
"""Words of the text times invocations of a dispatch, on software drivers and on hardware."""

_TOKEN = re.compile(r"[A-Za-z_]\w*|0[xX][0-9a-fA-F]+[iu]?|\d+[iu]?|->|[<>(){}\[\],:;=+*/%&|^~!?.@-]")
_GENERIC = re.compile(r"array|atomic|ptr|vec[234]|mat[234]x[234]|texture_\w+")
_SCALARS = {"f32": 4, "i32": 4, "u32": 4, "bool": 4, "f16": 2}
_OPERATORS: Mapping[type[ast.AST], Callable[..., int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.USub: operator.neg, ast.UAdd: operator.pos, ast.LShift: lambda a, b: a << min(b, 64),
}  # fmt: skip
_OPENING, _CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}, set(")]}>")


def check(name: str, plain: str) -> None:
    """Hold a kernel's text, without its comments, against the bounds.

    Raises:
        ArgumentError: naming the bound that is passed.
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
    """Raise ``ArgumentError`` for a dispatch that takes longer than anybody waits."""
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
                mistake(name, "source", "nested deeper", f"at most {MOST_LEVELS} brackets within each other")
            )


class _Sizes:
    """Bytes of the types that a text names: arrays of constant size, and structs and aliases with such arrays."""

    def __init__(self, name: str, tokens: list[str]) -> None:
        self.name, self.tokens = name, tokens
        self.constants = dict(self._constants())
        self.named: dict[str, int] = {}

    def total(self) -> int:
        """The bytes of all places that name a type with an array in it, each counted where it stands."""
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
        """A struct or an alias: its bytes, and the place behind it."""
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
        """The bytes of the type at a place (0 where its size is not constant), and the place behind it."""
        token = self.tokens[at]
        if at + 1 >= len(self.tokens) or self.tokens[at + 1] != "<":
            shape = re.fullmatch(r"(?:vec|mat([234])x)([234])([fiuh])?", token)
            if shape is not None:
                return int(shape[1] or 1) * (4 if shape[2] == "3" else int(shape[2])) * 4, at + 1
            return self.named.get(token, _SCALARS.get(token, 0)), at + 1
        inner, place = self._type(at + 2)
        if token == "array":
            if self.tokens[place : place + 1] != [","]:
                return 0, place + 1  # of a size that is not known before it is bound
            end = self._closing(place)
            return max(inner, 1) * self._constant(self.tokens[place + 1 : end]), end + 1
        shape = re.fullmatch(r"(?:vec|mat([234])x)([234])", token)
        size = (
            inner if shape is None else int(shape[1] or 1) * (4 if shape[2] == "3" else int(shape[2])) * inner
        )
        return size, self._closing(place - 1) + 1

    def _closing(self, at: int) -> int:
        """Where the angle bracket closes that is open at a place."""
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
        """The expressions of module constants, by name."""
        for at, token in enumerate(self.tokens):
            if token in ("const", "override"):
                end = self._end(at, ";")
                if "=" in self.tokens[at:end] and at + 1 < end:
                    yield self.tokens[at + 1], self.tokens[self.tokens.index("=", at) + 1 : end]

    def _constant(self, tokens: list[str]) -> int:
        """The value of a constant integer expression."""
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
            raise ValueError("constants of each other")
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
                raise ValueError("no constant")


def _parsed(tokens: list[str]) -> ast.expr:
    """A constant expression as Python's: integers without their suffixes, ``/`` of integers as ``//``."""
    plain = [re.sub(r"(?<=[0-9a-fA-F])[iu]$", "", token) for token in tokens]
    text = " ".join(plain).replace("/", "//").replace("< <", "<<").strip(" ,")
    return ast.parse(text, mode="eval").body
