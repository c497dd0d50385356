"""Bind groups: what a dispatch reads and writes, kept because making one costs more than the dispatch.

Checks that the driver would make when the batch is submitted are made here, once per new group, so that the
error comes from the call that is wrong.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from weft.devices.base import Buffer, Device, Range
from weft.devices.webgpu import loss
from weft.devices.webgpu.memory import WebGpuBuffer
from weft.devices.webgpu.native import native
from weft.devices.webgpu.pipelines import Layout, Pipeline
from weft.errors import ArgumentError, DeviceError, KernelError

CAPACITY = 8192
"""Groups kept; the least recently used one goes first."""


class BindGroups:
    """Bind groups of one device by layout and ranges; those of a freed buffer are dropped."""

    def __init__(self, owner: Device, device: Any, limits: dict[str, int], status: Any) -> None:
        loaded = native()
        self._owner, self._device, self._ffi = owner, device, loaded.ffi
        self._create, self._release = (
            loaded.checked.wgpuDeviceCreateBindGroup,
            loaded.lib.wgpuBindGroupRelease,
        )
        self._error = loaded.wgpu.GPUError
        self._limits = limits
        self._status = status
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def get(self, pipeline: Pipeline, ranges: Sequence[Range], batch: int) -> Any:
        """The group for a kernel over ranges, whose buffers are marked as used by ``batch``."""
        parts: list[Any] = [pipeline.layout]
        for range_ in ranges:
            buffer = range_.buffer
            parts.append(buffer)
            parts.append(range_.offset)
            parts.append(range_.size)
        key = tuple(parts)
        group = self._kept.get(key)
        if group is None:
            group = self._make(pipeline, ranges, key)
        else:
            self._kept.move_to_end(key)
        for buffer in key[1::3]:
            buffer.batch = batch
        return group

    def forget(self, buffer: WebGpuBuffer) -> None:
        """Drop the groups that hold a buffer."""
        for key in buffer.groups:
            group = self._kept.pop(key, None)
            if group is not None:
                self._release(group)
                self._unlink(key, buffer)
        buffer.groups = set()

    def clear(self) -> None:
        """Drop all groups."""
        while self._kept:
            self._evict()

    def _make(self, pipeline: Pipeline, ranges: Sequence[Range], key: tuple[Any, ...]) -> Any:
        layout = pipeline.layout
        if len(ranges) != len(layout.written):
            raise ArgumentError(
                f"kernel {pipeline.name}: {len(ranges)} ranges were given, expected {len(layout.written)}"
            )
        spans = [self._span(pipeline, index, range_) for index, range_ in enumerate(ranges)]
        self._check_aliases(pipeline, ranges)
        if layout.reports:
            spans.append((self._status, 0, 16))
        group = self._native(pipeline, layout, spans)
        while len(self._kept) >= CAPACITY:
            self._evict()
        self._kept[key] = group
        for range_ in ranges:
            range_.buffer.groups.add(key)  # type: ignore[attr-defined]
        return group

    def _span(self, pipeline: Pipeline, index: int, range_: Range) -> tuple[Any, int, int]:
        """Handle, offset and size of a binding; the size is rounded up to 16 so that vec4 arrays may end in it."""
        buffer = range_.buffer
        if not isinstance(buffer, WebGpuBuffer) or buffer.device is not self._owner:
            raise DeviceError(
                f"kernel {pipeline.name}: range {index} is on device {buffer.device.name}, expected {self._owner.name}"
            )
        size = max(16, -(-range_.size // 16) * 16)
        largest = self._limits["max-storage-buffer-binding-size"]
        if size > largest:
            raise KernelError(
                f"kernel {pipeline.name}: range {index} is {range_.size:,} bytes, expected at most {largest:,}, the "
                f"largest binding of {self._owner.name}; split the tensor"
            )
        alignment = self._limits["min-storage-buffer-offset-alignment"]
        if range_.offset % alignment or range_.offset + size > buffer.size:
            raise KernelError(
                f"kernel {pipeline.name}: range {index} is {range_.size:,} bytes at {range_.offset:,}, "
                f"expected an offset that is a multiple of {alignment}, within a buffer of {buffer.size:,} bytes"
            )
        return buffer.handle, range_.offset, size

    def _check_aliases(self, pipeline: Pipeline, ranges: Sequence[Range]) -> None:
        """WebGPU rejects a buffer that one dispatch reads through one binding and writes through another."""
        seen: dict[Buffer, tuple[int, bool]] = {}
        for index, (range_, written) in enumerate(zip(ranges, pipeline.layout.written, strict=True)):
            first, before = seen.setdefault(range_.buffer, (index, written))
            if before != written:
                raise KernelError(
                    f"kernel {pipeline.name}: ranges {first} and {index} lie in one buffer, one as read and one as "
                    f"read_write; declare both read_write, or give them one binding"
                )

    def _native(self, pipeline: Pipeline, layout: Layout, spans: Sequence[tuple[Any, int, int]]) -> Any:
        entries = self._ffi.new("WGPUBindGroupEntry[]", max(1, len(spans)))
        for index, (handle, offset, size) in enumerate(spans):
            entry = entries[index]
            entry.binding, entry.buffer, entry.offset, entry.size = index, handle, offset, size
        descriptor = self._ffi.new("WGPUBindGroupDescriptor *")
        descriptor.layout, descriptor.entryCount, descriptor.entries = layout.handle, len(spans), entries
        try:
            return self._create(self._device, descriptor)
        except self._error as error:
            loss.check(self._device, error)
            raise KernelError(
                f"kernel {pipeline.name}: its ranges cannot be bound: {str(error).strip()}"
            ) from error

    def _evict(self) -> None:
        key, group = self._kept.popitem(last=False)
        self._release(group)
        self._unlink(key, None)

    def _unlink(self, key: tuple[Any, ...], besides: WebGpuBuffer | None) -> None:
        for buffer in key[1::3]:
            if buffer is not besides:
                buffer.groups.discard(key)
