"""Rewriting expressions: each node once, in the order of ``walk``, and only below the wanted leaves."""

from __future__ import annotations

from weft import float32
from weft.expr import Expr, const, load, parse, substitute, transform, variable, walk
from weft.expr.node import INDEX, LOADS

TYPES = dict.fromkeys("xyz", float32)
X, Y, Z = (variable(name, float32) for name in "xyz")


def test_nodes_are_visited_once_in_the_order_of_walk() -> None:
    root = parse("s = x * y\n(s + z) * exp(s - z)", TYPES)
    visited: list[Expr] = []

    def change(node: Expr, args: tuple[Expr, ...]) -> Expr:
        visited.append(node)
        return node.rebuild(args)

    assert transform(root, change) is root
    assert visited == list(walk(root))


def test_replacements_are_shared_between_expressions() -> None:
    done: dict[Expr, Expr] = {X: Z}
    visited: list[Expr] = []

    def change(node: Expr, args: tuple[Expr, ...]) -> Expr:
        visited.append(node)
        return node.rebuild(args)

    assert transform(X * Y, change, done) is Z * Y
    assert transform((X * Y) + Y, change, done) is (Z * Y) + Y
    assert visited == [Y, X * Y, (X * Y) + Y]


def test_only_nodes_below_the_wanted_leaves_are_visited() -> None:
    place = load("a", variable("i", INDEX), float32)
    root = (X * Y) + place * Y

    def moved(node: Expr, args: tuple[Expr, ...]) -> Expr:
        assert node.leaves & LOADS
        return node.rebuild(args, "b" if node.function == "load" else None)

    assert transform(root, moved, wanted=LOADS) is (X * Y) + load("b", variable("i", INDEX), float32) * Y
    assert transform(X * Y, moved, wanted=LOADS) is X * Y


def test_substitution_does_not_search_replacements() -> None:
    assert substitute(X * Y, {X: X + Y, Y: const(2.0, float32)}) is (X + Y) * 2.0
    assert substitute((X * Y) + Z, {X * Y: Z}) is Z + Z


def test_rebuild_keeps_equal_nodes() -> None:
    root = X * Y
    assert root.rebuild(root.args) is root
    assert root.rebuild((Y, Y)) is Y * Y
    nan = const(float("nan"), float32)
    assert nan.rebuild(()) is nan
