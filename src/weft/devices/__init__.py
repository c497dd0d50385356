"""Devices by name, and the choice of the default device. No driver is loaded until a device is opened.

``open`` takes ``cpu``, ``webgpu``, ``webgpu:1`` (a second GPU) and ``webgpu:software``. All packages above get their
devices here.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from weft.devices.base import Buffer, Device, MemoryStats, PreparedPlan, Range, Span, Storage
from weft.devices.events import Printer
from weft.devices.interrupts import keep_interrupts
from weft.devices.replay import Replay
from weft.errors import ArgumentError, DeviceError

if TYPE_CHECKING:
    from weft.devices.webgpu import AdapterInfo

__all__ = [
    "Buffer",
    "Device",
    "MemoryStats",
    "PreparedPlan",
    "Range",
    "Replay",
    "Span",
    "Storage",
    "available",
    "default",
    "default_name",
    "open",
    "opened",
    "parse",
    "set_default",
    "using",
]

_NAME = re.compile(r"cpu|webgpu(:software|:[0-9]+)?")
_OTHERS = frozenset({"cuda", "mps", "xpu", "hip", "mtia", "hpu"})
"""PyTorch's names of GPUs."""
_devices: dict[str, Device] = {}
_lock = threading.RLock()
_chosen: ContextVar[str | None] = ContextVar("weft_default_device", default=None)


def parse(name: str) -> str:
    """Return the name after a check of its form; ``DeviceError`` lists the forms and the available devices.

    >>> parse("webgpu:1")
    'webgpu:1'
    """
    if isinstance(name, str) and name.partition(":")[0] in _OTHERS:
        raise DeviceError(
            f"device {name!r} is PyTorch's, expected 'cpu' or 'webgpu' (a GPU by Vulkan, Metal or Direct3D 12); leave "
            f"the device out to get the default device, or write device='webgpu'; available: {', '.join(available())}"
        )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DeviceError(
            f"device {name!r} is not known, expected 'cpu', 'webgpu', 'webgpu:1' (a second GPU) or "
            f"'webgpu:software'; available: {', '.join(available())}"
        )
    return name


def open(name: str) -> Device:
    """Return the device of that name, opened at the first call; equal names are one device.

    Plain ``"webgpu"`` is the first real GPU, or the software rasteriser where there is none.

    Raises:
        DeviceError: Where there is no device of that name; the message lists the available devices.

    >>> open("cpu").name, open("cpu") is open("cpu")
    ('cpu', True)
    """
    with _lock:
        found = _devices.get(name)
        if found is None or getattr(found, "disposed", False):
            found = _devices[name] = _open(parse(name))
            keep_interrupts()
            _print_where_asked(found)
        return found


def means(name: str, device: Device) -> bool:
    """Return whether a name means this very device now, without opening one.

    >>> means("cpu", open("cpu"))
    True
    """
    return _devices.get(name) is device


def _print_where_asked(device: Device) -> None:
    """Print a device's dispatches at the level that ``WEFT_DEBUG`` sets: see ``Printer``."""
    text = os.environ.get("WEFT_DEBUG") or "0"
    if text not in ("0", "1", "2", "3", "4"):
        raise ArgumentError(f"WEFT_DEBUG is {text!r}, expected 0 to 4")
    if text != "0" and not any(isinstance(observer, Printer) for observer in device.observers):
        device.observers = (*device.observers, Printer(int(text)))


def _open(name: str) -> Device:
    if name == "cpu":
        from weft.devices.cpu import CpuDevice

        return CpuDevice()
    from weft.devices.webgpu import WebGpuDevice, find

    adapter = find(name)
    device = _devices.get(adapter.info.name)
    if device is None or getattr(device, "disposed", False):
        device = _devices[adapter.info.name] = WebGpuDevice(adapter)
    return device


def opened() -> list[Device]:
    """Return the devices that are open and usable, each once."""
    with _lock:
        found = {id(device): device for device in _devices.values() if not getattr(device, "disposed", False)}
        return list(found.values())


def available() -> list[str]:
    """Return the names of the devices of this machine: ``cpu`` first, then GPUs, then the software rasteriser.

    >>> available()[0]
    'cpu'
    """
    return ["cpu", *(info.name for info in _adapters())]


def default() -> Device:
    """Return the device on which tensors are made by default.

    It is the device of ``using`` or ``set_default``, else of ``WEFT_DEVICE``, else a real GPU, else ``cpu``.
    """
    return open(default_name()[0])


def default_name() -> tuple[str, str]:
    """Return the name of the default device, and the reason for the choice."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen, "set by the program"
    asked = os.environ.get("WEFT_DEVICE")
    if asked:
        return parse(asked), "WEFT_DEVICE asks for it"
    for info in _adapters():
        if not info.software:
            return info.name, "it is the first GPU"
    return "cpu", "there is no GPU that Vulkan, Metal or Direct3D 12 offers"


chosen = _chosen.get
"""Returns the name of the default device that the program chose in this context, else ``None``."""


def set_default(name: str | None) -> None:
    """Make a device the default of this context (thread or task); ``None`` restores the choice of ``default``."""
    _chosen.set(None if name is None else open(name).name)


@contextmanager
def using(name: str) -> Iterator[Device]:
    """Make a device the default within a ``with`` block.

    >>> with using("cpu") as device:
    ...     default() is device, default_name()
    (True, ('cpu', 'set by the program'))
    """
    device = open(name)
    token = _chosen.set(device.name)
    try:
        yield device
    finally:
        _chosen.reset(token)


def _adapters() -> list[AdapterInfo]:
    """Return the adapters of all drivers; an empty list where the native library cannot be loaded."""
    from weft.devices.webgpu.adapters import adapters

    try:
        return [adapter.info for adapter in adapters()]
    except DeviceError:
        return []
