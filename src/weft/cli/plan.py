"""``weft plan DIRECTORY``: show a saved plan: its state, its dispatches with their costs, its memory."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.compiler.plans import SavedPlan


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("directory", help="a directory that CompiledPlan.save wrote")
    parser.add_argument("--graph", action="store_true", help="print the graph as well, node by node")


def run(arguments: argparse.Namespace) -> int:
    """Print the report of a saved plan."""
    from weft.compiler.plans import (
        read_plan,
    )  # imported here, because the import takes longer than `weft devices`

    print(report(read_plan(arguments.directory), arguments.graph))
    return 0


def report(saved: SavedPlan, graph: bool = False) -> str:
    """Return the report as text: the saved plan and its target, then the work of a call."""
    profile = saved.profile
    features = ", ".join(sorted(profile.features)) or "no features"
    lines = [
        f"{saved.name}: {len(saved.graph.nodes)} nodes, saved by weft {saved.weft} on {saved.device} "
        f"({profile.dialect}; {features})"
    ]
    if saved.states:
        width = max(map(len, saved.states))
        lines += ["", "state:", *(f"  {name:<{width}}  {type_}" for name, type_ in saved.states.items())]
    if graph:
        lines += ["", repr(saved.graph)]
    return "\n".join([*lines, "", str(saved.report())])
