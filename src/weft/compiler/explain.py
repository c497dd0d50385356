"""``explain(fn, *args)``: print the graph of a call as traced and after each pass, and its fused kernels."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from weft import devices
from weft.compiler.jit import JitFunction
from weft.compiler.program import device_of
from weft.graph import Graph, Node, Var, passes
from weft.graph.lower.lowered import Lowered, flat
from weft.graph.pipeline import lower_graph
from weft.target import TargetProfile

WIDTH = 100
"""Columns of an explanation's lines."""


@dataclass(frozen=True)
class KernelRow:
    """One kernel of a compiled call: its fused ops, and the values that it reads and writes.

    ``bytes`` is the size of these values, each counted once; ``line`` is the line of the user's program.
    """

    ops: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    bytes: int
    line: str

    def __str__(self) -> str:
        runs = [(op, len(list(equal))) for op, equal in groupby(self.ops)]
        ops = " + ".join(op if count == 1 else f"{count} {op}" for op, count in runs)
        reads, writes = ", ".join(self.reads) or "nothing", ", ".join(self.writes)
        return f"{ops}: reads {reads}; writes {writes}; {self.bytes:,} bytes"


@dataclass(frozen=True)
class Explanation:
    """The graphs of a call after each stage, the traced graph first, and the kernels of the last graph."""

    stages: tuple[tuple[str, Graph], ...]
    kernels: tuple[KernelRow, ...] = ()

    def __str__(self) -> str:
        parts = []
        before: Graph | None = None
        for name, graph in self.stages:
            count = f"{len(graph.nodes)} nodes"
            if before is None:
                parts.append(f"{name}: {count}\n{_wrapped(repr(graph))}")
            elif graph == before:
                parts.append(f"after {name}: no change")
            else:
                parts.append(f"after {name}: {count} (before: {len(before.nodes)})\n{_wrapped(repr(graph))}")
            before = graph
        rows = [
            f"  {at}. {row}" + (f"  # {row.line}" if row.line else "")
            for at, row in enumerate(self.kernels, 1)
        ]
        total = sum(row.bytes for row in self.kernels)
        title = f"{len(rows)} kernel{'' if len(rows) == 1 else 's'}, {total:,} bytes read and written"
        parts.append("\n".join([title, *map(_wrapped, rows)]))
        return "\n\n".join(parts)

    def mermaid(self, stage: int = -1) -> str:
        """Return the graph of a stage (by default the last) as a Mermaid flow chart."""
        return mermaid(self.stages[stage][1])


def explain(
    fn: Callable[..., Any], *args: Any, mermaid: str | os.PathLike[str] | None = None, **kwargs: Any
) -> Explanation:
    """Print the graph of ``fn(*args)`` as traced and after each pass that changed it, then its kernels.

    Nothing is run. The result holds the stages and kernels as data.

    Args:
        fn: a function, or a jitted function.
        *args: the positional arguments of the call.
        **kwargs: the keyword arguments of the call.
        mermaid: a file to which the last graph is written as a Mermaid flow chart.

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
    found = Explanation(tuple(stages), _kernels(lower_graph(graph, profile), profile))
    print(found)  # noqa: T201  (what it is for)
    if mermaid is not None:
        Path(mermaid).write_text(found.mermaid() + "\n")
    return found


def _kernels(lowered: Lowered, profile: TargetProfile) -> tuple[KernelRow, ...]:
    """Return the kernels of a lowered graph; kernels in loops and branches are listed once."""
    known = {value.name: value for value in lowered.values}

    def words(name: str) -> str:
        value = known[name]
        return f"{name}: {value.dtype.name} x {value.elements:,}"

    rows = []
    for call in flat(lowered.calls):
        values = [known[name] for name in dict.fromkeys(call.values)]
        size = sum(value.elements * profile.itemsize(value.dtype) for value in values)
        rows.append(
            KernelRow(
                call.ops, tuple(map(words, call.reads)), tuple(map(words, call.writes)), size, call.site
            )
        )
    return tuple(rows)


def _wrapped(text: str) -> str:
    """Wrap lines at ``WIDTH`` columns; continuation lines are indented."""
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines += textwrap.wrap(
            line, WIDTH, subsequent_indent=indent + "      ", break_long_words=False, break_on_hyphens=False,
            drop_whitespace=True, replace_whitespace=False,
        ) or [""]  # fmt: skip
    return "\n".join(lines)


def mermaid(graph: Graph) -> str:
    """Return a graph as a Mermaid flow chart, with an arrow for each use of a value."""
    lines = ["flowchart TD"]
    names: dict[int, str] = {}
    for kind, variables in (("input", graph.inputs), ("state", [state.initial for state in graph.states])):
        for at, var in enumerate(variables):
            names[var.id] = f"{kind}{at}"
            lines.append(f'    {kind}{at}[/"{kind} {at}: {var.type!r}"/]')
    for at, node in enumerate(graph.nodes):
        lines.append(f'    node{at}["{_label(node)}"]')
        names.update((var.id, f"node{at}") for var in node.outputs)
        lines += [f"    {names[variable.id]} --> node{at}" for variable in _variables(node)]
    for at, output in enumerate(graph.outputs):
        if isinstance(output, Var):
            lines.append(f'    output{at}(["output {at}"])')
            lines.append(f"    {names[output.id]} --> output{at}")
    for at, state in enumerate(graph.states):
        if state.changed:
            lines.append(f"    {names[state.final.id]} -.-> state{at}")
    return "\n".join(lines)


def _variables(node: Node) -> list[Var]:
    return list({source.id: source for source in node.inputs if isinstance(source, Var)}.values())


def _label(node: Node) -> str:
    types = ", ".join(repr(var.type) for var in node.outputs[:3])
    more = ", …" if len(node.outputs) > 3 else ""
    return f"{node.op}<br/>{types}{more}"
