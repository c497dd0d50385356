"""``simplify``: remove operations without effect (``x * 1``, views of views, copies), and fold constants.

Every value keeps its bits: ``x + 0`` turns -0 into +0, so it stays. A copy is the identity in a graph, whose values are
immutable; planning decides which results need memory of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from weft.dtypes import DType
from weft.errors import ExpressionError
from weft.expr import Expr, cast, const, substitute, variable
from weft.expr import simplify as simplified
from weft.graph.ir import Graph, Node, Var
from weft.graph.passes import constants
from weft.graph.passes.rewrite import Rewriting, Rule, rewritten, type_of
from weft.ops import OpSpec, lookup
from weft.ops.pointwise.expressions import Pointwise
from weft.ops.registry.geometry import broadcast_shapes


def simplify(graph: Graph) -> Graph:
    """Return the graph without operations that have no effect.

    >>> import weft as wf
    >>> traced = wf.compiler.trace(lambda x: (x.t().t() * 1.0).clone() + 0.0, wf.ones(2, 3))
    >>> [node.op for node in traced.graph.nodes]
    ['permute', 'permute', 'mul', 'copy', 'add']
    >>> from weft.graph.passes.dce import dce
    >>> [node.op for node in dce(simplify(traced.graph)).nodes]
    ['add']
    """
    return rewritten(graph, rules)


def _first(node: Node) -> Var | None:
    return node.inputs[0] if isinstance(node.inputs[0], Var) else None


def same_type(node: Node, graph: Rewriting) -> Var | None:
    """Remove a view or cast to the shape and type of its operand."""
    source = _first(node)
    return source if source is not None and source.type == node.outputs[0].type else None


def identity(node: Node, graph: Rewriting) -> Var | None:
    """Replace a node by its operand."""
    return _first(node)


# Views: a view of a view of the same kind becomes one view.


def no_order(node: Node, graph: Rewriting) -> Var | None:
    """Remove an identity permutation; a permutation that moves only dimensions of size 1 becomes a reshape."""
    order = dict(node.attributes)["order"]
    if list(order) == sorted(order):
        return _first(node)
    shape = type_of(node.inputs[0]).shape
    moved = [d for d in order if shape[d] != 1]
    if moved == sorted(moved):
        return graph.emit(node, "reshape", node.inputs[0], shape=node.outputs[0].type.shape)
    return None


def permute_of_permute(node: Node, graph: Rewriting) -> Var | None:
    """Compose two permutations."""
    inner = graph.maker(node.inputs[0], "permute")
    if inner is None:
        return None
    first, second = dict(inner.attributes)["order"], dict(node.attributes)["order"]
    return graph.emit(node, "permute", inner.inputs[0], order=tuple(first[d] for d in second))


def reshape_of_reshape(node: Node, graph: Rewriting) -> Var | None:
    """Replace two reshapes by the last, unless the first may copy and has other readers, so that its copy is shared."""
    inner = graph.maker(node.inputs[0], "reshape")
    if inner is None:
        return None
    source = graph.maker(inner.inputs[0])
    if source is not None and lookup(source.op).view is not None and len(graph.readers(inner.outputs[0])) > 1:
        return None
    return graph.emit(node, "reshape", inner.inputs[0], shape=node.outputs[0].type.shape)


def expand_of_expand(node: Node, graph: Rewriting) -> Var | None:
    """Replace two expands by the last; a reshape that only adds leading dimensions of size 1 counts as an expand."""
    shape = node.outputs[0].type.shape
    inner = graph.maker(node.inputs[0], "expand")
    if inner is None:
        inner = graph.maker(node.inputs[0], "reshape")
        if inner is None:
            return None
        given, made = type_of(inner.inputs[0]).shape, inner.outputs[0].type.shape
        if len(made) < len(given) or made != (1,) * (len(made) - len(given)) + given:
            return None
    return graph.emit(node, "expand", inner.inputs[0], shape=shape)


def slice_of_slice(node: Node, graph: Rewriting) -> Var | None:
    """Compose two slices of one dimension."""
    inner = graph.maker(node.inputs[0], "slice")
    outer = dict(node.attributes)
    if inner is None or dict(inner.attributes)["dim"] != outer["dim"]:
        return None
    first = dict(inner.attributes)
    count, step = node.outputs[0].type.shape[outer["dim"]], first["step"] * outer["step"]
    if not count:
        return None
    start = first["start"] + outer["start"] * first["step"]
    stop = start + (count - 1) * step + 1
    return graph.emit(node, "slice", inner.inputs[0], dim=outer["dim"], start=start, stop=stop, step=step)


def cast_of_cast(node: Node, graph: Rewriting) -> Var | None:
    """Replace two casts by the last, where the intermediate type holds every value of the first type."""
    inner = graph.maker(node.inputs[0], "cast")
    if inner is None:
        return None
    source, between = type_of(inner.inputs[0]).dtype, inner.outputs[0].type.dtype
    if not holds_all(between, source):
        return None
    return graph.emit(node, "cast", inner.inputs[0], dtype=node.outputs[0].type.dtype)


_DIGITS = {"float64": (53, 11), "float32": (24, 8), "float16": (11, 5), "bfloat16": (8, 8)}
"""The number of bits of the significand and of the exponent."""


def holds_all(wide: DType, narrow: DType) -> bool:
    """Return whether ``wide`` represents every value of ``narrow`` exactly."""
    if wide is narrow or narrow.kind == "bool":
        return True
    if wide.kind == "float":
        digits, exponent = _DIGITS[wide.name]
        if narrow.kind == "float":
            return digits >= _DIGITS[narrow.name][0] and exponent >= _DIGITS[narrow.name][1]
        return narrow.bits <= digits and exponent >= 8
    if wide.kind == "bool" or narrow.kind == "float":
        return False
    return wide.bits >= narrow.bits + (wide.kind != narrow.kind) and not (
        wide.kind == "uint" and narrow.kind == "int"
    )


# Reductions over one element: a sum adds +0 to the element, other reductions return the element.


def _single(add_zero: bool) -> Rule:
    def rule(node: Node, graph: Rewriting) -> Var | None:
        source, type_ = _first(node), node.outputs[0].type
        assert source is not None
        if any(source.type.shape[d] != 1 for d in dict(node.attributes)["dims"]):
            return None
        value = (
            source
            if source.type.dtype is type_.dtype
            else graph.emit(node, "cast", source, dtype=type_.dtype)
        )
        if value.type.shape != type_.shape:
            value = graph.emit(node, "reshape", value, shape=type_.shape)
        return graph.emit(node, "add", value, 0.0) if add_zero and type_.dtype.kind == "float" else value

    return rule


# Pointwise ops.


def repeated(node: Node, graph: Rewriting) -> Var | None:
    """Remove the expand of an operand, where broadcasting gives the same shape."""
    info: Pointwise = lookup(node.op).info["pointwise"]
    taken, types = list(node.inputs), [type_of(source) for source in node.inputs]
    compute, shape = info.compute(types), node.outputs[0].type.shape
    for at, operand in enumerate(node.inputs):
        inner = graph.maker(operand, "expand")
        if inner is None:
            continue
        kept, types[at] = types[at], type_of(inner.inputs[0])
        found = broadcast_shapes("simplify", *(type_.shape for type_ in types if not type_.scalar))
        if found == shape and info.compute(types) is compute:
            taken[at] = inner.inputs[0]
        else:
            types[at] = kept
    if taken == list(node.inputs):
        return None
    return graph.emit(node, node.op, *taken, **dict(node.attributes))


def without_effect(node: Node, graph: Rewriting) -> Var | None:
    """Replace an op whose expression, with its numbers and equal operands substituted, is one operand or a number."""
    numbers = tuple((at, source) for at, source in enumerate(node.inputs) if not isinstance(source, Var))
    first: dict[int, int] = {}
    twins = tuple(
        (at, place)
        for at, source in enumerate(node.inputs)
        if isinstance(source, Var) and (place := first.setdefault(source.id, at)) != at
    )
    if not numbers and not twins:
        return None
    info: Pointwise = lookup(node.op).info["pointwise"]
    compute = info.compute([type_of(source) for source in node.inputs])
    signs = tuple(math.copysign(1.0, value) if type(value) is float else type(value) for _, value in numbers)
    left = _left(info, compute, numbers, signs, twins)
    type_ = node.outputs[0].type
    if left is None:
        return None
    if left.function == "const":
        value = constants.held(left.data, type_.dtype)
        return None if value is None else constants.fill(node, graph, value, type_)
    result = node.inputs[info.parameters.index(left.data)]
    if not isinstance(result, Var) or (info.rule == "bool" and result.type.dtype.kind != "bool"):
        return None
    if result.type.dtype is not type_.dtype:
        result = graph.emit(node, "cast", result, dtype=type_.dtype)
    return (
        result if result.type.shape == type_.shape else graph.emit(node, "expand", result, shape=type_.shape)
    )


@lru_cache(maxsize=4096)
def _left(
    info: Pointwise, compute: DType, numbers: tuple[tuple[int, float], ...], signs: tuple[object, ...],
    twins: tuple[tuple[int, int], ...],
) -> Expr | None:  # fmt: skip
    """Return the variable or constant to which an expression simplifies; ``None`` for other expressions."""
    types = info.types(compute)
    names = {name: variable(name, types[name]) for name in info.parameters}
    try:
        put = {
            names[info.parameters[at]]: _number(value, types[info.parameters[at]]) for at, value in numbers
        }
    except ExpressionError:
        return None  # the type does not represent the number
    for at, place in twins:
        a, b = info.parameters[at], info.parameters[place]
        if types[a] is types[b]:
            put[names[a]] = names[b]
    left = simplified(substitute(info.build(compute.compute), put))
    return left if left.function in ("variable", "const") else None


def _number(value: float, dtype: DType) -> Expr:
    number = float(value) if dtype.kind == "float" else value
    return (
        const(number, dtype)
        if type(number) is not float or dtype.kind == "float"
        else cast(const(number, dtype), dtype)
    )


# The table.

_OVER_CONSTANT = constants.same_for_all
RULES: dict[str, tuple[Rule, ...]] = {
    "copy": (_OVER_CONSTANT, identity),
    "positive": (identity,),
    "stop_gradient": (identity,),
    "cast": (_OVER_CONSTANT, same_type, cast_of_cast),
    "permute": (_OVER_CONSTANT, no_order, permute_of_permute),
    "reshape": (_OVER_CONSTANT, same_type, reshape_of_reshape),
    "expand": (_OVER_CONSTANT, same_type, expand_of_expand),
    "slice": (_OVER_CONSTANT, same_type, slice_of_slice),
    "diagonal": (_OVER_CONSTANT,),
    "unfold": (_OVER_CONSTANT,),
    "strided": (_OVER_CONSTANT,),
    **dict.fromkeys(("sum", "mean"), (_single(add_zero=True),)),
    **dict.fromkeys(("prod", "amax", "amin"), (_single(add_zero=False),)),
}


def _pointwise(node: Node, graph: Rewriting) -> Var | None:
    """Try the rules of pointwise ops that apply to the kinds of the operands."""
    made = [graph.maker(source) for source in node.inputs]
    kinds = {value.op for value in made if value is not None}
    found = None
    if "full" in kinds:
        found = constants.computed(node, graph) or constants.as_numbers(node, graph)
    if found is None and "expand" in kinds:
        found = repeated(node, graph)
    if found is None and len(made) > 1:
        found = without_effect(node, graph)
    return found


POINTWISE: tuple[Rule, ...] = (_pointwise,)


def rules(op: OpSpec) -> Sequence[Rule]:
    """Return the rules of an op: those of its name, or those of pointwise ops."""
    found = RULES.get(op.name)
    return found if found is not None else POINTWISE if "pointwise" in op.info else ()
