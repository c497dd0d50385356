"""``matmul`` on the ``cpu``: batches of BLAS calls, or plain loops for strides that the BLAS does not support.

A product with a single row or column uses ``gemv``: it is bound by memory, and ``gemm`` would copy the matrix.

A work item is a product, or a piece of a large product: some of its rows or columns. The device's threads call the BLAS
in parallel, each on its own thread; the BLAS's own thread pool is off, since its busy-waiting slows other threads down,
and it starts slowly. The pieces of a product depend on its sizes alone, so results do not depend on the threads.
"""

from __future__ import annotations

from weft import dtypes
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.templates import template
from weft.errors import KernelError
from weft.expr import Expr
from weft.expr.llvm import Emitter
from weft.expr.llvm_text import IRValue
from weft.expr.node import INDEX
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

PARAMETERS = (
    "batch0", "batch1", "m", "n", "k", "a_offset", "a_b0", "a_b1", "a_m", "a_k", "b_offset", "b_b0", "b_b1",
    "b_k", "b_n", "c_offset", "c_b0", "c_b1", "c_m", "c_n",
)  # fmt: skip

GRAIN = 1 << 18
"""The least number of multiplications for which another thread pays off."""

LARGEST = "maximum(1, maximum(m, n))"
PIECES = (
    f"maximum(1, idiv(minimum(idiv(m * n * k, {GRAIN}), "
    f"maximum(4, minimum(idiv({LARGEST}, 128), idiv(m * n * k, {1 << 22})))), maximum(1, idiv(batch0 * batch1, 8))))"
)
"""The number of pieces of a product: up to four, more where each has many lines and much work, fewer in a batch.

Each piece packs the whole of one operand, so the number is no larger than the threads need.
"""

LINES = f"ceil_div(ceil_div({LARGEST}, {PIECES}), 16) * 16"
"""The rows of a piece, or its columns where there are more columns: a multiple of vectors and cache lines."""

_TYPES = {
    dtypes.float32: ("float", 4, "weft.sgemm", "weft.sgemv"),
    dtypes.float64: ("double", 8, "weft.dgemm", "weft.dgemv"),
}


