"""Loads and stores: from storage types to compute types and back, one element or a vector of lanes at a time.

A *lane axis* is a variable that takes 16 or 64 consecutive values at once. An index that moves by one with it
is a vector access, one that does not move is a scalar, anything else is a gather or scatter. At the end of a
range a mask says which lanes are real.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from weft import dtypes
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr import Expr, substitute, variable, walk
from weft.expr.llvm import Emitter
from weft.expr.llvm_narrow import narrowed, widened
from weft.expr.llvm_text import IRValue, suffix, vector_type
from weft.expr.node import INDEX

LANES: Final = 16
"""Elements handled at once where a kernel is vectorised here: fixed, so that no result depends on the machine."""

WIDE: Final = 64
"""Lanes of light folds: long contiguous runs are read from each row."""

ELEMENTS: Final[Mapping[DType, str]] = {
    dtypes.float64: "double", dtypes.float32: "float", dtypes.float16: "i16", dtypes.bfloat16: "i16",
    dtypes.int64: "i64", dtypes.int32: "i32", dtypes.uint32: "i32", dtypes.int16: "i16", dtypes.int8: "i8",
    dtypes.uint8: "i8", dtypes.bool_: "i8",
}  # fmt: skip
"""The IR type of an element in memory."""

NONTEMPORAL: Final = "!4"
"""The module's metadata for non-temporal stores."""

BASE: Final = variable("lane base", INDEX)
"""The value of the lane axis in lane 0."""


@dataclass(frozen=True)
class Lane:
    """The axis that is vectorised, which lanes are real (``None``: all), and how many there are.

    ``varying`` are variables other than the axis whose value differs from lane to lane: reductions along lanes.
    ``nontemporal``: stores of whole vectors, which are aligned, are non-temporal.
    """

    axis: Expr
    mask: IRValue | None
    count: int
    varying: frozenset[Expr] = frozenset()
    nontemporal: bool = False


def depends(index: Expr, axis: Expr) -> bool:
    """Return whether a variable occurs in an expression."""
    return any(node is axis for node in walk(index))


def stride(index: Expr, axis: Expr) -> int | None:
    """Return the stride of ``index`` along ``axis`` if it is 0 or 1, else ``None``."""
    if index is axis:
        return 1
    if not depends(index, axis):
        return 0
    if index.function == "add":
        parts = [stride(arg, axis) for arg in index.args]
        return 1 if sorted(parts, key=str) == [0, 1] else None
    if index.function == "sub" and not depends(index.args[1], axis):
        return stride(index.args[0], axis)
    return None


