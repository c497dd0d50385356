"""Optimizer state in PyTorch's layout: ``{"state": {number: {name: value}}, "param_groups": [options]}``.

Parameters are numbered through all groups. Loading checks and converts everything before it writes anything.
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
"""A parameter's number of steps, then its cohort's other numbers."""


def pack_state(
    groups: Sequence[ParamGroup], saved: Callable[[ParamGroup, Cohort, Tensor], dict[str, Any]]
) -> dict[str, Any]:
    """The state dict; ``saved`` gives what it holds of a parameter."""
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
    """Write a state dict into groups and state; ``ArgumentError`` names what does not fit."""
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
            counts, own = {key: initial(loaded, key) for key in counted}, state[parameter]
            starts = {key: initial(loaded, key) for key in own}
            steps[parameter], values = _entry(words, entry, own, counts, starts)
            writes += values
    with no_grad():
        cohorts = [_cohorts(group, steps) for group in groups]
        fits = [_same_members(group.cohorts, made) for group, made in zip(groups, cohorts, strict=True)]
        for target, value in writes:
            target.copy_(value)
        for group, new, made, fit in zip(groups, given, cohorts, fits, strict=True):
            if fit:  # written in place, so that compiled steps go on
                for cohort, fresh in zip(group.cohorts, made, strict=True):
                    for key, value in cohort.counters.items():
                        value.copy_(fresh.counters[key])
                    cohort.started = fresh.started
            else:
                group.cohorts, group.revision = made, group.revision + 1
            group.update({key: value for key, value in new.items() if key != "params"})


def _groups(name: str, state_dict: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        found = sorted(state_dict) if isinstance(state_dict, Mapping) else type(state_dict).__name__
        raise ArgumentError(mistake(name, "state_dict", found, "a dict with 'state' and 'param_groups'"))
    return list(state_dict["param_groups"])


def _entry(
    name: str,
    entry: Mapping[str, Any],
    own: Mapping[str, Tensor],
    counts: Mapping[str, float],
    starts: Mapping[str, float],
) -> tuple[Counts, list[tuple[Tensor, Tensor]]]:
    """A parameter's number of steps and what changes with it, and its tensors with the values they get.

    What was not saved becomes what it starts with: ``counts`` and ``starts``.
    """
    unknown = sorted(set(entry) - {"step", *counts, *own})
    if unknown:
        raise ArgumentError(mistake(name, "names", unknown, f"of {sorted({'step', *counts, *own})}"))
    writes = []
    for key, target in own.items():
        value = entry.get(key)
        if value is None:
            start = tensor(starts[key], dtype=target.dtype, device=str(target.device))
            writes.append((target, start.expand(*target.shape)))
            continue
        found = converted(f"{name}[{key!r}]", value, target)
        if found.shape != target.shape:
            raise ArgumentError(
                mistake(
                    name, f"{key}'s shape", tuple(found.shape), f"{tuple(target.shape)}, as its parameter's"
                )
            )
        writes.append((target, found))
    saved = any(entry.get(key) is not None for key in own)
    step = float(entry.get("step", 1.0 if saved else 0.0))
    return (step, *(float(entry.get(key, start)) for key, start in counts.items())), writes


def converted(name: str, value: Any, like: Tensor) -> Tensor:
    """A value of another optimizer on the parameter's device: a tensor, or what NumPy can read."""
    if isinstance(value, Tensor):
        return value.detach().to(dtype=like.dtype, device=str(like.device))
    if not hasattr(value, "__array__"):
        raise ArgumentTypeError(mistake(name, "the value", type(value).__name__, "a tensor or an array"))
    import numpy

    return tensor(numpy.asarray(value), dtype=like.dtype, device=str(like.device))


def _cohorts(group: ParamGroup, steps: Mapping[Tensor, Counts]) -> list[Cohort]:
    """The group's parameters by device and number of steps."""
    made: dict[tuple[str, Counts], Cohort] = {}
    for cohort in group.cohorts:
        for parameter in cohort.members:
            key = (cohort.device, steps[parameter])
            if key not in made:
                step, *others = (scalar(value, cohort.device) for value in steps[parameter])
                numbers = dict(zip(cohort.numbers, others, strict=True))
                made[key] = Cohort(cohort.device, [], step, steps[parameter][0] > 0, numbers)
            made[key].members.append(parameter)
    return list(made.values())


def _same_members(old: Sequence[Cohort], new: Sequence[Cohort]) -> bool:
    """Whether the same parameters share counters as before."""
    return [list(map(id, one.members)) for one in old] == [list(map(id, one.members)) for one in new]
