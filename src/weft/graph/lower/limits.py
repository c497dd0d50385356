"""The binding limit of a target, and values of a lowered graph above the limit."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weft.graph.lower.lowered import KernelCall, Lowered, flat
from weft.target import UNLIMITED, TargetProfile

BINDING = "max-storage-buffer-binding-size"
"""The limit in a WebGPU profile; a profile without it has no bound."""


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A value that a kernel call would bind, with its size in bytes and the limit that the size exceeds."""

    description: str
    bytes: int
    limit: int

    def __str__(self) -> str:
        return f"{self.description} takes {self.bytes:,} bytes, above the largest binding of {self.limit:,} bytes"


def too_large(lowered: Lowered, profile: TargetProfile) -> TooLarge | None:
    """Return the largest value above the target's binding limit that a call binds, ``None`` where all fit.

    Values that fusion removed are not bound, and do not count.
    """
    limit = profile.limits.get(BINDING)
    if limit is None:
        return None
    values = {value.name: value for value in lowered.values}
    largest: tuple[int, str, KernelCall | None] = (limit, "", None)
    for call in flat(lowered.calls):
        for name in call.values:
            size = values[name].elements * profile.itemsize(values[name].dtype)
            if size > largest[0]:
                largest = size, name, call
    size, name, found = largest
    if found is None:
        return None
    value = values[name]
    return TooLarge(
        f"{_described(lowered, name, found)}, {value.dtype.name} x {value.elements:,},", size, limit
    )


def _described(lowered: Lowered, name: str, call: KernelCall) -> str:
    """Describe a value in the user's terms: an input, a state, or a result or operand of operations at a line."""
    if name in lowered.inputs:
        return f"the tensor input {lowered.inputs.index(name)}"
    initial = [old for old, _ in lowered.states]
    if name in initial:
        return f"the state {initial.index(name)}"
    role = "the result" if name in call.writes else "an operand"
    return f"{role} of {' + '.join(dict.fromkeys(call.ops))}" + (f" at {call.site}" if call.site else "")


def without_buffer_limit(profile: TargetProfile) -> TargetProfile:
    """Return the profile without a limit of buffers, for ops with a part for each tensor; plans split their kernels."""
    if profile.storage_buffers >= UNLIMITED:
        return profile
    return replace(profile, limits={**profile.limits, "max-storage-buffers-per-shader-stage": UNLIMITED})
