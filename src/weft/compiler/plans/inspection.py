"""Inspect a saved plan on any machine: its graph is planned again for the target that it was saved on."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from weft.compiler.plans import graphs
from weft.compiler.plans.directory import GRAPH, find
from weft.compiler.plans.fields import Field
from weft.compiler.plans.loading import contents, planning, read_target
from weft.compiler.plans.report import PlanReport, report_of
from weft.graph import Graph, compile_graph
from weft.graph.plan.planning import Gather
from weft.plan import ALIGNMENT
from weft.target import TargetProfile

WHERE = "read_plan"


@dataclass(frozen=True)
class SavedPlan:
    """A saved plan for inspection: the function's name, the version of weft, the device, the states and the graph."""

    name: str
    weft: str
    device: str
    profile: TargetProfile
    states: Mapping[str, str]
    graph: Graph
    field: Field = field(repr=False, compare=False)
    """The field of the graph in the file, for errors."""

    def report(self) -> PlanReport:
        """Return the report of a call on the plan's target, with all states in as few buffers as fit."""
        gather = _side_by_side(self.graph, self.profile)
        with planning(self.field):
            made = compile_graph(self.graph, self.profile, gather)
        return report_of(self.name, self.device, made)


def read_plan(directory: str | os.PathLike[str]) -> SavedPlan:
    """Read a saved plan for inspection; no device is opened, and the plan cannot be called (see ``load_plan``).

    Raises:
        FormatError: as ``load_plan``.

    >>> import tempfile, weft as wf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wf.jit(lambda x: (x * 2).sum()).plan(wf.ones(3, device="cpu")).save(f"{folder}/plan")
    ...     found = wf.compiler.read_plan(f"{folder}/plan")
    >>> found.device, [node.op for node in found.graph.nodes], found.report().dispatches
    ('cpu', ['mul', 'sum'], 1)
    """
    folder = find(WHERE, directory)
    parts = contents(WHERE, folder, (folder / GRAPH).read_bytes())
    device, profile = read_target(parts["target"])
    graphs.check_contracts(parts["ops"])
    graph = graphs.GraphReader(device, device, parts["ops"]).read(parts["graph"])
    states = {}
    for item in parts["states"].items(len(graph.states)):
        entry = item.members("names", "dtype", "shape")
        names = [name.text() for name in entry["names"].items()]
        states[names[0] if names else item.path] = repr(graphs.read_type(entry))
    return SavedPlan(
        parts["name"].text(), parts["weft"].text(), device, profile, states, graph, parts["graph"]
    )


def _side_by_side(graph: Graph, profile: TargetProfile) -> Gather:
    """Return a function that places states one after another, in the requested order, in as few buffers as fit."""
    sizes = [
        profile.itemsize(state.initial.type.dtype) * max(1, math.prod(state.initial.type.shape))
        for state in graph.states
    ]
    limit = profile.limits.get("max-storage-buffer-binding-size", 1 << 27)

    def gather(numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
        lying: dict[int, tuple[int, int]] = {}
        buffer = used = 0
        for at in numbers:
            if at >= len(sizes):  # a donated argument, which is another storage in every call
                continue
            size = -(-sizes[at] // ALIGNMENT) * ALIGNMENT
            if used and used + size > limit:
                buffer, used = buffer + 1, 0
            lying[at] = (buffer, used)
            used += size
        return lying

    return gather
