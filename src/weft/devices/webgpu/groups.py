"""The cache of bind groups: creating a bind group costs more than the dispatch that uses it.

The driver would validate a bind group only when the batch is submitted. The same checks are made here, once per new
group, so that the dispatch at fault raises the error.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Any

from weft.devices.base import Buffer, Device, Range, Span
from weft.devices.webgpu import loss
from weft.devices.webgpu.memory import WebGpuBuffer
from weft.devices.webgpu.native import native
from weft.devices.webgpu.pipelines import BindingLayout, Pipeline
from weft.errors import ArgumentError, DeviceError, KernelError

CAPACITY = 8192
"""The number of cached groups; the least recently used group is evicted first."""

Key = tuple[Any, ...]
"""The key of a group: a layout, or the token of a pinned group, then buffer, offset and size of each range."""


Group = tuple[Any, tuple[WebGpuBuffer, ...]]
"""A bind group and the buffers that it binds."""


class BindGroups:
    """The bind groups of a device by layout and ranges; the groups of a freed buffer are dropped.

    Groups that a replay holds are *pinned*: they are not evicted until the replay releases them (``unpin``), or one of
    their buffers is freed.
    """

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
        self._kept: OrderedDict[Key, Group] = OrderedDict()
        self._pinned: dict[Key, Group] = {}
        self._unpinned: deque[Key | int] = deque()
        self._reserved = 0

    def get(self, pipeline: Pipeline, ranges: Sequence[Range]) -> Group:
        """Return the group for a kernel over ranges, with the buffers that it binds."""
        parts: list[Any] = [pipeline.layout]
        for range_ in ranges:
            buffer = range_.buffer
            parts.append(buffer)
            parts.append(range_.offset)
            parts.append(range_.size)
        return self.find(pipeline, tuple(parts))

    def find(self, pipeline: Pipeline, key: Key) -> Group:
        """Return the group for a kernel and a key."""
        group = self._kept.get(key)
        if group is None:
            group = self._make(pipeline, key)
            while len(self._kept) >= CAPACITY + self._reserved:
                self._evict()
            self._keep(self._kept, key, group)
        else:
            self._kept.move_to_end(key)
        return group

    def pin(self, pipeline: Pipeline, key: Key) -> tuple[Key, Group]:
        """Make a new pinned group; return the key to release it by, and the group."""
        self._drop()
        group = self._make(pipeline, key)
        pinned = (object(), *key[1:])
        self._keep(self._pinned, pinned, group)
        return pinned, group

    def reserve(self, count: int) -> None:
        """Enlarge the cache by the groups that a run of a replay looks up, so that none is evicted before its use."""
        self._reserved += count

    def unpin(self, keys: Iterable[Key], reserved: int = 0) -> None:
        """Queue pinned groups for release, and reserved room to be given up; safe in finalisers."""
        self._unpinned.extend(keys)
        self._unpinned.append(reserved)

    def forget(self, buffer: WebGpuBuffer) -> None:
        """Drop the groups that bind a buffer."""
        for key in buffer.groups:
            group = self._kept.pop(key, None) or self._pinned.pop(key, None)
            if group is not None:
                self._release(group[0])
                self._unlink(key, buffer)
        buffer.groups = set()

    def clear(self) -> None:
        """Drop all groups."""
        while self._kept:
            self._evict()
        self._unpinned.extend(self._pinned)
        self._drop()

    def _drop(self) -> None:
        """Release the queued groups and room."""
        while self._unpinned:
            key = self._unpinned.popleft()
            if isinstance(key, int):
                self._reserved -= key
                continue
            group = self._pinned.pop(key, None)
            if group is not None:  # else it was dropped with one of its buffers
                self._release(group[0])
                self._unlink(key, None)

    def _keep(self, where: dict[Key, Group], key: Key, group: Group) -> None:
        where[key] = group
        for buffer in key[1::3]:
            buffer.groups.add(key)

    def _make(self, pipeline: Pipeline, key: Key) -> Group:
        layout = pipeline.layout
        ranges = [Span(*range_) for range_ in zip(key[1::3], key[2::3], key[3::3], strict=True)]
        if len(ranges) != len(layout.written):
            raise ArgumentError(
                f"kernel {pipeline.name}: {len(ranges)} ranges were given, expected {len(layout.written)}"
            )
        spans = [self._span(pipeline, index, range_) for index, range_ in enumerate(ranges)]
        self._check_aliases(pipeline, ranges)
        if layout.reports:
            spans.append((self._status, 0, 16))
        return self._native(pipeline, layout, spans), key[1::3]

    def _span(self, pipeline: Pipeline, index: int, range_: Range) -> tuple[Any, int, int]:
        """Return handle, offset and size of a binding; the size is a multiple of 16, for kernels with vec4 arrays."""
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
        """Refuse a buffer that is bound both read and read_write in a dispatch, which WebGPU rejects."""
        seen: dict[Buffer, tuple[int, bool]] = {}
        for index, (range_, written) in enumerate(zip(ranges, pipeline.layout.written, strict=True)):
            first, before = seen.setdefault(range_.buffer, (index, written))
            if before != written:
                raise KernelError(
                    f"kernel {pipeline.name}: ranges {first} and {index} lie in one buffer, one as read and one as "
                    f"read_write; declare both read_write, or give them one binding"
                )

    def _native(
        self, pipeline: Pipeline, layout: BindingLayout, spans: Sequence[tuple[Any, int, int]]
    ) -> Any:
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
        self._release(group[0])
        self._unlink(key, None)

    def _unlink(self, key: tuple[Any, ...], besides: WebGpuBuffer | None) -> None:
        for buffer in key[1::3]:
            if buffer is not besides:
                buffer.groups.discard(key)
