"""An interruptible wait for submitted work: the driver's own wait ignores Ctrl-C until the work is done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from weft.devices.interrupts import interrupted
from weft.devices.webgpu.native import native

SPINS = {True: 40, False: 400}
"""Polls, of about a microsecond each, before another thread takes over the wait, which takes about 50 us to wake up.

A software driver (True) gets fewer polls, since its kernels need the processor.
"""
SECONDS = 0.05
"""The interval at which a long wait checks for interrupts."""


class Waiter:
    """Waits for the submissions of a device. For the main thread, a helper thread does the driver's wait."""

    def __init__(self, device: Any, software: bool) -> None:
        loaded = native()
        self._spins = SPINS[software]
        self._device, self._lib, self._ffi = device, loaded.lib, loaded.ffi
        self._asked: SimpleQueue[tuple[int, threading.Event]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def wait(self, submission: int, is_done: Callable[[], bool] | None = None) -> bool:
        """Block until a submission is done; other Python threads run meanwhile.

        Args:
            submission: The submission's number.
            is_done: An earlier test of completion, for a short busy wait.

        Returns:
            False where an interrupt arrived first; the work then continues.
        """
        if threading.current_thread() is not threading.main_thread():
            self._poll(submission)  # only the main thread receives signals
            return True
        if is_done is not None:
            for _ in range(self._spins):
                self._lib.wgpuDevicePoll(self._device, False, self._ffi.NULL)
                if is_done():
                    return True
        done = threading.Event()
        self._asked.put((submission, done))
        if self._thread is None:
            self._thread = threading.Thread(target=_serve, args=(self._asked, self._poll), daemon=True)
            self._thread.start()
        while not done.wait(SECONDS):
            if interrupted():
                return False
        return True

    def close(self) -> None:
        """End the helper thread, after its current wait."""
        if self._thread is not None:
            self._asked.put((-1, threading.Event()))
            self._thread = None

    def _poll(self, submission: int) -> None:
        index = self._ffi.new("WGPUSubmissionIndex[1]", [submission])
        self._lib.wgpuDevicePoll(self._device, True, index)


def _serve(asked: SimpleQueue[tuple[int, threading.Event]], poll: Callable[[int], None]) -> None:
    while True:
        submission, done = asked.get()
        if submission < 0:
            return
        poll(submission)
        done.set()
