"""Pattern matching on the nodes that compute a value.

A form such as ``Op("add", "x", "#eps")`` matches a node of an op whose operands match forms. A string binds a value,
and matches only the same value at its other occurrences; ``"#eps"`` binds a number; a number matches itself; a tuple
matches any one of its forms. The operands of commutative ops match in either order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from weft.graph.ir import Atom, Node, Var
from weft.graph.passes.rewrite import Rewriting
from weft.ops.reduce.reduction import reduced_shape

Found = dict[str, Any]
"""The bindings of a match: values, numbers, and the nodes of named forms."""

COMMUTATIVE = frozenset({"add", "mul"})


@dataclass(frozen=True)
class Op:
    """The form of a node; ``name`` binds the node, ``output`` is the number of the output that is the value."""

    op: str
    operands: tuple[Form, ...]
    name: str = ""
    output: int = 0


Form = Op | str | float | tuple["Form", ...]


def op(name: str, *operands: Form, called: str = "", output: int = 0) -> Op:
    """Return the form of a node."""
    return Op(name, operands, called, output)


def fold(name: str, operand: Form, called: str, output: int = 0) -> Form:
    """Return the form of a reduction that keeps its dimensions, by ``keepdim`` or by a reshape."""
    plain = op(name, operand, called=called, output=output)
    return plain, op("reshape", plain, called=f"{called} kept")


def match(form: Op, node: Node, graph: Rewriting) -> Iterator[Found]:
    """Yield the bindings of every match of a form at a node, where no other node reads intermediate values."""
    for found in _node(form, node, graph, {"": ()}):
        inner = found.pop("")
        known = {inner_node.outputs[0].id for inner_node in inner}
        outs = [out for inner_node in inner if inner_node is not node for out in inner_node.outputs]
        if all(reader in known for out in outs for reader in graph.readers(out)):
            yield found


def _node(form: Op, node: Node, graph: Rewriting, found: Found) -> Iterator[Found]:
    if node.op != form.op or len(node.inputs) != len(form.operands):
        return
    begun = {**found, "": (*found[""], node)}
    if form.name:
        begun[form.name] = node
    orders = [node.inputs]
    if form.op in COMMUTATIVE:
        orders.append(node.inputs[::-1])
    for inputs in orders:
        yield from _operands(form.operands, inputs, graph, begun)


def _operands(
    forms: tuple[Form, ...], inputs: tuple[Atom, ...], graph: Rewriting, found: Found
) -> Iterator[Found]:
    if not forms:
        yield found
        return
    for first in _value(forms[0], inputs[0], graph, found):
        yield from _operands(forms[1:], inputs[1:], graph, first)


def _value(form: Form, value: Atom, graph: Rewriting, found: Found) -> Iterator[Found]:
    if isinstance(form, tuple):
        for alternative in form:
            yield from _value(alternative, value, graph, found)
    elif isinstance(form, Op):
        node = graph.maker(value, form.op)
        if node is not None and node.outputs[form.output] is value:
            yield from _node(form, node, graph, found)
    elif isinstance(form, str):
        if form not in found:
            if isinstance(value, Var) != form.startswith("#"):
                yield {**found, form: value}
        elif found[form] is value:
            yield found
    elif not isinstance(value, Var) and value == form:
        yield found


def kept_dims(found: Found, name: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the dimensions of a matched ``fold`` of a value; ``None`` where its result does not keep dimensions."""
    attributes = dict(found[name].attributes)
    dims: tuple[int, ...] = attributes["dims"] if "dims" in attributes else (attributes["dim"],)
    last: Node = found[f"{name} kept" if f"{name} kept" in found else name]
    return dims if last.outputs[0].type.shape == reduced_shape(shape, dims, True) else None
