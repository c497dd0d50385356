"""Optimizer state in PyTorch's layout: ``{"state": {number: {name: value}}, "param_groups": [options]}``.

Parameters are numbered across all groups. Loading checks and converts all values before it writes the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weft.autograd import no_grad
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.optim.groups import Cohort, ParamGroup
from weft.tensors.arena import scalar
from weft.tensors.tensor import Tensor, tensor

State = dict[Tensor, dict[str, Tensor]]
Counts = tuple[float, ...]
"""A parameter's number of steps, then its cohort's other scalars."""


def pack_state(
    groups: Sequence[ParamGroup], saved: Callable[[ParamGroup, Cohort, Tensor], dict[str, Any]]
) -> dict[str, Any]:
    """Return the state dict; ``saved`` returns the entry of a parameter."""
    packed, state, count = [], {}, 0
    for group in groups:
        cohort_of = {id(parameter): cohort for cohort in group.cohorts for parameter in cohort.members}
        for number, parameter in enumerate(group["params"], count):
            entry = saved(group, cohort_of[id(parameter)], parameter)
            if entry:
                state[number] = entry
        size = len(group["params"])
        packed.append({**group, "params": list(range(count, count + size))})
        count += size
    return {"state": state, "param_groups": packed}


def load_state(
    where: str,
    state_dict: Mapping[str, Any],
    groups: Sequence[ParamGroup],
    state: State,
    check: Callable[[ParamGroup], None],
    initial: Callable[[ParamGroup, str], float],
) -> None:
    """Load a state dict into groups and state; ``ArgumentError`` names the part that does not fit."""
    name = f"{where}.load_state_dict"
    given = _groups(name, state_dict)
    if len(given) != len(groups):
        raise ArgumentError(
            mistake(name, "state_dict", f"of {len(given)} parameter groups", f"{len(groups)} groups")
        )
    steps: dict[Tensor, Counts] = {}
    writes: list[tuple[Tensor, Tensor]] = []
    for position, (old, new) in enumerate(zip(groups, given, strict=True)):
        if len(old["params"]) != len(new["params"]):
            raise ArgumentError(
                mistake(
                    name, f"group {position}", f"of {len(new['params'])} parameters", f"{len(old['params'])}"
                )
            )
        loaded = ParamGroup({**old, **new})
        check(loaded)
        counted = tuple(old.cohorts[0].numbers) if old.cohorts else ()
        for number, parameter in zip(new["params"], old["params"], strict=True):
            entry, words = state_dict["state"].get(number, {}), f"{name}: state[{number}]"
            counts, tensors = {key: initial(loaded, key) for key in counted}, state[parameter]
            starts = {key: initial(loaded, key) for key in tensors}
            steps[parameter], values = _entry(words, entry, tensors, counts, starts)
            writes += values
    with no_grad():
        cohorts = [_cohorts(group, steps) for group in groups]
        same = [_same_members(group.cohorts, loaded) for group, loaded in zip(groups, cohorts, strict=True)]
        for target, value in writes:
            target.copy_(value)
        for group, new, loaded_cohorts, is_same in zip(groups, given, cohorts, same, strict=True):
            if is_same:  # written in place, so that compiled steps stay valid
                for cohort, loaded_cohort in zip(group.cohorts, loaded_cohorts, strict=True):
                    for key, value in cohort.counters.items():
                        value.copy_(loaded_cohort.counters[key])
                    cohort.started = loaded_cohort.started
            else:
                group.cohorts, group.revision = loaded_cohorts, group.revision + 1
            group.update({key: value for key, value in new.items() if key != "params"})


def _groups(name: str, state_dict: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        content = sorted(state_dict) if isinstance(state_dict, Mapping) else type(state_dict).__name__
        raise ArgumentError(mistake(name, "state_dict", content, "a dict with 'state' and 'param_groups'"))
    return list(state_dict["param_groups"])


def _entry(
    name: str,
    entry: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    counts: Mapping[str, float],
    starts: Mapping[str, float],
) -> tuple[Counts, list[tuple[Tensor, Tensor]]]:
    """Return a parameter's step count and scalars, and pairs of its state tensors and their new values.

    Values that were not saved are the initial values, ``counts`` and ``starts``.
    """
    unknown = sorted(set(entry) - {"step", *counts, *tensors})
    if unknown:
        raise ArgumentError(mistake(name, "names", unknown, f"of {sorted({'step', *counts, *tensors})}"))
    writes = []
    for key, target in tensors.items():
        value = entry.get(key)
        if value is None:
            start = tensor(starts[key], dtype=target.dtype, device=str(target.device))
            writes.append((target, start.expand(*target.shape)))
            continue
        loaded = converted(f"{name}[{key!r}]", value, target)
        if loaded.shape != target.shape:
            raise ArgumentError(
                mistake(
                    name, f"{key}'s shape", tuple(loaded.shape), f"{tuple(target.shape)}, as its parameter's"
                )
            )
        writes.append((target, loaded))
    saved = any(entry.get(key) is not None for key in tensors)
    step = float(entry.get("step", 1.0 if saved else 0.0))
    return (step, *(float(entry.get(key, start)) for key, start in counts.items())), writes


def converted(name: str, value: Any, like: Tensor) -> Tensor:
    """Convert a saved value, a tensor or an array for NumPy, to the parameter's type and device."""
    if isinstance(value, Tensor):
        return value.detach().to(dtype=like.dtype, device=str(like.device))
    if not hasattr(value, "__array__"):
        raise ArgumentTypeError(mistake(name, "the value", type(value).__name__, "a tensor or an array"))
    import numpy

    return tensor(numpy.asarray(value), dtype=like.dtype, device=str(like.device))


def _cohorts(group: ParamGroup, steps: Mapping[Tensor, Counts]) -> list[Cohort]:
    """Group the parameters into cohorts by device and counts."""
    cohorts: dict[tuple[str, Counts], Cohort] = {}
    for cohort in group.cohorts:
        for parameter in cohort.members:
            key = (cohort.device, steps[parameter])
            if key not in cohorts:
                step, *others = (scalar(value, cohort.device) for value in steps[parameter])
                numbers = dict(zip(cohort.numbers, others, strict=True))
                cohorts[key] = Cohort(cohort.device, [], step, steps[parameter][0] > 0, numbers)
            cohorts[key].members.append(parameter)
    return list(cohorts.values())


def _same_members(old: Sequence[Cohort], new: Sequence[Cohort]) -> bool:
    """Return whether two lists of cohorts have the same members."""
    return [list(map(id, cohort.members)) for cohort in old] == [
        list(map(id, cohort.members)) for cohort in new
    ]
