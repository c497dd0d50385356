"""``MixedRoutine``: a library kernel of the ``cpu`` that computes in float32 on buffers of several types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weft import dtypes
from weft.codegen.llvm.memory import ELEMENTS, LANES
from weft.codegen.llvm.routine import Routine
from weft.dtypes import DType
from weft.expr.llvm_narrow import narrowed, widened
from weft.expr.llvm_text import IRValue, literal, vector_type

FLOATS = vector_type("float", LANES)


class MixedRoutine(Routine):
    """Writes one kernel; numbers are float32 values, or vectors of 16, and become the buffers' types in memory."""

    def __init__(self, name: str, kinds: Mapping[str, DType], parameters: Sequence[str]) -> None:
        super().__init__(name, dtypes.float32, tuple(kinds), parameters)
        self.kinds = kinds

    def float_parameter(self, name: str) -> IRValue:
        """Return a parameter that is a float64, as float32."""
        wide = self.lines.let(f"bitcast i64 {self.values.pop(name).text} to double")
        return IRValue(self.lines.let(f"fptrunc double {wide} to float"), dtypes.float32)

    def store_integer(self, place: str, value: str | int) -> None:
        """Store an integer, or the value of an expression, in a local variable."""
        text = self.at(value) if isinstance(value, str) else str(value)
        self.lines.do(f"store i64 {text}, ptr {place}, align 8")

    def integer(self, place: str) -> str:
        """Return an integer that is stored in a local variable."""
        return self.lines.let(f"load i64, ptr {place}, align 8")

    def name_integer(self, name: str, place: str) -> None:
        """Name an integer that is stored in a local variable."""
        self.values[name] = IRValue(self.integer(place), dtypes.int64)

    def index(self, name: str, buffer: str, index: str) -> None:
        """Name an element of a buffer of integers."""
        kind = ELEMENTS[self.kinds[buffer]]
        at = self.at(f"{buffer}_offset + {index}")
        place = self.lines.let(f"getelementptr {kind}, ptr %b.{buffer}, i64 {at}")
        text = self.lines.let(f"load {kind}, ptr {place}, align {self.kinds[buffer].itemsize}")
        if kind != "i64":
            text = self.lines.let(f"sext {kind} {text} to i64")
        self.values[name] = IRValue(text, dtypes.int64)

    def float_at(self, place: str) -> IRValue:
        """Load a float32."""
        return IRValue(self.lines.let(f"load float, ptr {place}, align 4"), dtypes.float32)

    def vector_at(self, place: str) -> IRValue:
        """Load a vector of float32."""
        return IRValue(self.lines.let(f"load {FLOATS}, ptr {place}, align 4"), dtypes.float32, LANES)

    def put(self, value: IRValue, place: str) -> None:
        """Store a float32 or a vector of them."""
        self.lines.do(f"store {value.type} {value.text}, ptr {place}, align 4")

    def constant(self, value: float, lanes: int = 1) -> IRValue:
        """Return a float32, in all of the lanes."""
        return self.emitter.splat(IRValue(literal(value, dtypes.float32), dtypes.float32), lanes)

    def _mask(self, left: int) -> str:
        flags = ", ".join(f"i1 {'true' if lane < left else 'false'}" for lane in range(LANES))
        return f"<{flags}>"

    def read(self, buffer: str, index: str, left: int) -> IRValue:
        """Read a vector from a buffer of numbers, of which ``left`` lanes are there; the others are 0."""
        dtype = self.kinds[buffer]
        kind = ELEMENTS[dtype]
        place = self.lines.let(f"getelementptr {kind}, ptr %b.{buffer}, i64 {index}")
        whole = vector_type(kind, LANES)
        if left >= LANES:
            text = self.lines.let(f"load {whole}, ptr {place}, align {dtype.itemsize}")
        else:
            name = f"@llvm.masked.load.v{LANES}{'f32' if kind == 'float' else kind}.p0"
            self.lines.declarations.add(f"declare {whole} {name}(ptr, i32, <{LANES} x i1>, {whole})")
            given = f"ptr {place}, i32 {dtype.itemsize}, <{LANES} x i1> {self._mask(left)}, {whole} zeroinitializer"
            text = self.lines.let(f"call {whole} {name}({given})")
        return widened(self.lines, text, dtype, LANES)

    def write(self, buffer: str, index: str, value: IRValue, left: int) -> None:
        """Write the first ``left`` lanes of a vector to a buffer of numbers."""
        dtype = self.kinds[buffer]
        kind = ELEMENTS[dtype]
        place = self.lines.let(f"getelementptr {kind}, ptr %b.{buffer}, i64 {index}")
        text, whole = narrowed(self.lines, value, dtype), vector_type(kind, LANES)
        if left >= LANES:
            self.lines.do(f"store {whole} {text}, ptr {place}, align {dtype.itemsize}")
            return
        name = f"@llvm.masked.store.v{LANES}{'f32' if kind == 'float' else kind}.p0"
        self.lines.declarations.add(f"declare void {name}({whole}, ptr, i32, <{LANES} x i1>)")
        mask = f"<{LANES} x i1> {self._mask(left)}"
        self.lines.do(f"call void {name}({whole} {text}, ptr {place}, i32 {dtype.itemsize}, {mask})")

    def fma(self, a: IRValue, b: IRValue, c: IRValue) -> IRValue:
        """Return ``a * b + c`` of vectors, rounded once."""
        name = f"@llvm.fma.v{LANES}f32"
        self.lines.declarations.add(f"declare {FLOATS} {name}({FLOATS}, {FLOATS}, {FLOATS})")
        text = self.lines.let(
            f"call {FLOATS} {name}({FLOATS} {a.text}, {FLOATS} {b.text}, {FLOATS} {c.text})"
        )
        return IRValue(text, dtypes.float32, LANES)

    def spread(self, value: IRValue) -> IRValue:
        """Return a vector with the value in all lanes."""
        return self.emitter.splat(value, LANES)

    def apply(self, source: str, **values: IRValue) -> IRValue:
        """Return the value of an expression that is given as text."""
        return self.emitter.apply(source, values)
