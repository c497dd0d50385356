"""``explain(fn, *args)``: the graph of a call as traced and after each pass, in words and as Mermaid flow charts."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft import devices
from weft.compiler.jit import JitFunction
from weft.compiler.program import device_of
from weft.graph import Graph, Node, Var, passes


@dataclass(frozen=True)
class Explanation:
    """The stages of a call's graph: names with graphs, first as traced."""

    stages: tuple[tuple[str, Graph], ...]

    def __str__(self) -> str:
        parts = []
        before: Graph | None = None
        for name, graph in self.stages:
            count = f"{len(graph.nodes)} nodes"
            if before is None:
                parts.append(f"{name}: {count}\n{graph!r}")
            elif graph == before:
                parts.append(f"{name}: nothing changed")
            else:
                parts.append(f"{name}: {count}, were {len(before.nodes)}\n{graph!r}")
            before = graph
        return "\n\n".join(parts)

    def mermaid(self, stage: int = -1) -> str:
        """A stage, the last one unless told, as a Mermaid flow chart."""
        return mermaid(self.stages[stage][1])


def explain(
    fn: Callable[..., Any], *args: Any, mermaid: str | os.PathLike[str] | None = None, **kwargs: Any
) -> Explanation:
    """Print the graph of ``fn(*args)`` as traced and after each pass; nothing is run.

    ``mermaid``: a file that gets the last graph as a Mermaid flow chart. The explanation is given back, with its
    stages as data.

    >>> import weft as wf
    >>> found = wf.explain(lambda x: (x * 2).sum(), wf.ones(3, device="cpu"))
    traced: 2 nodes
    graph(%0: float32[3]) with state():
    ...
    >>> print(found.mermaid(0))
    flowchart TD
    ...
    """
    function = fn if isinstance(fn, JitFunction) else JitFunction(fn, (), 1, False)
    graph = function.graph(*args, **kwargs)
    stages: list[tuple[str, Graph]] = [("traced", graph)]
    profile = device_of(graph, devices.default()).profile
    passes.run(graph, profile, observe=lambda name, after: stages.append((name, after)))
    found = Explanation(tuple(stages))
    print(found)  # noqa: T201  (what it is for)
    if mermaid is not None:
        Path(mermaid).write_text(found.mermaid() + "\n")
    return found


def mermaid(graph: Graph) -> str:
    """A graph as a Mermaid flow chart: inputs and states on top, an arrow for each value that is used."""
    lines = ["flowchart TD"]
    names: dict[int, str] = {}
    for kind, variables in (("input", graph.inputs), ("state", [state.initial for state in graph.states])):
        for at, var in enumerate(variables):
            names[var.id] = f"{kind}{at}"
            lines.append(f'    {kind}{at}[/"{kind} {at}: {var.type!r}"/]')
    for at, node in enumerate(graph.nodes):
        lines.append(f'    node{at}["{_label(node)}"]')
        names.update((var.id, f"node{at}") for var in node.outputs)
        lines += [f"    {names[one.id]} --> node{at}" for one in _variables(node)]
    for at, output in enumerate(graph.outputs):
        if isinstance(output, Var):
            lines.append(f'    output{at}(["output {at}"])')
            lines.append(f"    {names[output.id]} --> output{at}")
    for at, state in enumerate(graph.states):
        if state.changed:
            lines.append(f"    {names[state.final.id]} -.-> state{at}")
    return "\n".join(lines)


def _variables(node: Node) -> list[Var]:
    return list({one.id: one for one in node.inputs if isinstance(one, Var)}.values())


def _label(node: Node) -> str:
    types = ", ".join(repr(var.type) for var in node.outputs[:3])
    more = ", …" if len(node.outputs) > 3 else ""
    return f"{node.op}<br/>{types}{more}"
