"""``Transfers``: the writes, reads and copies of a ``webgpu`` device, in order with its dispatches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from weft.devices.base import Buffer, Storage
from weft.devices.interrupts import Uninterrupted
from weft.devices.pool import Pool
from weft.devices.webgpu import status
from weft.devices.webgpu.memory import WebGpuBuffer
from weft.devices.webgpu.native import native
from weft.devices.webgpu.opened import Opened
from weft.devices.webgpu.readback import PIECE, Abandoned, Readback, Ticket
from weft.devices.webgpu.recorder import UPLOADED
from weft.errors import ArgumentError, DeviceError, OutOfMemoryError


class _PendingRead:
    """A read that is under way. Dropped without a wait, it is closed by the device's next read."""

    def __init__(self, device: Transfers, ticket: Ticket, size: int) -> None:
        self._device, self._ticket, self._size, self._waits = device, ticket, size, True

    def wait(self) -> bytearray | None:
        """Return the bytes; ``None`` where Ctrl-C arrived first, after its handler has run."""
        result = bytearray(self._size)
        self._waits = False
        with Uninterrupted():
            try:
                self._device._finish(result, self._ticket, status.SIZE, 0, self._size)
            except Abandoned:
                result = bytearray()
        return result or None

    def __del__(self) -> None:
        if self._waits:
            self._device._abandoned.append((self._ticket, status.SIZE))


