"""The parameters of a plan's dispatches, packed once: as immediates, or in a uniform buffer.

A plan's parameters never change; the parameters of single dispatches are packed at each dispatch.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from typing import Any

from weft.devices.webgpu.memory import COPY_DESTINATION, UNIFORM
from weft.devices.webgpu.native import native
from weft.devices.webgpu.opened import Opened
from weft.devices.webgpu.pipelines import Pipeline
from weft.devices.webgpu.recorder import RecordedDispatch
from weft.errors import OutOfMemoryError


class Parameters:
    """The packed parameters of calls: ``place`` all of them, then ``finish``. Used under the device's lock."""

    def __init__(self, device: Opened) -> None:
        self._device = device
        self._alignment = device.profile.limits["min-uniform-buffer-offset-alignment"]
        self._immediates = bytearray()
        self._uniforms = bytearray()
        self._known: dict[tuple[bool, bytes], int] = {}
        self._kept: list[Any] = []

    def place(self, pipeline: Pipeline, values: Sequence[int | float]) -> tuple[int, int]:
        """Pack values; return their offset and size. Equal values share an offset."""
        packed = pipeline.pack(*values)
        uniform = bool(pipeline.uniform_size)
        offset = self._known.get((uniform, packed))
        if offset is None:
            memory = self._uniforms if uniform else self._immediates
            if uniform:
                memory.extend(bytes(-len(memory) % self._alignment))
            offset = self._known[uniform, packed] = len(memory)
            memory.extend(packed)
        return offset, len(packed)

    def finish(
        self, calls: Sequence[tuple[Pipeline, tuple[int, int], tuple[int, int, int]]]
    ) -> list[RecordedDispatch]:
        """Return the calls with pointers to their parameters, which live as long as this object."""
        ffi = native().ffi
        data = ffi.from_buffer(self._immediates)
        buffer = self._buffer() if self._uniforms else None
        groups: dict[int, Any] = {}
        offsets: dict[int, Any] = {}
        made: list[RecordedDispatch] = []
        for pipeline, (offset, size), counts in calls:
            if not pipeline.uniform_size:
                made.append((pipeline.handle, data + offset, size, None, None, *counts))
                continue
            if size not in groups:
                groups[size] = self._device.uniform_group(buffer, size)
            if offset not in offsets:
                offsets[offset] = ffi.new("uint32_t[1]", [offset])
            made.append((pipeline.handle, None, 0, groups[size], offsets[offset], *counts))
        self._kept += [data, *offsets.values()]
        if groups:
            end = weakref.finalize(self, _release, os.getpid(), buffer, list(groups.values()))
            end.atexit = False
        return made

    def _buffer(self) -> Any:
        """Return a buffer that holds the uniforms."""
        try:
            buffer = self._device.memory.create(len(self._uniforms), UNIFORM | COPY_DESTINATION)
        except MemoryError as error:
            raise OutOfMemoryError(
                f"{self._device.name}: no memory for {len(self._uniforms):,} bytes of parameters: {error}"
            ) from error
        pointer = native().ffi.from_buffer(self._uniforms)
        self._device.recorder.write(buffer, 0, pointer, len(self._uniforms))
        return buffer


def _release(process: int, buffer: Any, groups: list[Any]) -> None:
    """Release native handles; the driver keeps the objects alive for work that was recorded with them."""
    if os.getpid() != process:
        return  # a forked child, which may not touch the driver
    lib = native().lib
    for group in groups:
        lib.wgpuBindGroupRelease(group)
    lib.wgpuBufferRelease(buffer)
