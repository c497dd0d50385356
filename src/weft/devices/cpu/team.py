"""A team of threads: its memory, and the compiled functions (``meeting``) by which they serve and are given work."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from weft.devices.cpu.compiler import Code, compile_module
from weft.devices.cpu.meeting import LINE, RUN, WORDS, source
from weft.devices.cpu.sleep import find

WATCHED: Final = 50e-6
"""Seconds that a thread watches for what it waits for, before it sleeps: some eager operations, one after another."""


@dataclass(frozen=True)
class Functions:
    """The compiled functions; ``serve`` returns once the team is stopped and nothing is left to do."""

    code: Code
    """Kept alive: the functions are in it."""
    open: Any
    serve: Any
    stop: Any
    spread: Any
    turns: int
    """Looks at a word, with a pause after each, that take as long as is watched."""


def functions() -> Functions:
    """Compiled once a process; LLVM knows ``RUN`` from then on."""
    with _lock:  # of two threads at once one would be left with what the other replaces
        return _made()


_lock = threading.Lock()


@lru_cache(maxsize=None)
def _made() -> Functions:
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
    """What one look takes."""
    turns = 1000
    start = time.perf_counter()
    pause(turns)
    return (time.perf_counter() - start) / turns


class Team:
    """The memory in which at most ``threads`` threads meet, callers included; it lives as long as any of them."""

    def __init__(self, threads: int) -> None:
        self.functions = functions()
        self._bytes = ctypes.create_string_buffer(WORDS["lines"] + LINE * (threads + 1))
        self.address = -(-ctypes.addressof(self._bytes) // LINE) * LINE
        if hasattr(os, "sched_getaffinity"):
            allowed = sum(1 << processor for processor in os.sched_getaffinity(0) if processor < 8 * LINE)
            ctypes.memmove(self.address + WORDS["processors"], allowed.to_bytes(LINE, "little"), LINE)
        self.functions.open(self.address, threads, self.functions.turns)

    def serve(self, place: int) -> None:
        """Take part in jobs, as number ``place`` from 1 on, until the team is stopped."""
        self.functions.serve(self.address, place, threading.get_native_id())

    def spread(
        self, entry: Any, buffers: bytes, parameters: bytes, items: int, ranges: int, helpers: int
    ) -> None:
        """A kernel's entry for ``items`` in ``ranges``, by the calling thread and at most ``helpers`` others."""
        self.functions.spread(self.address, entry, buffers, parameters, items, ranges, helpers)

    @property
    def spreading(self) -> int:
        """The address of ``weft.spread``, for compiled code."""
        return ctypes.cast(self.functions.spread, ctypes.c_void_p).value or 0

    def stop(self) -> None:
        """Let the serving threads return."""
        self.functions.stop(self.address)