class Transfers(Opened):
    """The part of a ``webgpu`` device that moves data."""

    _closed: DeviceError | None
    _pool: Pool
    _readback: Readback
    _abandoned: list[tuple[Ticket, int]]
    """Reads that Ctrl-C interrupted, with the size of their status word."""
    _status: Any
    """The native buffer of the status word."""

    def write(self, storage: Storage, data: memoryview, offset: int = 0) -> None:
        """Copy host bytes into a storage, ordered with dispatches; ``data`` may change after the call."""
        self._begin("write")
        flat = self._flat(data)
        self._check_range("write", storage, offset, len(flat))
        with self.lock:
            start, end = offset, offset + len(flat)
            first, last = -(-start // 4) * 4, end // 4 * 4
            if first < last:
                self._write_words(storage, flat[first - start : last - start], first)
            for word in {start // 4 * 4, last}:
                low, high = max(word, start), min(word + 4, end)
                if low < high and not first <= word < last:
                    self._write_part(storage, word, flat[low - start : high - start], low - word)

    def _write_part(self, storage: Storage, word: int, data: memoryview, at: int) -> None:
        """Write part of a word. The word's other bytes are read back first where they are in use, which waits."""
        if at == 0 and word + len(data) == storage.size:
            current = bytearray(4)  # the rest of the storage's last word is unused
        else:
            current = self._fetch(storage.buffer, storage.offset + word, 4)
        current[at : at + len(data)] = data
        self._write_words(storage, memoryview(current), word)

    def _write_words(self, storage: Storage, data: memoryview, offset: int) -> None:
        """Write whole words: ahead of the open batch where it does not use the buffer, else by a copy in the batch."""
        buffer, target, size = storage.buffer, storage.offset + offset, len(data)
        assert isinstance(buffer, WebGpuBuffer)
        if buffer.batch == self.recorder.batch:
            place = self.recorder.staging.place(data)
            if place is not None:
                self.recorder.copy(self.recorder.staging.handle, place, buffer.handle, target, size)
                return
            self.recorder.submit()
        pointer = native().ffi.from_buffer(data)
        for start in range(0, size, UPLOADED):
            self.recorder.write(buffer.handle, target + start, pointer + start, min(UPLOADED, size - start))

    def read(self, storage: Storage, offset: int, size: int) -> bytearray:
        """Submit, wait, and return bytes; the lock is not held while waiting."""
        self._begin("read")
        self._check_range("read", storage, offset, size)
        start = (storage.offset + offset) // 4 * 4
        skipped = storage.offset + offset - start
        words = -(-(skipped + size) // 4) * 4
        data = self._fetch(storage.buffer, start, words, check=True)
        if self.observers:
            self.settle()
        return data if skipped == 0 and words == size else data[skipped : skipped + size]

    def read_later(self, storage: Storage, offset: int, size: int) -> Callable[[], bytearray]:
        """Submit a copy of the bytes; the result waits for it alone."""
        self._begin("read")
        self._check_range("read", storage, offset, size)
        start = (storage.offset + offset) // 4 * 4
        skipped = storage.offset + offset - start
        words = -(-(skipped + size) // 4) * 4
        if words > PIECE or self.observers:
            return super().read_later(storage, offset, size)
        with Uninterrupted():
            pending = _PendingRead(self, self._request(storage.buffer, start, words, status.SIZE), words)

        def bytes_of() -> bytearray:
            data = pending.wait()
            return self.read(storage, offset, size) if data is None else data[skipped : skipped + size]

        return bytes_of

    def read_word(self, buffer: Buffer, start: int) -> int:
        """Wait for all work so far and return a 32-bit word of a buffer that has no storage."""
        return int.from_bytes(self._fetch(buffer, start, 4, check=True), "little")

    def synchronize(self) -> None:
        """Submit and wait, by reading the status word back."""
        self._begin("read")
        self._fetch(None, 0, 0, check=True)
        if self.observers:
            self.settle()

    def _fetch(self, buffer: Buffer | None, start: int, size: int, check: bool = False) -> bytearray:
        """Wait for all work so far and return whole words of a buffer; ``check`` raises an error that kernels reported.

        Large data is read in pieces: the host copies a piece while the device fills the next.
        """
        result = bytearray(size)
        while not self._fetched(result, buffer, start, check):
            pass  # Ctrl-C interrupted the wait, and its handler raised nothing: wait again
        return result

    def _fetched(self, result: bytearray, buffer: Buffer | None, start: int, check: bool) -> bool:
        """Try to fetch; return False where Ctrl-C arrived first, after its handler has run."""
        size, complete = len(result), False
        under_way: deque[tuple[Ticket, int, int, int]] = deque()
        with Uninterrupted():
            try:
                if check:
                    self._check_abandoned()
                for at in range(0, max(size, 1), PIECE):
                    word = status.SIZE if check and at == 0 else 0
                    length = min(PIECE, size - at)
                    under_way.append((self._request(buffer, start + at, length, word), word, at, length))
                    if len(under_way) > 1:
                        self._finish(result, *under_way.popleft())
                while under_way:
                    self._finish(result, *under_way.popleft())
                complete = True
            except Abandoned:
                complete = False
            finally:
                with self.lock:
                    for ticket, *_ in under_way:
                        self._readback.close(ticket)
        return complete

    def _finish(self, result: bytearray, ticket: Ticket, word: int, at: int, length: int) -> None:
        """Wait for a piece and copy it into the result."""
        try:
            self._readback.wait(ticket)
        except Abandoned:
            self._abandoned.append((ticket, word))
            raise
        try:
            if word:
                self.reports.check(self._readback.view(ticket, 0, word))
            result[at : at + length] = self._readback.view(ticket, word, length)
        finally:
            with self.lock:
                self._readback.close(ticket)

    def _check_abandoned(self) -> None:
        """Raise the error that kernels reported to reads that Ctrl-C interrupted."""
        while self._abandoned:
            ticket, word = self._abandoned[0]
            self._readback.wait(ticket)
            del self._abandoned[0]
            try:
                if word:
                    self.reports.check(self._readback.view(ticket, 0, word))
            finally:
                with self.lock:
                    self._readback.close(ticket)

    def _request(self, buffer: Buffer | None, start: int, size: int, word: int) -> Ticket:
        """Record and submit the copies of a read; a status word that is read is cleared in the same batch."""
        recorder = self.recorder
        with self.lock:
            try:
                ticket = self._readback.open(word + size)
            except MemoryError as error:
                raise OutOfMemoryError(
                    f"{self.name}: no memory to read {size:,} bytes back: {error}"
                ) from error
            if word:
                recorder.copy(self._status, 0, ticket.handle, 0, word)
                if self.reports.pending:
                    recorder.clear(self._status, word)
                    self.reports.pending = False
            if size and buffer is not None:
                recorder.copy(buffer.handle, start, ticket.handle, word, size)
            self._readback.map(ticket, recorder.submit())
            return ticket

    def copy(self, source: Storage, destination: Storage) -> None:
        """Record a copy; through a scratch buffer where both storages lie in the same buffer."""
        self._begin("copy")
        size = source.size
        for storage in (source, destination):
            self._check_range("copy", storage, 0, size)
        if size == 0 or source is destination:
            return
        with self.lock:
            start, target = source.buffer, destination.buffer
            words = size // 4 * 4 if destination.size > size else -(-size // 4) * 4
            if start is target:  # WebGPU copies only between two buffers
                between = self._pool.take(words)
                self._copy_words(start, source.offset, between, 0, words)
                self._copy_words(between, 0, target, destination.offset, words)
                self._pool.release(between)
            else:
                self._copy_words(start, source.offset, target, destination.offset, words)
            if words < size:
                tail = self._fetch(start, source.offset + words, 4)
                self._write_part(destination, words, memoryview(tail)[: size - words], 0)

    def _copy_words(self, source: Buffer, start: int, target: Buffer, at: int, size: int) -> None:
        if size:  # the buffers are marked first: a mark without its copy, after an interrupt, does no harm
            source.batch = target.batch = self.recorder.batch  # type: ignore[attr-defined]
            self.recorder.copy(source.handle, start, target.handle, at, size)

    def _begin(self, call: str) -> None:
        if self._closed is not None:
            self.check_usable()
        if self.before_call is not None:
            self.before_call(call)

    def _flat(self, data: memoryview) -> memoryview:
        view = memoryview(data)
        if not view.c_contiguous:
            raise ArgumentError("write: data is a strided view, expected contiguous bytes; copy it first")
        return view.cast("B") if view.nbytes else memoryview(b"")

    def _check_range(self, call: str, storage: Storage, offset: int, size: int) -> None:
        if storage.device is not self:
            raise DeviceError(f"{call}: the storage is on {storage.device.name}, expected {self.name}")
        if offset < 0 or size < 0 or offset + size > storage.size:
            raise ArgumentError(
                f"{call}: bytes {offset} to {offset + size} were asked for, expected a range within the "
                f"storage's {storage.size}"
            )
        storage.buffer  # noqa: B018  raises DisposedError
