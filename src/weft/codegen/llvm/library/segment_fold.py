"""``segment_fold`` and ``ordered_fold`` on the ``cpu``: sequential folds of rows by key.

``segment_fold`` folds each row into the first row with the same key; ``ordered_fold`` folds it into a dense target.
"""

from __future__ import annotations

from weft import dtypes
from weft.codegen.llvm.library.last_place import SEQUENTIAL
from weft.codegen.templates import template
from weft.errors import KernelError
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

FOLDABLE = {
    dtypes.float32: ("float", 4), dtypes.float64: ("double", 8), dtypes.int32: ("i32", 4), dtypes.uint32: ("i32", 4),
    dtypes.int64: ("i64", 8),
}  # fmt: skip
_EXTREME = """\
  %ordered = fcmp {order} {{T}} %a, %b
  %nan = fcmp uno {{T}} %a, %a
  %kept = or i1 %ordered, %nan
  %new = select i1 %kept, {{T}} %a, {{T}} %b"""
_FLOAT = {
    "sum": "  %new = fadd {T} %a, %b",
    "prod": "  %new = fmul {T} %a, %b",
    "max": _EXTREME.format(order="ogt"),
    "min": _EXTREME.format(order="olt"),
}
_INTEGER = {
    "sum": "  %new = add {T} %a, %b",
    "prod": "  %new = mul {T} %a, %b",
    "max": "  %c = icmp {s}gt {T} %a, %b\n  %new = select i1 %c, {T} %a, {T} %b",
    "min": "  %c = icmp {s}lt {T} %a, %b\n  %new = select i1 %c, {T} %a, {T} %b",
}


def _fold_form(library: Library) -> tuple[str, str, int, str]:
    """Return the operation's name part, the element's LLVM type and size, and the IR that folds ``%b`` into ``%a``."""
    dtype, combine = library.dtypes[0], str(dict(library.options)["combine"])
    if combine == "replace":  # for any type, as a move of bits
        kind = f"i{8 * dtype.itemsize}"
        return (
            f"{combine}_{dtype.name}",
            kind,
            dtype.itemsize,
            f"  %new = select i1 true, {kind} %b, {kind} %a",
        )
    if dtype not in FOLDABLE:
        known = ", ".join(kind.name for kind in FOLDABLE)
        raise KernelError(f"{library.name}: type {dtype.name} given, expected one of {known}")
    kind, size = FOLDABLE[dtype]
    table = _FLOAT if dtype.kind == "float" else _INTEGER
    fold = table[combine].format(T=kind, s="u" if dtype.kind == "uint" else "s")
    return f"{combine}_{dtype.name}", kind, size, fold


def _spec(
    library: Library, parameters: str, inputs: str, outputs: str, source: str, before: str
) -> KernelSpec:
    """Return a kernel with a single work item; all bindings except ``keys`` and ``table`` hold elements.

    ``before`` is the basic block of ``source`` that branches to the loop over columns.
    """
    suffix, kind, size, fold = _fold_form(library)
    name = f"{library.name}_{suffix}"
    columns = _COLUMNS.format(T=kind, size=size, fold=fold, before=before)
    types = {"keys": dtypes.int64, "table": dtypes.int64}
    element = library.dtypes[0]
    return KernelSpec(
        name=name,
        language="llvm",
        parameters=tuple(Parameter(parameter, dtypes.int64) for parameter in parameters.split()),
        inputs=tuple(Binding(buffer, types.get(buffer, element)) for buffer in inputs.split()),
        outputs=tuple(
            Binding(buffer, types.get(buffer, element), "read_write") for buffer in outputs.split()
        ),
        workgroup_size=(1, 1, 1),
        workgroup_count=SEQUENTIAL,
        source=source.format(name=name, T=kind, size=size, columns=columns),
    )


@template("llvm", "segment_fold")
def segment_fold(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel that folds row i of ``parts``, for each i in order, into the first row with its key."""
    return _spec(library, "n width", "keys", "parts table", _SOURCE, "add")


@template("llvm", "ordered_fold")
def ordered_fold(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel that folds row i of ``parts``, for each i in order, into row ``keys[i]`` of the target."""
    return _spec(library, "n width start", "keys parts", "target", _ORDERED, "loop")


_COLUMNS = """\
columns:
  %d = phi i64 [ 0, %{before} ], [ %d.next, %columns ]
  %p.to = getelementptr {T}, ptr %to, i64 %d
  %p.from = getelementptr {T}, ptr %from, i64 %d
  %a = load {T}, ptr %p.to, align {size}
  %b = load {T}, ptr %p.from, align {size}
{fold}
  store {T} %new, ptr %p.to, align {size}
  %d.next = add nuw nsw i64 %d, 1
  %d.more = icmp slt i64 %d.next, %width
  br i1 %d.more, label %columns, label %next
next:
  %more = icmp slt i64 %following, %n
  br i1 %more, label %loop, label %done
done:
  ret void
"""
"""The loop over a row's columns, after the basic block ``before``, and the end of the loop over rows."""

_SOURCE = """\
define void @weft.{name}(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {{
entry:
  %keys = load ptr, ptr %buffers, align 8
  %slot1 = getelementptr ptr, ptr %buffers, i64 1
  %parts = load ptr, ptr %slot1, align 8
  %slot2 = getelementptr ptr, ptr %buffers, i64 2
  %table = load ptr, ptr %slot2, align 8
  %n = load i64, ptr %parameters, align 8
  %slot3 = getelementptr i64, ptr %parameters, i64 1
  %width = load i64, ptr %slot3, align 8
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %done
loop:
  %i = phi i64 [ 0, %entry ], [ %following, %next ]
  %following = add nuw nsw i64 %i, 1
  %place = getelementptr i64, ptr %keys, i64 %i
  %key = load i64, ptr %place, align 8
  %entry.place = getelementptr i64, ptr %table, i64 %key
  %first = load i64, ptr %entry.place, align 8
  %new.key = icmp eq i64 %first, 0
  br i1 %new.key, label %begin, label %add
begin:
  store i64 %following, ptr %entry.place, align 8
  br label %next
add:
  %row = sub i64 %first, 1
  %to.at = mul i64 %row, %width
  %from.at = mul i64 %i, %width
  %to = getelementptr {T}, ptr %parts, i64 %to.at
  %from = getelementptr {T}, ptr %parts, i64 %from.at
  br label %columns
{columns}}}

"""

_ORDERED = """\
define void @weft.{name}(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {{
entry:
  %keys = load ptr, ptr %buffers, align 8
  %slot1 = getelementptr ptr, ptr %buffers, i64 1
  %parts = load ptr, ptr %slot1, align 8
  %slot2 = getelementptr ptr, ptr %buffers, i64 2
  %target = load ptr, ptr %slot2, align 8
  %n = load i64, ptr %parameters, align 8
  %slot3 = getelementptr i64, ptr %parameters, i64 1
  %width = load i64, ptr %slot3, align 8
  %slot4 = getelementptr i64, ptr %parameters, i64 2
  %start = load i64, ptr %slot4, align 8
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %done
loop:
  %i = phi i64 [ 0, %entry ], [ %following, %next ]
  %following = add nuw nsw i64 %i, 1
  %place = getelementptr i64, ptr %keys, i64 %i
  %key = load i64, ptr %place, align 8
  %to.row = mul i64 %key, %width
  %to.at = add i64 %to.row, %start
  %from.at = mul i64 %i, %width
  %to = getelementptr {T}, ptr %target, i64 %to.at
  %from = getelementptr {T}, ptr %parts, i64 %from.at
  br label %columns
{columns}}}

"""
