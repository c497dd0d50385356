"""Rewriting expressions: ``transform`` rebuilds an expression bottom-up, ``substitute`` replaces nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from weft.expr.node import Expr, leaf

Change = Callable[[Expr, tuple[Expr, ...]], Expr]
"""The rewrite of a node: called with the node and its rewritten arguments, returns the node's replacement."""


def transform(root: Expr, change: Change, done: dict[Expr, Expr] | None = None, wanted: int = -1) -> Expr:
    """Rewrite an expression bottom-up, each node once, in the order of ``walk``.

    Args:
        root: The expression.
        change: The rewrite of a node; ``Expr.rebuild`` gives the node its rewritten arguments and changes nothing else.
        done: The replacements so far, by node; kept up to date, so that several expressions can share it. Nodes with
            a replacement are not visited.
        wanted: Bits of ``Expr.leaves``: nodes without any of these leaves below them stay as they are and are not
            visited; -1 for all nodes.

    >>> from weft import float32
    >>> from weft.expr import parse
    >>> double = lambda node, args: node.rebuild(args) if args else node * 2.0
    >>> transform(parse("x + y", {"x": float32, "y": float32}), double)
    add(mul(x, 2.0), mul(y, 2.0))
    """
    done = {} if done is None else done
    stack = [root] if root in done or root.leaves & wanted or wanted == -1 else []
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            continue
        left = [arg for arg in node.args if arg not in done and (wanted == -1 or arg.leaves & wanted)]
        if left:
            left.reverse()
            stack += left
            continue
        stack.pop()
        done[node] = change(node, tuple([done.get(arg, arg) for arg in node.args]))
    return done.get(root, root)


class Substitution:
    """A replacement of nodes by others, for several expressions; it caches the rewritten nodes.

    Nodes inside replacements are not replaced again.
    """

    __slots__ = ("_done", "_wanted")

    def __init__(self, replacements: Mapping[Expr, Expr]) -> None:
        self._done: dict[Expr, Expr] = dict(replacements)
        self._wanted = 0
        for node in replacements:
            if node.function == "variable":
                self._wanted |= node.leaves
            elif node.function == "load":
                self._wanted |= leaf(node.data)
            else:
                self._wanted = -1  # such a node has no leaf of its own to look for
                break

    def __call__(self, root: Expr) -> Expr:
        """Return the expression with nodes replaced."""
        return transform(root, Expr.rebuild, self._done, self._wanted)


def substitute(root: Expr, replacements: Mapping[Expr, Expr]) -> Expr:
    """Return ``root`` with nodes replaced; nodes inside replacements are not replaced again.

    >>> from weft import float32
    >>> x = Expr("variable", (), float32, "x")
    >>> substitute(x * x, {x: x + 1.0})
    mul(add(x, 1.0), add(x, 1.0))
    """
    return Substitution(replacements)(root)