class Memory:
    """Writes loads and stores of a kernel's buffers, of scalars or of lanes."""

    def __init__(self, buffers: Mapping[str, DType]) -> None:
        self._buffers = buffers
        self._lane: Lane | None = None

    @contextmanager
    def vectorised(self, emitter: Emitter, base: str, lane: Lane) -> Iterator[None]:
        """Open a scope in which the lanes' axis has ``count`` values from ``base`` on."""
        outer, self._lane = self._lane, lane
        with emitter.scope():
            start = IRValue(base, INDEX)
            emitter.bind(BASE, start)
            whole = vector_type("i64", lane.count)
            steps = ", ".join(f"i64 {number}" for number in range(lane.count))
            text = emitter.lines.let(
                f"add nuw nsw {whole} {emitter.splat(start, lane.count).text}, <{steps}>"
            )
            emitter.bind(lane.axis, IRValue(text, INDEX, lane.count))
            yield
        self._lane = outer

    def load(self, emitter: Emitter, node: Expr) -> IRValue:
        """Load the element of a load node, in the node's type; 0 where its predicate, if any, is false."""
        dtype, (index, *predicate) = self._dtype(node.data), node.args
        kind, lane = ELEMENTS[dtype], self._lane
        if lane is not None and predicate:
            lane = _predicated(emitter, lane, emitter.value(predicate[0]))
        moves = 0 if lane is None else _moves(index, lane)
        if lane is None or (moves == 0 and not predicate):
            text, lanes = self._load_one(emitter, node.data, kind, index), 1
        else:
            text, lanes = self._load_lanes(emitter, node.data, kind, index, moves, lane), lane.count
        return emitter.convert(widened(emitter.lines, text, dtype, lanes), node.dtype)

    def store(self, emitter: Emitter, buffer: str, index: Expr, value: IRValue) -> None:
        """Write a value of the buffer's compute type at ``index``."""
        dtype, lane = self._dtype(buffer), self._lane
        kind, size = ELEMENTS[dtype], dtype.itemsize
        value = emitter.convert(value, dtype.compute)
        lines = emitter.lines
        if lane is None:
            text = narrowed(lines, value, dtype)
            lines.do(f"store {kind} {text}, ptr {self._address(emitter, buffer, kind, index)}, align {size}")
            return
        text = narrowed(lines, emitter.splat(value, lane.count), dtype)
        whole, name = vector_type(kind, lane.count), suffix(kind, lane.count)
        mask = f"{vector_type('i1', lane.count)} {_mask(lane)}"
        if _moves(index, lane) != 1:
            where = self._addresses(emitter, buffer, kind, index, lane.count)
            scatter = f"@llvm.masked.scatter.{name}.{suffix('ptr', lane.count)}"
            target = f"{vector_type('ptr', lane.count)} {where}"
            lines.do(f"call void {scatter}({whole} {text}, {target}, i32 {size}, {mask})")
            return
        where = self._address(emitter, buffer, kind, substitute(index, {lane.axis: BASE}))
        if lane.mask is None and lane.nontemporal:
            lines.do(
                f"store {whole} {text}, ptr {where}, align {size * lane.count}, !nontemporal {NONTEMPORAL}"
            )
        elif lane.mask is None:
            lines.do(f"store {whole} {text}, ptr {where}, align {size}")
        else:
            call = f"call void @llvm.masked.store.{name}.p0"
            lines.do(f"{call}({whole} {text}, ptr {where}, i32 {size}, {mask})")

    def itemsize(self, buffer: str) -> int:
        """Return the bytes of an element of a buffer."""
        return self._dtype(buffer).itemsize

    def _dtype(self, buffer: str) -> DType:
        if buffer not in self._buffers:
            raise KernelError(f"llvm: buffer {buffer!r} is not one of {', '.join(self._buffers)}")
        return self._buffers[buffer]

    def _address(self, emitter: Emitter, buffer: str, kind: str, index: Expr) -> str:
        return emitter.lines.let(f"getelementptr {kind}, ptr %b.{buffer}, i64 {emitter.value(index).text}")

    def _addresses(self, emitter: Emitter, buffer: str, kind: str, index: Expr, lanes: int) -> str:
        indices = emitter.splat(emitter.value(index), lanes)
        return emitter.lines.let(f"getelementptr {kind}, ptr %b.{buffer}, {indices.type} {indices.text}")

    def _load_one(self, emitter: Emitter, buffer: str, kind: str, index: Expr) -> str:
        size, where = self._buffers[buffer].itemsize, self._address(emitter, buffer, kind, index)
        return emitter.lines.let(f"load {kind}, ptr {where}, align {size}")

    def _load_lanes(
        self, emitter: Emitter, buffer: str, kind: str, index: Expr, moves: int | None, lane: Lane
    ) -> str:
        whole, name = vector_type(kind, lane.count), suffix(kind, lane.count)
        size, mask = self._buffers[buffer].itemsize, f"{vector_type('i1', lane.count)} {_mask(lane)}"
        if moves != 1:
            where = self._addresses(emitter, buffer, kind, index, lane.count)
            gather = f"@llvm.masked.gather.{name}.{suffix('ptr', lane.count)}"
            given = f"{vector_type('ptr', lane.count)} {where}, i32 {size}, {mask}, {whole} zeroinitializer"
            return emitter.lines.let(f"call {whole} {gather}({given})")
        where = self._address(emitter, buffer, kind, substitute(index, {lane.axis: BASE}))
        if lane.mask is None:
            return emitter.lines.let(f"load {whole}, ptr {where}, align {size}")
        given = f"ptr {where}, i32 {size}, {mask}, {whole} zeroinitializer"
        return emitter.lines.let(f"call {whole} @llvm.masked.load.{name}.p0({given})")


def _moves(index: Expr, lane: Lane) -> int | None:
    """Return the stride of an index from lane to lane, or ``None``."""
    if lane.varying and any(node in lane.varying for node in walk(index)):
        return None
    return stride(index, lane.axis)


def _predicated(emitter: Emitter, lane: Lane, predicate: IRValue) -> Lane:
    """Return the lanes with the predicate added to their mask."""
    wanted = emitter.splat(predicate, lane.count)
    if lane.mask is None:
        return replace(lane, mask=wanted)
    both = emitter.lines.let(f"and {wanted.type} {wanted.text}, {lane.mask.text}")
    return replace(lane, mask=IRValue(both, dtypes.bool_, lane.count))


def _mask(lane: Lane) -> str:
    return "splat (i1 true)" if lane.mask is None else lane.mask.text
