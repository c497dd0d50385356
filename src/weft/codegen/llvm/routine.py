"""``Routine`` writes a library kernel of the ``cpu``; sizes are given as expressions in text.

It unpacks buffers and parameters, names sizes, and writes loops, addresses and calls of the BLAS.
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
from weft.expr.llvm_text import SCALARS, IRValue, vector_type
from weft.expr.node import INDEX

GEMM = {dtypes.float32: "weft.sgemm", dtypes.float64: "weft.dgemm"}
"""The BLAS function of a matrix product, by type."""
PLAIN, TRANSPOSED = 111, 112
"""The constants of the BLAS for a matrix as it is and for its transpose."""
_ROWS = 101


class Routine:
    """Writes one kernel. Arithmetic on sizes is given as text over the parameters' names and earlier results."""

    def __init__(self, name: str, dtype: DType, buffers: Sequence[str], parameters: Sequence[str]) -> None:
        self.name, self.dtype, self.number, self.gemm = name, dtype, SCALARS[dtype], GEMM[dtype]
        self.lines = FunctionWriter()
        self.emitter = Emitter(self.lines, _no_load)
        self.values = {"lo": IRValue("%lo", INDEX), "hi": IRValue("%hi", INDEX)}
        for position, buffer in enumerate(buffers):
            slot = self.lines.let(f"getelementptr ptr, ptr %buffers, i64 {position}")
            self.lines.do(f"%b.{buffer} = load ptr, ptr {slot}, align 8")
        for position, parameter in enumerate(parameters):
            slot = self.lines.let(f"getelementptr i64, ptr %parameters, i64 {position}")
            self.values[parameter] = IRValue(self.lines.let(f"load i64, ptr {slot}, align 8"), INDEX)

    def finished(self, blas: bool = True, multiplies: bool = True) -> str:
        """Return the kernel's IR.

        Without ``blas`` matrix products are plain loops; without ``multiplies`` the kernel has no matrix products.
        """
        head = f"define void @weft.{self.name}(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind"
        number = self.number
        types = f"i32, i32, i32, i64, i64, i64, {number}, ptr, i64, ptr, i64, {number}, ptr, i64"
        declared = f"declare void @{self.gemm}({types})"
        product = declared if blas else _LOOPS.format(T=number, gemm=self.gemm)
        products = [product] if multiplies else []
        return "\n\n".join([self.lines.function(head), *products, *sorted(self.lines.declarations)]) + "\n"

    def at(self, text: str) -> str:
        """Return the value of an integer expression."""
        return text if text.isdecimal() else self.emitter.apply(text, self.values).text

    def names(self, **texts: str) -> None:
        """Name the values of expressions."""
        for name, text in texts.items():
            self.values[name] = IRValue(self.at(text), INDEX)

    def element(self, base: str, index: str) -> str:
        """Return the address of an element."""
        return self.lines.let(f"getelementptr {self.number}, ptr {base}, i64 {self.at(index)}")

    @contextmanager
    def loop(self, stop: str, name: str, start: str = "0", step: int = 1) -> Iterator[None]:
        """Write ``for name in range(start, stop, step)`` over expressions; names given inside end with the loop."""
        with self.lines.loop(self.at(start), self.at(stop), step) as index, self.emitter.scope():
            before, self.values = self.values, {**self.values, name: IRValue(index, INDEX)}
            yield
            self.values = before

    def product(
        self, m: str, n: str, k: str, a: tuple[str, str, int], b: tuple[str, str, int], beta: float | str,
        c: tuple[str, str], alpha: float | str = 1.0,
    ) -> None:  # fmt: skip
        """Write ``c = alpha a b + beta c``; matrices are (address, row stride, ``PLAIN`` or ``TRANSPOSED``)."""
        sizes = ", ".join(f"i64 {self.at(size)}" for size in (m, n, k))
        number = self.number
        self.lines.do(
            f"call void @{self.gemm}(i32 {_ROWS}, i32 {a[2]}, i32 {b[2]}, {sizes}, {number} {alpha}, ptr {a[0]}, "
            f"i64 {self.at(a[1])}, ptr {b[0]}, i64 {self.at(b[1])}, {number} {beta}, ptr {c[0]}, i64 {self.at(c[1])})"
        )

    def clear(self, first: str, count: str) -> None:
        """Write zeros to ``count`` elements from ``first`` on."""
        with self.loop(count, "i"):
            self.lines.do(f"store {self.number} 0.0, ptr {self.element(first, 'i')}")

    def lanes(self, first: str, count: str) -> str:
        """Return the mask of the lanes, numbered from ``first`` on, whose number is at least 0 and below ``count``."""
        numbers = vector_type("i32", LANES)
        steps = ", ".join(f"i32 {lane}" for lane in range(LANES))
        first, count = (
            self.emitter.splat(self.emitter.convert(IRValue(self.at(each), INDEX), dtypes.int32), LANES).text
            for each in (first, f"maximum({count}, 0)")
        )
        number = self.lines.let(f"add {numbers} {first}, <{steps}>")
        return self.lines.let(f"icmp ult {numbers} {number}, {count}")

    def reduce_lanes(self, value: IRValue, source: str) -> IRValue:
        """Return the reduction of a vector's lanes by an expression over ``x`` and ``y``, in halves."""
        text, lanes = value.text, LANES
        while lanes > 1:
            half = lanes // 2
            parts = []
            for first in (0, half):
                order = ", ".join(f"i32 {first + lane}" for lane in range(half))
                kind = IRValue("", self.dtype, lanes).type
                parts.append(
                    self.lines.let(f"shufflevector {kind} {text}, {kind} poison, <{half} x i32> <{order}>")
                )
            if half == 1:
                ends = [self.lines.let(f"extractelement <1 x {self.number}> {part}, i64 0") for part in parts]
                x, y = (IRValue(end, self.dtype) for end in ends)
                return self.emitter.apply(source, {"x": x, "y": y})
            x, y = (IRValue(part, self.dtype, half) for part in parts)
            text, lanes = self.emitter.apply(source, {"x": x, "y": y}).text, half
        return IRValue(text, self.dtype)