@template("llvm", "matmul")
def matmul(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel for operands of the same type, float32 or float64; raises ``KernelError`` for others."""
    dtype = library.dtypes[0]
    if dtype not in _TYPES or any(other is not dtype for other in library.dtypes):
        given = ", ".join(kind.name for kind in library.dtypes)
        raise KernelError(f"matmul: types ({given}) given, the cpu kernel takes all float32 or all float64")
    name = f"matmul_{dtype.name}"
    return KernelSpec(
        name=name,
        language="llvm",
        parameters=tuple(Parameter(parameter, dtypes.int64) for parameter in PARAMETERS),
        inputs=(Binding("a", dtype), Binding("b", dtype)),
        outputs=(Binding("c", dtype, "read_write"),),
        workgroup_size=(GRAIN, 1, 1),
        workgroup_count=(
            f"batch0 * batch1 * ceil_div({LARGEST}, {LINES})",
            "batch0 * batch1 * m * n * k",
            "1",
        ),
        source=_source(name, *_TYPES[dtype], blas="blas" in profile.features),
    )


def _source(name: str, kind: str, size: int, gemm: str, gemv: str, blas: bool) -> str:
    loads = "\n".join(
        f"  %q.{parameter} = getelementptr i64, ptr %parameters, i64 {number}\n"
        f"  %{parameter} = load i64, ptr %q.{parameter}, align 8"
        for number, parameter in enumerate(PARAMETERS)
    )
    pointers = "\n".join(
        f"  %r.{buffer} = getelementptr ptr, ptr %buffers, i64 {number}\n"
        f"  %base.{buffer} = load ptr, ptr %r.{buffer}, align 8"
        for number, buffer in enumerate("abc")
    )
    offsets = "\n".join(
        f"  %t0.{buffer} = mul i64 %i0, %{buffer}_b0\n  %t1.{buffer} = mul i64 %i1, %{buffer}_b1\n"
        f"  %t2.{buffer} = add i64 %t0.{buffer}, %t1.{buffer}\n"
        f"  %t3.{buffer} = add i64 %t2.{buffer}, %{buffer}_offset\n"
        f"  %t4.{buffer} = {moved}\n  %t5.{buffer} = add i64 %t3.{buffer}, %t4.{buffer}\n"
        f"  %{buffer} = getelementptr {kind}, ptr %base.{buffer}, i64 %t5.{buffer}"
        for buffer, moved in _MOVED.items()
    )
    entry = _ENTRY.format(
        name=name, loads=loads, pointers=pointers, offsets=offsets, product=_BLAS if blas else _PLAIN
    )
    parts = [entry, _lines(), _LOOPS.format(T=kind, size=size, formal=_FORMAL)]
    if blas:
        parts += [_LAYOUT, _GEMM.format(T=kind, gemm=gemm, gemv=gemv, size=size, formal=_FORMAL)]
    return "\n".join(parts)


def _lines() -> str:
    """Return the IR function that computes ``LINES`` from a product's sizes."""
    lines = FunctionWriter()
    values = {size: IRValue(f"%{size}", INDEX) for size in ("m", "n", "k", "batch0", "batch1")}
    lines.do(f"ret i64 {Emitter(lines, _no_load).apply(LINES, values).text}")
    head = f"define internal i64 @piece({_SIZES}, i64 %batch0, i64 %batch1) alwaysinline {{"
    return "\n".join([head, *lines.text, "}", *sorted(lines.declarations)])


def _no_load(emitter: Emitter, node: Expr) -> IRValue:
    raise AssertionError("an expression of sizes has no load")


_ENTRY = """\
define void @weft.{name}(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {{
entry:
{loads}
{pointers}
  %mn = mul i64 %m, %n
  %empty = icmp eq i64 %mn, 0
  %none = icmp sge i64 %lo, %hi
  %nothing = or i1 %empty, %none
  br i1 %nothing, label %done, label %begin
begin:
  %lines = call i64 @piece(i64 %m, i64 %n, i64 %k, i64 %batch0, i64 %batch1)
  %by.rows = icmp sge i64 %m, %n
  %largest = select i1 %by.rows, i64 %m, i64 %n
  %largest.1 = sub i64 %largest, 1
  %pieces.1 = udiv i64 %largest.1, %lines
  %pieces = add i64 %pieces.1, 1
  %c.line = select i1 %by.rows, i64 %c_m, i64 %c_n
  br label %batch
batch:
  %item = phi i64 [ %lo, %begin ], [ %following, %next ]
  %which = udiv i64 %item, %pieces
  %number = urem i64 %item, %pieces
  %i0 = udiv i64 %which, %batch1
  %i1 = urem i64 %which, %batch1
  %line = mul i64 %number, %lines
  %left = sub i64 %largest, %line
  %count = call i64 @llvm.smin.i64(i64 %left, i64 %lines)
  %row = select i1 %by.rows, i64 %line, i64 0
  %column = select i1 %by.rows, i64 0, i64 %line
  %rows = select i1 %by.rows, i64 %count, i64 %m
  %columns = select i1 %by.rows, i64 %n, i64 %count
{offsets}
{product}
next:
  %following = add nuw nsw i64 %item, 1
  %more = icmp slt i64 %following, %hi
  br i1 %more, label %batch, label %done
done:
  ret void
}}
"""

_MOVED = {"a": "mul i64 %row, %a_m", "b": "mul i64 %column, %b_n", "c": "mul i64 %line, %c.line"}

_SIZES = "i64 %m, i64 %n, i64 %k"
_CALL = (
    "ptr %a, ptr %b, ptr %c, i64 %rows, i64 %columns, i64 %k, "
    "i64 %a_m, i64 %a_k, i64 %b_k, i64 %b_n, i64 %c_m, i64 %c_n"
)
_FORMAL = _CALL.replace("ptr ", "ptr noalias ").replace("i64 %rows, i64 %columns, i64 %k", _SIZES)

_PLAIN = f"""\
  call void @loops({_CALL})
  br label %next"""

_BLAS = f"""\
  %handled = call i1 @product({_CALL})
  br i1 %handled, label %next, label %unsuited
unsuited:
  call void @loops({_CALL})
  br label %next"""

# The leading dimension of a matrix of rows x columns for gemm, with its lines along the rows (plain) or along the
# columns (transposed); 0 where the strides do not allow it. Strides of dimensions of size 1 are ignored.
_LAYOUT = """\
define internal i64 @lines(i64 %rows, i64 %columns, i64 %row, i64 %column) alwaysinline {
  %unit = icmp eq i64 %column, 1
  %single = icmp sle i64 %columns, 1
  %dense = or i1 %unit, %single
  %least = call i64 @llvm.smax.i64(i64 %columns, i64 1)
  %one = icmp sle i64 %rows, 1
  %distance = select i1 %one, i64 %least, i64 %row
  %apart = icmp sge i64 %distance, %least
  %good = and i1 %dense, %apart
  %result = select i1 %good, i64 %distance, i64 0
  ret i64 %result
}
"""

# Sizes beyond 31 bits are handled by the loops, so that a BLAS with 32-bit integers suffices. The result of gemv is
# cleared first and beta is 1: with beta 0, libraries differ in whether 0 times an uninitialised NaN is NaN.
# 101 is row-major, 102 column-major; 111 plain, 112 transposed. Column-major order exchanges plain and transposed.
_GEMM = """\
define internal i1 @product({formal}) {{
  %a.rows = call i64 @lines(i64 %m, i64 %k, i64 %a_m, i64 %a_k)
  %a.columns = call i64 @lines(i64 %k, i64 %m, i64 %a_k, i64 %a_m)
  %b.rows = call i64 @lines(i64 %k, i64 %n, i64 %b_k, i64 %b_n)
  %b.columns = call i64 @lines(i64 %n, i64 %k, i64 %b_n, i64 %b_k)
  %c.rows = call i64 @lines(i64 %m, i64 %n, i64 %c_m, i64 %c_n)
  %c.columns = call i64 @lines(i64 %n, i64 %m, i64 %c_n, i64 %c_m)
  %a.by.rows = icmp ne i64 %a.rows, 0
  %b.by.rows = icmp ne i64 %b.rows, 0
  %c.by.rows = icmp ne i64 %c.rows, 0
  %lda = select i1 %a.by.rows, i64 %a.rows, i64 %a.columns
  %ldb = select i1 %b.by.rows, i64 %b.rows, i64 %b.columns
  %ldc = select i1 %c.by.rows, i64 %c.rows, i64 %c.columns
  %a.good = icmp ne i64 %lda, 0
  %b.good = icmp ne i64 %ldb, 0
  %c.good = icmp ne i64 %ldc, 0
  %some = icmp sgt i64 %k, 0
  %m.n = or i64 %m, %n
  %k.lda = or i64 %k, %lda
  %ldb.ldc = or i64 %ldb, %ldc
  %m.n.k.lda = or i64 %m.n, %k.lda
  %all = or i64 %m.n.k.lda, %ldb.ldc
  %fit = icmp ult i64 %all, 2147483648
  %a.b.good = and i1 %a.good, %b.good
  %a.b.c.good = and i1 %a.b.good, %c.good
  %some.fit = and i1 %some, %fit
  %good = and i1 %a.b.c.good, %some.fit
  br i1 %good, label %call, label %done
call:
  %one.row = icmp eq i64 %m, 1
  %one.column = icmp eq i64 %n, 1
  %vector = or i1 %one.row, %one.column
  %x.step = select i1 %one.row, i64 %a_k, i64 %b_k
  %y.step = select i1 %one.row, i64 %c_n, i64 %c_m
  %x.less = sub i64 %x.step, 1
  %y.less = sub i64 %y.step, 1
  %x.moves = icmp ult i64 %x.less, 2147483647
  %y.moves = icmp ult i64 %y.less, 2147483647
  %moves = and i1 %x.moves, %y.moves
  %by.vector = and i1 %vector, %moves
  br i1 %by.vector, label %clear.head, label %matrix
clear.head:
  %outputs = mul i64 %m, %n
  br label %clear
clear:
  %i = phi i64 [ 0, %clear.head ], [ %i.next, %clear ]
  %c.i = mul i64 %i, %y.step
  %c.p = getelementptr {T}, ptr %c, i64 %c.i
  store {T} 0.0, ptr %c.p, align {size}
  %i.next = add nuw nsw i64 %i, 1
  %i.more = icmp slt i64 %i.next, %outputs
  br i1 %i.more, label %clear, label %cleared
cleared:
  %lines.by.rows = select i1 %one.row, i1 %b.by.rows, i1 %a.by.rows
  %lines.order = select i1 %lines.by.rows, i32 101, i32 102
  %t = select i1 %one.row, i32 112, i32 111
  %rows = select i1 %one.row, i64 %k, i64 %m
  %columns = select i1 %one.row, i64 %n, i64 %k
  %lines.a = select i1 %one.row, ptr %b, ptr %a
  %lines.ld = select i1 %one.row, i64 %ldb, i64 %lda
  %x = select i1 %one.row, ptr %a, ptr %b
  call void @{gemv}(i32 %lines.order, i32 %t, i64 %rows, i64 %columns,
      {T} 1.0, ptr %lines.a, i64 %lines.ld, ptr %x, i64 %x.step, {T} 1.0, ptr %c, i64 %y.step)
  br label %done
matrix:
  %order = select i1 %c.by.rows, i32 101, i32 102
  %a.plain = icmp eq i1 %a.by.rows, %c.by.rows
  %b.plain = icmp eq i1 %b.by.rows, %c.by.rows
  %ta = select i1 %a.plain, i32 111, i32 112
  %tb = select i1 %b.plain, i32 111, i32 112
  call void @{gemm}(i32 %order, i32 %ta, i32 %tb, i64 %m, i64 %n, i64 %k,
      {T} 1.0, ptr %a, i64 %lda, ptr %b, i64 %ldb, {T} 0.0, ptr %c, i64 %ldc)
  br label %done
done:
  ret i1 %good
}}

declare void @{gemm}(i32, i32, i32, i64, i64, i64, {T}, ptr, i64, ptr, i64, {T}, ptr, i64)
declare void @{gemv}(i32, i32, i64, i64, {T}, ptr, i64, ptr, i64, {T}, ptr, i64)
"""

_LOOPS = """\
define internal void @loops({formal}) noinline {{
entry:
  br label %row
row:
  %i = phi i64 [ 0, %entry ], [ %i.next, %row.end ]
  %a.i = mul i64 %i, %a_m
  %c.i = mul i64 %i, %c_m
  br label %column
column:
  %j = phi i64 [ 0, %row ], [ %j.next, %column.end ]
  %b.j = mul i64 %j, %b_n
  %c.j = mul i64 %j, %c_n
  %c.at = add i64 %c.i, %c.j
  %c.p = getelementptr {T}, ptr %c, i64 %c.at
  br label %head
head:
  %l = phi i64 [ 0, %column ], [ %l.next, %body ]
  %sum = phi {T} [ 0.0, %column ], [ %sum.next, %body ]
  %again = icmp slt i64 %l, %k
  br i1 %again, label %body, label %column.end
body:
  %a.l = mul i64 %l, %a_k
  %a.at = add i64 %a.i, %a.l
  %a.p = getelementptr {T}, ptr %a, i64 %a.at
  %x = load {T}, ptr %a.p, align {size}
  %b.l = mul i64 %l, %b_k
  %b.at = add i64 %b.j, %b.l
  %b.p = getelementptr {T}, ptr %b, i64 %b.at
  %y = load {T}, ptr %b.p, align {size}
  %xy = fmul contract {T} %x, %y
  %sum.next = fadd contract {T} %sum, %xy
  %l.next = add nuw nsw i64 %l, 1
  br label %head
column.end:
  store {T} %sum, ptr %c.p, align {size}
  %j.next = add nuw nsw i64 %j, 1
  %j.more = icmp slt i64 %j.next, %n
  br i1 %j.more, label %column, label %row.end
row.end:
  %i.next = add nuw nsw i64 %i, 1
  %i.more = icmp slt i64 %i.next, %m
  br i1 %i.more, label %row, label %done
done:
  ret void
}}
"""
