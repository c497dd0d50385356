"""Lost devices: a driver that was reset, or unplugged, says so in the error of whatever call comes next.

Every place that turns the library's errors into weft's asks ``check`` first. The device is closed then: its tensors
raise ``DeviceError`` from that call on, and opening it by name makes a new one.
"""

from __future__ import annotations

import weakref
from typing import Any, Protocol

from weft.devices.webgpu.native import native
from weft.errors import DeviceError


class Losable(Protocol):
    """A device that can be closed because its driver has lost it."""

    def lose(self) -> DeviceError:
        """Close the device; gives the error that says so."""


_SAYS = ("device is lost", "device lost", "devicelost")
_devices: dict[int, weakref.ref[Losable]] = {}


def watch(handle: Any, device: Losable) -> None:
    """Know whose native handle this is."""
    number = _number(handle)
    _devices[number] = weakref.ref(device, lambda _: _devices.pop(number, None))


def check(handle: Any, error: BaseException | str) -> None:
    """Close the device, and raise ``DeviceError``, where an error says that it is lost."""
    text = str(error).lower()
    if not any(phrase in text for phrase in _SAYS):
        return
    reference = _devices.get(_number(handle))
    device = None if reference is None else reference()
    if device is not None:
        raise device.lose() from None


def _number(handle: Any) -> int:
    return int(native().ffi.cast("uintptr_t", handle))
