"""The adapters of this machine, their device names, and the profiles that kernels are generated for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from weft.devices.webgpu.native import native, quiet
from weft.errors import DeviceError
from weft.target import TargetProfile

FEATURES = ("shader-f16", "subgroup", "subgroup-barrier", "immediates", "timestamp-query")
"""The features that are requested of adapters that have them."""

BACKENDS = ("Metal", "Vulkan", "D3D12")
"""The drivers used, best first. OpenGL is not used: it has no subgroups and low limits, and lists each GPU twice."""

VENDORS = {0x10DE: "nvidia", 0x1002: "amd", 0x8086: "intel", 0x106B: "apple"}
"""The vendors' PCI numbers, with their names in profiles."""

_KINDS = ("DiscreteGPU", "IntegratedGPU", "Unknown", "CPU")


@dataclass(frozen=True)
class AdapterInfo:
    """The description of an adapter; ``subgroup`` is the smallest subgroup size of its driver."""

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
        """Whether the adapter is a rasteriser that runs on the CPU."""
        return self.kind == "CPU"


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter: its description, with the device name, and wgpu's object."""

    info: AdapterInfo
    handle: Any

    def profile(self) -> TargetProfile:
        """Return the profile of a device that is opened on this adapter, with the adapter's own limits."""
        features = frozenset(name for name in FEATURES if name in self.info.features)
        subgroup = self.info.subgroup if "subgroup" in features else 0
        return TargetProfile(
            "wgsl-native", features, dict(self.info.limits), self.info.software, self.info.vendor, subgroup
        )


@lru_cache(maxsize=1)
def adapters() -> tuple[Adapter, ...]:
    """Return the usable adapters, real GPUs first: ``webgpu``, ``webgpu:1`` …, then ``webgpu:software``.

    The tuple is empty where there is no driver.

    Raises:
        DeviceError: Where the native library itself cannot be loaded.
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
        # some versions of wgpu mangle the name of this entry
        subgroup=next((size for name, size in info.items() if name.endswith("group_min_size")), 0),
    )


def vendor(number: int, backend: str, device: str) -> str:
    """Return the vendor's name in profiles. Metal reports no vendor number, so the device's name decides there.

    >>> vendor(0x10DE, "Vulkan", "NVIDIA H200"), vendor(0, "Metal", "Apple M2 Pro"), vendor(5, "Vulkan", "?")
    ('nvidia', 'apple', '')
    """
    if backend == "Metal" and device.startswith("Apple"):
        return "apple"
    return VENDORS.get(number, "")


def select(found: Sequence[AdapterInfo]) -> list[tuple[int, AdapterInfo]]:
    """Return the adapters to offer, as (position in ``found``, description with a device name).

    Each GPU appears with its best driver, discrete GPUs before integrated GPUs, and at most one software rasteriser.
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
    """Return the adapter of a device name; plain ``webgpu`` is the software rasteriser where there is no GPU.

    Raises:
        DeviceError: Where there is no such adapter; the message lists the available devices.
    """
    offered = adapters()
    wanted = "webgpu" if name == "webgpu:0" else name
    for adapter in offered:
        if adapter.info.name == wanted or (name == "webgpu" and adapter is offered[0]):
            return adapter
    names = ", ".join(["cpu", *(adapter.info.name for adapter in offered)])
    raise DeviceError(f"device {name!r} is not there; available: {names}. `weft devices` explains")
