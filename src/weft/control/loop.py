"""``scan``: a loop that carries values from step to step. In a graph it is one node, in a plan one loop.

The op ``scan`` takes the first carried values, the sequences (stacked along their first dimension) and what the body
reaches from outside; it gives the last carried values and the steps' results, stacked. Its gradient is a scan in the
other direction over a body that is traced with the tape, so gradients of any order are loops as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from weft.autograd.engine import grad as gradients
from weft.autograd.mode import enable_grad, is_grad_enabled
from weft.autograd.tape import edge_of
from weft.control.body import Body, run_by_nodes, trace_body, types_of
from weft.errors import ArgumentError, ShapeError, mistake
from weft.graph import Graph, Var, interpret
from weft.ops import FUNCTIONS, TensorType, bind, interpreter_stack, lookup
from weft.ops.core import Gradient
from weft.ops.table import declare
from weft.tensors.tensor import Tensor
from weft.utils.tree import flatten

Step = Callable[[Any, Any], "tuple[Any, Any]"]


def scan(
    f: Step, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False
) -> tuple[Any, Any]:
    """Carry a value along sequences: ``carry, y = f(carry, x)`` for each ``x`` of ``xs``; gives (carry, stacked ys).

    ``init``, ``xs`` and the results of ``f`` are trees of tensors; ``xs`` are taken apart along their first dimension,
    ``length`` long where there are none. The carried tensors keep their shapes and types. ``reverse`` goes from the
    last to the first, with ``ys`` in the places of their ``xs``. In a traced function the loop is one node, whatever
    its length; there ``f`` may not write tensors from outside, nor draw random numbers, and where gradients are wanted
    what the loop was given may not be written in place later (``clone`` it). The names are those of JAX's
    ``lax.scan``.

    >>> import weft as wf
    >>> from weft.compiler import scan
    >>> total, sums = scan(lambda total, x: (total + x, total + x), wf.tensor(0.0), wf.tensor([1.0, 2.0, 3.0]))
    >>> total, sums
    (tensor(6.), tensor([1., 3., 6.]))
    """
    carry, carried = flatten(init)
    sequences, rebuild = flatten(xs if xs is not None else ())
    count = _length(carry, sequences, length)
    if not count:
        raise ArgumentError(mistake("scan", "xs", "of length 0", "at least one step"))
    if interpreter_stack()[0].executes:
        return _loop(f, carry, carried, sequences, rebuild if xs is not None else None, count, reverse)
    shape_of_y: list[Any] = []

    def step(*values: Tensor) -> list[Tensor]:
        own = carried(list(values[: len(carry)]))
        x = rebuild(list(values[len(carry) :])) if xs is not None else None
        new, y = _results(f(own, x))
        found, _ = flatten(new)
        _check_carry(carry, found)
        ys, rebuild_y = flatten(y)
        shape_of_y.append(rebuild_y)
        return [*found, *(_tensor("scan", one) for one in ys)]

    elements = [TensorType(one.type.shape[1:], one.dtype) for one in map(_Typed, sequences)]
    body = trace_body(step, [*types_of(carry), *elements], str((carry or sequences)[0].device))
    finals, ys = run(body.graph, carry, sequences, body.outside, count, reverse)
    return carried(finals), shape_of_y[0](ys)


class _Typed:
    """A tensor's type, read once."""

    def __init__(self, value: Tensor) -> None:
        (self.type,) = types_of([value])
        self.dtype = value.dtype


def _length(carry: Sequence[Any], sequences: Sequence[Any], length: int | None) -> int:
    for one in (*carry, *sequences):
        _tensor("scan", one)
    sizes = {one.shape[0] if one.shape else -1 for one in sequences}
    if -1 in sizes or len(sizes) > 1 or (length is not None and sizes - {length}):
        given = ", ".join(str(tuple(one.shape)) for one in sequences)
        expected = f"one first dimension{f' of {length}' if length is not None else ''}"
        raise ShapeError(mistake("scan", "xs", f"of shapes {given}", expected))
    if not sizes and length is None:
        raise ArgumentError(
            mistake("scan", "xs", "None, and no length", "sequences, or length=the number of steps")
        )
    if not carry and not sequences:
        raise ArgumentError(mistake("scan", "init", "without tensors, and no xs", "at least one tensor"))
    return sizes.pop() if sizes else int(length or 0)


