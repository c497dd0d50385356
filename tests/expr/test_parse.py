"""The parser: the accepted syntax and its types, and the refusal of everything else."""

from __future__ import annotations

import re
from contextlib import suppress

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from weft.dtypes import BY_NAME, bool_, float32, float64, int32, int64, uint32
from weft.errors import ExpressionError
from weft.expr import evaluate, parse

TYPES = {"x": float32, "y": float32, "n": int32, "m": int32, "u": uint32, "b": bool_, "d": float64}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x * sigmoid(x)", "mul(x, sigmoid(x))"),
        ("-x + 2", "add(neg(x), 2.0)"),
        ("n // 2 % 3", "mod(floordiv(n, 2), 3)"),
        ("u & 0xff | u << 3 ^ u >> 1", "or(and(u, 255), xor(shl(u, 3), shr(u, 1)))"),
        ("~u", "not(u)"),
        ("0 <= n < 10", "and(le(0, n), lt(n, 10))"),
        ("b and not x > 0 or n == 1", "or(and(b, not(gt(x, 0.0))), eq(n, 1))"),
        ("x if x > 0 else 0", "where(gt(x, 0.0), x, 0.0)"),
        ("select(b, 1, n)", "where(b, 1, n)"),
        ("max(x, min(y, 1))", "maximum(x, minimum(y, 1.0))"),
        ("float32(n) * 0.5", "mul(float32(n), 0.5)"),
        ("float32(1)", "1.0"),
        ("int64(n) + int64(2.9)", "add(int64(n), 2)"),
        ("x == inf", "eq(x, inf)"),
        ("x * -inf", "mul(x, -inf)"),
        ("x + 2 * 3 - 1", "sub(add(x, 6.0), 1.0)"),
        ("t = x * x\nt + t", "add(mul(x, x), mul(x, x))"),
        ("\n    half = 0.5\n    x * half\n    ", "mul(x, 0.5)"),
        ("x = x + 1\nx = x * 2\nx", "mul(add(x, 1.0), 2.0)"),
        ("x ** 2", "mul(x, x)"),
        ("x ** 3", "mul(x, mul(x, x))"),
        ("n ** 4", "mul(mul(n, n), mul(n, n))"),
        ("x ** 0", "1.0"),
        ("x ** -1", "div(1.0, x)"),
        ("x ** -2.0", "div(1.0, mul(x, x))"),
        ("x ** 0.5", "pow(x, 0.5)"),
        ("x ** 9", "pow(x, 9.0)"),
        ("2 ** x", "pow(2.0, x)"),
        ("x ** y", "pow(x, y)"),
    ],
)
def test_a_source_gives_this_expression(source: str, expected: str) -> None:
    assert repr(parse(source, TYPES)) == expected


@pytest.mark.parametrize(
    ("source", "dtype"),
    [
        ("x > 1", bool_), ("n + 1", int32), ("bits(x)", uint32), ("from_bits(u)", float32), ("isnan(d)", bool_),
        ("d * 2", float64), ("int64(x)", int64), ("where(b, n, 0)", int32), ("bool(n)", bool_), ("b != b", bool_),
    ],
)  # fmt: skip
def test_types_are_found_from_the_leaves_up(source: str, dtype: object) -> None:
    assert parse(source, TYPES).dtype is dtype


@pytest.mark.parametrize("name", BY_NAME)
def test_every_type_is_a_cast(name: str) -> None:
    assert parse(f"{name}(x)", TYPES).dtype is BY_NAME[name]


