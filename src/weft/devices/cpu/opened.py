"""``Opened``: an open ``cpu`` device as its replays see it, so that ``replay`` does not import the device itself."""

from __future__ import annotations

from abc import abstractmethod

from weft.devices.base import HostDevice
from weft.devices.cpu.kernels import Kernels
from weft.devices.cpu.threads import Workers


class Opened(HostDevice):
    """The compiled kernels and the threads of a device."""

    kernels: Kernels
    workers: Workers

    @abstractmethod
    def dispatched(self, count: int) -> None:
        """Count the kernels that a replay started."""
