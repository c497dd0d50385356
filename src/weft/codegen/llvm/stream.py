"""Loops bound by memory: how they are vectorised, and from which size on their stores are non-temporal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from weft.codegen.llvm.memory import LANES, Memory, stride
from weft.expr import Expr, walk
from weft.expr.llvm import Emitter
from weft.expr.llvm_text import IRValue, Lines
from weft.expr.node import INDEX
from weft.kernels import Part, Store

STREAM: Final = "!0"
ONE_BY_ONE: Final = "!2"
STREAM_ATTRIBUTE: Final = '"prefer-vector-width"="256" "min-legal-vector-width"="0"'
STREAM_METADATA: Final = """!0 = distinct !{!0, !1}
!1 = !{!"llvm.loop.interleave.count", i32 2}
!2 = distinct !{!2, !3}
!3 = !{!"llvm.loop.vectorize.enable", i1 false}
!4 = !{i32 1}"""
"""How loops bound by memory are vectorised: two vectors of 32 bytes in turn; see benchmarks/NOTES.md."""

CACHE: Final = "weft.cache"
"""The function, provided by the device's compiler, that returns the process's share of the last cache in bytes."""


@dataclass(frozen=True)
class Stream:
    """A part that goes through memory once: its store, and the bytes read and written for each element."""

    store: Store
    itemsize: int
    bytes: int

    def is_large(self, lines: Lines, count: str) -> str:
        """Write whether ``count`` elements exceed the share of the last-level cache by more than a quarter."""
        cache = lines.let(f"call i64 @{CACHE}()")
        lines.declarations.add(f"declare i64 @{CACHE}()")
        room = lines.let(f"udiv i64 {cache}, {self.bytes}")
        quarter = lines.let(f"lshr i64 {room}, 2")
        most = lines.let(f"add i64 {room}, {quarter}")
        return lines.let(f"icmp ugt i64 {count}, {most}")

    def aligned(self, emitter: Emitter, axis: Expr, start: str, stop: str) -> str:
        """Write the first value of an axis, from ``start`` to at most ``stop``, whose vector is stored aligned."""
        lines = emitter.lines
        with emitter.scope():
            emitter.bind(axis, IRValue(start, INDEX))
            index = emitter.value(self.store.index).text
        address = lines.let(f"ptrtoint ptr %b.{self.store.buffer} to i64")
        before = lines.let(f"udiv i64 {address}, {self.itemsize}")
        place = lines.let(f"add i64 {before}, {index}")
        behind = lines.let(f"sub i64 0, {place}")
        missing = lines.let(f"and i64 {behind}, {LANES - 1}")
        first = lines.let(f"add i64 {start}, {missing}")
        return lines.let(f"call i64 @llvm.smin.i64(i64 {first}, i64 {stop})")


def stream(part: Part, memory: Memory) -> Stream | None:
    """Return the part as a stream if it is one contiguous row, stored to a buffer that it does not read."""
    if len(part.axes) != 1 or len(part.stores) != 1 or part.checks:
        return None
    store, axis = part.stores[0], part.axes[0].variable
    loads = {node for node in walk(store.value) if node.function == "load"}
    moving = [node for node in loads if stride(node.args[0], axis) != 0]
    read = {node.data for node in loads}
    if store.buffer in read or any(stride(node.args[0], axis) != 1 for node in moving):
        return None
    if stride(store.index, axis) != 1:
        return None
    own = memory.itemsize(store.buffer)
    return Stream(store, own, own + sum(memory.itemsize(node.data) for node in moving))
