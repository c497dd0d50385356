"""Loads and stores: from storage types to compute types and back, one element or a vector of lanes at a time.

A *lane axis* is a variable that takes 16 or 64 consecutive values at once. An index that moves by one with it
is a vector access, one that does not move is a scalar, anything else is a gather or scatter. At the end of a
range a mask says which lanes are real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from weft import dtypes
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr import Expr, substitute, variable, walk
from weft.expr.llvm import Emitter, Lines, Value, suffix, vector_type
from weft.expr.node import INDEX

LANES: Final = 16
"""Elements handled at once where a kernel is vectorised here: fixed, so that no result depends on the machine."""

WIDE: Final = 64
"""Columns folded at once where little is computed: whole runs of memory are read from each row."""

ELEMENTS: Final[Mapping[DType, str]] = {
    dtypes.float64: "double", dtypes.float32: "float", dtypes.float16: "i16", dtypes.bfloat16: "i16",
    dtypes.int64: "i64", dtypes.int32: "i32", dtypes.uint32: "i32", dtypes.int8: "i8", dtypes.uint8: "i8",
    dtypes.bool_: "i8",
}  # fmt: skip
"""The IR type of an element in memory."""

BASE: Final = variable("lane base", INDEX)
"""The value of the lane axis in lane 0."""


@dataclass(frozen=True)
class Lane:
    """The axis that is vectorised, which lanes are real (``None``: all), and how many there are."""

    axis: Expr
    mask: Value | None
    count: int


def depends(index: Expr, axis: Expr) -> bool:
    """Whether a variable occurs in an expression."""
    return any(node is axis for node in walk(index))


def stride(index: Expr, axis: Expr) -> int | None:
    """How ``index`` moves when ``axis`` does: 0, 1, or ``None`` for anything else."""
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
    """The buffers of a kernel, as the emitter's loads and the parts' stores see them."""

    def __init__(self, buffers: Mapping[str, DType]) -> None:
        self._buffers = buffers
        self.lane: Lane | None = None
        self.varying: frozenset[Expr] = frozenset()
        """Variables other than the lane axis whose value differs from lane to lane: reductions along lanes."""

    @contextmanager
    def vectorised(
        self, emitter: Emitter, axis: Expr, base: str, mask: Value | None, count: int
    ) -> Iterator[None]:
        """A scope in which ``axis`` stands for ``count`` values from ``base`` on."""
        outer, self.lane = self.lane, Lane(axis, mask, count)
        with emitter.scope():
            start = Value(base, INDEX)
            emitter.bind(BASE, start)
            whole = vector_type("i64", count)
            steps = ", ".join(f"i64 {lane}" for lane in range(count))
            text = emitter.lines.let(f"add nuw nsw {whole} {emitter.splat(start, count).text}, <{steps}>")
            emitter.bind(axis, Value(text, INDEX, count))
            yield
        self.lane = outer

    def load(self, emitter: Emitter, node: Expr) -> Value:
        """The element that a load node names, in the node's type; 0 where its predicate, if any, is false."""
        dtype, (index, *predicate) = self._dtype(node.data), node.args
        kind, lane = ELEMENTS[dtype], self.lane
        if lane is not None and predicate:
            lane = _narrowed(emitter, lane, emitter.value(predicate[0]))
        moves = 0 if lane is None else self._moves(index, lane)
        if lane is None or (moves == 0 and not predicate):
            text, lanes = self._load_one(emitter, node.data, kind, index), 1
        else:
            text, lanes = self._load_lanes(emitter, node.data, kind, index, moves, lane), lane.count
        return emitter.convert(_WIDEN.get(dtype, _as_is)(emitter.lines, text, dtype, lanes), node.dtype)

    def store(self, emitter: Emitter, buffer: str, index: Expr, value: Value) -> None:
        """Write a value of the buffer's compute type at ``index``."""
        dtype, lane = self._dtype(buffer), self.lane
        kind, size = ELEMENTS[dtype], dtype.itemsize
        value = emitter.convert(value, dtype.compute)
        lines = emitter.lines
        if lane is None:
            text = _NARROW.get(dtype, _unchanged)(lines, value)
            lines.do(f"store {kind} {text}, ptr {self._address(emitter, buffer, kind, index)}, align {size}")
            return
        text = _NARROW.get(dtype, _unchanged)(lines, emitter.splat(value, lane.count))
        whole, name = vector_type(kind, lane.count), suffix(kind, lane.count)
        mask = f"{vector_type('i1', lane.count)} {_mask(lane)}"
        if self._moves(index, lane) != 1:
            where = self._addresses(emitter, buffer, kind, index, lane.count)
            scatter = f"@llvm.masked.scatter.{name}.{suffix('ptr', lane.count)}"
            target = f"{vector_type('ptr', lane.count)} {where}"
            lines.do(f"call void {scatter}({whole} {text}, {target}, i32 {size}, {mask})")
            return
        where = self._address(emitter, buffer, kind, substitute(index, {lane.axis: BASE}))
        if lane.mask is None:
            lines.do(f"store {whole} {text}, ptr {where}, align {size}")
        else:
            call = f"call void @llvm.masked.store.{name}.p0"
            lines.do(f"{call}({whole} {text}, ptr {where}, i32 {size}, {mask})")

    def _moves(self, index: Expr, lane: Lane) -> int | None:
        if self.varying and any(node in self.varying for node in walk(index)):
            return None
        return stride(index, lane.axis)

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


