"""Gradients of ``scan`` and ``cond``: adjoint bodies, which are traced with the tape.

The gradient of a ``scan`` is a scan in the other direction, and the gradient of a ``cond`` is a cond on the same
predicate. So gradients of any order are loops and branches. An adjoint body takes only the operands that it reads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from weft.autograd.engine import grad as gradients
from weft.autograd.mode import enable_grad, no_grad
from weft.control.body import trace_bodies, type_of
from weft.control.running import gives_starts, giving_starts, run
from weft.graph import Graph, Var, interpret
from weft.graph.passes.dce import dce
from weft.ops import TensorType, bind, lookup
from weft.ops.registry.spec import Gradient
from weft.tensors.tensor import Tensor

KNOWN = 256
"""How many adjoint bodies are cached."""

Part = tuple[str, int]
"""An input of an adjoint body: its kind, and the number of the operand or output of the body that it belongs to."""


def gradient(context: Gradient, *grads: Any) -> list[Any]:
    """Return the gradients of a scan's operands: a backward scan over gradients of the carry and sums for constants."""
    options = context.attributes
    body, length, carries, sequences = (options[name] for name in ("body", "length", "carries", "sequences"))
    wanted = _wanted(context, carries)
    given = tuple(at for at, grad in enumerate(grads) if grad is not None and at >= carries)
    adjoint = _known_scan_adjoint(body, carries, sequences, wanted, given)
    device = next(str(grad.device) for grad in grads if grad is not None)
    starts = _starts(context, [at for kind, at in adjoint.parts if kind == "start"])
    values = {("start", at): value for at, value in starts.items()}

    def value(part: Part) -> Any:
        kind, at = part
        if kind in ("element", "outside"):
            return context.input(at)
        if kind == "last":
            return grads[at] if grads[at] is not None else _zeros(context.output_types[at], device)
        if kind == "sum":
            return _zeros(context.types[at], device)
        return grads[at] if kind == "along" else values[part]

    carry, along, outside = (
        [value(part) for part in adjoint.parts if part[0] in kinds]
        for kinds in (("last", "sum"), ("start", "element", "along"), ("outside",))
    )
    finals, ys = run(adjoint.graph, carry, along, outside, length, not options["reverse"])
    result: list[Any] = [None] * len(context.types)
    carried, found = iter(finals), iter(ys)
    for at in wanted:
        result[at] = next(found) if carries <= at < carries + sequences else next(carried)
    return result


def cond_gradient(context: Gradient, *grads: Any) -> list[Any]:
    """Return the gradients of a cond's operands, by a cond on the same predicate."""
    options = context.attributes
    wanted = _wanted(context, 1)
    given = tuple(at for at, grad in enumerate(grads) if grad is not None)
    branches = [_cond_adjoint(options[name], wanted, given) for name in ("then", "otherwise")]
    parts = [part for part in branches[0].parts if any(part in branch.read for branch in branches)]
    graphs: dict[str, Any] = {
        name: branch.only(parts) for name, branch in zip(("then", "otherwise"), branches, strict=True)
    }
    operands = [grads[at] if kind == "along" else context.input(at) for kind, at in parts]
    found = bind(lookup("cond"), context.input(0), *operands, **graphs) if wanted else ()
    source = iter(found if isinstance(found, tuple) else (found,))
    return [next(source) if at in wanted else None for at in range(len(context.types))]


def _wanted(context: Gradient, always: int) -> tuple[int, ...]:
    """Return the operands that get a gradient: float operands that need one, and all of the first ``always``."""
    return tuple(
        at
        for at, (type_, needed) in enumerate(zip(context.types, context.needs, strict=True))
        if type_.dtype.kind == "float" and (needed or at < always)
    )


