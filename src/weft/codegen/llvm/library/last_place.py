"""``last_place`` on the ``cpu``: a sequential pass, in which a later position overwrites an earlier one."""

from __future__ import annotations

from weft import dtypes
from weft.codegen.templates import template
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

SEQUENTIAL = ("1", "0", "1")
"""A single work item, since the result depends on the order."""


@template("llvm", "last_place")
def last_place(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel of ``table[keys[i]] = i + 1`` for each i in order; negative keys are skipped."""
    return KernelSpec(
        name="last_place",
        language="llvm",
        parameters=(Parameter("n", dtypes.int64),),
        inputs=(Binding("keys", dtypes.int64),),
        outputs=(Binding("table", dtypes.int64, "read_write"),),
        workgroup_size=(1, 1, 1),
        workgroup_count=SEQUENTIAL,
        source=_SOURCE,
    )


_SOURCE = """\
define void @weft.last_place(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind {
entry:
  %keys = load ptr, ptr %buffers, align 8
  %slot = getelementptr ptr, ptr %buffers, i64 1
  %table = load ptr, ptr %slot, align 8
  %n = load i64, ptr %parameters, align 8
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %done
loop:
  %i = phi i64 [ 0, %entry ], [ %following, %next ]
  %following = add nuw nsw i64 %i, 1
  %place = getelementptr i64, ptr %keys, i64 %i
  %key = load i64, ptr %place, align 8
  %valid = icmp sge i64 %key, 0
  br i1 %valid, label %take, label %next
take:
  %entry.place = getelementptr i64, ptr %table, i64 %key
  store i64 %following, ptr %entry.place, align 8
  br label %next
next:
  %more = icmp slt i64 %following, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""
