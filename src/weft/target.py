"""Targets and finished kernels as data: code generators produce kernels for a profile, devices run them.

A ``TargetProfile`` describes a device that need not be present: graphs can be lowered for an Apple GPU on a Linux
machine. A ``KernelSpec`` is a finished kernel: its source, bindings, parameters and workgroup counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, mistake


@dataclass(frozen=True)
class Capabilities:
    """The properties of a target on which passes and kernel choices depend.

    Attributes:
        language: The language of kernel sources.
        workgroups: Whether thousands of invocations run in workgroups with shared memory; else each of a few threads
            runs a loop over its part of the work.
        epilogues: Whether matrix products apply fused operations to each element before its store.
        narrow_stores: Whether an element of 8 or 16 bits can be stored alone; else the whole word is written.
        read_bindings: Whether read-only bindings exist, which are faster to read.
        storage_buffers: The most buffers of a kernel, where the profile's limits do not state it.
    """

    language: str
    workgroups: bool
    epilogues: bool
    narrow_stores: bool
    read_bindings: bool
    storage_buffers: int


UNLIMITED = 1 << 30
"""The value of a limit that a target does not have."""
_WGSL = Capabilities("wgsl", workgroups=True, epilogues=True, narrow_stores=False, read_bindings=True,
                     storage_buffers=8)  # fmt: skip
_LLVM = Capabilities("llvm", workgroups=False, epilogues=False, narrow_stores=True, read_bindings=False,
                     storage_buffers=UNLIMITED)  # fmt: skip
DIALECTS: Mapping[str, Capabilities] = {"wgsl-native": _WGSL, "wgsl-browser": _WGSL, "llvm": _LLVM}
"""The capabilities of each dialect."""

Choices = Mapping[str, tuple[str, int]]
"""Measured choices of kernels: from a question to a name and a number (of a product: the tile, the split of k)."""


@dataclass(frozen=True)
class TargetProfile:
    """A target: dialect, capabilities, features and limits.

    All fields take part in comparison and hash, so that a cache with a profile in its key depends on them.

    Attributes:
        dialect: The dialect of generated sources.
        features: WebGPU feature names; ``"int64"`` and ``"float64"`` where these types are native; ``"lanes"`` where
            a thread computes consecutive elements in vector lanes, so that contiguous memory accesses are faster.
        limits: WebGPU limits by name (``max-storage-buffers-per-shader-stage``, ``max-immediate-size`` …).
        software: Whether the device is a software rasteriser.
        vendor: ``"nvidia"``, ``"amd"``, ``"intel"``, ``"apple"``, or empty for another or unknown vendor.
        subgroup: The smallest size of a subgroup; 0 without subgroup operations.
        choices: Choices measured on an adapter (``weft tune``); the shipped defaults decide where there is none.
        stated: The capabilities, where they are not those of the dialect in ``DIALECTS``.

    >>> gpu = TargetProfile("wgsl-native", frozenset({"subgroup"}), {"max-immediate-size": 128}, subgroup=32)
    >>> gpu.capabilities.workgroups, gpu.supports(dtypes.float64), gpu.itemsize(dtypes.int64)
    (True, False, 4)
    """

    dialect: str
    features: frozenset[str] = frozenset()
    limits: Mapping[str, int] = field(default_factory=dict)
    software: bool = False
    vendor: str = ""
    subgroup: int = 0
    choices: Choices = field(default_factory=dict)
    stated: Capabilities | None = None

    def __post_init__(self) -> None:
        if (self.stated or DIALECTS.get(self.dialect)) is None:
            raise ArgumentError(
                mistake("TargetProfile", "dialect", repr(self.dialect), f"one of {', '.join(DIALECTS)}",
                        "or state the capabilities of another one")
            )  # fmt: skip
        for name in (
            "limits",
            "choices",
        ):  # copied: a later change of the caller's dict must not change the profile
            object.__setattr__(self, name, dict(getattr(self, name)))
        parts = (
            self.dialect, self.features, self.software, self.vendor, self.subgroup, self.stated,
        )  # fmt: skip
        tables = [frozenset((key, _hashable(value)) for key, value in table.items())
                  for table in (self.limits, self.choices)]  # fmt: skip
        object.__setattr__(self, "_hash", hash((parts, *tables)))

    def __hash__(self) -> int:
        return self._hash  # type: ignore[attr-defined, no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:  # hashes of strings differ between processes
        return TargetProfile, tuple(getattr(self, own.name) for own in fields(self))

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities: ``stated``, else those of the dialect."""
        return DIALECTS[self.dialect] if self.stated is None else self.stated

    @property
    def storage_buffers(self) -> int:
        """The most buffers that a kernel may bind."""
        return self.limits.get("max-storage-buffers-per-shader-stage", self.capabilities.storage_buffers)

    def storage(self, dtype: DType) -> DType:
        """Return the type of elements in this target's memory: int32 for int64 on targets without 64-bit integers."""
        if dtype is dtypes.int64 and "int64" not in self.features:
            return dtypes.int32
        return dtype

    def itemsize(self, dtype: DType) -> int:
        """Return the bytes of an element of ``dtype`` in this target's memory."""
        return self.storage(dtype).itemsize

    def supports(self, dtype: DType) -> bool:
        """Return whether the target supports tensors of ``dtype``."""
        return dtype is not dtypes.float64 or "float64" in self.features


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


