"""``scan``: a loop that carries values from step to step. It is one node in a graph, and one loop in a plan.

The op ``scan`` takes the initial carried values, the sequences (stacked along their first dimension) and the captured
tensors of the body. It returns the final carried values and the stacked results of the steps. Its gradient is a scan in
the other direction, so gradients of any order are loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from weft.autograd.mode import is_grad_enabled
from weft.autograd.operands import edge_of
from weft.control.adjoint import gradient
from weft.control.body import Bodies, run_by_nodes, trace_bodies, type_of, types_of
from weft.control.effects import Effect, write_back
from weft.control.replayed import Body, by_plan, traced
from weft.control.running import run
from weft.control.values import tensors
from weft.errors import ArgumentError, ShapeError, mistake
from weft.graph import Graph, interpret
from weft.ops import FUNCTIONS, OPS, TensorType, bind, interpreter_stack, lookup
from weft.ops.registry.rules import Rules
from weft.ops.registry.table import declare
from weft.tensors.tensor import Tensor
from weft.utils.tree import flatten_some as flatten

ScanBody = Callable[[Any, Any], "tuple[Any, Any]"]


def scan(
    f: ScanBody, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False
) -> tuple[Any, Any]:
    """Run ``carry, y = f(carry, x)`` for each ``x`` of ``xs``, as JAX's ``lax.scan``.

    In a traced function the loop is one node, whatever its length, and ``f`` is called only to be traced. Each step
    draws other random numbers. A captured tensor that ``f`` writes is carried from step to step.

    Args:
        f: a function of the carry and an element, which returns the new carry, of the same shapes and types, and a
            result.
        init: the initial carry, a tree of tensors; ``None`` is an empty tree.
        xs: a tree of tensors that are sliced along their first dimension.
        length: the number of steps; needed only where ``xs`` holds no tensors.
        reverse: run from the last element to the first; ``ys`` have the order of ``xs``.

    Returns:
        The final carry, and the results stacked along a new first dimension.

    Raises:
        ArgumentError: there are no steps, no tensors, or ``f`` does not return a pair.
        ShapeError: ``xs`` differ in their first dimension, or the carry changes its shapes or types.

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
        carried_values = carried(list(values[: len(carry)]))
        x = rebuild(list(values[len(carry) :])) if xs is not None else None
        new, y = _results(f(carried_values, x))
        found, _ = flatten(new)
        _check_carry(carry, found)
        ys, rebuild_y = flatten(y)
        shape_of_y.append(rebuild_y)
        return [*found, *tensors("scan", "a leaf of the tree", ys)]

    types = types_of(sequences)
    elements = [TensorType(type_.shape[1:], type_.dtype) for type_ in types]
    bodies = trace_bodies([(step, [*types_of(carry), *elements])], str((carry or sequences)[0].device))
    finals, ys = _with_effects(bodies, carry, sequences, count, reverse)
    return carried(finals), shape_of_y[-1](ys)


def _with_effects(
    bodies: Bodies, carry: Sequence[Tensor], sequences: Sequence[Tensor], count: int, reverse: bool
) -> tuple[list[Any], list[Any]]:
    """Run a body with effects: the contents of the effects are carried too, behind the carry of the loop."""
    (graph,), effects = bodies.graphs, bodies.effects
    carries, count_sequences, count_effects = len(carry), len(sequences), len(effects)
    inputs, outputs = graph.inputs, graph.outputs
    ends = len(outputs) - count_effects
    graph = replace(
        graph,
        inputs=(
            *inputs[:carries],
            *inputs[carries + count_sequences :][:count_effects],
            *inputs[carries:][:count_sequences],
            *inputs[carries + count_sequences + count_effects :],
        ),
        outputs=(*outputs[:carries], *outputs[ends:], *outputs[carries:ends]),
    )
    before = [_initial(effect, count) for effect in effects]
    finals, ys = run(graph, [*carry, *before], sequences, bodies.outside, count, reverse)
    written = [
        (effect, value)
        for effect, value in zip(effects, finals[carries:], strict=True)
        if effect.generator is None
    ]
    write_back([effect for effect, _ in written], [value for _, value in written])
    return finals[:carries], ys


def _initial(effect: Effect, count: int) -> Tensor:
    """Return the initial contents of an effect; a generator is advanced by the draws of all steps."""
    if effect.generator is None:
        return effect.tensor
    state, low, high = effect.generator.take(count * effect.draws[0])
    made: Tensor = bind(OPS["random_advance"], state, low, high)
    return made


def _length(carry: Sequence[Any], sequences: Sequence[Any], length: int | None) -> int:
    tensors("scan", "a leaf of the tree", [*carry, *sequences])
    sizes = {sequence.shape[0] if sequence.shape else -1 for sequence in sequences}
    if -1 in sizes or len(sizes) > 1 or (length is not None and sizes - {length}):
        given = ", ".join(str(tuple(sequence.shape)) for sequence in sequences)
        expected = f"one first dimension{f' of {length}' if length is not None else ''}"
        raise ShapeError(mistake("scan", "xs", f"of shapes {given}", expected))
    if not sizes and length is None:
        raise ArgumentError(
            mistake("scan", "xs", "None, and no length", "sequences, or length=the number of steps")
        )
    if not carry and not sequences:
        raise ArgumentError(mistake("scan", "init", "without tensors, and no xs", "at least one tensor"))
    return sizes.pop() if sizes else int(length or 0)


def _results(found: Any) -> tuple[Any, Any]:
    if not isinstance(found, tuple) or len(found) != 2:
        raise ArgumentError(mistake("scan", "the result of f", type(found).__name__, "a pair (carry, y)"))
    return found


