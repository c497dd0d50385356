"""Gates: kernels that decide on the device whether later calls of a replay run, by writing their workgroup counts.

The calls are indirect dispatches, so they are recorded before their counts are known, and no predicate is read back. A
gate reads its predicate and the *flag* of the surrounding block, writes one flag for each side of its branch, and
writes the counts of the calls of both sides: 0 for a side that does not run. Gates themselves always run; a gate in a
block that does not run finds the surrounding flag 0, and disables both sides.
"""

from __future__ import annotations

import array
import os
import weakref
from dataclasses import dataclass, field
from typing import Any

from weft import dtypes
from weft.devices.webgpu.memory import COPY_DESTINATION, COPY_SOURCE, STORAGE, WebGpuBuffer
from weft.devices.webgpu.native import native
from weft.devices.webgpu.opened import Opened
from weft.errors import OutOfMemoryError
from weft.plan import ALIGNMENT, Place
from weft.target import Binding, KernelSpec

INDIRECT = 0x100
"""WebGPU's usage flag of buffers with the arguments of indirect dispatches."""
HEAD, ENTRY = 5, 5
"""Words of a gate's record before its entries, and of an entry."""

_SOURCE = """
@group(0) @binding(0) var<storage, read> tested: array<u32>;
@group(0) @binding(1) var<storage, read> gate: array<u32>;  // around, always, then, otherwise, number of entries
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(32)
fn main(@builtin(local_invocation_id) id: vec3<u32>) {
  let around = counts[gate[0]] != 0u;
  let then = around && (gate[1] != 0u || (tested[0] & 255u) != 0u);
  let otherwise = around && !then;
  storageBarrier();  // the surrounding flag may be the gate's own flag
  workgroupBarrier();
  if (id.x == 0u) {
    counts[gate[2]] = u32(then);
    counts[gate[3]] = u32(otherwise);
  }
  for (var at = id.x; at < gate[4]; at += 32u) {
    let entry = 5u + at * 5u;
    let runs = select(otherwise, then, gate[entry + 4u] != 0u);
    for (var axis = 0u; axis < 3u; axis++) {
      counts[gate[entry] + axis] = select(0u, gate[entry + 1u + axis], runs);
    }
  }
}
"""

GATE = KernelSpec(
    "gate", "wgsl", (), (Binding("tested", dtypes.uint32), Binding("gate", dtypes.uint32)),
    (Binding("counts", dtypes.uint32, "read_write"),), (32, 1, 1), ("1", "1", "1"), _SOURCE,
)  # fmt: skip


@dataclass(eq=False)
class Gate:
    """A gate of a branch or while loop.

    Attributes:
        predicate: The place whose byte decides; ``None`` for a gate that always takes the side of ``then``.
        around: The flag of the surrounding block: where it is 0, neither side runs.
        then: The flag of the side that runs where the predicate is not 0.
        otherwise: The flag of the other side.
        entries: For each gated call the first of its three count words, its workgroup counts, and whether the call
            is on the side of ``then``.
    """

    predicate: Place | None
    around: int
    then: int
    otherwise: int
    entries: list[tuple[int, tuple[int, int, int], bool]] = field(default_factory=list)
    offset: int = 0
    """The offset of the gate's record, in bytes."""

    def words(self) -> list[int]:
        """Return the words of the gate's record."""
        head = [self.around, int(self.predicate is None), self.then, self.otherwise, len(self.entries)]
        return head + [word for slot, counts, side in self.entries for word in (slot, *counts, int(side))]

    @property
    def size(self) -> int:
        """The bytes of the gate's record."""
        return 4 * (HEAD + ENTRY * len(self.entries))


class Gates:
    """The gates of a replay, and their two buffers: the records, and the flags and counts that the gates write."""

    def __init__(self, device: Opened) -> None:
        self._device = device
        self.always = 0
        """The flag that is always 1."""
        self._words = 1
        self.all: list[Gate] = []
        self.records: WebGpuBuffer | None = None
        self.counts: WebGpuBuffer | None = None

    def gate(self, predicate: Place | None, around: int | None, then: int | None = None) -> Gate:
        """Return a new gate; with ``around=None`` its own flag is the surrounding one, as for a loop's condition."""
        flag = self._word() if then is None else then
        made = Gate(predicate, flag if around is None else around, flag, self._word())
        self.all.append(made)
        return made

    def slot(self) -> int:
        """Return the first of three new words, for the workgroup counts of a call."""
        self._words += 3
        return self._words - 3

    def _word(self) -> int:
        self._words += 1
        return self._words - 1

    @property
    def size(self) -> int:
        """The bytes of the flags and counts."""
        return 4 * self._words

    def finish(self) -> None:
        """Write the records, once all gates have their entries."""
        if not self.all:
            return
        offset = 0
        for gate in self.all:
            gate.offset = offset
            offset += -(-gate.size // ALIGNMENT) * ALIGNMENT
        words = array.array("I", bytes(offset))
        for gate in self.all:
            record = gate.words()
            words[gate.offset // 4 : gate.offset // 4 + len(record)] = array.array("I", record)
        start = array.array("I", [1, *[0] * (self._words - 1)])
        self.records = self._buffer(words, STORAGE | COPY_DESTINATION)
        self.counts = self._buffer(start, STORAGE | COPY_SOURCE | COPY_DESTINATION | INDIRECT)
        handles = [self.records.handle, self.counts.handle]
        end = weakref.finalize(self, _release, os.getpid(), handles)
        end.atexit = False

    def _buffer(self, words: array.array[int], usage: int) -> WebGpuBuffer:
        size = -(-4 * len(words) // ALIGNMENT) * ALIGNMENT
        try:
            handle = self._device.memory.create(size, usage)
        except MemoryError as error:
            raise OutOfMemoryError(
                f"{self._device.name}: no memory for {size:,} bytes of gates: {error}"
            ) from error
        pointer = native().ffi.from_buffer(words)
        self._device.recorder.write(handle, 0, pointer, 4 * len(words))
        return WebGpuBuffer(self._device, handle, size)


def _release(process: int, buffers: list[Any]) -> None:
    """Release native handles; the driver keeps the buffers alive for work that was recorded with them."""
    if os.getpid() != process:
        return  # a forked child, which may not touch the driver
    for buffer in buffers:
        native().lib.wgpuBufferRelease(buffer)
