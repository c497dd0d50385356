"""What a saved plan holds, and writing it. ``FORMAT`` and ``VERSION`` are the first things that a reader looks at."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import weft
from weft import devices
from weft.compiler.plans import calls, directory, graphs
from weft.errors import UnsupportedError
from weft.io import files
from weft.target import TargetProfile

if TYPE_CHECKING:
    from weft.compiler.plans.compiled import CompiledPlan

FORMAT, VERSION = "weft-plan", 1


def save(plan: CompiledPlan, target: str | os.PathLike[str]) -> None:
    """Write a plan and its state; nothing is there afterwards that was not, where it fails."""
    text = json.dumps(written(plan), allow_nan=False, indent=1).encode()
    device = devices.open(plan.device)
    with plan.holding(), device.lock:  # between two runs
        arrays = {names[0]: state for names, state in zip(plan.names, plan.states(), strict=True)}
        with directory.replaced("save", target) as folder:
            files.save(arrays, folder / directory.STATE)
            directory.write(folder / directory.GRAPH, text)


def written(plan: CompiledPlan) -> dict[str, Any]:
    """The contents of ``plan.json``; ``UnsupportedError`` naming what cannot be in it."""
    program = plan.program
    states = [
        {"names": list(names), **graphs.write_type(state.initial.type)}
        for names, state in zip(plan.names, plan.graph.states, strict=True)
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "weft": weft.__version__,
        "name": plan.name,
        "target": write_target(plan.device, program.device.profile),
        "arguments": calls.write_arguments(plan.arguments),
        "donated": list(program._donated),
        "result": calls.write_tree(plan.result, "the result"),
        "captures": list(program._captures) if program._capturing else None,
        "gradients": _gradients(plan),
        "states": states,
        "ops": graphs.write_contracts(plan.graph),
        "graph": graphs.write_graph(plan.graph),
    }


def _gradients(plan: CompiledPlan) -> list[int | None]:
    """For each gradient that a call leaves behind the state that it replaces, if it does."""
    guards = plan.program.guards
    before = {id(leaf): grad for leaf, grad in zip(guards.leaves, guards.grads, strict=True)}
    found: list[int | None] = []
    for leaf, present in plan.program._new_grads:
        old = before[id(leaf)]
        if not present or old is None:
            change = "makes" if present else "takes away"
            raise UnsupportedError(
                f"save: a call {change} the gradient of a tensor {list(leaf.shape)}, expected gradients that are there "
                f"before and after, or not at all; return them, or call zero_grad() before the plan is made"
            )
        found.append(
            next((at for at, storage in enumerate(guards.storages) if storage is old._data.storage), None)
        )
    return found


def write_target(name: str, profile: TargetProfile) -> dict[str, Any]:
    """A device's name and profile as JSON."""
    return {
        "device": name,
        "dialect": profile.dialect,
        "features": sorted(profile.features),
        "limits": dict(sorted(profile.limits.items())),
        "software": profile.software,
        "vendor": profile.vendor,
        "subgroup": profile.subgroup,
    }
