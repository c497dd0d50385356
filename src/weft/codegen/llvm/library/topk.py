"""``topk`` on the ``cpu``: the first ``count`` elements of each row in sorted order; a work item is a row, read once.

The best elements so far are kept sorted. Each element is compared with the last of them, and rarely precedes it. Equal
elements keep their order, as in a stable sort.
"""

from __future__ import annotations

from weft import dtypes
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.llvm.library.sort import GRAIN, insert, insertion_sort, load, sort_key, store
from weft.codegen.templates import template
from weft.dtypes import DType
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

PARAMETERS = ("rows", "n", "count", "x_offset")


@template("llvm", "topk")
def topk(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel. Buffers: x (rows of n), order (positions of each row's first ``count``), keys (scratch)."""
    dtype, descending = library.dtypes[0], bool(dict(library.options)["descending"])
    name = f"topk_{dtype.name}{'_descending' if descending else ''}"
    return KernelSpec(
        name=name,
        language="llvm",
        parameters=tuple(Parameter(parameter, dtypes.int64) for parameter in PARAMETERS),
        inputs=(Binding("x", dtype),),
        outputs=tuple(Binding(buffer, dtypes.int64, "read_write") for buffer in ("order", "keys")),
        workgroup_size=(GRAIN, 1, 1),
        workgroup_count=("rows", "rows * n", "1"),
        source=_source(name, dtype, descending),
    )


def _source(name: str, dtype: DType, descending: bool) -> str:
    lines = FunctionWriter()
    for number, buffer in enumerate(("x", "order", "keys")):
        slot = lines.let(f"getelementptr ptr, ptr %buffers, i64 {number}")
        lines.do(f"%b.{buffer} = load ptr, ptr {slot}, align 8")
    for number, parameter in enumerate(PARAMETERS):
        slot = lines.let(f"getelementptr i64, ptr %parameters, i64 {number}")
        lines.do(f"%{parameter} = load i64, ptr {slot}, align 8")
    last = lines.let("sub i64 %count, 1")
    with lines.loop("%lo", "%hi") as row:
        first = lines.let(f"add i64 %x_offset, {lines.let(f'mul i64 {row}, %n')}")
        base = lines.let(f"mul i64 {row}, %count")
        order, keys = (
            lines.let(f"getelementptr i64, ptr %b.{buffer}, i64 {base}") for buffer in ("order", "keys")
        )
        with lines.loop("0", "%count") as i:
            store(lines, keys, i, sort_key(lines, dtype, descending, lines.let(f"add i64 {first}, {i}")))
            store(lines, order, i, i)
        insertion_sort(lines, order, keys, "%count")
        with lines.loop("%count", "%n") as i:
            key = sort_key(lines, dtype, descending, lines.let(f"add i64 {first}, {i}"))
            better = lines.let(f"icmp ult i64 {key}, {load(lines, keys, last)}")
            with lines.when(better):
                insert(lines, order, keys, last, key, i)
    head = (
        f"define void @weft.{name}(ptr noalias %buffers, ptr noalias %parameters, i64 %lo, i64 %hi) nounwind"
    )
    return lines.function(head) + "\n"
