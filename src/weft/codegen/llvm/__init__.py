"""The LLVM generator: derived kernels as IR text for the ``cpu`` device, which compiles and calls it.

    define void @weft.NAME(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi)

runs work items ``lo`` to ``hi``: the points of all parts, one part after another. ``buffers`` are pointers,
inputs then outputs, then the status word where the kernel reports. ``parameters`` are slots of 8 bytes: i64
for integers, double for floats, then the report's number. Buffers never overlap.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from weft.codegen.llvm.alike import shared
from weft.codegen.llvm.lanes import is_light
from weft.codegen.llvm.part import PartWriter
from weft.codegen.llvm.rows import SHORT, RowsWriter, folds_rows
from weft.codegen.llvm.stream import STREAM_METADATA
from weft.codegen.llvm.transposed import TransposedWriter, transposed_loads
from weft.codegen.templates import find
from weft.errors import KernelError
from weft.expr import Expr, variable
from weft.expr.llvm import Emitter
from weft.expr.llvm_text import SCALARS, IRValue, Lines
from weft.kernels import Axis, Kernel, Library, Part
from weft.target import Binding, KernelSpec, TargetProfile

__all__ = ["LlvmGenerator", "entry_name"]

GRAIN, LIGHT_GRAIN = 32768, 65536
"""Elements that are worth a thread, some 20 microseconds of work: of most kernels, and of those bound by memory."""

Callee = tuple[str, tuple[str, ...], tuple[Expr, ...], bool]
"""The name of a part's function, the buffers and numbers of its call, and whether it takes the status word."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_REPORT = """define internal void @weft.report(ptr %status, i64 %report, i64 %value) noinline cold {
  %number = add i64 %report, 1
  %old = cmpxchg ptr %status, i64 0, i64 %number monotonic monotonic, align 8
  %first = extractvalue { i64, i1 } %old, 1
  br i1 %first, label %take, label %done
take:
  %second = getelementptr i64, ptr %status, i64 1
  store i64 %value, ptr %second, align 8
  br label %done
done:
  ret void
}"""


def entry_name(name: str) -> str:
    """Return the symbol of a kernel's entry function."""
    return f"weft.{name}"


class LlvmGenerator:
    """Writes kernels for one target profile."""

    def __init__(self, profile: TargetProfile) -> None:
        self.profile = profile

    def generate(self, kernel: Kernel | Library) -> KernelSpec:
        """Return the kernel as IR; raise ``KernelError`` for a malformed kernel or a missing template."""
        if isinstance(kernel, Library):
            return find("llvm", kernel.name)(kernel, self.profile)
        _validate(kernel)
        bindings = [Binding(buffer.name, buffer.dtype, buffer.access) for buffer in kernel.buffers]
        counts = [_product([axis.size for axis in part.axes]) for part in kernel.parts]
        work = [_product([axis.size for axis in (*part.axes, *part.reduce_axes)]) for part in kernel.parts]
        return KernelSpec(
            name=kernel.name,
            language="llvm",
            parameters=kernel.parameters,
            inputs=tuple(binding for binding in bindings if binding.access == "read"),
            outputs=tuple(binding for binding in bindings if binding.access == "read_write"),
            workgroup_size=(LIGHT_GRAIN if all(is_light(part) for part in kernel.parts) else GRAIN, 1, 1),
            workgroup_count=(_sum(counts), _sum(work), "1"),
            source=_module(kernel),
            reports=kernel.reports,
        )


def _validate(kernel: Kernel) -> None:
    """Check names, which become part of the IR, and that read-only buffers come first."""
    names = [kernel.name, *(b.name for b in kernel.buffers), *(p.name for p in kernel.parameters)]
    for name in names:
        if not _IDENTIFIER.match(name):
            raise KernelError(f"llvm: {kernel.name!r}: name {name!r} given, expected letters, digits and _")
    if len(set(names[1:])) < len(names) - 1:
        raise KernelError(f"llvm: {kernel.name}: a name is used twice in {', '.join(names[1:])}")
    access = [buffer.access for buffer in kernel.buffers]
    if access != sorted(access, key=lambda word: word != "read"):
        raise KernelError(f"llvm: {kernel.name}: buffers are {', '.join(access)}, expected read ones first")
    for parameter in kernel.parameters:
        if parameter.dtype not in SCALARS:
            raise KernelError(f"llvm: {kernel.name}: parameter {parameter.name} is {parameter.dtype.name}")


