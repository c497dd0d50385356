"""``scan`` on the ``cpu``: a work item is a row, folded from its first element to its last."""

from __future__ import annotations

from weft import dtypes
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.llvm.memory import Memory
from weft.expr import Expr, cast, load, variable
from weft.expr.llvm import Emitter
from weft.expr.llvm_text import Value
from weft.expr.node import INDEX
from weft.kernels.library import template
from weft.kernels.library.scans import SCANS, Scan, accumulator, parameters
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

GRAIN = 8192


@template("llvm", "scan")
def scan(library: Library, profile: TargetProfile) -> KernelSpec:
    """Buffers: the scan's inputs, then its outputs, of the types in ``library.dtypes``."""
    kind = str(dict(library.options)["scan"])
    form = SCANS[kind]
    names = [f"x{at}" for at in range(form.inputs)] + [f"y{at}" for at in range(len(form.outputs))]
    bindings = [
        Binding(name, dtype, "read" if name.startswith("x") else "read_write")
        for name, dtype in zip(names, library.dtypes, strict=True)
    ]
    name = "_".join([kind, *(dtype.name for dtype in library.dtypes)])
    return KernelSpec(
        name=name,
        language="llvm",
        parameters=tuple(Parameter(each, dtypes.int64) for each in parameters(names)),
        inputs=tuple(bindings[: form.inputs]),
        outputs=tuple(bindings[form.inputs :]),
        workgroup_size=(GRAIN, 1, 1),
        workgroup_count=("rows0 * rows1", "rows0 * rows1 * n", "1"),
        source=_source(name, kind, form, bindings),
    )


def _source(name: str, kind: str, form: Scan, bindings: list[Binding]) -> str:
    lines = FunctionWriter()
    memory = Memory({binding.name: binding.dtype for binding in bindings})
    emitter = Emitter(lines, memory.load)
    for number, binding in enumerate(bindings):
        slot = lines.let(f"getelementptr ptr, ptr %buffers, i64 {number}")
        lines.do(f"%b.{binding.name} = load ptr, ptr {slot}, align 8")
    for number, each in enumerate(parameters([binding.name for binding in bindings])):
        slot = lines.let(f"getelementptr i64, ptr %parameters, i64 {number}")
        emitter.bind(variable(each, INDEX), Value(lines.let(f"load i64, ptr {slot}, align 8"), INDEX))
    value = accumulator(kind, bindings[0].dtype, wide=True)
    types = form.types(value)
    places = [lines.local(Value("", dtype).type) for dtype in types]
    rows1, n = (emitter.value(variable(each, INDEX)).text for each in ("rows1", "n"))
    with lines.loop("%lo", "%hi") as row, emitter.scope():
        outer = lines.let(f"udiv i64 {row}, {rows1}")
        inner = lines.let(f"sub i64 {row}, {lines.let(f'mul i64 {outer}, {rows1}')}")
        emitter.bind(variable("r0", INDEX), Value(outer, INDEX))
        emitter.bind(variable("r1", INDEX), Value(inner, INDEX))
        with emitter.scope():  # what is known of place 0 is not of the others
            start = _lifted(emitter, form, bindings, value, "0")
            for state, dtype, place in zip(start, types, places, strict=True):
                lines.do(f"store {Value('', dtype).type} {state.text}, ptr {place}, align 8")
        with lines.loop("0", n) as i, emitter.scope():
            before = [
                Value(lines.let(f"load {Value('', dtype).type}, ptr {place}, align 8"), dtype)
                for dtype, place in zip(types, places, strict=True)
            ]
            own = _lifted(emitter, form, bindings, value, i)
            after = _joined(emitter, form, value, before, own)
            first = lines.let(f"icmp eq i64 {i}, 0")
            chosen = [
                emitter.select(Value(first, dtypes.bool_), mine, both)
                for mine, both in zip(own, after, strict=True)
            ]
            for state, dtype, place in zip(chosen, types, places, strict=True):
                lines.do(f"store {Value('', dtype).type} {state.text}, ptr {place}, align 8")
            for at, number in enumerate(form.outputs):
                target = bindings[form.inputs + at]
                result = emitter.convert(chosen[number], target.dtype.compute)
                memory.store(emitter, target.name, _index(target.name), result)
    head = (
        f"define void @weft.{name}(ptr noalias %buffers, ptr noalias %parameters, i64 %lo, i64 %hi) nounwind"
    )
    return "\n\n".join([lines.function(head), *sorted(lines.declarations)]) + "\n"


def _index(buffer: str) -> Expr:
    offset, first, s0, s1, sn = (
        variable(f"{buffer}_{part}", INDEX) for part in ("offset", "first", "s0", "s1", "sn")
    )
    r0, r1, i = (variable(name, INDEX) for name in ("r0", "r1", "i"))
    return offset + first + r0 * s0 + r1 * s1 + i * sn


def _lifted(
    emitter: Emitter, form: Scan, bindings: list[Binding], value: dtypes.DType, place: str
) -> list[Value]:
    emitter.bind(variable("i", INDEX), Value(place, INDEX))
    inputs = {
        f"x{at}": emitter.value(cast(load(f"x{at}", _index(f"x{at}"), bindings[at].dtype.compute), value))
        for at in range(form.inputs)
    }
    values = {**inputs, "i": Value(place, INDEX)}
    return [emitter.inline(each, values) for each in form.lifted(value)]


def _joined(
    emitter: Emitter, form: Scan, value: dtypes.DType, before: list[Value], own: list[Value]
) -> list[Value]:
    values = {f"a{at}": each for at, each in enumerate(before)} | {
        f"b{at}": each for at, each in enumerate(own)
    }
    return [emitter.inline(each, values) for each in form.joined(value)]
