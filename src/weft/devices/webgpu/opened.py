"""``Opened``: an open ``webgpu`` device as its parts see it, so that they do not import the device itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from weft.devices.base import Buffer, Device
from weft.devices.webgpu import status
from weft.devices.webgpu.groups import BindGroups
from weft.devices.webgpu.memory import NativeMemory
from weft.devices.webgpu.pipelines import Pipeline, Pipelines
from weft.devices.webgpu.recorder import Recorder
from weft.target import KernelSpec


class Opened(Device):
    """The native memory, recorder, pipelines and bind groups of a device, and the calls that replays need."""

    memory: NativeMemory
    recorder: Recorder
    pipelines: Pipelines
    groups: BindGroups
    reports: status.Reports

    @abstractmethod
    def uniform_group(self, buffer: Any, size: int) -> Any:
        """Return a bind group of ``size`` bytes of parameters, at a dynamic offset that each dispatch passes."""

    @abstractmethod
    def counts(
        self, spec: KernelSpec, pipeline: Pipeline, parameters: Sequence[int | float]
    ) -> tuple[int, int, int]:
        """Return the workgroup counts of a dispatch; raises ``KernelError`` for counts beyond the device's limits."""

    @abstractmethod
    def dispatched(self, count: int) -> None:
        """Count the dispatches that a replay recorded."""

    @abstractmethod
    def read_word(self, buffer: Buffer, start: int) -> int:
        """Wait for all work so far and return a 32-bit word of a buffer that has no storage."""