def _no_load(emitter: Emitter, node: Expr) -> IRValue:
    raise KernelError(f"library kernel: sizes cannot be loaded, {node!r} given")


# Without a BLAS: the same product in plain loops.
_LOOPS = """\
define internal void @{gemm}(i32 %order, i32 %ta, i32 %tb, i64 %m, i64 %n, i64 %k, {T} %alpha, ptr noalias %a,
    i64 %lda, ptr noalias %b, i64 %ldb, {T} %beta, ptr noalias %c, i64 %ldc) noinline {{
entry:
  %a.turned = icmp eq i32 %ta, 112
  %b.turned = icmp eq i32 %tb, 112
  %a.i = select i1 %a.turned, i64 1, i64 %lda
  %a.l = select i1 %a.turned, i64 %lda, i64 1
  %b.l = select i1 %b.turned, i64 1, i64 %ldb
  %b.j = select i1 %b.turned, i64 %ldb, i64 1
  %fresh = fcmp oeq {T} %beta, 0.0
  br label %row
row:
  %i = phi i64 [ 0, %entry ], [ %i.next, %row.end ]
  %i.more = icmp slt i64 %i, %m
  br i1 %i.more, label %column, label %done
column:
  %j = phi i64 [ 0, %row ], [ %j.next, %column.end ]
  %j.more = icmp slt i64 %j, %n
  br i1 %j.more, label %head, label %row.end
head:
  %l = phi i64 [ 0, %column ], [ %l.next, %body ]
  %sum = phi {T} [ 0.0, %column ], [ %sum.next, %body ]
  %l.more = icmp slt i64 %l, %k
  br i1 %l.more, label %body, label %column.end
body:
  %a.1 = mul i64 %i, %a.i
  %a.2 = mul i64 %l, %a.l
  %a.3 = add i64 %a.1, %a.2
  %a.p = getelementptr {T}, ptr %a, i64 %a.3
  %x = load {T}, ptr %a.p
  %b.1 = mul i64 %l, %b.l
  %b.2 = mul i64 %j, %b.j
  %b.3 = add i64 %b.1, %b.2
  %b.p = getelementptr {T}, ptr %b, i64 %b.3
  %y = load {T}, ptr %b.p
  %xy = fmul contract {T} %x, %y
  %sum.next = fadd contract {T} %sum, %xy
  %l.next = add i64 %l, 1
  br label %head
column.end:
  %c.1 = mul i64 %i, %ldc
  %c.2 = add i64 %c.1, %j
  %c.p = getelementptr {T}, ptr %c, i64 %c.2
  %old = load {T}, ptr %c.p
  %kept = fmul {T} %old, %beta
  %base = select i1 %fresh, {T} 0.0, {T} %kept
  %scaled = fmul {T} %sum, %alpha
  %new = fadd {T} %base, %scaled
  store {T} %new, ptr %c.p
  %j.next = add i64 %j, 1
  br label %column
row.end:
  %i.next = add i64 %i, 1
  br label %row
done:
  ret void
}}
"""
