"""What kernels are made for, and what a made kernel is: data that generators write and devices read.

``TargetProfile`` describes a device without one at hand, so that graphs can be lowered for an Apple GPU on a
Linux machine. ``KernelSpec`` is the finished kernel: text, its bindings, and how many workgroups to start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from weft import dtypes
from weft.dtypes import DType

Dialect = Literal["wgsl-native", "wgsl-browser", "llvm"]


Choices = Mapping[str, tuple[str, int]]
"""How kernels are best made: by what is asked, a name and a number (of a product: the tile, pieces of the depth)."""


@dataclass(frozen=True)
class TargetProfile:
    """Dialect, features and limits of a target.

    ``features`` are WebGPU feature names, and ``"int64"``, ``"float64"`` where these types are native;
    ``"lanes"`` where a thread computes neighbours in the lanes of vectors, which want neighbours in memory.
    ``limits`` are WebGPU limit names (``max-storage-buffers-per-shader-stage``, ``max-immediate-size`` …).
    ``vendor``: ``"nvidia"``, ``"amd"``, ``"intel"``, ``"apple"``, or nothing where it is another or not known.
    ``choices`` are measured on one adapter (``weft tune``); where there is none, what is shipped decides.
    ``subgroup`` is how many invocations a subgroup has, at least; 0 without subgroup operations.
    All fields take part in comparison and hash: whatever is kept by a profile is kept by its limits and choices too.
    """

    dialect: Dialect
    features: frozenset[str] = frozenset()
    limits: Mapping[str, int] = field(default_factory=dict)
    software: bool = False
    vendor: str = ""
    subgroup: int = 0
    choices: Choices = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("limits", "choices"):  # a later change of the caller's dict is no change of the profile
            object.__setattr__(self, name, dict(getattr(self, name)))
        parts = (self.dialect, self.features, self.software, self.vendor, self.subgroup)
        tables = [frozenset((key, _hashable(value)) for key, value in table.items())
                  for table in (self.limits, self.choices)]  # fmt: skip
        object.__setattr__(self, "_hash", hash((parts, *tables)))

    def __hash__(self) -> int:
        return self._hash  # type: ignore[attr-defined, no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:  # hashes of strings differ between processes
        return TargetProfile, tuple(getattr(self, own.name) for own in fields(self))

    def storage(self, dtype: DType) -> DType:
        """The type as which elements lie in this target's memory: int64 is int32 where 64 bits are missing."""
        if dtype is dtypes.int64 and "int64" not in self.features:
            return dtypes.int32
        return dtype

    def itemsize(self, dtype: DType) -> int:
        """Bytes that an element of ``dtype`` takes in this target's memory."""
        return self.storage(dtype).itemsize

    def supports(self, dtype: DType) -> bool:
        """Whether tensors of ``dtype`` can live on this target."""
        return dtype is not dtypes.float64 or "float64" in self.features


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


ParameterSpace = Literal["immediates", "uniform"]


def parameter_space(count: int, profile: TargetProfile) -> ParameterSpace:
    """Where a WGSL kernel's ``count`` parameters of 4 bytes lie, the hidden ``report`` included.

    Immediates where the target has them and the parameters, rounded up to 16 bytes, fit; else a uniform at group 1.
    Generators and devices decide by this one function. A kernel without parameters has neither.
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
    """A storage range that a kernel sees as an array of ``dtype``."""

    name: str
    dtype: DType
    access: Literal["read", "read_write"] = "read"


@dataclass(frozen=True)
class Bound:
    """A quantity of a dispatch that its target limits: ``amount`` is an expression over the parameters."""

    amount: str
    most: int
    message: str


@dataclass(frozen=True)
class KernelSpec:
    """A kernel ready for a device: hashable, printable, cacheable.

    Buffers are bound in the order ``inputs + outputs``. ``workgroup_count`` holds three expressions over the
    parameters (``"ceil_div(n, 256)"``); on ``cpu`` the first is the number of work items, the second the work in
    them (elements visited; 0: not to be split), and ``workgroup_size[0]`` the work that is worth a thread. Where
    ``reports`` is set, the kernel can write the device's status word, and its last binding is that word. A
    dispatch over one of the ``bounds`` is a ``KernelError`` with its message.
    """

    name: str
    language: Literal["wgsl", "llvm"]
    parameters: tuple[Parameter, ...]
    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]
    workgroup_size: tuple[int, int, int]
    workgroup_count: tuple[str, str, str]
    source: str = field(repr=False)
    reports: bool = False
    bounds: tuple[Bound, ...] = ()


CPU = TargetProfile("llvm", frozenset({"int64", "float64", "lanes"}))
"""The profile of every ``cpu`` device: instruction sets are the code generator's business, not the kernel's."""

BROWSER = TargetProfile(
    "wgsl-browser",
    limits={"max-storage-buffers-per-shader-stage": 8, "max-compute-workgroups-per-dimension": 65535},
)
"""The least that a browser with WebGPU offers."""
