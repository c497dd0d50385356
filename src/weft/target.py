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
from weft.errors import ArgumentError, mistake


@dataclass(frozen=True)
class Capabilities:
    """What passes and kernel choices ask of a target.

    ``language``: what its kernels' sources are written in.
    ``workgroups``: invocations run by the thousand, and those of a workgroup share memory; without it, each of a few
    threads runs a loop over its part of the work.
    ``epilogues``: products apply what follows them to each element before they store it.
    ``narrow_stores``: an element of 8 or 16 bits is stored alone; without it, the word around it is written whole.
    ``read_bindings``: a buffer that a kernel only reads may be bound so, and is then read faster.
    ``storage_buffers``: how many buffers a kernel binds, where the profile's limits do not say.
    """

    language: str
    workgroups: bool
    epilogues: bool
    narrow_stores: bool
    read_bindings: bool
    storage_buffers: int


UNLIMITED = 1 << 30
"""The limit of a target that has none."""
_WGSL = Capabilities("wgsl", workgroups=True, epilogues=True, narrow_stores=False, read_bindings=True,
                     storage_buffers=8)  # fmt: skip
_LLVM = Capabilities("llvm", workgroups=False, epilogues=False, narrow_stores=True, read_bindings=False,
                     storage_buffers=UNLIMITED)  # fmt: skip
DIALECTS: Mapping[str, Capabilities] = {"wgsl-native": _WGSL, "wgsl-browser": _WGSL, "llvm": _LLVM}
"""The capabilities that come with each dialect."""

Choices = Mapping[str, tuple[str, int]]
"""How kernels are best made: by what is asked, a name and a number (of a product: the tile, pieces of the depth)."""


@dataclass(frozen=True)
class TargetProfile:
    """Dialect, capabilities, features and limits of a target.

    ``stated`` are the capabilities of a dialect that is not in ``DIALECTS``, or others than stand there.

    ``features`` are WebGPU feature names, and ``"int64"``, ``"float64"`` where these types are native;
    ``"lanes"`` where a thread computes neighbours in the lanes of vectors, which want neighbours in memory.
    ``limits`` are WebGPU limit names (``max-storage-buffers-per-shader-stage``, ``max-immediate-size`` …).
    ``vendor``: ``"nvidia"``, ``"amd"``, ``"intel"``, ``"apple"``, or nothing where it is another or not known.
    ``choices`` are measured on one adapter (``weft tune``); where there is none, what is shipped decides.
    ``subgroup`` is how many invocations a subgroup has, at least; 0 without subgroup operations.
    All fields take part in comparison and hash: whatever is kept by a profile is kept by its limits and choices too.
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
        for name in ("limits", "choices"):  # a later change of the caller's dict is no change of the profile
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
        """What passes and kernel choices ask: what was stated, else what comes with the dialect."""
        return DIALECTS[self.dialect] if self.stated is None else self.stated

    @property
    def storage_buffers(self) -> int:
        """How many buffers a kernel may bind."""
        return self.limits.get("max-storage-buffers-per-shader-stage", self.capabilities.storage_buffers)

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

    Buffers are bound in the order ``inputs + outputs``. ``workgroup_count`` holds three expressions over the parameters
    (``"ceil_div(n, 256)"``). What it and ``workgroup_size`` mean depends on ``language``:

    - ``"wgsl"``: workgroups in x, y and z, and the invocations of each;
    - ``"llvm"``: the number of work items, then the work in all of them (elements visited; 0: not to be split among
      threads), then 1; ``workgroup_size[0]`` is the work that is worth a thread.

    Where ``reports`` is set, the kernel can write the device's status word, and its last binding is that word. A
    dispatch over one of the ``bounds`` is a ``KernelError`` with its message.
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
"""The profile of every ``cpu`` device: instruction sets are the code generator's business, not the kernel's."""

BROWSER = TargetProfile(
    "wgsl-browser",
    limits={"max-storage-buffers-per-shader-stage": 8, "max-compute-workgroups-per-dimension": 65535},
)
"""The least that a browser with WebGPU offers."""
