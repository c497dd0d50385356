"""Where loaded tensors go: ``device``, or PyTorch's ``map_location`` in its forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weft import devices
from weft.devices.base import Device
from weft.errors import ArgumentError, ArgumentTypeError, mistake

MapLocation = str | Mapping[str, str] | Callable[[Any, str], Any] | None


class StoredTensor:
    """What a ``map_location`` function is given for a storage: it can only say where its data goes."""

    def __init__(self, location: str) -> None:
        self.location = location

    def cpu(self) -> StoredTensor:
        """Return the storage on the ``cpu``."""
        return StoredTensor("cpu")


def placing(map_location: MapLocation, device: str | None) -> Callable[[str], Device]:
    """Return a function from the location that a file names (empty where it names none) to a device.

    Raises:
        ArgumentError: where both arguments are given, or a function gives something other than a storage.
        ArgumentTypeError: for a ``map_location`` of another type.
        DeviceError: for a device that is not there.
    """
    if device is not None and map_location is not None:
        raise ArgumentError(mistake("load", "device and map_location", "both given", "one of them"))
    asked: Any = map_location if device is None else device
    if asked is None:
        return lambda _: devices.default()
    if isinstance(asked, Mapping):
        table = {str(key): _opened(value) for key, value in asked.items()}
        return lambda location: table.get(location) or devices.default()
    if callable(asked):
        return lambda location: _asked(asked, location)
    opened = _opened(asked)
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


def _asked(function: Callable[[Any, str], Any], location: str) -> Device:
    found = function(StoredTensor("cpu"), location or "cpu")
    if found is None:
        return devices.default()
    if not isinstance(found, StoredTensor):
        raise ArgumentError(
            mistake(
                "load", "what map_location returned", repr(found)[:80], "the storage it was given, or None"
            )
        )
    return devices.open(found.location)
