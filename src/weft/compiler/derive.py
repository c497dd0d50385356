"""``differentiate``: trace the backward pass of a trace's results for gradients that are given later.

The gradients of the results (the *seeds*) become further inputs of the graph. The gradients of the arguments and of
captured tensors that require grad become its last outputs. The tape of the trace is freed by this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.autograd.engine import arriving
from weft.autograd.node import Accumulator
from weft.autograd.operands import edge_of
from weft.compiler.guards import Notes
from weft.graph import Tracing
from weft.tensors.array import Array
from weft.tensors.tensor import Tensor


@dataclass(frozen=True)
class Derived:
    """Which values of a trace have gradients."""

    results: tuple[int, ...]
    """Positions of the results that require grad among the result's tensors; each has one seed."""
    inputs: tuple[int, ...]
    """Positions of the inputs that get a gradient; each has one output."""
    outside: tuple[Tensor, ...]
    """The captured tensors that get a gradient; their outputs follow those of the inputs."""
    spent: bool = False
    """Whether the function itself has run backward through the tape, so that a second backward pass is an error."""


def differentiate(
    tracing: Tracing, notes: Notes, entered: Sequence[Any], results: Sequence[Tensor]
) -> tuple[Derived | None, list[Tensor]]:
    """Return which values have gradients, and the gradients; ``None`` where no result requires grad."""
    places = tuple(at for at, result in enumerate(results) if edge_of(result) is not None)
    if not places:
        return None, []
    outputs = [results[at] for at in places]
    reached, spent = _leaves(outputs)
    for leaf in reached.values():
        if type(leaf._data) is Array and not notes.is_second_handle(leaf):
            notes.tensors.setdefault(id(leaf), leaf)  # a leaf that is a result itself is no operand of any op
    given = [leaf for leaf in entered if isinstance(leaf, Tensor)]
    inputs = [at for at, tensor in enumerate(given) if id(tensor) in reached]
    outside = [tensor for key, tensor in notes.tensors.items() if key in reached]
    if spent:
        return Derived(places, tuple(inputs), tuple(outside), True), []
    seeds = [Tensor.wrap(tracing.input(output.shape, output.dtype, str(output.device))) for output in outputs]
    leaves = [*(given[at] for at in inputs), *outside]
    gradients = arriving(outputs, seeds, leaves)
    got = [at for at, gradient in enumerate(gradients) if gradient is not None]
    derived = Derived(
        places,
        tuple(inputs[at] for at in got if at < len(inputs)),
        tuple(outside[at - len(inputs)] for at in got if at >= len(inputs)),
    )
    return derived, [gradient for gradient in gradients if gradient is not None]


def _leaves(outputs: Sequence[Tensor]) -> tuple[dict[int, Tensor], bool]:
    """Return the leaves that the outputs depend on, and whether a part of the history has been freed."""
    found: dict[int, Tensor] = {}
    spent = False
    seen: set[Any] = set()
    stack = [edge.node for output in outputs if (edge := edge_of(output)) is not None]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, Accumulator):
            found[id(node.leaf)] = node.leaf
        else:
            spent = spent or node.freed
            stack.extend(edge.node for edge in node.edges if edge is not None)
    return found, spent
