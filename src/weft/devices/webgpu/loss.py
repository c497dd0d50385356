"""Lost devices: after a reset of the driver, or the removal of a GPU, the next native call fails with an error.

Every handler of the library's errors calls ``check`` first. A lost device is closed: its tensors raise ``DeviceError``
from then on, and opening its name makes a new device.
"""

from __future__ import annotations

import weakref
from typing import Any, Protocol

from weft.devices.webgpu.native import native
from weft.errors import DeviceError


class Losable(Protocol):
    """A device that can be closed because its driver has lost it."""

    def lose(self) -> DeviceError:
        """Close the device; return the error that says so."""


_SAYS = ("device is lost", "device lost", "devicelost")
_devices: dict[int, weakref.ref[Losable]] = {}


def watch(handle: Any, device: Losable) -> None:
    """Register a device under its native handle."""
    number = _number(handle)
    _devices[number] = weakref.ref(device, lambda _: _devices.pop(number, None))


def check(handle: Any, error: BaseException | str) -> None:
    """Close the device and raise ``DeviceError`` where an error means that the device is lost."""
    text = str(error).lower()
    if not any(phrase in text for phrase in _SAYS):
        return
    reference = _devices.get(_number(handle))
    device = None if reference is None else reference()
    if device is not None:
        raise device.lose() from None


def _number(handle: Any) -> int:
    return int(native().ffi.cast("uintptr_t", handle))