def _product(sizes: list[Expr]) -> str:
    """Return a product of sizes, which are constants or parameters, as a count expression."""
    constant, names = 1, []
    for size in sizes:
        if size.function == "const":
            constant *= int(size.data)
        elif size.function == "variable":
            names.append(str(size.data))
        else:
            raise KernelError(f"llvm: axis size {size!r} given, expected a constant or a parameter")
    return " * ".join([str(constant), *names]) if constant != 1 or not names else " * ".join(names)


def _sum(counts: list[str]) -> str:
    """Return a sum of counts, with the constants added up."""
    constant = sum(int(count) for count in counts if count.isdecimal())
    rest = [count for count in counts if not count.isdecimal()]
    return _added([*rest, str(constant)] if constant or not rest else rest)


def _added(terms: Sequence[str]) -> str:
    """Return the text of a sum; a long sum is a balanced tree, so that its parsers do not recurse deeply."""
    if len(terms) <= 8:
        return " + ".join(terms)
    half = len(terms) // 2
    return f"({_added(terms[:half])}) + ({_added(terms[half:])})"


def _module(kernel: Kernel) -> str:
    formals = _formals(kernel)
    bound = _bound(kernel)
    every = tuple(buffer.name for buffer in kernel.buffers), tuple(bound), kernel.reports
    functions, declarations, streams = [], set(), False
    made: dict[Kernel, str] = {}
    callees: list[Callee] = []
    for number, part in enumerate(kernel.parts):
        alike = shared(kernel, part)
        if alike is not None:
            known = alike.kernel in made
            name = made.setdefault(alike.kernel, f"part{number}")
            callees.append((name, alike.buffers, alike.numbers, False))
            if not known:
                writer = PartWriter(alike.kernel, alike.kernel.parts[0], _bound(alike.kernel))
                arguments = ", ".join(_formals(alike.kernel))
                head = f"define internal void @{name}({arguments}) noinline nounwind {writer.attributes}"
                streams = streams or writer.form.streams
                functions.append(writer.text(head.rstrip()))
                declarations |= writer.lines.declarations
            continue
        callees.append((f"part{number}", *every))
        forms: dict[str, type[PartWriter]] = {
            f"part{number}": TransposedWriter if transposed_loads(part) else PartWriter
        }
        if folds_rows(part):
            forms = {f"part{number}.long": PartWriter, f"part{number}.short": RowsWriter}
            functions.append(_choice(part, bound, number, formals))
        for name, form in forms.items():
            writer = form(kernel, part, bound)
            head = f"define internal void @{name}({', '.join(formals)}) noinline nounwind {writer.attributes}"
            streams = streams or writer.form.streams
            functions.append(writer.text(head.rstrip()))
            declarations |= writer.lines.declarations
    texts = [_entry(kernel, callees), *functions]
    if kernel.reports:
        texts.append(_REPORT)
    if streams:
        texts.append(STREAM_METADATA)
    return "\n\n".join([*texts, *sorted(declarations)]) + "\n"


def _bound(kernel: Kernel) -> dict[Expr, IRValue]:
    """Return the IR values of a kernel's parameters in a part's function."""
    return {variable(p.name, p.dtype): IRValue(f"%p.{p.name}", p.dtype) for p in kernel.parameters}


def _formals(kernel: Kernel) -> list[str]:
    """Return the formal arguments of a part's function."""
    formals = [f"ptr noalias %b.{buffer.name}" for buffer in kernel.buffers]
    formals += [f"{SCALARS[p.dtype]} %p.{p.name}" for p in kernel.parameters]
    formals += ["ptr %status", "i64 %report"] if kernel.reports else []
    return [*formals, "i64 %lo", "i64 %hi"]


