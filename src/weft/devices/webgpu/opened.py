"""``Opened``: an open ``webgpu`` device as its parts see it, so that none of them imports the device itself."""

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
    """The native memory, recorder, pipelines and bind groups of a device, and what replays ask of it."""

    memory: NativeMemory
    recorder: Recorder
    pipelines: Pipelines
    groups: BindGroups
    reports: status.Reports

    @abstractmethod
    def uniform_group(self, buffer: Any, size: int) -> Any:
        """A bind group of ``size`` bytes of parameters, at an offset that each dispatch gives."""

    @abstractmethod
    def counts(
        self, spec: KernelSpec, pipeline: Pipeline, parameters: Sequence[int | float]
    ) -> tuple[int, int, int]:
        """The workgroup counts of a dispatch; ``KernelError`` for those that the device does not take."""

    @abstractmethod
    def dispatched(self, count: int) -> None:
        """Account for dispatches that a replay recorded."""

    @abstractmethod
    def read_word(self, buffer: Buffer, start: int) -> int:
        """A word of a buffer of the device's own, as ``read``."""