@dataclass(frozen=True)
class Adjoint:
    """An adjoint body; ``parts`` describes its inputs, and ``read`` holds the inputs that it reads."""

    graph: Graph
    parts: tuple[Part, ...]
    read: frozenset[Part]

    def only(self, parts: Sequence[Part]) -> Graph:
        """Return the graph with only these inputs, which must include all that it reads."""
        known = dict(zip(self.parts, self.graph.inputs, strict=True))
        return replace(self.graph, inputs=tuple(known[part] for part in parts))


_known: OrderedDict[Any, tuple[Graph, Adjoint]] = OrderedDict()


def _known_scan_adjoint(body: Graph, *options: Any) -> Adjoint:
    """Return ``_scan_adjoint``, cached by the body's identity, since hashing a graph may take longer than the loop."""
    key = (id(body), *options)
    known = _known.get(key)
    if known is None:
        known = _known[key] = (body, _scan_adjoint(body, *options))
        if len(_known) > KNOWN:
            _known.popitem(last=False)
    return known[1]


@lru_cache(maxsize=KNOWN)
def _scan_adjoint(
    body: Graph, carries: int, sequences: int, wanted: tuple[int, ...], given: tuple[int, ...]
) -> Adjoint:
    """Return the body of the backward loop of a scan.

    It carries the gradients of the carried values ("last") and the sums of gradients of constants ("sum"). Its
    sequences are the carried values before each step ("start"), the elements ("element"), and the gradients of the
    step's results ("along"). Its constants are those of the loop ("outside"). It returns the gradients of the carried
    values before the step, the sums, and the gradients of the elements.
    """
    types = [var.type for var in body.inputs]
    carried = [
        at for at, output in enumerate(body.outputs[:carries]) if type_of(output).dtype.kind == "float"
    ]
    sums = [at for at in wanted if at >= carries + sequences]
    parts: list[Part] = [("last", at) for at in carried]
    parts += [("sum", at) for at in sums]
    parts += [("start", at) for at in range(carries)]
    parts += [("element", at) for at in range(carries, carries + sequences)]
    parts += [("along", at) for at in given]
    parts += [("outside", at) for at in range(carries + sequences, len(types))]

    def backward(values: dict[Part, Tensor]) -> list[Tensor]:
        outputs = {at: values["last", at] for at in carried} | {at: values["along", at] for at in given}
        kinds = ("start", "element", "outside")
        inputs = [value for part, value in values.items() if part[0] in kinds]
        found = _gradients(body, inputs, wanted, outputs)
        made = dict(zip(wanted, found, strict=True))
        new = [_or_zeros(made[at], inputs[at]) for at in carried]
        new += [values["sum", at] if (grad := made[at]) is None else values["sum", at] + grad for at in sums]
        elements = range(carries, carries + sequences)
        return new + [_or_zeros(made[at], inputs[at]) for at in wanted if at in elements]

    part_types = {"start": types, "element": types, "outside": types, "sum": types}
    results = [type_of(output) for output in body.outputs]
    made = _traced(
        backward, parts, [part_types.get(kind, results)[at] for kind, at in parts], body.inputs[0].device
    )
    kept = [part for part in parts if part in made.read or part[0] in ("last", "sum")]
    return Adjoint(made.only(kept), tuple(kept), made.read)


@lru_cache(maxsize=256)
def _cond_adjoint(body: Graph, wanted: tuple[int, ...], given: tuple[int, ...]) -> Adjoint:
    """Return the adjoint of a branch: it takes the operands, counted from 1, and the gradients of the results."""
    types = [var.type for var in body.inputs]
    parts: list[Part] = [("operand", at + 1) for at in range(len(types))]
    parts += [("along", at) for at in given]

    def backward(values: dict[Part, Tensor]) -> list[Tensor]:
        inputs = [value for (kind, _), value in values.items() if kind == "operand"]
        outputs = {at: values["along", at] for at in given}
        found = _gradients(body, inputs, [at - 1 for at in wanted], outputs)
        return [_or_zeros(grad, inputs[at - 1]) for at, grad in zip(wanted, found, strict=True)]

    given_types = [types[at - 1] if kind == "operand" else type_of(body.outputs[at]) for kind, at in parts]
    device = (*body.inputs, *(output for output in body.outputs if isinstance(output, Var)))[0].device
    return _traced(backward, parts, given_types, device)


