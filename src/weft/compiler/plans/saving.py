"""Save a plan: encode ``plan.json`` and write the directory. Readers check ``FORMAT`` and ``VERSION`` first."""

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
    """Write a plan and its state to a directory; after an error the directory is unchanged."""
    text = json.dumps(written(plan), allow_nan=False, indent=1).encode()
    device = devices.open(plan.device)
    with plan.holding(), device.lock:  # between two runs
        arrays = {names[0]: state for names, state in zip(plan.names, plan.states(), strict=True)}
        with directory.replaced("save", target) as folder:
            files.save(arrays, folder / directory.STATE)
            directory.write(folder / directory.GRAPH, text)


def written(plan: CompiledPlan) -> dict[str, Any]:
    """Return the contents of ``plan.json``; ``UnsupportedError`` for a value that is not plain data."""
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
    """Return for each gradient that a call sets the number of the state that it replaces, or ``None``."""
    guards = plan.program.guards
    before = {id(leaf): grad for leaf, grad in zip(guards.leaves, guards.grads, strict=True)}
    found: list[int | None] = []
    for leaf, present in plan.program._new_grads:
        old = before[id(leaf)]
        if not present or old is None:
            change = "creates" if present else "removes"
            raise UnsupportedError(
                f"save: a call {change} the gradient of a tensor {list(leaf.shape)}, expected a gradient that exists "
                f"before and after the call; return it instead, or call zero_grad() before the plan is made"
            )
        found.append(
            next((at for at, storage in enumerate(guards.storages) if storage is old._data.storage), None)
        )
    return found


def write_target(name: str, profile: TargetProfile) -> dict[str, Any]:
    """Return a device's name and profile as JSON."""
    return {
        "device": name,
        "dialect": profile.dialect,
        "features": sorted(profile.features),
        "limits": dict(sorted(profile.limits.items())),
        "software": profile.software,
        "vendor": profile.vendor,
        "subgroup": profile.subgroup,
    }
