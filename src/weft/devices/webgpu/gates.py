"""Gates: kernels that decide on the device how many workgroups later calls of a replay start, which may be none.

A gate looks at a predicate and at the word of the block around it, says in two words whether the one side runs and
whether the other does, and writes the counts of their calls. These are dispatched indirectly: they are recorded before
it is known what they do, and nothing is read back. A gate itself runs always; within what does not run it finds the
word around it 0, and closes what is behind it.
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
"""WebGPU's usage flag of buffers that hold counts of workgroups."""
HEAD, ENTRY = 5, 5
"""Words of a gate's record before its entries, and of an entry."""

_SOURCE = """
@group(0) @binding(0) var<storage, read> tested: array<u32>;
@group(0) @binding(1) var<storage, read> gate: array<u32>;  // around, whether open always, one side, other, entries
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(32)
fn main(@builtin(local_invocation_id) id: vec3<u32>) {
  let around = counts[gate[0]] != 0u;
  let one = around && (gate[1] != 0u || (tested[0] & 255u) != 0u);
  let other = around && !one;
  storageBarrier();  // the word around it may be its own
  workgroupBarrier();
  if (id.x == 0u) {
    counts[gate[2]] = u32(one);
    counts[gate[3]] = u32(other);
  }
  for (var at = id.x; at < gate[4]; at += 32u) {
    let entry = 5u + at * 5u;
    let runs = select(other, one, gate[entry + 4u] != 0u);
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
    """A gate: it runs where the word ``around`` is not 0, and then looks at ``predicate``, or is open where ``None``.

    ``then`` and ``otherwise`` are the words in which it says what runs. Entries are the first of the three words that
    count a call's workgroups, how many these are, and whether it is on the side of ``then``.
    """

    predicate: Place | None
    around: int
    then: int
    otherwise: int
    entries: list[tuple[int, tuple[int, int, int], bool]] = field(default_factory=list)
    offset: int = 0
    """Where its record begins, in bytes."""

    def words(self) -> list[int]:
        """Its record."""
        head = [self.around, int(self.predicate is None), self.then, self.otherwise, len(self.entries)]
        return head + [word for slot, counts, side in self.entries for word in (slot, *counts, int(side))]

    @property
    def size(self) -> int:
        """Bytes of its record."""
        return 4 * (HEAD + ENTRY * len(self.entries))


class Gates:
    """The gates of a replay, and their two buffers: of records, and of the words that they write."""

    def __init__(self, device: Opened) -> None:
        self._device = device
        self.always = 0
        """The word that is 1."""
        self._words = 1
        self.all: list[Gate] = []
        self.records: WebGpuBuffer | None = None
        self.counts: WebGpuBuffer | None = None

    def gate(self, predicate: Place | None, around: int | None, then: int | None = None) -> Gate:
        """A new gate; ``around=None``: it is its own word, as that of a loop's condition is."""
        own = self._word() if then is None else then
        made = Gate(predicate, own if around is None else around, own, self._word())
        self.all.append(made)
        return made

    def slot(self) -> int:
        """The first of three new words, for the counts of a call."""
        self._words += 3
        return self._words - 3

    def _word(self) -> int:
        self._words += 1
        return self._words - 1

    @property
    def size(self) -> int:
        """Bytes of the words."""
        return 4 * self._words

    def finish(self) -> None:
        """Write the records, once all gates have their entries."""
        if not self.all:
            return
        offset = 0
        for one in self.all:
            one.offset = offset
            offset += -(-one.size // ALIGNMENT) * ALIGNMENT
        words = array.array("I", bytes(offset))
        for one in self.all:
            found = one.words()
            words[one.offset // 4 : one.offset // 4 + len(found)] = array.array("I", found)
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
    """Give up native handles; work that was recorded with them keeps what it needs."""
    if os.getpid() != process:
        return  # a forked child, which may not touch the driver
    for buffer in buffers:
        native().lib.wgpuBufferRelease(buffer)
