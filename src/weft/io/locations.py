"""The device of loaded tensors: ``device``, or PyTorch's ``map_location`` in all its forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weft import devices
from weft.devices.base import Device
from weft.errors import ArgumentError, ArgumentTypeError, mistake

MapLocation = str | Mapping[str, str] | Callable[[Any, str], Any] | None


class StoredTensor:
    """The storage that a ``map_location`` function gets: it has only a location."""

    def __init__(self, location: str) -> None:
        self.location = location

    def cpu(self) -> StoredTensor:
        """Return the storage on the ``cpu``."""
        return StoredTensor("cpu")


def placing(map_location: MapLocation, device: str | None) -> Callable[[str], Device]:
    """Return a function from the location that a file names (empty if it names none) to a device.

    Raises:
        ArgumentError: if both arguments are given, or if a function returns something other than a storage.
        ArgumentTypeError: for a ``map_location`` of another type.
        DeviceError: for a device that does not exist.
    """
    if device is not None and map_location is not None:
        raise ArgumentError(mistake("load", "device and map_location", "both given", "one of them"))
    target: Any = map_location if device is None else device
    if target is None:
        return lambda _: devices.default()
    if isinstance(target, Mapping):
        table = {str(key): _opened(value) for key, value in target.items()}
        return lambda location: table.get(location) or devices.default()
    if callable(target):
        return lambda location: _mapped(target, location)
    opened = _opened(target)
    return lambda _: opened


def _opened(name: Any) -> Device:
    if not isinstance(name, str) and not hasattr(name, "type"):
        raise ArgumentTypeError(
            mistake(
                "load",
                "map_location",
                repr(name)[:80],
                "a device, a dict of devices by location, or a function",
            )
        )
    return devices.open(str(name))


def _mapped(function: Callable[[Any, str], Any], location: str) -> Device:
    storage = function(StoredTensor("cpu"), location or "cpu")
    if storage is None:
        return devices.default()
    if not isinstance(storage, StoredTensor):
        raise ArgumentError(
            mistake(
                "load", "what map_location returned", repr(storage)[:80], "the storage it was given, or None"
            )
        )
    return devices.open(storage.location)
