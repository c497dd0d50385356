"""Derived kernels as WGSL: a part has a range of workgroups; an invocation has one point, four, or a share of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weft.codegen.wgsl import work
from weft.codegen.wgsl.alike import Family, families
from weft.codegen.wgsl.held import HeldWriter
from weft.codegen.wgsl.module import Module, limit
from weft.codegen.wgsl.points import PointWriter
from weft.codegen.wgsl.storage import View
from weft.codegen.wgsl.vector import RowWriter, VectorWriter
from weft.errors import KernelError
from weft.expr import Expr, walk
from weft.expr.wgsl import Emitter, WgslValue
from weft.expr.wgsl_forms import wgsl_form
from weft.expr.wgsl_text import identifier, type_name
from weft.kernels import Kernel, Part
from weft.target import KernelSpec, TargetProfile

INVOCATIONS = 256
SHARE = 128
"""Invocations of a workgroup that share reductions: larger workgroups wait longer at their barriers."""
SOFTWARE_SHARE = 8
"""Invocations that share a reduction on a software rasteriser: one vector of the processor, so barriers are free."""


def write_kernel(kernel: Kernel, profile: TargetProfile) -> KernelSpec:
    """Write a derived kernel as WGSL; raise ``KernelError`` if it is malformed or over a limit."""
    kernel = replace(kernel, parts=tuple(map(_as_drivers_see, kernel.parts)))
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
    found = families(kernel.parts)
    bodies = [_body(writer(module, kernel, family.part), family) for family in found]
    counts = [_groups(kernel, part, invocations) for part in kernel.parts]
    return module.finish(_lay_out(module, bodies, found, counts), work.grid(work.sum_counts(counts)))


def _body(writer: PointWriter, family: Family) -> list[str]:
    """Return the statements of a family's function, whose arguments have their variables' names."""
    for argument in family.arguments:
        writer.emitter.define(argument, argument.data)
    writer.emitter.reserved |= {argument.data for argument in family.arguments}
    return writer.write()


def _as_drivers_see(part: Part) -> Part:
    """Return the part with its values in WGSL forms, which no driver contracts in its own way."""
    return replace(
        part,
        stores=tuple(replace(store, value=wgsl_form(store.value)) for store in part.stores),
        reductions=tuple(replace(each, value=wgsl_form(each.value)) for each in part.reductions),
    )


def _lay_out(
    module: Module, bodies: Sequence[list[str]], found: Sequence[Family], counts: Sequence[Expr]
) -> list[str]:
    """Return the entry point's statements: of a single part, or calls of the parts' functions by workgroup ranges."""
    linear = "workgroup_id.y * workgroups.x + workgroup_id.x"
    if len(counts) == 1:
        return [f"    let group = {linear};", *bodies[0]]
    emitter = Emitter(
        module.declarations, lambda node: WgslValue(module.parameter(node.data), 1, type_name(node.dtype))
    )
    emitter.line(f"var group = {linear};")
    for number, (body, family) in enumerate(zip(bodies, found, strict=True)):
        taken = ["group: u32", "local: u32", *(f"{argument.data}: i32" for argument in family.arguments)]
        module.functions.append("\n".join([f"fn part_{number}({', '.join(taken)}) {{", *body, "}"]))
        groups = emitter.named(work.sum_counts([counts[member] for member, _ in family.members])).text
        with emitter.block(f"if (group < u32({groups}))"):
            given = ["group", "local"]
            if len(family.members) > 1:
                given = ["group - first", "local", *(str(argument.data) for argument in family.arguments)]
                _choose(emitter, family, [counts[member] for member, _ in family.members])
            emitter.line(f"part_{number}({', '.join(given)});")
            emitter.line("return;")
        emitter.line(f"group -= u32({groups});")
    return emitter.lines[:-1]


def _choose(emitter: Emitter, family: Family, counts: Sequence[Expr]) -> None:
    """Set the arguments of the family's member that this workgroup belongs to, and its first workgroup."""
    names = [argument.data for argument in family.arguments]
    constant = all(count.function == "const" for count in counts)
    before: dict[str, Expr] = {}
    first = 0
    if not constant:
        emitter.line("var start = 0u;")
    for (_, numbers), count in zip(family.members, counts, strict=True):
        now = dict(zip(names, numbers, strict=True))
        texts = {name: emitter.value(number).text for name, number in now.items()}
        if not before:
            emitter.line("var first = 0u;")
            for name, text in texts.items():
                emitter.line(f"var {name} = {text};")
        else:
            start = f"{first}u" if constant else "start"
            with emitter.block(f"if (group >= {start})"):
                emitter.line(f"first = {start};")
                for name, text in texts.items():
                    if before[name] is not now[name]:
                        emitter.line(f"{name} = {text};")
        before = now
        if constant:
            first += count.data
        elif count is not counts[-1]:
            emitter.line(f"start += u32({emitter.value(count).text});")


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
    """Return how many elements an item of the binding's array holds: four where the axis runs over the buffer."""
    if kernel.vector == 1:
        return 1
    for part in kernel.parts:
        axes = part.reduce_axes if kernel.cooperative else part.axes
        axis = axes[0].variable if axes else None
        if any(store.buffer == buffer and store.inner == bool(kernel.cooperative) for store in part.stores):
            return 4
        loads = (node for node in walk(*part.expressions) if node.function == "load" and node.data == buffer)
        if any(axis in set(walk(node)) for node in loads):
            return 4
    return 1
