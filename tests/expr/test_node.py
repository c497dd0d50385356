"""Nodes: equal expressions are the same object, from any thread, until it is unreferenced."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

from weft import dtypes
from weft.dtypes import float32, int32, int64, uint32
from weft.errors import ExpressionError
from weft.expr import Expr, call, cast, const, evaluate, load, variable, variables, walk, where
from weft.expr import node as node_module

X, Y, N = variable("x", float32), variable("y", float32), variable("n", int32)


def test_equal_expressions_are_one_object() -> None:
    assert (X + Y) * 2 is (X + Y) * 2.0
    assert X + Y is not Y + X
    assert const(0.0, float32) is not const(-0.0, float32)
    assert const(float("nan"), float32) is const(float("nan"), float32)
    assert const(1, int32) is not const(1, int64)
    assert variable("x", float32) is not variable("x", dtypes.float64)
    assert variable("1", int32) is not const(1, int32)


def test_an_expression_survives_pickling_and_copying_as_itself() -> None:
    root = where(X > 0, load("b0", cast(N, int64), float32), call("exp", X)) + const(float("inf"), float32)
    assert pickle.loads(pickle.dumps(root)) is root
    assert copy.deepcopy(root) is root
    assert copy.copy(root) is root


def test_a_deep_expression_is_no_recursion() -> None:
    root = X
    for _ in range(5000):
        root = root + X
    assert pickle.loads(pickle.dumps(root)) is root
    assert float(evaluate(root, {"x": 1.0})) == 5001.0
    assert "…" in repr(root)


def test_shared_parts_are_visited_and_written_once() -> None:
    root = X
    for _ in range(200):  # 2**200 nodes as a tree
        root = root * root
    assert sum(1 for _ in walk(root)) == 201
    assert len(repr(root)) < 10_000
    assert pickle.loads(pickle.dumps(root)) is root


def test_dead_expressions_vanish() -> None:
    root = call("tanh", variable("only here", float32) * 3.0)
    nodes = [
        weakref.ref(node) for node in walk(root) if node.function != "const"
    ]  # others may use the 3.0 too
    assert len(nodes) == 3
    del root
    gc.collect()
    assert [node() for node in nodes] == [None] * 3
    assert not any("only here" in repr(key) for key in list(node_module._interned))


def test_threads_agree_on_every_node() -> None:
    rounds, workers = 300, 8
    made: list[list[Expr]] = [[] for _ in range(workers)]
    start = threading.Barrier(workers)

    def work(mine: list[Expr]) -> None:
        start.wait()
        mine.extend(variable(f"thread test {i}", float32) * 2.0 + 1.0 for i in range(rounds))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for nodes in zip(*made, strict=True):
        assert len(set(map(id, nodes))) == 1


def test_operators_take_numbers_on_either_side() -> None:
    assert repr(1 + X) == "add(1.0, x)"
    assert repr(2 - X * 3) == "sub(2.0, mul(x, 3.0))"
    assert repr(-X / 4) == "div(neg(x), 4.0)"
    assert repr((N < 3) & (N >= 0) | N.equals(7)) == "or(and(lt(n, 3), ge(n, 0)), eq(n, 7))"
    assert repr(where(X <= 0, 0, X)) == "where(le(x, 0.0), 0.0, x)"


def test_walk_gives_arguments_first_and_variables_in_order() -> None:
    order = list(walk(Y * X + Y))
    assert [repr(node) for node in order] == ["y", "x", "mul(y, x)", "add(mul(y, x), y)"]
    assert variables(Y * X, X + N.equals(0).__class__("variable", (), float32, "z")) == (
        Y,
        X,
        variable("z", float32),
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: call("expo", X), "there is no function 'expo' in expressions, did you mean exp"),
        (lambda: call("exp", X, Y), r"exp: 2 arguments given, expected 1 \(x\)"),
        (lambda: call("add", 1, 2), "type of (1, 2) is not known; write a cast"),
        (lambda: X + N, "add: types (float32, int32) given, expected equal types; cast them"),
        (lambda: N + 1.5, "add: 1.5 meets a value of type int32; cast one of them"),
        (lambda: call("exp", N), "exp: type int32 given, expected a float"),
        (
            lambda: X & Y,
            "and: type float32 given, expected a signed integer or an unsigned integer or a bool",
        ),
        (lambda: where(X, X, Y), "where: types (float32, float32, float32) given, expected (bool, T, T)"),
        (lambda: N + 2**31, "constant 2147483648 is not a value of type int32"),
        (
            lambda: variable("u", uint32) - (-1),
            "constant -1 is not a value of type uint32, which goes from 0 to",
        ),
        (lambda: const(10**400, float32), "constant of 1329 bits is not a value of type float32"),
        (lambda: const(float("nan"), int32), "constant nan is not a value of type int32"),
        (lambda: call("bits", variable("d", dtypes.float64)), "bits: type float64 given, expected float32"),
        (lambda: call("eq", X > 0, 3), "eq: 3 meets a value of type bool; cast one of them"),
    ],
)
def test_mistakes_say_what_was_given_and_expected(make: object, message: str) -> None:
    with pytest.raises(ExpressionError, match=message if "\\" in message else _literally(message)):
        make()  # type: ignore[operator]


def _literally(message: str) -> str:
    import re

    return re.escape(message)


def test_evaluate_answers_loads() -> None:
    data = np.arange(10, dtype="float32")
    root = load("b0", variable("i", int64) * 2, float32) + 0.5
    got = evaluate(root, {"i": np.array([0, 3, 4])}, load=lambda name, index: {"b0": data}[name][index])
    np.testing.assert_array_equal(got, np.array([0.5, 6.5, 8.5], "float32"))
    with pytest.raises(KeyError, match="needs a load function"):
        evaluate(root, {"i": 0})
