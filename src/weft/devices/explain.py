"""Why a machine has the devices that it has: facts about the machine, and explanations of a missing GPU.

``gather`` collects the facts; ``explanations`` is a pure function of them, so that each situation can be tested on any
machine. ``weft devices`` prints both.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from weft.devices.webgpu.adapters import AdapterInfo
from weft.errors import DeviceError

_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_MESA_DRIVER = (
    "apt-get install mesa-vulkan-drivers libvulkan1 (Debian, Ubuntu), dnf install mesa-vulkan-drivers vulkan-loader "
    "(Fedora), pacman -S vulkan-radeon vulkan-intel vulkan-icd-loader (Arch)"
)
_SOFTWARE_DRIVER = _MESA_DRIVER.replace("vulkan-radeon vulkan-intel", "vulkan-swrast")


@dataclass(frozen=True)
class Facts:
    """Facts about the GPUs and drivers of a machine.

    ``gpus`` are vendors of the display controllers that the kernel sees, ``drivers`` the names of Vulkan driver
    manifests, ``blocked`` the device files that this user may not open.
    """

    platform: str = "linux"
    adapters: tuple[AdapterInfo, ...] = ()
    library_error: str = ""
    loader: bool = True
    drivers: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    container: bool = False
    nvidia_capabilities: str | None = None
    wsl: bool = False
    processor: str = ""
    cores: int = 1

    @property
    def real(self) -> tuple[AdapterInfo, ...]:
        """The adapters that are GPUs."""
        return tuple(adapter for adapter in self.adapters if not adapter.software)

    def unused(self, vendor: str) -> bool:
        """Return whether the machine has a GPU of that vendor while the drivers offer no GPU."""
        return vendor in self.gpus and not self.real


def explanations(facts: Facts) -> list[str]:
    """Return why weft cannot use a GPU of this machine, and what to do about it; empty where nothing is wrong."""
    return [message for applies, message in _RULES if applies(facts)] if not facts.library_error else [
        f"The wgpu library cannot be used: {facts.library_error}"
    ]  # fmt: skip


def _graphics_missing(facts: Facts) -> bool:
    """Return whether NVIDIA's container runtime left the Vulkan driver out: it needs the ``graphics`` capability."""
    given = (facts.nvidia_capabilities or "").replace(" ", "").split(",")
    return facts.container and facts.unused("NVIDIA") and not {"all", "graphics"} & set(given)


def _has_driver(facts: Facts, part: str) -> bool:
    return any(part in driver for driver in facts.drivers)


