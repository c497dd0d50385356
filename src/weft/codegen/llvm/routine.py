"""``Routine``: a library kernel on the ``cpu`` in the making, whose sizes are expressions in text.

It unpacks buffers and parameters, gives names to sizes, and writes loops, addresses and calls of the BLAS.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from weft import dtypes
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.llvm.memory import LANES
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr import Expr
from weft.expr.llvm import Emitter
from weft.expr.llvm_text import SCALARS, Value, vector_type
from weft.expr.node import INDEX

GEMM = {dtypes.float32: "weft.sgemm", dtypes.float64: "weft.dgemm"}
"""The BLAS's product for each type that it takes."""
PLAIN, TRANSPOSED = 111, 112
"""The BLAS's names for how a matrix is read."""
_ROWS = 101


class Routine:
    """Writes one kernel. Arithmetic on sizes is given as text over the parameters' names and earlier results."""

    def __init__(self, name: str, dtype: DType, buffers: Sequence[str], parameters: Sequence[str]) -> None:
        self.name, self.dtype, self.number, self.gemm = name, dtype, SCALARS[dtype], GEMM[dtype]
        self.lines = FunctionWriter()
        self.emitter = Emitter(self.lines, _no_load)
        self.values = {"lo": Value("%lo", INDEX), "hi": Value("%hi", INDEX)}
        for position, buffer in enumerate(buffers):
            slot = self.lines.let(f"getelementptr ptr, ptr %buffers, i64 {position}")
            self.lines.do(f"%b.{buffer} = load ptr, ptr {slot}, align 8")
        for position, parameter in enumerate(parameters):
            slot = self.lines.let(f"getelementptr i64, ptr %parameters, i64 {position}")
            self.values[parameter] = Value(self.lines.let(f"load i64, ptr {slot}, align 8"), INDEX)

    def finished(self, more: Sequence[str] = ()) -> str:
        """The kernel's IR, with the declaration of the product unless ``more`` has one."""
        head = f"define void @weft.{self.name}(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind"
        number = self.number
        types = f"i32, i32, i32, i64, i64, i64, {number}, ptr, i64, ptr, i64, {number}, ptr, i64"
        product = more or (f"declare void @{self.gemm}({types})",)
        return "\n\n".join([self.lines.function(head), *product, *sorted(self.lines.declarations)]) + "\n"

    def at(self, text: str) -> str:
        """The value of an integer expression."""
        return text if text.isdecimal() else self.emitter.apply(text, self.values).text

    def names(self, **texts: str) -> None:
        """Give names to values of expressions."""
        for name, text in texts.items():
            self.values[name] = Value(self.at(text), INDEX)

    def element(self, base: str, index: str) -> str:
        """The address of an element."""
        return self.lines.let(f"getelementptr {self.number}, ptr {base}, i64 {self.at(index)}")

    @contextmanager
    def loop(self, stop: str, name: str, start: str = "0", step: int = 1) -> Iterator[None]:
        """``for name in range(start, stop, step)`` over expressions; names given within end with it."""
        with self.lines.loop(self.at(start), self.at(stop), step) as index, self.emitter.scope():
            before, self.values = self.values, {**self.values, name: Value(index, INDEX)}
            yield
            self.values = before

    def product(
        self, m: str, n: str, k: str, a: tuple[str, str, int], b: tuple[str, str, int], beta: float | str,
        c: tuple[str, str], alpha: float | str = 1.0,
    ) -> None:  # fmt: skip
        """``c = alpha a b + beta c`` over matrices as (address, distance of rows, how it is read)."""
        sizes = ", ".join(f"i64 {self.at(size)}" for size in (m, n, k))
        number = self.number
        self.lines.do(
            f"call void @{self.gemm}(i32 {_ROWS}, i32 {a[2]}, i32 {b[2]}, {sizes}, {number} {alpha}, ptr {a[0]}, "
            f"i64 {self.at(a[1])}, ptr {b[0]}, i64 {self.at(b[1])}, {number} {beta}, ptr {c[0]}, i64 {self.at(c[1])})"
        )

    def clear(self, first: str, count: str) -> None:
        """Zeros to so many elements."""
        with self.loop(count, "i"):
            self.lines.do(f"store {self.number} 0.0, ptr {self.element(first, 'i')}")

    def lanes(self, first: str, count: str) -> str:
        """The mask of the lanes whose number, ``first`` and the next ones, is not negative and below ``count``."""
        numbers = vector_type("i32", LANES)
        steps = ", ".join(f"i32 {lane}" for lane in range(LANES))
        first, count = (
            self.emitter.splat(self.emitter.convert(Value(self.at(each), INDEX), dtypes.int32), LANES).text
            for each in (first, f"maximum({count}, 0)")
        )
        number = self.lines.let(f"add {numbers} {first}, <{steps}>")
        return self.lines.let(f"icmp ult {numbers} {number}, {count}")


def _no_load(emitter: Emitter, node: Expr) -> Value:
    raise KernelError(f"library kernel: sizes cannot be loaded, {node!r} given")