def _tensor(where: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise ArgumentError(mistake(where, "a leaf of the tree", type(value).__name__, "a tensor"))
    return value


def _results(found: Any) -> tuple[Any, Any]:
    if not isinstance(found, tuple) or len(found) != 2:
        raise ArgumentError(mistake("scan", "the result of f", type(found).__name__, "a pair (carry, y)"))
    return found


def _check_carry(before: Sequence[Tensor], after: Sequence[Any]) -> None:
    given = [repr(one) for one in types_of([_tensor("scan", one) for one in after])]
    expected = [repr(one) for one in types_of(before)]
    if given != expected:
        raise ShapeError(
            mistake("scan", "the carry that f gives", ", ".join(given), f"as init: {', '.join(expected)}")
        )


def _loop(
    f: Step, carry: list[Any], carried: Any, sequences: list[Any], rebuild: Any, count: int, reverse: bool
) -> tuple[Any, Any]:
    """Step by step, in eager mode."""
    state, results = carried(carry), []
    rebuild_y: Any = None
    for at in reversed(range(count)) if reverse else range(count):
        x = rebuild([one[at] for one in sequences]) if rebuild is not None else None
        state, y = _results(f(state, x))
        _check_carry(carry, flatten(state)[0])
        leaves, rebuild_y = flatten(y)
        results.append([_tensor("scan", one) for one in leaves])
    columns = [list(column) for column in zip(*(results[::-1] if reverse else results), strict=True)]
    return state, rebuild_y([FUNCTIONS["stack"].function(column) for column in columns])


def run(
    body: Graph,
    carry: Sequence[Any],
    sequences: Sequence[Any],
    outside: Sequence[Any],
    length: int,
    reverse: bool,
) -> tuple[list[Any], list[Any]]:
    """The op on tensors; with gradients wanted its body also gives what each step began with."""
    operands = [*carry, *sequences, *outside]
    results = len(body.outputs) - len(carry)
    if is_grad_enabled() and any(edge_of(one) is not None for one in operands):
        body = _giving_starts(body, len(carry))
    found = bind(
        SCAN,
        *operands,
        body=body,
        length=length,
        carries=len(carry),
        sequences=len(sequences),
        reverse=reverse,
    )
    found = list(found) if isinstance(found, tuple) else [found]
    return found[: len(carry)], found[len(carry) : len(carry) + results]


def _gives_starts(body: Graph, carries: int) -> bool:
    """Whether the last results of a body are what the step began with."""
    starts = len(body.outputs) - carries
    return starts >= carries and body.outputs[starts:] == body.inputs[:carries]


def _giving_starts(body: Graph, carries: int) -> Graph:
    """The body whose last results are what the step began with."""
    if _gives_starts(body, carries):
        return body
    return replace(body, outputs=(*body.outputs, *body.inputs[:carries]))


def _to_differentiate(graph: Graph) -> Graph:
    """The graph whose own loops give what their gradients read."""
    known = (*graph.inputs, *(var for node in graph.nodes for var in node.outputs))
    free = 1 + max((var.id for var in known), default=0)
    nodes = []
    for node in graph.nodes:
        options = dict(node.attributes)
        if node.op == "scan" and not _gives_starts(options["body"], options["carries"]):
            starts = options["body"].inputs[: options["carries"]]
            made = [
                Var(free + at, TensorType((options["length"], *one.type.shape), one.type.dtype), one.device)
                for at, one in enumerate(starts)
            ]
            free += len(made)
            options["body"] = _giving_starts(options["body"], options["carries"])
            node = replace(node, outputs=(*node.outputs, *made), attributes=tuple(options.items()))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _infer(
    *types: TensorType, body: Graph, length: int, carries: int, sequences: int, reverse: bool
) -> tuple[TensorType, ...]:
    outputs = [_type(one) for one in body.outputs]
    stacked = [TensorType((length, *one.shape), one.dtype) for one in outputs[carries:]]
    return (*outputs[:carries], *stacked)


def _type(one: Any) -> TensorType:
    assert isinstance(one, Var), "a body gives tensors"
    return one.type


def _run(
    *operands: Any, body: Graph, length: int, carries: int, sequences: int, reverse: bool
) -> tuple[Any, ...]:
    """Step by step, by the interpreter in force."""
    carry, given = list(operands[:carries]), operands[carries : carries + sequences]
    outside = list(operands[carries + sequences :])
    steps: list[list[Any]] = []
    for at in reversed(range(length)) if reverse else range(length):
        xs = [_element(one, at) for one in given]
        outputs, _ = interpret(body, [*carry, *xs, *outside], [])
        carry = outputs[:carries]
        steps.append(outputs[carries:])
    if reverse:
        steps.reverse()
    return (*carry, *(_stacked(column) for column in zip(*steps, strict=True)))


def _stacked(values: Sequence[Any]) -> Any:
    rows = [bind(lookup("reshape"), one, shape=(1, *one.shape)) for one in values]
    return bind(lookup("cat"), *rows, dim=0)


def _element(value: Any, at: int) -> Any:
    one = bind(lookup("slice"), value, dim=0, start=at, stop=at + 1, step=1)
    return bind(lookup("reshape"), one, shape=tuple(value.shape[1:]))


def _reference(
    *operands: Any, body: Graph, length: int, carries: int, sequences: int, reverse: bool
) -> tuple[Any, ...]:
    import numpy

    carry, given = list(operands[:carries]), operands[carries : carries + sequences]
    outside, steps = list(operands[carries + sequences :]), []
    for at in reversed(range(length)) if reverse else range(length):
        outputs = run_by_nodes(body, [*carry, *(one[at] for one in given), *outside])
        carry = outputs[:carries]
        steps.append(outputs[carries:])
    if reverse:
        steps.reverse()
    return (*carry, *(numpy.stack(column) for column in zip(*steps, strict=True)))


def _gradient(context: Gradient, *grads: Any) -> list[Any]:
    """The loop backwards: it carries the gradients of the carried values, and sums those of what lies outside."""
    options = context.attributes
    body, length, carries = options["body"], options["length"], options["carries"]
    count = len(context.types)
    floats = [at for at, one in enumerate(context.types) if one.dtype.kind == "float"]
    starts = _starts(context)
    sequences = [context.input(at) for at in range(carries, carries + options["sequences"])]
    outside = [context.input(at) for at in range(carries + options["sequences"], count)]
    outputs = [at for at, one in enumerate(context.output_types) if one.dtype.kind == "float"]
    last = [grads[at] for at in outputs if at < carries]
    along = [grads[at] for at in outputs if at >= carries]
    sums = [zeros_like(outside[at - count + len(outside)]) for at in floats if at >= count - len(outside)]
    adjoint = _adjoint(body, carries, options["sequences"])
    carry = [*last, *sums]
    finals, ys = run(adjoint, carry, [*starts, *sequences, *along], outside, length, not options["reverse"])
    result: list[Any] = [None] * count
    own, found = iter(finals), iter(ys)
    for at in floats:
        if at < carries or at >= carries + options["sequences"]:
            result[at] = next(own)
        else:
            result[at] = next(found)
    return result


def _starts(context: Gradient) -> list[Any]:
    """What each step began with: the loop's last results, or else those of another run that gives them."""
    options = context.attributes
    carries, found = options["carries"], len(context.output_types)
    if _gives_starts(options["body"], carries):
        return [context.output(at) for at in range(found - carries, found)]
    operands = [context.input(at) for at in range(len(context.types))]
    again = bind(SCAN, *operands, **(options | {"body": _giving_starts(options["body"], carries)}))
    return list(again[found:])


def zeros_like(value: Any) -> Any:
    """Zeros of a value's type."""
    return bind(lookup("full"), 0, shape=tuple(value.shape), dtype=value.dtype, device=str(value.device))


@lru_cache(maxsize=256)
def _adjoint(body: Graph, carries: int, sequences: int) -> Graph:
    """The body of the loop backwards.

    It takes the gradients of the carried values after the step, and those of what lies outside so far; then, as
    sequences, what the step began with, its elements and the gradients of its results; then what lies outside. It
    gives both kinds of gradients as they are before the step, and those of the step's elements.
    """
    body = _to_differentiate(body)
    count = len(body.inputs)
    types = [var.type for var in body.inputs]
    floats = [at for at, one in enumerate(types) if one.dtype.kind == "float"]
    outputs = [at for at, one in enumerate(body.outputs) if _type(one).dtype.kind == "float"]
    carried = [at for at in outputs if at < carries]
    results = [at for at in outputs if at >= carries]
    beyond = [at for at in floats if at >= carries + sequences]
    given = [_type(body.outputs[at]) for at in carried] + [types[at] for at in beyond]
    given += types[: carries + sequences] + [_type(body.outputs[at]) for at in results]
    given += types[carries + sequences :]

    def backward(*values: Tensor) -> list[Tensor]:
        source = iter(values)
        by_output = {at: next(source) for at in carried}
        sums = {at: next(source) for at in beyond}
        inputs = {at: next(source) for at in range(carries + sequences)}
        by_output |= {at: next(source) for at in results}
        inputs |= {at: next(source) for at in range(carries + sequences, count)}
        with enable_grad():
            leaves = [inputs[at].detach() for at in range(count)]
            for at in floats:
                leaves[at].requires_grad_()
            found, _ = interpret(body, leaves, [])
            wanted = [at for at in outputs if found[at].requires_grad]
            made = gradients(
                [found[at] for at in wanted], [leaves[at] for at in floats], [by_output[at] for at in wanted],
                allow_unused=True, create_graph=False,
            ) if wanted else [None] * len(floats)  # fmt: skip
        by_input: dict[int, Any] = dict(zip(floats, made, strict=True))
        new: list[Tensor] = [_or_zeros(by_input[at], inputs[at]) for at in floats if at < carries]
        new += [sums[at] if by_input[at] is None else sums[at] + by_input[at] for at in beyond]
        return new + [
            _or_zeros(by_input[at], inputs[at]) for at in floats if carries <= at < carries + sequences
        ]

    made: Body = trace_body(backward, given, body.inputs[0].device)
    assert not made.outside, "a body reaches nothing but its inputs"
    return made.graph


def _or_zeros(found: Any, like: Tensor) -> Tensor:
    result: Tensor = zeros_like(like) if found is None else found
    return result


def _saves(needs: tuple[bool, ...]) -> tuple[int, ...]:
    return tuple(range(len(needs)))


SCAN = declare(
    "scan", infer=_infer, reference=_reference, run=_run, gradient=_gradient, saves=_saves, saves_output=True,
    doc="A body repeated along sequences, carrying values from step to step.",
)  # fmt: skip
