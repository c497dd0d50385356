"""``unrolled_loop``: detect an unrolled loop in a traced graph.

A loop body is a run of nodes with the same operations, result types and source lines as the next run. Runs are steps of
one loop where each step reads a result of the step before, and all steps read the same inputs and states. Layers are no
loop, since each layer has its own parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from weft.graph import Graph
from weft.graph.ir import Node, Var
from weft.ops import lookup

STEPS = 8
"""The least number of equal bodies in sequence that counts as a loop."""
LENGTHS = 8
"""How many body lengths are tried: the most frequent distances between equal nodes."""


@dataclass(frozen=True)
class UnrolledLoop:
    """An unrolled loop: the source lines of its body, and the number of traced steps."""

    lines: str
    steps: int


def unrolled_loop(graph: Graph) -> UnrolledLoop | None:
    """Return the first unrolled loop of a graph, ``None`` where there is none."""
    tokens = _tokens(graph)
    found = [run for length in _lengths(tokens) for run in _runs(tokens, length) if _chained(graph, *run[:2])]
    if not found:
        return None
    start, length, steps = min(found)
    return UnrolledLoop(_lines(graph.nodes[start : start + length]), steps)


def _tokens(graph: Graph) -> list[Hashable]:
    """Return for each node a token that equals the token of the same node in another step of a loop."""
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
            roots[node.outputs[0].id] = roots[source.id]  # a view of an input counts as the input
    return tokens


def _lengths(tokens: Sequence[Hashable]) -> list[int]:
    """Return candidate body lengths: the most frequent distances from a node to the next equal node, sorted."""
    last: dict[Hashable, int] = {}
    distances: Counter[int] = Counter()
    for at, token in enumerate(tokens):
        if token in last:
            distances[at - last[token]] += 1
        last[token] = at
    return sorted(length for length, _ in distances.most_common(LENGTHS))


def _runs(tokens: Sequence[Hashable], length: int) -> Iterator[tuple[int, int, int]]:
    """Yield each run of equal bodies of a length as (start, length, number of bodies)."""
    start = 0
    for at in range(len(tokens) - length + 1):
        if at < len(tokens) - length and tokens[at] == tokens[at + length]:
            continue
        steps = (at - start) // length + 1
        if steps >= STEPS:
            yield start, length, steps
        start = at + 1


def _chained(graph: Graph, start: int, length: int) -> bool:
    """Return whether the second body reads a result of the first body."""
    first, second = graph.nodes[start : start + length], graph.nodes[start + length : start + 2 * length]
    made = {out.id for node in first for out in node.outputs}
    return any(isinstance(source, Var) and source.id in made for node in second for source in node.inputs)


def _lines(body: Sequence[Node]) -> str:
    """Return the source lines of a body, in the file that holds most of its nodes."""
    sites = [node.site.rpartition(":") for node in body if node.site]
    if not sites:
        return ""
    ((file, _),) = Counter(file for file, _, _ in sites).most_common(1)
    numbers = sorted({int(line) for name, _, line in sites if name == file and line.isdecimal()})
    if not numbers:
        return file
    return f"line {file}:{numbers[0]}" if len(numbers) == 1 else f"lines {file}:{numbers[0]}-{numbers[-1]}"