ParameterSpace = Literal["immediates", "uniform"]


def parameter_space(count: int, profile: TargetProfile) -> ParameterSpace:
    """Return how a WGSL kernel gets its ``count`` parameters of 4 bytes, including the hidden ``report``.

    They are immediates where the target has them and the parameters, rounded up to 16 bytes, fit; else a uniform buffer
    in group 1. Generators and devices both decide by this function. A kernel without parameters has neither.
    """
    size = (4 * count + 15) // 16 * 16
    fits = "immediates" in profile.features and size <= profile.limits.get("max-immediate-size", 0)
    return "immediates" if fits else "uniform"


@dataclass(frozen=True)
class Parameter:
    """A run-time scalar of a kernel: int64 and uint32 for geometry, float32 or float64 for values."""

    name: str
    dtype: DType


@dataclass(frozen=True)
class Binding:
    """A storage range that a kernel accesses as an array of ``dtype``."""

    name: str
    dtype: DType
    access: Literal["read", "read_write"] = "read"


@dataclass(frozen=True)
class Bound:
    """A limit on a dispatch: ``amount``, an expression over the parameters, may be at most ``most``."""

    amount: str
    most: int
    message: str


@dataclass(frozen=True)
class KernelSpec:
    """A kernel ready for a device: hashable, printable, cacheable.

    Buffers are bound in the order ``inputs + outputs``. ``workgroup_count`` holds three expressions over the parameters
    (``"ceil_div(n, 256)"``). Its meaning, and that of ``workgroup_size``, depends on ``language``:

    - ``"wgsl"``: workgroups in x, y and z, and the invocations of each;
    - ``"llvm"``: the number of work items, then the total work of all items (elements visited; 0: not to be split among
      threads), then 1; ``workgroup_size[0]`` is the least work for which another thread pays off.

    A kernel with ``reports`` can write the device's status word, which is its last binding. A dispatch that exceeds one
    of the ``bounds`` raises ``KernelError`` with its message.
    """

    name: str
    language: str
    parameters: tuple[Parameter, ...]
    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]
    workgroup_size: tuple[int, int, int]
    workgroup_count: tuple[str, str, str]
    source: str = field(repr=False)
    reports: bool = False
    bounds: tuple[Bound, ...] = ()


CPU = TargetProfile("llvm", frozenset({"int64", "float64", "lanes"}))
"""The profile of all ``cpu`` devices; kernels do not depend on the instruction set, which the compiler chooses."""

BROWSER = TargetProfile(
    "wgsl-browser",
    limits={"max-storage-buffers-per-shader-stage": 8, "max-compute-workgroups-per-dimension": 65535},
)
"""The profile with the minimum that a browser with WebGPU guarantees."""
