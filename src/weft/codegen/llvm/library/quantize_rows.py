"""``quantize_rows`` on the ``cpu``: float32 rows to 8 bits by groups of 32 or 16 columns; a work item is a row.

Each group is scaled so that its largest magnitude becomes 127, as in ggml's Q8_0 and Q8_1; but the scale stays float32,
so that it holds every float32 magnitude. A NaN or an infinity makes the scale of its group NaN or infinite and its
quants 0, so that the results are NaN.
"""

from __future__ import annotations

from weft import dtypes
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.templates import template
from weft.expr.llvm_text import literal
from weft.kernels.library.quantized import GROUP
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

BUFFERS = ("x", "quants", "factors", "sums")
PARAMETERS = ("count", "groups", *(f"{buffer}_offset" for buffer in BUFFERS))
GRAIN = 16
LEAST = 2.0**-100
"""Groups of smaller magnitude are zeros, since 127 divided by it might be infinite."""


@template("llvm", "quantize_rows")
def quantize_rows(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel.

    Buffers: x (count, 32 groups); quants alike, int8; factors (2, count, parts), the scales and then the scales times
    the sums; sums (count, parts) of the quants. A row has 32 / group parts for each of the groups.
    """
    group = int(dict(library.options)["group"])
    return KernelSpec(
        name=f"quantize_rows_{group}",
        language="llvm",
        parameters=tuple(Parameter(parameter, dtypes.int64) for parameter in PARAMETERS),
        inputs=(Binding("x", dtypes.float32),),
        outputs=tuple(
            Binding(buffer, dtype, "read_write")
            for buffer, dtype in zip(BUFFERS[1:], library.dtypes[1:], strict=True)
        ),
        workgroup_size=(GRAIN, 1, 1),
        workgroup_count=("count", f"count * groups * {GROUP}", "1"),
        source=_source(f"quantize_rows_{group}", group),
    )


def _source(name: str, width: int) -> str:
    lines = FunctionWriter()
    let, do = lines.let, lines.do
    for number, buffer in enumerate(BUFFERS):
        do(f"%b.{buffer} = load ptr, ptr {let(f'getelementptr ptr, ptr %buffers, i64 {number}')}, align 8")
    for number, parameter in enumerate(PARAMETERS):
        do(
            f"%{parameter} = load i64, ptr {let(f'getelementptr i64, ptr %parameters, i64 {number}')}, align 8"
        )
    floats, ints, bytes_ = f"<{width} x float>", f"<{width} x i32>", f"<{width} x i8>"
    parts = let(f"mul i64 %groups, {GROUP // width}")
    second = let(f"add i64 %factors_offset, {let(f'mul i64 %count, {parts}')}")
    with lines.loop("%lo", "%hi") as row:
        first = let(f"mul i64 {row}, {parts}")
        with lines.loop("0", parts) as group:
            place = let(f"add i64 {first}, {group}")
            start = let(f"mul i64 {place}, {width}")
            x = let(f"load {floats}, ptr {_at(lines, 'float', 'x', start)}, align 4")
            most = let(
                f"call float @llvm.vector.reduce.fmaximum.v{width}f32({floats} "
                + let(f"call {floats} @llvm.fabs.v{width}f32({floats} {x})")
                + ")"
            )
            scale = let(f"fdiv float {most}, 1.270000e+02")
            empty = let(f"fcmp olt float {most}, {literal(LEAST, dtypes.float32)}")
            inverse = let(f"select i1 {empty}, float 0.0, float {let(f'fdiv float 1.270000e+02, {most}')}")
            one = let(f"insertelement {floats} poison, float {inverse}, i64 0")
            spread = let(f"shufflevector {floats} {one}, {floats} poison, <{width} x i32> zeroinitializer")
            near = let(
                f"call {floats} @llvm.rint.v{width}f32({floats} {let(f'fmul {floats} {x}, {spread}')})"
            )
            whole = let(f"call {ints} @llvm.fptosi.sat.v{width}i32.v{width}f32({floats} {near})")
            do(
                f"store {bytes_} {let(f'trunc {ints} {whole} to {bytes_}')}, "
                f"ptr {_at(lines, 'i8', 'quants', start)}, align 1"
            )
            total = let(f"call i32 @llvm.vector.reduce.add.v{width}i32({ints} {whole})")
            do(f"store i32 {total}, ptr {_at(lines, 'i32', 'sums', place)}, align 4")
            weighed = let(f"fmul float {scale}, {let(f'sitofp i32 {total} to float')}")
            do(f"store float {scale}, ptr {_at(lines, 'float', 'factors', place)}, align 4")
            beyond = let(f"getelementptr float, ptr %b.factors, i64 {let(f'add i64 {second}, {place}')}")
            do(f"store float {weighed}, ptr {beyond}, align 4")
    head = (
        f"define void @weft.{name}(ptr noalias %buffers, ptr noalias %parameters, i64 %lo, i64 %hi) nounwind"
    )
    declared = [
        f"declare float @llvm.vector.reduce.fmaximum.v{width}f32({floats})",
        f"declare {floats} @llvm.fabs.v{width}f32({floats})",
        f"declare {floats} @llvm.rint.v{width}f32({floats})",
        f"declare {ints} @llvm.fptosi.sat.v{width}i32.v{width}f32({floats})",
        f"declare i32 @llvm.vector.reduce.add.v{width}i32({ints})",
    ]
    return "\n\n".join([lines.function(head), *declared]) + "\n"


def _at(lines: FunctionWriter, kind: str, buffer: str, place: str) -> str:
    """Return the address of an element."""
    index = lines.let(f"add i64 %{buffer}_offset, {place}")
    return lines.let(f"getelementptr {kind}, ptr %b.{buffer}, i64 {index}")
