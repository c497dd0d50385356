"""Expressions over NumPy arrays: the reference that generated kernels are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weft.expr.functions import FUNCTIONS
from weft.expr.node import Expr, walk


def evaluate(root: Expr, values: Mapping[str, Any], load: Callable[[str, Any], Any] | None = None) -> Any:
    """Return the value of ``root`` for variables by name; ``load(buffer, index)`` returns the loaded elements.

    >>> from weft import float64
    >>> from weft.expr import parse
    >>> float(evaluate(parse("x * x + 1", {"x": float64}), {"x": 3.0}))
    10.0
    """
    import numpy

    done: dict[Expr, Any] = {}
    with numpy.errstate(all="ignore"):
        for node in walk(root):
            if node.function == "const":
                result: Any = numpy.asarray(node.data, node.dtype.numpy)
            elif node.function == "variable":
                result = numpy.asarray(values[node.data], node.dtype.numpy)
            elif node.function == "load":
                if load is None:
                    raise KeyError(f"{node!r} needs a load function")
                result = numpy.asarray(load(node.data, done[node.args[0]]), node.dtype.numpy)
            elif node.function == "cast":
                result = done[node.args[0]].astype(node.dtype.numpy)
            else:
                args = [done[arg] for arg in node.args]
                result = numpy.asarray(FUNCTIONS[node.function].numpy(*args)).astype(
                    node.dtype.numpy, copy=False
                )
            done[node] = result
    return done[root]
