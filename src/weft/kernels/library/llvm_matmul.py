"""Matrix products on the ``cpu``: batches of calls of the BLAS ``gemm``, or plain loops where strides do not suit it.

A work item is one product. One pool of threads is in charge at a time: many products, or small ones, are spread
over the device's threads, of which each calls the BLAS on its own; a few large ones use the BLAS's own threads.
"""

from __future__ import annotations

from weft import dtypes
from weft.errors import KernelError
from weft.kernels.library import template
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

PARAMETERS = (
    "batch0", "batch1", "m", "n", "k", "a_offset", "a_b0", "a_b1", "a_m", "a_k", "b_offset", "b_b0", "b_b1",
    "b_k", "b_n", "c_offset", "c_b0", "c_b1", "c_m", "c_n",
)  # fmt: skip

SMALL = 1 << 18
"""Multiplications up to which OpenBLAS works on the calling thread (its ``GEMM_MULTITHREAD_THRESHOLD``)."""

MANY = 8
"""Products that keep the device's threads busy, whatever their size."""

GRAIN = 1 << 18
"""Multiplications that are worth a thread."""

_TYPES = {dtypes.float32: ("float", 4, "weft.sgemm"), dtypes.float64: ("double", 8, "weft.dgemm")}


@template("llvm", "matmul")
def matmul(library: Library, profile: TargetProfile) -> KernelSpec:
    """The product for operands of one type, float32 or float64; others raise ``KernelError``."""
    dtype = library.dtypes[0]
    if dtype not in _TYPES or any(other is not dtype for other in library.dtypes):
        given = ", ".join(each.name for each in library.dtypes)
        raise KernelError(f"matmul: types ({given}) given, the cpu kernel takes all float32 or all float64")
    name = f"matmul_{dtype.name}"
    spread = f"(m * n * k <= {SMALL}) | (batch0 * batch1 >= {MANY})"
    work = f"where({spread}, batch0 * batch1 * m * n * k, batch0 * batch1 * 0)"
    return KernelSpec(
        name=name,
        language="llvm",
        parameters=tuple(Parameter(each, dtypes.int64) for each in PARAMETERS),
        inputs=(Binding("a", dtype), Binding("b", dtype)),
        outputs=(Binding("c", dtype, "read_write"),),
        workgroup_size=(GRAIN, 1, 1),
        workgroup_count=("batch0 * batch1", work, "1"),
        source=_source(name, *_TYPES[dtype], blas="blas" in profile.features),
    )


def _source(name: str, kind: str, size: int, gemm: str, blas: bool) -> str:
    loads = "\n".join(
        f"  %q.{each} = getelementptr i64, ptr %parameters, i64 {number}\n"
        f"  %{each} = load i64, ptr %q.{each}, align 8"
        for number, each in enumerate(PARAMETERS)
    )
    pointers = "\n".join(
        f"  %r.{each} = getelementptr ptr, ptr %buffers, i64 {number}\n"
        f"  %base.{each} = load ptr, ptr %r.{each}, align 8"
        for number, each in enumerate("abc")
    )
    offsets = "\n".join(
        f"  %t0.{each} = mul i64 %i0, %{each}_b0\n  %t1.{each} = mul i64 %i1, %{each}_b1\n"
        f"  %t2.{each} = add i64 %t0.{each}, %t1.{each}\n  %t3.{each} = add i64 %t2.{each}, %{each}_offset\n"
        f"  %{each} = getelementptr {kind}, ptr %base.{each}, i64 %t3.{each}"
        for each in "abc"
    )
    entry = _ENTRY.format(
        name=name, loads=loads, pointers=pointers, offsets=offsets, product=_BLAS if blas else _PLAIN
    )
    parts = [entry, _LOOPS.format(T=kind, size=size, formal=_FORMAL)]
    if blas:
        parts += [_LAYOUT, _GEMM.format(T=kind, gemm=gemm, formal=_FORMAL)]
    return "\n".join(parts)


_ENTRY = """\
define void @weft.{name}(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {{
entry:
{loads}
{pointers}
  %mn = mul i64 %m, %n
  %empty = icmp eq i64 %mn, 0
  %none = icmp sge i64 %lo, %hi
  %nothing = or i1 %empty, %none
  br i1 %nothing, label %done, label %batch
batch:
  %item = phi i64 [ %lo, %entry ], [ %following, %next ]
  %i0 = udiv i64 %item, %batch1
  %i1 = urem i64 %item, %batch1
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

_CALL = (
    "ptr %a, ptr %b, ptr %c, i64 %m, i64 %n, i64 %k, "
    "i64 %a_m, i64 %a_k, i64 %b_k, i64 %b_n, i64 %c_m, i64 %c_n"
)
_FORMAL = _CALL.replace("ptr ", "ptr noalias ")

_PLAIN = f"""\
  call void @loops({_CALL})
  br label %next"""

_BLAS = f"""\
  %handled = call i1 @product({_CALL})
  br i1 %handled, label %next, label %unsuited
unsuited:
  call void @loops({_CALL})
  br label %next"""

# How gemm sees a matrix of rows x columns: the distance between its lines with the lines along the rows (plain) or
# along the columns (transposed), 0 where it cannot be seen so. Strides of dimensions of size 1 mean nothing.
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

# Sizes beyond 31 bits go to the loops, so that a BLAS of 32-bit integers will do.
# 101 row-major, 102 column-major; 111 plain, 112 transposed. In column-major order plain and transposed change places.
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
