"""Recognise written-out layer norm and RMS norm: they become ``norm``, with a following scale and shift as operands."""

from __future__ import annotations

from typing import Any

from weft.graph.ir import Node, Var
from weft.graph.passes.patterns.match import Form, Found, Op, fold, kept_dims, match, op
from weft.graph.passes.rewrite import Rewriting, Rule


def _mean_square(value: Form) -> Form:
    return tuple(
        fold("mean", square, "variance") for square in (op("square", value), op("mul", value, value))
    )


def _scaled(value: Form, variance: Form) -> tuple[Op, ...]:
    """Return the forms of a value divided by the root of its variance plus an epsilon."""
    root = (op("add", variance, "#eps"),)
    deviation = op("sqrt", root)
    inverses = (op("rsqrt", root), op("reciprocal", deviation), op("div", 1.0, deviation))
    return op("mul", value, inverses), op("div", value, deviation)


_CENTRED = op("sub", "x", fold("mean", "x", "mean"), called="centred")
_VARIANCE = fold("var_mean", "x", "variance")

FORMS: tuple[tuple[bool, Op], ...] = (
    *((True, form) for form in _scaled(_CENTRED, (_mean_square(_CENTRED), _VARIANCE))),
    *((False, form) for form in _scaled("x", _mean_square("x"))),
)
"""Pairs of whether the mean is subtracted, and the form; larger forms first."""


def _fits(found: Found, center: bool) -> tuple[int, ...] | None:
    """Return the common dimensions of all reductions of a match; ``None`` where they differ."""
    shape = found["x"].type.shape
    dims = kept_dims(found, "variance", shape)
    options = dict(found["variance"].attributes)
    if center and kept_dims(found, "mean", shape) != dims:
        return None
    return dims if options.get("correction", 0.0) == 0.0 and found["#eps"] >= 0 else None


def _rule(center: bool, form: Op) -> Rule:
    def rule(node: Node, graph: Rewriting) -> Var | None:
        for found in match(form, node, graph):
            x: Var = found["x"]
            dims = _fits(found, center)
            if (
                dims
                and x.type == node.outputs[0].type
                and x.type.dtype.kind == "float"
                and 0 not in x.type.shape
            ):
                return _norm(node, graph, (x,), {"dims": dims, "eps": float(found["#eps"]), "center": center})
        return None

    return rule


def _norm(node: Node, graph: Rewriting, inputs: tuple[Var, ...], options: dict[str, Any]) -> Var:
    from weft.ops import lookup

    types = lookup("norm").infer(*(source.type for source in inputs), **options)
    return graph.emit_all(node, "norm", inputs, options, types)[0]


def _parameter(count: int) -> Rule:
    """Return a rule that makes a factor, or a term behind a factor, an operand of the norm."""

    def rule(node: Node, graph: Rewriting) -> Var | None:
        for at, other in ((0, 1), (1, 0)):
            given, parameter = node.inputs[at], node.inputs[other]
            inner = graph.maker(given, "norm")
            if inner is None or not isinstance(parameter, Var) or inner.outputs[0] is not given:
                continue
            x = inner.inputs[0]
            assert isinstance(x, Var)
            shape = parameter.type.shape
            missing = len(x.type.shape) - len(shape)
            read = [len(graph.readers(out)) for out in inner.outputs]
            if len(inner.inputs) != count or read != [1, 0, 0] or missing < 0:
                continue
            if parameter.type.dtype is not x.type.dtype or node.outputs[0].type != x.type:
                continue
            if missing:
                parameter = graph.emit(node, "reshape", parameter, shape=(1,) * missing + shape)
            operands = tuple(source for source in inner.inputs if isinstance(source, Var))
            return _norm(node, graph, (*operands, parameter), dict(inner.attributes))
        return None

    return rule


RULES: dict[str, tuple[Rule, ...]] = {
    "mul": (*(_rule(*form) for form in FORMS if form[1].op == "mul"), _parameter(1)),
    "div": tuple(_rule(*form) for form in FORMS if form[1].op == "div"),
    "add": (_parameter(2),),
}
