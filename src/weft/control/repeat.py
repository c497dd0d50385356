"""``while_loop``: a body repeated while a condition holds. In a graph it is one node, in a plan one loop.

The op ``while_loop`` takes the carried values and what its bodies, ``condition`` and ``body``, read from outside; it
gives the last carried values. How many steps there were is not known, so there is no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.autograd.mode import is_enabled, no_grad
from weft.autograd.node import Edge, GradientNode
from weft.autograd.operands import edge_of
from weft.control.body import run_by_nodes, trace_bodies, type_of, types_of
from weft.control.outside import fold_generators, write_back
from weft.control.values import held, predicate, shown, tensors
from weft.errors import ArgumentTypeError, ShapeError, UnsupportedError, mistake
from weft.graph import Graph, interpret
from weft.ops import TensorType, bind, interpreter_stack
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import Gradient
from weft.ops.registry.table import declare
from weft.tensors.tensor import Tensor
from weft.utils.tree import flatten, paths

NO_GRADIENT = (
    "while_loop: its gradient is wanted, but how many steps it takes is not known before it runs, so there is none; "
    "use weft.compiler.scan with a length"
)


def while_loop(
    cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Sequence[Any]
) -> tuple[Any, ...]:
    """``carried = body_fn(*carried)`` while ``cond_fn(*carried)`` is true; gives the last carried values, a tuple.

    ``carried_inputs`` is a tuple of trees of tensors, which keep their shapes and types; ``cond_fn`` gives a 0-d tensor
    of bool. Both may use tensors from around them; ``body_fn`` may write them too, and draw random numbers. In a traced
    function the loop is one node: on ``cpu`` it runs natively, on ``webgpu`` some steps at a time, after which the host
    looks whether it is over. Names and order as in ``torch._higher_order_ops.while_loop``; like JAX's it has no
    gradient in reverse (``UnsupportedError`` when one is asked for): ``scan`` with a length has.

    >>> import weft as wf
    >>> from weft.compiler import while_loop
    >>> root = wf.jit(lambda a: while_loop(lambda x: (x * x - a).abs() > 1e-5, lambda x: ((x + a / x) / 2,), (a,))[0])
    >>> root(wf.tensor(2.0))
    tensor(1.4142)
    """
    for name, function in (("cond_fn", cond_fn), ("body_fn", body_fn)):
        if not callable(function):
            raise ArgumentTypeError(mistake("while_loop", name, f"a {type(function).__name__}", "a function"))
    if not isinstance(carried_inputs, tuple | list):
        given = f"a {type(carried_inputs).__name__}"
        raise ArgumentTypeError(mistake("while_loop", "carried_inputs", given, "a tuple of carried values"))
    carried = tuple(carried_inputs)
    leaves, rebuild = flatten(carried)
    tensors("while_loop", "a carried value", leaves)
    if not leaves:
        given = "without tensors"
        raise ArgumentTypeError(mistake("while_loop", "carried_inputs", given, "at least one tensor"))

    def test(*values: Tensor) -> list[Tensor]:
        return [predicate("while_loop", "the result of cond_fn", cond_fn(*rebuild(list(values))))]

    def step(*values: Tensor) -> list[Tensor]:
        return _checked(body_fn(*rebuild(list(values))), carried, leaves)

    if interpreter_stack()[0].executes:
        return tuple(rebuild(_loop(test, step, leaves)))
    types = types_of(leaves)
    bodies = trace_bodies([(test, types), (step, types)], str(leaves[0].device))
    return tuple(rebuild(_bound(bodies.graphs, bodies.effects, bodies.outside, leaves)))


def _bound(graphs: Any, effects: Any, outside: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    """The op on tensors; memory from outside that the body writes is carried too."""
    condition, body = graphs
    changed = [effect.tensor for effect in effects]
    count = len(leaves)
    if condition.outputs[1:] != condition.inputs[count : count + len(changed)]:
        raise UnsupportedError(
            mistake("while_loop", "cond_fn", "a function that writes tensors from outside or draws random numbers",
                    "one that only looks", "do that in body_fn")
        )  # fmt: skip
    fold_generators(effects)
    condition = Graph(condition.inputs, (), condition.nodes, condition.outputs[:1])
    found = bind(
        WHILE, *leaves, *changed, *outside, condition=condition, body=body, carries=count + len(changed)
    )
    results = list(found) if isinstance(found, tuple) else [found]
    write_back(effects, results[count:])
    return results[:count]


def _checked(result: Any, carried: tuple[Any, ...], leaves: Sequence[Tensor]) -> list[Tensor]:
    """The leaves of what a step gives, which are as those of what it was given."""
    if not isinstance(result, tuple | list):
        given = f"a {type(result).__name__}"
        expected = f"a tuple of the {len(carried)} carried values"
        raise ArgumentTypeError(mistake("while_loop", "the result of body_fn", given, expected))
    found = flatten(result)[0]
    given_paths, expected_paths = ([path for path, _ in paths(tuple(tree))] for tree in (result, carried))
    if given_paths != expected_paths:
        raise ShapeError(
            mistake("while_loop", "the result of body_fn", f"a tree of {shown(given_paths)}",
                    f"one of {shown(expected_paths)}, as carried_inputs")
        )  # fmt: skip
    tensors("while_loop", "a result of body_fn", found)
    types = [", ".join(map(repr, types_of(values))) for values in (found, leaves)]
    if types[0] != types[1]:
        raise ShapeError(
            mistake("while_loop", "the result of body_fn", types[0], f"{types[1]}, as carried_inputs",
                    "the carried values keep their shapes and types")
        )  # fmt: skip
    return found


def _loop(
    test: Callable[..., list[Tensor]], step: Callable[..., list[Tensor]], leaves: Sequence[Tensor]
) -> list[Tensor]:
    """Step by step, in eager mode. Nothing can flow back, so the tape of a step goes with it.

    That of the first step with one stays, so that a gradient through it is found and refused.
    """
    values = list(leaves)
    sources = [value for value in values if edge_of(value) is not None]
    recorded = False
    while True:
        with no_grad():
            if not test(*values)[0].item():
                break
        values = step(*values)
        if not recorded:
            found = [value for value in values if edge_of(value) is not None]
            recorded = bool(found)
            sources += found
        values = [_without_tape(value) for value in values]
    if not sources or not is_enabled():
        return values
    edges = [edge_of(source) for source in sources]
    node = GradientNode(WHILE, {}, edges, tuple(types_of(sources)), tuple(types_of(values)))
    return [
        Tensor.wrap(value._data, Edge(node, at) if node.differentiable(at) else None)
        for at, value in enumerate(values)
    ]


def _without_tape(value: Tensor) -> Tensor:
    """The value without history; what the transforms around (``weft.func``) know of it stays."""
    return Tensor.wrap(value._data) if hasattr(value._data, "readable") else value.detach()


def _infer(*types: TensorType, condition: Graph, body: Graph, carries: int) -> tuple[TensorType, ...]:
    return tuple(type_of(output) for output in body.outputs)


def _run(*operands: Any, condition: Graph, body: Graph, carries: int) -> tuple[Any, ...]:
    """Step by step, by the interpreter in force."""
    carry, outside = list(operands[:carries]), operands[carries:]
    while held(interpret(condition, [*carry, *outside], [])[0][0]):
        carry, _ = interpret(body, [*carry, *outside], [])
    return tuple(carry)


def _reference(*operands: Any, condition: Graph, body: Graph, carries: int) -> tuple[Any, ...]:
    carry, outside = list(operands[:carries]), operands[carries:]
    while bool(run_by_nodes(condition, [*carry, *outside])[0]):
        carry = run_by_nodes(body, [*carry, *outside])
    return tuple(carry)


def _gradient(context: Gradient, *grads: Any) -> list[Any]:
    raise UnsupportedError(NO_GRADIENT)


WHILE = declare(
    "while_loop", rules=Rules(unbatched="write it as a scan, whose length is one for all samples"),
    infer=_infer, reference=_reference, run=_run, gradient=_gradient,
    doc="A body repeated while a condition holds.",
)  # fmt: skip