_RULES: list[tuple[Callable[[Facts], bool], str]] = [
    (
        lambda facts: facts.platform == "linux" and not facts.loader,
        "Vulkan's loader (libvulkan.so.1) is not installed, so no Vulkan driver can be found. Install it with a "
        f"driver: {_SOFTWARE_DRIVER}.",
    ),
    (
        lambda facts: facts.wsl and not facts.real,
        "This is WSL2, which passes the GPU on as /dev/dxg, and that needs a Vulkan driver of its own: Mesa's `dzn` "
        "(in mesa-vulkan-drivers 24 or newer). Without it, run Python on Windows itself: weft uses Direct3D 12 there.",
    ),
    (
        _graphics_missing,
        "There is an NVIDIA GPU, but this container was started without the graphics capability, so the Vulkan driver "
        "was left outside. Start it with NVIDIA_DRIVER_CAPABILITIES=all (docker run --gpus all -e "
        "NVIDIA_DRIVER_CAPABILITIES=all …).",
    ),
    (
        lambda facts: facts.unused("NVIDIA") and not facts.wsl and not _graphics_missing(facts)
        and not _has_driver(facts, "nvidia"),
        "There is an NVIDIA GPU, but no Vulkan driver for it: no nvidia_icd.json among the drivers. Install the part "
        "of NVIDIA's driver that has it (Debian: nvidia-vulkan-icd; Ubuntu: libnvidia-gl of the driver's version).",
    ),
    (
        lambda facts: facts.unused("NVIDIA") and not facts.wsl and not _graphics_missing(facts)
        and _has_driver(facts, "nvidia"),
        "There is an NVIDIA GPU and its Vulkan driver is registered, but the driver does not start. Without a desktop "
        "it still needs some X libraries: apt-get install libxext6 libegl1; nvidia-smi must work too, and the "
        "versions of kernel module and libraries be the same.",
    ),
    (
        lambda facts: (facts.unused("AMD") or facts.unused("Intel")) and not facts.wsl
        and bool(facts.blocked),
        "There is a GPU, but this user may not open its device file (see below). Add the user to the group that owns "
        "it: sudo usermod -aG render,video $USER, then log in again.",
    ),
    (
        lambda facts: (facts.unused("AMD") or facts.unused("Intel")) and not facts.wsl
        and not facts.blocked and not (_has_driver(facts, "radeon") or _has_driver(facts, "intel")),
        f"There is a GPU, but no Vulkan driver for it. Install Mesa's: {_MESA_DRIVER}.",
    ),
    (
        lambda facts: (facts.unused("AMD") or facts.unused("Intel")) and not facts.wsl
        and not facts.blocked and (_has_driver(facts, "radeon") or _has_driver(facts, "intel")),
        "There is a GPU and a Vulkan driver is registered, but the driver does not offer it: it may be older than "
        "Vulkan 1.1, or its device files (/dev/dri) may be missing in this container (docker run --device /dev/dri …).",
    ),
    (
        lambda facts: facts.platform == "linux" and facts.loader and not facts.adapters and not facts.gpus
        and not facts.wsl,
        f"There is no GPU and no software Vulkan driver. To run webgpu on the processor: {_SOFTWARE_DRIVER}.",
    ),
    (
        lambda facts: facts.platform == "darwin" and not facts.adapters,
        "Metal offers no GPU; that happens in virtual machines. The cpu device works.",
    ),
    (
        lambda facts: facts.platform == "win32" and not facts.adapters,
        "Neither Direct3D 12 nor Vulkan offers a GPU; update the graphics driver. The cpu device works.",
    ),
]  # fmt: skip


def gather(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Facts:
    """Return the facts of this machine. ``root`` is the root of the file system; tests pass a directory."""
    from weft.devices.webgpu.adapters import adapters

    found: tuple[AdapterInfo, ...] = ()
    error = ""
    try:
        found = tuple(adapter.info for adapter in adapters())
    except DeviceError as problem:
        error = str(problem)
    linux = sys.platform == "linux"
    return Facts(
        platform=sys.platform,
        adapters=found,
        library_error=error,
        loader=not linux or _loader_exists(),
        drivers=_drivers(environment, root),
        gpus=_gpus(root),
        blocked=tuple(str(path) for path in _device_files(root) if not os.access(path, os.R_OK | os.W_OK)),
        container=any((root / name).exists() for name in (".dockerenv", "run/.containerenv")),
        nvidia_capabilities=environment.get("NVIDIA_DRIVER_CAPABILITIES"),
        wsl=(root / "dev/dxg").exists() or "microsoft" in _text(root / "proc/version").lower(),
        processor=_processor(root),
        cores=_cores(),
    )


def _loader_exists() -> bool:
    try:
        ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return False
    return True


def _drivers(environment: Mapping[str, str], root: Path) -> tuple[str, ...]:
    """Return the names of the driver manifests in the directories of Vulkan's loader."""
    for variable in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        if environment.get(variable):
            return tuple(Path(part).name for part in environment[variable].split(os.pathsep))
    folders = [
        root / part / "vulkan/icd.d" for part in ("etc", "usr/share", "usr/local/share", "usr/local/etc")
    ]
    return tuple(
        sorted({path.name for folder in folders if folder.is_dir() for path in folder.glob("*.json")})
    )


def _gpus(root: Path) -> tuple[str, ...]:
    """Return the vendors of the display controllers (PCI class 03) that the kernel sees."""
    vendors = set()
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        if _text(device / "class").startswith("0x03"):
            vendors.add(_VENDORS.get(_text(device / "vendor").strip(), ""))
    if (root / "proc/driver/nvidia/gpus").is_dir() or (root / "dev/nvidia0").exists():
        vendors.add("NVIDIA")
    return tuple(sorted(vendors - {""}))


def _device_files(root: Path) -> list[Path]:
    return sorted((root / "dev/dri").glob("renderD*"))


def _processor(root: Path) -> str:
    for line in _text(root / "proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