def _entry(kernel: Kernel, callees: Sequence[Callee]) -> str:
    """Return the entry function, which calls each part with its share of the range of work items.

    Arguments are loaded just before each call: those of all parts together would not fit in registers.
    """
    lines = Lines()
    places = {parameter.name: number for number, parameter in enumerate(kernel.parameters)}
    slots = {buffer.name: number for number, buffer in enumerate(kernel.buffers)}

    def number(given: Expr) -> IRValue:
        if given.function == "const":
            return IRValue(str(given.data), given.dtype)
        return _unpacked(lines, places[str(given.data)], given)

    def pointer(place: int) -> str:
        slot = lines.let(f"getelementptr ptr, ptr %buffers, i64 {place}")
        return lines.let(f"load ptr, ptr {slot}, align 8")

    start = "0"
    for at, (part, (function, names, numbers, reports)) in enumerate(zip(kernel.parts, callees, strict=True)):
        sizes = {axis.size: number(axis.size) for axis in part.axes}
        count = _length(lines, sizes, part.axes)
        stop = lines.let(f"add nuw nsw i64 {start}, {count}")
        low = lines.let(f"call i64 @llvm.smax.i64(i64 %lo, i64 {start})")
        high = lines.let(f"call i64 @llvm.smin.i64(i64 %hi, i64 {stop})")
        first, last = lines.let(f"sub i64 {low}, {start}"), lines.let(f"sub i64 {high}, {start}")
        some = lines.let(f"icmp slt i64 {low}, {high}")
        lines.do(f"br i1 {some}, label %run{at}, label %skip{at}")
        lines.text.append(f"run{at}:")
        actual = [f"ptr {pointer(slots[name])}" for name in names]
        actual += [f"{SCALARS[value.dtype]} {value.text}" for value in map(number, numbers)]
        if reports:
            slot = lines.let(f"getelementptr i64, ptr %parameters, i64 {len(kernel.parameters)}")
            report = lines.let(f"load i64, ptr {slot}, align 8")
            actual += [f"ptr {pointer(len(kernel.buffers))}", f"i64 {report}"]
        lines.do(f"call void @{function}({', '.join([*actual, f'i64 {first}', f'i64 {last}'])})")
        lines.do(f"br label %skip{at}")
        lines.text.append(f"skip{at}:")
        start = stop
    head = f"define void @{entry_name(kernel.name)}(ptr %buffers, ptr %parameters, i64 %lo, i64 %hi) nounwind"
    return "\n".join([f"{head} {{", "entry:", *lines.text, "  ret void", "}"])


def _unpacked(lines: Lines, place: int, parameter: Expr) -> IRValue:
    """Load a parameter from its slot of 8 bytes."""
    slot = lines.let(f"getelementptr i64, ptr %parameters, i64 {place}")
    kind = SCALARS[parameter.dtype]
    wide = "double" if parameter.dtype.kind == "float" else "i64"
    value = lines.let(f"load {wide}, ptr {slot}, align 8")
    if kind != wide:
        value = lines.let(f"{'fptrunc' if wide == 'double' else 'trunc'} {wide} {value} to {kind}")
    return IRValue(value, parameter.dtype)


def _choice(part: Part, bound: dict[Expr, IRValue], number: int, formals: list[str]) -> str:
    """Return a part's function that calls its form for short or for long rows.

    The length of the rows decides, not the range, so that results do not depend on threads.
    """
    lines = Lines()
    length = _length(lines, bound, part.reduce_axes)
    short = lines.let(f"icmp sle i64 {length}, {SHORT}")
    lines.do(f"br i1 {short}, label %short, label %long")
    actual = ", ".join(formal.replace(" noalias", "") for formal in formals)
    for form in ("short", "long"):
        lines.text.append(f"{form}:")
        lines.do(f"call void @part{number}.{form}({actual})")
        lines.do("ret void")
    head = f"define internal void @part{number}({', '.join(formals)}) nounwind"
    return "\n".join([f"{head} {{", "entry:", *lines.text, "}"])


def _length(lines: Lines, bound: dict[Expr, IRValue], axes: Sequence[Axis]) -> str:
    """Write the number of points of axes."""
    count = "1"
    for axis in axes:
        size = Emitter(lines, _no_load)
        for name, value in bound.items():
            size.bind(name, value)
        count = lines.let(f"mul nuw nsw i64 {count}, {size.value(axis.size).text}")
    return count


def _no_load(emitter: Emitter, node: Expr) -> IRValue:
    raise KernelError(f"llvm: axis sizes cannot be loaded, {node!r} given")