def _traced(backward: Any, parts: list[Part], types: Sequence[TensorType], device: str) -> Adjoint:
    """Trace an adjoint body, and remove its dead code."""

    def function(*values: Tensor) -> list[Tensor]:
        made: list[Tensor] = backward(dict(zip(parts, values, strict=True)))
        return made

    with no_grad():  # captured histories do not enter; the gradients inside enable recording themselves
        made = trace_bodies([(function, types)], device)
    assert not made.outside and not made.effects, "an adjoint body depends only on its inputs"
    graph = dce(made.graphs[0])
    used = {source.id for node in graph.nodes for source in node.inputs if isinstance(source, Var)}
    used |= {output.id for output in graph.outputs if isinstance(output, Var)}
    read = frozenset(part for part, var in zip(parts, graph.inputs, strict=True) if var.id in used)
    return Adjoint(graph, tuple(parts), read)


def _gradients(
    body: Graph, inputs: Sequence[Tensor], wanted: Sequence[int], outputs: dict[int, Tensor]
) -> Sequence[Any]:
    """Return the gradients of a body's inputs for gradients of its outputs; ``None`` for an input without influence."""
    body = _to_differentiate(body)
    with enable_grad():
        leaves = [source.detach() for source in inputs]
        for at in wanted:
            leaves[at].requires_grad_()
        found, _ = interpret(body, leaves, [])
        reached = [at for at in outputs if found[at].requires_grad]
        if not reached or not wanted:
            return [None] * len(wanted)
        return gradients(
            [found[at] for at in reached], [leaves[at] for at in wanted], [outputs[at] for at in reached],
            allow_unused=True, create_graph=False,
        )  # fmt: skip


def _zeros(type_: TensorType, device: str) -> Any:
    return bind(lookup("full"), 0, shape=type_.shape, dtype=type_.dtype, device=device)


def _or_zeros(found: Any, like: Tensor) -> Tensor:
    made: Tensor = (
        _zeros(TensorType(tuple(like.shape), like.dtype), str(like.device)) if found is None else found
    )
    return made


# The carried values at the start of each step.


def _starts(context: Gradient, wanted: Sequence[int]) -> dict[int, Any]:
    """Return the carried values at the start of each step: results of the loop, or of a second run that stacks them."""
    if not wanted:
        return {}
    options = context.attributes
    carries, found = options["carries"], len(context.output_types)
    if gives_starts(options["body"], carries):
        return {at: context.output(found - carries + at) for at in wanted}
    operands = [context.input(at) for at in range(len(context.types))]
    again = bind(lookup("scan"), *operands, **(options | {"body": giving_starts(options["body"], carries)}))
    return {at: again[found + at] for at in wanted}


def _to_differentiate(graph: Graph) -> Graph:
    """Return the graph with inner loops that also return the carried values at the start of each step."""
    known = (*graph.inputs, *(var for node in graph.nodes for var in node.outputs))
    free = 1 + max((var.id for var in known), default=0)
    nodes = []
    for node in graph.nodes:
        options = dict(node.attributes)
        if node.op == "scan" and not gives_starts(options["body"], options["carries"]):
            starts = options["body"].inputs[: options["carries"]]
            made = [
                Var(
                    free + at,
                    TensorType((options["length"], *start.type.shape), start.type.dtype),
                    start.device,
                )
                for at, start in enumerate(starts)
            ]
            free += len(made)
            options["body"] = giving_starts(options["body"], options["carries"])
            node = replace(node, outputs=(*node.outputs, *made), attributes=tuple(options.items()))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))
