"""``differentiate``: within a trace, the gradients of its results by gradients that are known only later.

These, the seeds, become further inputs of the graph, and the gradients of the arguments and of the tensors from
outside that require grad its last outputs. What the tape recorded in the trace is used up by it.
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
    """What of a trace has gradients. ``spent``: the function went backward itself, so nobody can a second time."""

    results: tuple[int, ...]
    """The results that gradients flow into, by position among the result's tensors: one seed for each."""
    inputs: tuple[int, ...]
    """The inputs that have a gradient, by position: one output for each."""
    outside: tuple[Tensor, ...]
    """The tensors from outside that have one: outputs after those of the inputs."""
    spent: bool = False


def differentiate(
    tracing: Tracing, notes: Notes, entered: Sequence[Any], results: Sequence[Tensor]
) -> tuple[Derived | None, list[Tensor]]:
    """What has gradients, and these; ``None`` where no result requires grad."""
    places = tuple(at for at, result in enumerate(results) if edge_of(result) is not None)
    if not places:
        return None, []
    outputs = [results[at] for at in places]
    reached, spent = _leaves(outputs)
    for leaf in reached.values():
        if type(leaf._data) is Array and not notes.is_second_handle(leaf):
            notes.tensors.setdefault(id(leaf), leaf)  # a result as it is: no operation saw it
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
    """The leaves that gradients of some tensors flow to, and whether a part of their history is used up."""
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