def _check_carry(before: Sequence[Tensor], after: Sequence[Any]) -> None:
    given = [repr(type_) for type_ in types_of(tensors("scan", "a leaf of the tree", after))]
    expected = [repr(type_) for type_ in types_of(before)]
    if given != expected:
        raise ShapeError(
            mistake("scan", "the carry that f gives", ", ".join(given), f"as init: {', '.join(expected)}")
        )


def _loop(
    f: ScanBody, carry: list[Any], carried: Any, sequences: list[Any], rebuild: Any, count: int, reverse: bool
) -> tuple[Any, Any]:
    """Run the loop step by step, in eager mode."""
    state, results = carried(carry), []
    rebuild_y: Any = None
    for at in reversed(range(count)) if reverse else range(count):
        x = rebuild([sequence[at] for sequence in sequences]) if rebuild is not None else None
        state, y = _results(f(state, x))
        _check_carry(carry, flatten(state)[0])
        leaves, rebuild_y = flatten(y)
        results.append(tensors("scan", "a leaf of the tree", leaves))
    columns = [list(column) for column in zip(*(results[::-1] if reverse else results), strict=True)]
    return state, rebuild_y([FUNCTIONS["stack"].function(column) for column in columns])


def scan_function(
    body: Body,
    carry: Sequence[Tensor],
    sequences: Sequence[Tensor],
    constants: Sequence[Tensor],
    reverse: bool = False,
) -> tuple[list[Any], list[Any]]:
    """Run a ``scan`` of a function without captured tensors, which is traced once for each set of types.

    The trace is cached by the identity of ``body``, in eager mode too, so each call must pass the same object.

    Args:
        body: ``body(*carry, *elements, *constants)`` returns the new carry, then the results of the step.
        carry: the initial carry.
        sequences: tensors that are sliced along their first dimension.
        constants: further operands of every step.
        reverse: run from the last element to the first.

    Returns:
        The final carry, and the stacked results.
    """
    operands = [*carry, *sequences, *constants]
    whole = [(tuple(operand.shape), operand.dtype) for operand in operands]
    types = [*whole[: len(carry)], *[(tuple(sequence.shape[1:]), sequence.dtype) for sequence in sequences],
             *whole[len(carry) + len(sequences) :]]  # fmt: skip
    recorded = is_grad_enabled() and any(edge_of(operand) is not None for operand in operands)
    graph = traced(body, tuple(types), str(operands[0].device), len(carry), recorded)
    results = len(graph.outputs) - len(carry) * (2 if recorded else 1)
    found = bind(
        SCAN,
        *operands,
        body=graph,
        length=sequences[0].shape[0],
        carries=len(carry),
        sequences=len(sequences),
        reverse=reverse,
    )
    return list(found[: len(carry)]), list(found[len(carry) : len(carry) + results])


def _infer(
    *types: TensorType, body: Graph, length: int, carries: int, sequences: int, reverse: bool
) -> tuple[TensorType, ...]:
    outputs = [type_of(output) for output in body.outputs]
    stacked = [TensorType((length, *output.shape), output.dtype) for output in outputs[carries:]]
    return (*outputs[:carries], *stacked)


def _run(
    *operands: Any, body: Graph, length: int, carries: int, sequences: int, reverse: bool
) -> tuple[Any, ...]:
    """Run the loop by a plan where there is one, else step by step by the active interpreter."""
    numbers = {"length": length, "carries": carries, "sequences": sequences, "reverse": reverse}
    found = by_plan("scan", operands, {"body": body, **numbers})
    if found is not None:
        return found
    carry, given = list(operands[:carries]), operands[carries : carries + sequences]
    outside = list(operands[carries + sequences :])
    steps: list[list[Any]] = []
    for at in reversed(range(length)) if reverse else range(length):
        xs = [_element(value, at) for value in given]
        outputs, _ = interpret(body, [*carry, *xs, *outside], [])
        carry = outputs[:carries]
        steps.append(outputs[carries:])
    if reverse:
        steps.reverse()
    return (*carry, *(_stacked(column) for column in zip(*steps, strict=True)))


def _stacked(values: Sequence[Any]) -> Any:
    rows = [bind(lookup("reshape"), value, shape=(1, *value.shape)) for value in values]
    return bind(lookup("cat"), *rows, dim=0)


def _element(value: Any, at: int) -> Any:
    row = bind(lookup("slice"), value, dim=0, start=at, stop=at + 1, step=1)
    return bind(lookup("reshape"), row, shape=tuple(value.shape[1:]))


def _reference(
    *operands: Any, body: Graph, length: int, carries: int, sequences: int, reverse: bool
) -> tuple[Any, ...]:
    import numpy

    carry, given = list(operands[:carries]), operands[carries : carries + sequences]
    outside, steps = list(operands[carries + sequences :]), []
    for at in reversed(range(length)) if reverse else range(length):
        outputs = run_by_nodes(body, [*carry, *(value[at] for value in given), *outside])
        carry = outputs[:carries]
        steps.append(outputs[carries:])
    if reverse:
        steps.reverse()
    return (*carry, *(numpy.stack(column) for column in zip(*steps, strict=True)))


def _saves(needs: tuple[bool, ...]) -> tuple[int, ...]:
    return tuple(range(len(needs)))  # the gradient reads only those that the body's gradient reads


SCAN = declare(
    "scan", rules=Rules("scan"),
    infer=_infer, reference=_reference, run=_run, gradient=gradient, saves=_saves, saves_output=True,
    info={"materializes": False},
    doc="A loop over sequences that carries values from step to step.",
)  # fmt: skip
