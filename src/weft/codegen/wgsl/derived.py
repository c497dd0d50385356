"""Derived kernels as WGSL: every part gets a range of workgroups, every invocation a point, four, or a share of one."""

from __future__ import annotations

from collections.abc import Sequence

from weft.codegen.wgsl import work
from weft.codegen.wgsl.held import HeldWriter
from weft.codegen.wgsl.module import Module, limit
from weft.codegen.wgsl.points import PointWriter, roots_of
from weft.codegen.wgsl.storage import View
from weft.codegen.wgsl.vector import RowWriter, VectorWriter
from weft.errors import KernelError
from weft.expr import Expr, walk
from weft.expr.wgsl import Emitter, Value
from weft.expr.wgsl_text import identifier, type_name
from weft.kernels import Kernel, Part
from weft.target import KernelSpec, TargetProfile

INVOCATIONS = 256
SHARE = 128
"""Invocations of a workgroup that share reductions: larger ones wait longer at their barriers."""
SOFTWARE_SHARE = 8
"""Invocations that share a reduction on a software rasteriser: one vector of the processor, so barriers are free."""


def write_kernel(kernel: Kernel, profile: TargetProfile) -> KernelSpec:
    """The WGSL of a derived kernel; ``KernelError`` for one that is malformed or over a limit."""
    if kernel.vector not in (1, 4):
        raise KernelError(f"kernel {kernel.name}: vector is {kernel.vector}, expected 1 or 4")
    order = [buffer.access for buffer in kernel.buffers]
    if order != sorted(order):
        raise KernelError(
            f"kernel {kernel.name}: buffers are {', '.join(order)}, expected read-only ones first"
        )
    views = tuple(
        View(
            identifier(buffer.name), buffer.dtype, buffer.access == "read_write", _vector(kernel, buffer.name)
        )
        for buffer in kernel.buffers
    )
    wanted = (SOFTWARE_SHARE if profile.software else SHARE) if kernel.cooperative else INVOCATIONS
    if kernel.held:
        wanted = max(wanted, kernel.cooperative)
        if kernel.cooperative > limit(profile, "max-compute-invocations-per-workgroup"):
            raise KernelError(
                f"kernel {kernel.name}: a team of {kernel.cooperative} is over this target's workgroup"
            )
    invocations = min(wanted, limit(profile, "max-compute-invocations-per-workgroup"))
    module = Module(kernel.name, profile, kernel.parameters, views, (invocations, 1, 1), kernel.reports)
    writer: type[PointWriter] = PointWriter
    if kernel.held:
        writer = HeldWriter
    elif kernel.vector == 4:
        writer = RowWriter if kernel.cooperative else VectorWriter
    bodies = [writer(module, kernel, part).write() for part in kernel.parts]
    counts = [_groups(kernel, part, invocations) for part in kernel.parts]
    return module.finish(_lay_out(module, bodies, counts), work.grid(work.together(counts)))


def _lay_out(module: Module, bodies: Sequence[list[str]], counts: Sequence[Expr]) -> list[str]:
    """The entry point's statements: one part as it stands, several as functions over ranges of workgroups."""
    linear = "workgroup_id.y * workgroups.x + workgroup_id.x"
    if len(bodies) == 1:
        return [f"    let group = {linear};", *bodies[0]]
    emitter = Emitter(
        module.declarations, lambda node: Value(module.parameter(node.data), 1, type_name(node.dtype))
    )
    emitter.line(f"var group = {linear};")
    for number, (body, count) in enumerate(zip(bodies, counts, strict=True)):
        module.functions.append("\n".join([f"fn part_{number}(group: u32, local: u32) {{", *body, "}"]))
        groups = emitter.named(count).text
        emitter.line(f"if (group < u32({groups})) {{")
        emitter.line(f"    part_{number}(group, local);")
        emitter.line("    return;")
        emitter.line("}")
        emitter.line(f"group -= u32({groups});")
    return emitter.lines[:-1]


def _groups(kernel: Kernel, part: Part, invocations: int) -> Expr:
    points = work.points(part.axes)
    if kernel.cooperative and part.reduce_axes:
        return (
            work.groups(points, invocations // kernel.cooperative)
            if 1 < kernel.cooperative < invocations
            else points
        )
    return work.groups(points, invocations * kernel.vector)


def _vector(kernel: Kernel, buffer: str) -> int:
    """How many elements the binding's array holds each: four where the axis runs over the buffer."""
    if kernel.vector == 1:
        return 1
    for part in kernel.parts:
        axes = part.reduce_axes if kernel.cooperative else part.axes
        axis = axes[0].variable if axes else None
        if any(store.buffer == buffer and store.inner == bool(kernel.cooperative) for store in part.stores):
            return 4
        loads = (node for node in walk(*roots_of(part)) if node.function == "load" and node.data == buffer)
        if any(axis in set(walk(node)) for node in loads):
            return 4
    return 1