MISTAKES = [
    ("x +", "invalid syntax", 3),
    ("", "an expression must end with a value", 0),
    ("x * z", "'z' is not one of x, y, n, m, u, b, d, inf, nan, pi, e, ln2", 4),
    ("x + n", "add: types (float32, int32) given", 0),
    ("1 + expo(x)", "there is no function 'expo' in expressions, did you mean exp", 4),
    ("x and y", "`and`, `or` and `not` take bools, float32 given; write `!= 0`, or `&`, `|`", 0),
    ("not n", "`and`, `or` and `not` take bools, int32 given", 4),
    ("x + 'a'", "a constant of type str is not a number", 4),
    ("x + b''", "a constant of type bytes is not a number", 4),
    ("x + 1j", "a constant of type complex is not a number", 4),
    ("x + None", "a constant of type NoneType is not a number", 4),
    ("x + ...", "a constant of type ellipsis is not a number", 4),
    ("x.real", "Attribute is not part of the expression language", 0),
    ("x[0]", "Subscript is not part", 0),
    ("(lambda: x)()", "a call is a function's name and positional arguments", 0),
    ("exp(x)(x)", "a call is a function's name and positional arguments", 0),
    ("exp(x=x)", "a call is a function's name and positional arguments", 0),
    ("exp(*x)", "Starred is not part", 4),
    ("exp(**x)", "a call is a function's name and positional arguments", 0),
    ("[x for x in y]", "ListComp is not part", 0),
    ("{x: y}", "Dict is not part", 0),
    ("(x, y)", "Tuple is not part", 0),
    ("f'{x}'", "JoinedStr is not part", 0),
    ("(z := x)", "NamedExpr is not part", 1),
    ("x is y", "Is is not part", 0),
    ("x in y", "In is not part", 0),
    ("+x", "this operator is not part of the expression language", 0),
    ("x @ y", "this operator is not part of the expression language", 0),
    ("yield x", "Yield is not part", 0),
    ("await x", "Await is not part", 0),
    ("__import__('os')", "a constant of type str is not a number", 11),
    ("import os", "an expression must end with a value", 0),
    ("import os\nx", "only assignments to a name may stand before the value", 0),
    ("def f(): pass\nx", "only assignments to a name may stand before the value", 0),
    ("x: float32 = y\nx", "only assignments to a name", 0),
    ("x = y = 1\nx", "only assignments to a name", 0),
    ("x, y = 1\nx", "only assignments to a name", 0),
    ("x += 1\nx", "only assignments to a name", 0),
    ("x = 1", "an expression must end with a value", 0),
    ("1 + 2", "the value is a bare number; write its type, float32(1)", 0),
    ("float32()", "float32(…) is a cast and takes one value", 0),
    ("float32(x, x)", "float32(…) is a cast and takes one value", 0),
    ("int32(3000000000)", "constant 3000000000 is not a value of type int32", 0),
    ("int32(nan)", "constant nan is not a value of type int32", 0),
    ("n + 99999999999", "constant 99999999999 is not a value of type int32", 0),
    ("n ** -1", "pow: type int32 given, expected a float", 0),
    ("1.5 * (10 ** 400)", "the type of (10, 400) is not known", 7),
    ("x\0", "null byte", 0),
    ("1 / 0", "the type of (1, 0) is not known", 0),
    ("9 ** 9 ** 9", "the type of (9, 9) is not known", 5),
]


@pytest.mark.parametrize(
    ("source", "message", "column"), MISTAKES, ids=[source[:24] for source, *_ in MISTAKES]
)
def test_a_mistake_is_named_and_pointed_at(source: str, message: str, column: int) -> None:
    with pytest.raises(ExpressionError, match=re.escape(message)) as caught:
        parse(source, TYPES)
    *_, shown, caret = str(caught.value).split("\n")
    assert caret == " " * (4 + column) + "^", f"the caret points elsewhere:\n{caught.value}"
    assert shown.startswith("    ")


def test_the_caret_counts_characters_and_finds_the_line() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("ärger = x * 2\nlänge = ärger + öl\nlänge", TYPES)
    *_, shown, caret = str(caught.value).split("\n")
    assert shown == "    länge = ärger + öl"
    assert caret.index("^") == shown.index("öl")


def test_a_long_line_is_shown_around_the_mistake() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(" + ".join(["x"] * 50 + ["wrong"] + ["x"] * 10), TYPES)
    *_, shown, caret = str(caught.value).split("\n")
    assert len(shown) <= 104
    assert shown[caret.index("^") :].startswith("wrong")


@pytest.mark.parametrize(
    "source",
    [
        "(" * 5000 + "x" + ")" * 5000,
        "exp(" * 150 + "x" + ")" * 150,
        "-" * 5000 + "x",
        "x" + " + x" * 20_000,
        "not " * 5000 + "b",
        "b == " * 3 + "(" * 150 + "b" + " == b)" * 150,
        "[" * 90 + "x" + "]" * 90,
        "x" + "[0]" * 2000,
        "x if b else " * 3000 + "x",
        "9" * 5000 + " + x",
        "x" + " ** 2" * 2000,
    ],
    ids=lambda source: source[:12] + "…",
)
def test_hostile_sources_are_errors_and_quick(source: str) -> None:
    with pytest.raises(ExpressionError):
        parse(source, TYPES)


def test_a_chained_comparison_reads_its_middle_once() -> None:
    source = "b"
    for _ in range(40):  # 2**40 nodes if the middle term were read twice
        source = f"b == ({source}) == b"
    assert parse(source, TYPES).dtype is bool_


def test_names_of_parts_may_be_used_again_without_growth() -> None:
    root = parse("\n".join(["x = x * x"] * 60) + "\nx", TYPES)
    assert float(evaluate(root, {"x": np.float32(1)})) == 1.0


@given(st.text(max_size=40) | st.text("xynub+-*/%()<>=&|~^ 0123456789.,\n", max_size=60))
def test_any_text_is_an_expression_or_an_expression_error(source: str) -> None:
    with suppress(ExpressionError):
        parse(source, TYPES)


def test_parsing_is_cached() -> None:
    assert parse("x * 3 + y", TYPES) is parse("x * 3 + y", TYPES)
