"""Which adapters there are, which one a device name means, and the profile that kernels are made for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from weft.devices.webgpu.native import native, quiet
from weft.errors import DeviceError
from weft.target import TargetProfile

FEATURES = ("shader-f16", "subgroup", "subgroup-barrier", "immediates", "timestamp-query")
"""What is asked of an adapter that has it."""

BACKENDS = ("Metal", "Vulkan", "D3D12")
"""The drivers used, best first. OpenGL is not: it has no subgroups and few limits, and shows each GPU twice."""

VENDORS = {0x10DE: "nvidia", 0x1002: "amd", 0x8086: "intel", 0x106B: "apple"}
"""PCI's numbers of vendors, by what profiles call them."""

_KINDS = ("DiscreteGPU", "IntegratedGPU", "Unknown", "CPU")


@dataclass(frozen=True)
class AdapterInfo:
    """What is said about an adapter; ``subgroup`` is the least size that its driver gives a subgroup."""

    name: str
    kind: str
    backend: str
    device: str
    driver: str
    limits: tuple[tuple[str, int], ...]
    features: frozenset[str]
    vendor: str = ""
    subgroup: int = 0

    @property
    def software(self) -> bool:
        """Whether it is a rasteriser that runs on the CPU."""
        return self.kind == "CPU"


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter by the name that users write, with wgpu's object."""

    info: AdapterInfo
    handle: Any

    def profile(self) -> TargetProfile:
        """The profile of a device made from this adapter with its own limits."""
        features = frozenset(name for name in FEATURES if name in self.info.features)
        subgroup = self.info.subgroup if "subgroup" in features else 0
        return TargetProfile(
            "wgsl-native", features, dict(self.info.limits), self.info.software, self.info.vendor, subgroup
        )


@lru_cache(maxsize=1)
def adapters() -> tuple[Adapter, ...]:
    """The usable adapters, real GPUs first: ``webgpu``, ``webgpu:1`` …, then ``webgpu:software``.

    An empty tuple where there is no driver; ``DeviceError`` where the native library itself cannot be loaded.
    """
    try:
        with quiet():
            found = native().wgpu.gpu.enumerate_adapters_sync()
    except (ImportError, OSError, RuntimeError) as error:
        raise DeviceError(
            f"webgpu: the wgpu library cannot be used ({error}); reinstall it: pip install --force-reinstall wgpu"
        ) from error
    return tuple(Adapter(info, found[index]) for index, info in select([_describe(value) for value in found]))


def _describe(found: Any) -> AdapterInfo:
    info = found.info
    return AdapterInfo(
        name="",
        kind=info["adapter_type"],
        backend=info["backend_type"],
        device=info["device"],
        driver=info["description"],
        limits=tuple(sorted(found.limits.items())),
        features=frozenset(found.features),
        vendor=vendor(info["vendor_id"], info["backend_type"], info["device"]),
        # the name of the size is mangled in some versions of wgpu
        subgroup=next((size for name, size in info.items() if name.endswith("group_min_size")), 0),
    )


def vendor(number: int, backend: str, device: str) -> str:
    """What profiles call an adapter's vendor; Metal gives no number.

    >>> vendor(0x10DE, "Vulkan", "NVIDIA H200"), vendor(0, "Metal", "Apple M2 Pro"), vendor(5, "Vulkan", "?")
    ('nvidia', 'apple', '')
    """
    if backend == "Metal" and device.startswith("Apple"):
        return "apple"
    return VENDORS.get(number, "")


def select(found: Sequence[AdapterInfo]) -> list[tuple[int, AdapterInfo]]:
    """The adapters to offer, as (position in ``found``, named description).

    Per device the best driver; discrete GPUs before integrated ones; one software rasteriser at most.
    """
    offered: list[tuple[int, AdapterInfo]] = []
    seen: dict[str, str] = {}  # device: the driver that it was taken from
    for backend in BACKENDS:
        for index, info in enumerate(found):
            if info.backend == backend and seen.setdefault(info.device, backend) == backend:
                offered.append((index, info))
    offered.sort(key=lambda entry: _KINDS.index(entry[1].kind) if entry[1].kind in _KINDS else 2)
    named: list[tuple[int, AdapterInfo]] = []
    for index, info in offered:
        if info.software:
            name = "webgpu:software"
        else:
            name = f"webgpu:{len(named)}" if named else "webgpu"
        if all(name != taken.name for _, taken in named):
            named.append((index, replace(info, name=name)))
    return named


def find(name: str) -> Adapter:
    """The adapter that ``name`` means; plain ``webgpu`` is the software one where there is no other.

    Raises ``DeviceError`` that lists what there is.
    """
    offered = adapters()
    wanted = "webgpu" if name == "webgpu:0" else name
    for adapter in offered:
        if adapter.info.name == wanted or (name == "webgpu" and adapter is offered[0]):
            return adapter
    names = ", ".join(["cpu", *(adapter.info.name for adapter in offered)])
    raise DeviceError(f"device {name!r} is not there; available: {names}. `weft devices` explains")