def _narrowed(emitter: Emitter, lane: Lane, predicate: Value) -> Lane:
    """The lanes in which the predicate holds too."""
    wanted = emitter.splat(predicate, lane.count)
    if lane.mask is None:
        return Lane(lane.axis, wanted, lane.count)
    both = emitter.lines.let(f"and {wanted.type} {wanted.text}, {lane.mask.text}")
    return Lane(lane.axis, Value(both, dtypes.bool_, lane.count), lane.count)


def _mask(lane: Lane) -> str:
    return "splat (i1 true)" if lane.mask is None else lane.mask.text


def _as_is(lines: Lines, text: str, dtype: DType, lanes: int) -> Value:
    return Value(text, dtype, lanes)


def _widen_integer(lines: Lines, text: str, dtype: DType, lanes: int) -> Value:
    word = "sext" if dtype.kind == "int" else "zext"
    wide = lines.let(f"{word} {vector_type('i8', lanes)} {text} to {vector_type('i32', lanes)}")
    return Value(wide, dtypes.int32, lanes)


def _widen_bool(lines: Lines, text: str, dtype: DType, lanes: int) -> Value:
    truth = lines.let(f"icmp ne {vector_type('i8', lanes)} {text}, zeroinitializer")
    return Value(truth, dtypes.bool_, lanes)


def _widen_float16(lines: Lines, text: str, dtype: DType, lanes: int) -> Value:
    # loaded as i16: masked loads of half are not legal everywhere
    half = lines.let(f"bitcast {vector_type('i16', lanes)} {text} to {vector_type('half', lanes)}")
    wide = lines.let(f"fpext {vector_type('half', lanes)} {half} to {vector_type('float', lanes)}")
    return Value(wide, dtypes.float32, lanes)


def _widen_bfloat16(lines: Lines, text: str, dtype: DType, lanes: int) -> Value:
    word = vector_type("i32", lanes)
    wide = lines.let(f"zext {vector_type('i16', lanes)} {text} to {word}")
    high = lines.let(f"shl {word} {wide}, {_each('i32', 16, lanes)}")
    return Value(lines.let(f"bitcast {word} {high} to {vector_type('float', lanes)}"), dtypes.float32, lanes)


def _unchanged(lines: Lines, value: Value) -> str:
    return value.text


def _narrow_integer(lines: Lines, value: Value) -> str:
    return lines.let(f"trunc {value.type} {value.text} to {vector_type('i8', value.lanes)}")


def _narrow_bool(lines: Lines, value: Value) -> str:
    return lines.let(f"zext {value.type} {value.text} to {vector_type('i8', value.lanes)}")


def _narrow_float16(lines: Lines, value: Value) -> str:
    narrow = vector_type("half", value.lanes)
    half = lines.let(f"fptrunc {value.type} {value.text} to {narrow}")
    return lines.let(f"bitcast {narrow} {half} to {vector_type('i16', value.lanes)}")


def _narrow_bfloat16(lines: Lines, value: Value) -> str:
    """Round to nearest even by bits; a NaN keeps its sign and is made quiet."""
    lanes, word = value.lanes, vector_type("i32", value.lanes)
    bits = lines.let(f"bitcast {value.type} {value.text} to {word}")
    high = lines.let(f"lshr {word} {bits}, {_each('i32', 16, lanes)}")
    odd = lines.let(f"and {word} {high}, {_each('i32', 1, lanes)}")
    bias = lines.let(f"add {word} {odd}, {_each('i32', 0x7FFF, lanes)}")
    rounded = lines.let(f"add {word} {bits}, {bias}")
    rounded = lines.let(f"lshr {word} {rounded}, {_each('i32', 16, lanes)}")
    quiet = lines.let(f"or {word} {high}, {_each('i32', 0x40, lanes)}")
    nan = lines.let(f"fcmp uno {value.type} {value.text}, {value.text}")
    chosen = lines.let(f"select {vector_type('i1', lanes)} {nan}, {word} {quiet}, {word} {rounded}")
    return lines.let(f"trunc {word} {chosen} to {vector_type('i16', lanes)}")


def _each(kind: str, number: int, lanes: int) -> str:
    return str(number) if lanes == 1 else f"splat ({kind} {number})"


_WIDEN: Final[Mapping[DType, Callable[[Lines, str, DType, int], Value]]] = {
    dtypes.float16: _widen_float16, dtypes.bfloat16: _widen_bfloat16, dtypes.bool_: _widen_bool,
    dtypes.int8: _widen_integer, dtypes.uint8: _widen_integer,
}  # fmt: skip
_NARROW: Final[Mapping[DType, Callable[[Lines, Value], str]]] = {
    dtypes.float16: _narrow_float16, dtypes.bfloat16: _narrow_bfloat16, dtypes.bool_: _narrow_bool,
    dtypes.int8: _narrow_integer, dtypes.uint8: _narrow_integer,
}  # fmt: skip
