"""``cond``: run one of two functions, by a boolean tensor. It is one node in a graph, and two runs of steps in a plan.

The op ``cond`` takes the predicate and the operands of its bodies, ``then`` and ``otherwise``, which return results of
the same types. Its gradient is a cond on the same predicate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.control.adjoint import cond_gradient
from weft.control.body import run_by_nodes, trace_bodies, type_of, types_of
from weft.control.effects import fold_generators, write_back
from weft.control.values import as_now, held, predicate, shown, tensors
from weft.errors import ArgumentTypeError, ShapeError, mistake
from weft.graph import Graph, interpret
from weft.ops import TensorType, bind, interpreter_stack
from weft.ops.registry.rules import Rules
from weft.ops.registry.table import declare
from weft.tensors.tensor import Tensor
from weft.utils.tree import flatten, paths


def cond(
    pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Sequence[Any] = ()
) -> Any:
    """Return ``true_fn(*operands)`` where ``pred`` is true, else ``false_fn(*operands)``, as ``torch.cond``.

    Both functions may read and write captured tensors, and draw random numbers. In eager mode only the chosen function
    is called. In a traced function the two are one node, and each call of the compiled function chooses again.

    Args:
        pred: a 0-d bool tensor; or a Python bool, which chooses when the function is traced.
        true_fn: a function of the operands.
        false_fn: a function of the operands, which returns the same tree of the same shapes and types.
        operands: a tuple of trees of tensors.

    Raises:
        ArgumentTypeError: ``pred`` is neither a bool nor a 0-d bool tensor.
        ShapeError: the results of the traced functions differ in structure, shapes or types.

    >>> import weft as wf
    >>> from weft.compiler import cond
    >>> halved = wf.jit(lambda x: cond(x.sum() > 1, lambda x: x / 2, lambda x: x * 1, (x,)))
    >>> halved(wf.ones(2)), halved(wf.zeros(2))
    (tensor([0.5000, 0.5000]), tensor([0., 0.]))
    """
    for name, function in (("true_fn", true_fn), ("false_fn", false_fn)):
        if not callable(function):
            raise ArgumentTypeError(mistake("cond", name, f"a {type(function).__name__}", "a function"))
    if not isinstance(operands, tuple | list):
        raise ArgumentTypeError(
            mistake("cond", "operands", f"a {type(operands).__name__}", "a tuple of the functions' arguments")
        )
    if isinstance(pred, bool):
        return (true_fn if pred else false_fn)(*operands)
    predicate("cond", "pred", pred)
    tensors("cond", "an operand", flatten(tuple(operands))[0])
    if interpreter_stack()[0].executes:
        result = (true_fn if pred.item() else false_fn)(*operands)
        tensors("cond", "a result", flatten(result)[0])
        return result
    trees: dict[str, Any] = {}

    def branch(name: str, function: Callable[..., Any]) -> Callable[..., list[Tensor]]:
        # operands are captured, since a branch may write the tensors that they are views of
        def run() -> list[Tensor]:
            trees[name] = function(*operands)
            return tensors("cond", f"a result of {name}", flatten(trees[name])[0])

        return run

    functions = (("true_fn", true_fn), ("false_fn", false_fn))
    bodies = trace_bodies([(branch(name, function), ()) for name, function in functions], str(pred.device))
    _check_alike(trees["true_fn"], trees["false_fn"])
    fold_generators(bodies.effects)
    changed = [effect.tensor for effect in bodies.effects]
    then, otherwise = bodies.graphs
    found: Any = ()
    if then.outputs:
        given = as_now([pred, *changed, *bodies.outside])
        found = bind(COND, *given, then=then, otherwise=otherwise)
    results = list(found) if isinstance(found, tuple) else [found]
    count = len(results) - len(changed)
    write_back(bodies.effects, results[count:])
    _, fill = flatten(trees["true_fn"])
    return fill(results[:count])


def _check_alike(taken: Any, other: Any) -> None:
    given, expected = ([path for path, _ in paths(tree)] for tree in (other, taken))
    if given != expected:
        raise ShapeError(
            mistake("cond", "the result of false_fn", f"a tree of {shown(given)}",
                    f"a tree of {shown(expected)}, as true_fn returns", "return the same tree in both")
        )  # fmt: skip
    types = [", ".join(map(repr, types_of(flatten(tree)[0]))) for tree in (other, taken)]
    if types[0] != types[1]:
        raise ShapeError(
            mistake("cond", "the result of false_fn", types[0], f"{types[1]}, as true_fn returns",
                    "return the same shapes and types in both")
        )  # fmt: skip


def _infer(
    predicate: TensorType, *types: TensorType, then: Graph, otherwise: Graph
) -> tuple[TensorType, ...]:
    return tuple(type_of(output) for output in then.outputs)


def _run(predicate: Any, *operands: Any, then: Graph, otherwise: Graph) -> tuple[Any, ...]:
    """Run the chosen branch by the active interpreter."""
    outputs, _ = interpret(then if held(predicate) else otherwise, operands, [])
    return tuple(outputs)


def _reference(predicate: Any, *operands: Any, then: Graph, otherwise: Graph) -> tuple[Any, ...]:
    return tuple(run_by_nodes(then if bool(predicate) else otherwise, operands))


COND = declare(
    "cond", rules=Rules(unbatched="use weft.where, which computes both sides"),
    infer=_infer, reference=_reference, run=_run, gradient=cond_gradient,
    saves=lambda needs: tuple(range(len(needs))), info={"materializes": False},
    doc="One of two bodies, chosen by a predicate.",
)  # fmt: skip
