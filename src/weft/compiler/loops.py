"""``written_out``: a loop of equal steps that a traced program holds step by step, found by its equal bodies.

A body is a run of nodes that make the same types by the same operations at the same lines of the user. Bodies count as
steps of one loop where each reads what the one before it has made, and all read the same inputs and states. Layers have
parameters of their own, so they are no loop, and neither is a line that is reached from several places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from weft.graph import Graph
from weft.graph.ir import Node, Var
from weft.ops import lookup

STEPS = 8
"""Equal bodies in sequence from which on they count as a loop."""
LENGTHS = 8
"""Lengths of bodies that are tried: those at which most operations find their like."""


@dataclass(frozen=True)
class WrittenOut:
    """A loop: at which lines of the user its body stands, and how many steps were traced."""

    lines: str
    steps: int


def written_out(graph: Graph) -> WrittenOut | None:
    """The first loop of a graph that was written out; the forward pass comes before its gradient."""
    tokens = _tokens(graph)
    found = [run for length in _lengths(tokens) for run in _runs(tokens, length) if _chained(graph, *run[:2])]
    if not found:
        return None
    start, length, steps = min(found)
    return WrittenOut(_lines(graph.nodes[start : start + length]), steps)


def _tokens(graph: Graph) -> list[Hashable]:
    """For each node what it has in common with the same node in another step of a loop."""
    roots = {var.id: var.id for var in (*graph.inputs, *(state.initial for state in graph.states))}
    tokens: list[Hashable] = []
    for node in graph.nodes:
        given = tuple(roots.get(source.id) if isinstance(source, Var) else source for source in node.inputs)
        tokens.append((node.op, node.site, given, tuple(out.type for out in node.outputs)))
        if (
            lookup(node.op).view is not None
            and isinstance(source := node.inputs[0], Var)
            and source.id in roots
        ):
            roots[node.outputs[0].id] = roots[source.id]  # a view of an input stands for it
    return tokens


def _lengths(tokens: Sequence[Hashable]) -> list[int]:
    """Lengths that bodies may have: the usual distances from a node to the next one like it, shorter ones first."""
    last: dict[Hashable, int] = {}
    distances: Counter[int] = Counter()
    for at, token in enumerate(tokens):
        if token in last:
            distances[at - last[token]] += 1
        last[token] = at
    return sorted(length for length, _ in distances.most_common(LENGTHS))


def _runs(tokens: Sequence[Hashable], length: int) -> Iterator[tuple[int, int, int]]:
    """Each run of equal bodies of a length: where it starts, that length, and how many bodies it has."""
    start = 0
    for at in range(len(tokens) - length + 1):
        if at < len(tokens) - length and tokens[at] == tokens[at + length]:
            continue
        steps = (at - start) // length + 1
        if steps >= STEPS:
            yield start, length, steps
        start = at + 1


def _chained(graph: Graph, start: int, length: int) -> bool:
    """Whether the second body reads what the first one has made, as steps of a recurrence do."""
    first, second = graph.nodes[start : start + length], graph.nodes[start + length : start + 2 * length]
    made = {out.id for node in first for out in node.outputs}
    return any(isinstance(source, Var) and source.id in made for node in second for source in node.inputs)


def _lines(body: Sequence[Node]) -> str:
    """The lines of a body in the file that most of it stands in."""
    sites = [node.site.rpartition(":") for node in body if node.site]
    if not sites:
        return ""
    ((file, _),) = Counter(file for file, _, _ in sites).most_common(1)
    numbers = sorted({int(line) for name, _, line in sites if name == file and line.isdecimal()})
    if not numbers:
        return file
    return f"line {file}:{numbers[0]}" if len(numbers) == 1 else f"lines {file}:{numbers[0]}-{numbers[-1]}"
