"""``Team``: the shared memory of a thread pool, and its compiled functions (``synchronisation``)."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from weft.devices.cpu.compiler import Code, compile_module
from weft.devices.cpu.sleep import find
from weft.devices.cpu.synchronisation import LINE, RUN, WORDS, source

WATCHED: Final = 50e-6
"""Seconds that a thread busy-waits before it sleeps: the time between a few successive eager operations."""


@dataclass(frozen=True)
class Functions:
    """The compiled functions of a team; ``serve`` returns after ``stop``, when no job is left."""

    code: Code
    """Keeps the machine code alive."""
    open: Any
    serve: Any
    stop: Any
    spread: Any
    turns: int
    """Iterations of a busy-waiting loop that take ``WATCHED`` seconds."""


def functions() -> Functions:
    """Return the compiled functions, compiled once per process, and register ``RUN`` with LLVM."""
    with _lock:  # else two threads could compile twice, and register a function that is freed
        return _compiled()


_lock = threading.Lock()


@lru_cache(maxsize=None)
def _compiled() -> Functions:
    import llvmlite.binding as llvm

    system = find()
    library = ctypes.CDLL(system.library)
    for name in system.functions:
        llvm.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0)
    code = compile_module("threads", source())
    found = code.functions
    llvm.add_symbol(RUN, found[RUN])
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    pause = ctypes.CFUNCTYPE(None, number)(found["weft.pause"])
    spread = ctypes.CFUNCTYPE(
        None, pointer, pointer, ctypes.c_char_p, ctypes.c_char_p, number, number, number
    )
    return Functions(
        code,
        ctypes.CFUNCTYPE(None, pointer, number, number)(found["weft.open"]),
        ctypes.CFUNCTYPE(None, pointer, number, number)(found["weft.serve"]),
        ctypes.CFUNCTYPE(None, pointer)(found["weft.stop"]),
        spread(found["weft.spread"]),
        max(1, int(WATCHED / min(_seconds(pause) for _ in range(5)))),
    )


def _seconds(pause: Any) -> float:
    """Measure an iteration of a busy-waiting loop, in seconds."""
    turns = 1000
    start = time.perf_counter()
    pause(turns)
    return (time.perf_counter() - start) / turns


class Team:
    """The shared memory of at most ``threads`` threads, callers included; every serving thread keeps it alive."""

    def __init__(self, threads: int) -> None:
        self.functions = functions()
        self._bytes = ctypes.create_string_buffer(WORDS["lines"] + LINE * (threads + 1))
        self.address = -(-ctypes.addressof(self._bytes) // LINE) * LINE
        if hasattr(os, "sched_getaffinity"):
            allowed = sum(1 << processor for processor in os.sched_getaffinity(0) if processor < 8 * LINE)
            ctypes.memmove(self.address + WORDS["processors"], allowed.to_bytes(LINE, "little"), LINE)
        self.functions.open(self.address, threads, self.functions.turns)

    def serve(self, place: int) -> None:
        """Take part in jobs, as thread number ``place`` (from 1 on), until the team is stopped."""
        self.functions.serve(self.address, place, threading.get_native_id())

    def spread(
        self, entry: Any, buffers: bytes, parameters: bytes, items: int, ranges: int, helpers: int
    ) -> None:
        """Run a kernel's entry over ``items`` in ``ranges``, on the calling thread and at most ``helpers`` others."""
        self.functions.spread(self.address, entry, buffers, parameters, items, ranges, helpers)

    @property
    def spreading(self) -> int:
        """The address of ``weft.spread``, for compiled code."""
        return ctypes.cast(self.functions.spread, ctypes.c_void_p).value or 0

    def stop(self) -> None:
        """Make the serving threads return."""
        self.functions.stop(self.address)
