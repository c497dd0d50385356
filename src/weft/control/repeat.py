"""``while_loop``: repeat a body while a condition holds. It is one node in a graph, and one loop in a plan.

The op ``while_loop`` takes the carried values and the captured tensors of its bodies, ``condition`` and ``body``; it
returns the final carried values. The number of steps is unknown before the run, so there is no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.autograd.mode import is_enabled, no_grad
from weft.autograd.node import Edge, GradientNode
from weft.autograd.operands import edge_of
from weft.control.body import run_by_nodes, trace_bodies, type_of, types_of
from weft.control.effects import fold_generators, write_back
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
    "while_loop: a gradient is needed, expected none, since the number of steps is unknown before the run; use "
    "weft.compiler.scan with a length"
)


def while_loop(
    cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Sequence[Any]
) -> tuple[Any, ...]:
    """Run ``carried = body_fn(*carried)`` while ``cond_fn(*carried)`` is true.

    In a traced function the loop is one node: it runs natively on ``cpu``; on ``webgpu`` the host reads the predicate
    after every few steps. Names and order are those of ``torch._higher_order_ops.while_loop``. As JAX's
    ``lax.while_loop``, it has no reverse-mode gradient; ``scan`` with a length has one.

    Args:
        cond_fn: a function of the carried values that returns a 0-d bool tensor. It may read captured tensors.
        body_fn: a function of the carried values that returns new ones of the same shapes and types. It may read and
            write captured tensors, and draw random numbers.
        carried_inputs: the initial carried values, a tuple of trees of tensors.

    Returns:
        The final carried values, as a tuple.

    Raises:
        ArgumentTypeError: an argument or the result of a function has another type.
        ShapeError: ``body_fn`` changes the structure, shapes or types of the carried values.
        UnsupportedError: in ``backward``, for a gradient through the loop.

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
    """Bind the op; the contents of effects are carried too."""
    condition, body = graphs
    changed = [effect.tensor for effect in effects]
    count = len(leaves)
    if condition.outputs[1:] != condition.inputs[count : count + len(changed)]:
        raise UnsupportedError(
            mistake("while_loop", "cond_fn", "a function that writes tensors from outside or draws random numbers",
                    "a function without side effects", "do that in body_fn")
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
    """Return the leaves of a step's result after a check against the carried values."""
    if not isinstance(result, tuple | list):
        given = f"a {type(result).__name__}"
        expected = f"a tuple of the {len(carried)} carried values"
        raise ArgumentTypeError(mistake("while_loop", "the result of body_fn", given, expected))
    found = flatten(result)[0]
    given_paths, expected_paths = ([path for path, _ in paths(tuple(tree))] for tree in (result, carried))
    if given_paths != expected_paths:
        raise ShapeError(
            mistake("while_loop", "the result of body_fn", f"a tree of {shown(given_paths)}",
                    f"a tree of {shown(expected_paths)}, as carried_inputs")
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
    """Run the loop step by step, in eager mode, and release the tape of each step, since there is no gradient.

    The results depend on the tensors with a history among the operands and the first results, so that a gradient
    through the loop raises an error.
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
    """Return the value without its history, but with the data of enclosing transforms of ``weft.func``."""
    return Tensor.wrap(value._data) if hasattr(value._data, "readable") else value.detach()


def _infer(*types: TensorType, condition: Graph, body: Graph, carries: int) -> tuple[TensorType, ...]:
    return tuple(type_of(output) for output in body.outputs)


def _run(*operands: Any, condition: Graph, body: Graph, carries: int) -> tuple[Any, ...]:
    """Run the loop step by step by the active interpreter."""
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
    "while_loop", rules=Rules(unbatched="write it as a scan, whose length is the same for all samples"),
    infer=_infer, reference=_reference, run=_run, gradient=_gradient,
    doc="A body repeated while a condition holds.",
)  # fmt: skip
