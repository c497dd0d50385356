"""``last_place`` for WGSL: the last position of each key, by an atomic maximum, which does not depend on the order."""

from __future__ import annotations

from dataclasses import dataclass

from weft import dtypes
from weft.codegen.templates import template
from weft.codegen.wgsl import work
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.expr import variable
from weft.expr.node import INDEX
from weft.kernels.program import Library
from weft.target import KernelSpec, Parameter, TargetProfile

INVOCATIONS = 256


@dataclass(frozen=True)
class AtomicView(View):
    """A binding of atomic int32 words."""

    def declaration(self, binding: int) -> str:
        """Return the module-scope variable of the binding."""
        return f"@group(0) @binding({binding}) var<storage, read_write> {self.name}: array<atomic<i32>>;"


@template("wgsl", "last_place")
def last_place(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel that sets ``table[keys[i]]``, 0 before, to the largest ``i + 1``; negative keys are skipped."""
    views = (View("keys", dtypes.int64, False), AtomicView("places", dtypes.int64, True))
    module = Module("last_place", profile, (Parameter("n", INDEX),), views, (INVOCATIONS, 1, 1))
    body = [
        f"    let i = i32((workgroup_id.y * workgroups.x + workgroup_id.x) * {INVOCATIONS}u + local);",
        f"    if (i >= {module.parameter('n')}) {{",
        "        return;",
        "    }",
        "    let key = keys[i];",
        "    if (key >= 0i) {",
        "        atomicMax(&places[key], i + 1i);",
        "    }",
    ]
    return module.finish(body, work.grid(work.groups(variable("n", INDEX), INVOCATIONS)))
