"""A disk cache of plans, so that a saved plan that is loaded again need not be planned again.

Passes and planning take most of the load time. Their result is stored in the user's private cache, beside the compiled
kernels. Its key covers all inputs: the saved file, the target and the source files of weft. Saved plans hold nothing of
it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import weft
from weft import dtypes, plan, target
from weft.devices.base import Device
from weft.devices.cpu import cache
from weft.dtypes import DType
from weft.plan import Plan
from weft.target import KernelSpec

CLASSES = {
    name: class_
    for module in (plan, target)
    for name, class_ in vars(module).items()
    if isinstance(class_, type) and is_dataclass(class_) and class_.__module__ == module.__name__
}
"""The dataclasses that plans consist of, by name."""


def recall(key: str) -> Plan | None:
    """Return the cached plan of a key, ``None`` where there is none."""
    kept = _kept()
    entry = None if kept is None else kept.get(key)
    if kept is None or entry is None:
        return None
    try:
        found = unpacked(json.loads(entry.object))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        found = None
    if not isinstance(found, Plan):
        kept.forget(key)
        return None
    return found


def remember(key: str, made: Plan) -> None:
    """Store a plan for later processes."""
    kept = _kept()
    if kept is not None:
        kept.put(key, cache.Entry(("plan",), (), json.dumps(packed(made)).encode()))


def key_of(data: bytes, device: Device) -> str:
    """Return the cache key of a ``plan.json`` (which holds the contracts of its ops) on a device."""
    profile = device.profile
    made_for = [f"{field.name}={_ordered(getattr(profile, field.name))!r}" for field in fields(profile)]
    return cache.key_of(("plan", _code(), hashlib.sha256(data).hexdigest(), device.name, *made_for))


def _ordered(value: Any) -> Any:
    """Return a value whose ``repr`` is the same in every process."""
    if isinstance(value, Mapping):
        return sorted(value.items())
    return sorted(value) if isinstance(value, frozenset) else value


@lru_cache(maxsize=None)
def _code() -> str:
    """Return a hash over the source files of weft, so that a changed file invalidates the cache."""
    root = Path(weft.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        state = path.stat()
        found.append((str(path.relative_to(root)), state.st_size, state.st_mtime_ns))
    return hashlib.sha256(repr(found).encode()).hexdigest()


@lru_cache(maxsize=None)
def _kept() -> cache.Cache | None:
    return cache.find("plans")


def packed(made: Plan) -> dict[str, Any]:
    """Return a plan as JSON, with each kernel once and references by number."""
    specs: dict[KernelSpec, int] = {}
    top = _packed(made, specs)
    return {"plan": top, "kernels": [_members(spec, {}) for spec in specs]}


def _packed(value: Any, specs: dict[KernelSpec, int]) -> Any:
    if isinstance(value, KernelSpec):
        return {"kernel": specs.setdefault(value, len(specs))}
    if isinstance(value, DType):
        return {"dtype": value.name}
    if isinstance(value, tuple):
        return [_packed(item, specs) for item in value]
    return _members(value, specs) if is_dataclass(value) else value


def _members(value: Any, specs: dict[KernelSpec, int]) -> dict[str, Any]:
    parts = [_packed(getattr(value, field.name), specs) for field in fields(value)]
    return {"class": type(value).__name__, "members": parts}


def unpacked(data: Any) -> Any:
    """Return the plan of packed data."""
    specs = [_unpacked(value, []) for value in data["kernels"]]
    return _unpacked(data["plan"], specs)


def _unpacked(value: Any, specs: Sequence[Any]) -> Any:
    if isinstance(value, list):
        return tuple(_unpacked(item, specs) for item in value)
    if not isinstance(value, dict):
        return value
    if "kernel" in value:
        return specs[value["kernel"]]
    if "dtype" in value:
        return dtypes.BY_NAME[value["dtype"]]
    return CLASSES[value["class"]](*(_unpacked(member, specs) for member in value["members"]))
