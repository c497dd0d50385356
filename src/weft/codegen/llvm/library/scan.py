"""``scan`` on the ``cpu``: a work item is a row, scanned sequentially; ``TURNS`` rows are interleaved."""

from __future__ import annotations

from weft import dtypes
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.llvm.memory import Memory
from weft.codegen.templates import template
from weft.expr import Expr, cast, load, variable
from weft.expr.llvm import Emitter
from weft.expr.llvm_text import IRValue
from weft.expr.node import INDEX
from weft.kernels.library.scans import SCANS, Scan, accumulator, parameters
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

GRAIN = 8192

TURNS = 4
"""The rows that are interleaved, to hide the latency of additions: in a single row each depends on the one before."""


@template("llvm", "scan")
def scan(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel. Buffers: the scan's inputs, then its outputs, of the types in ``library.dtypes``."""
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
        parameters=tuple(Parameter(parameter, dtypes.int64) for parameter in parameters(names)),
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
    for number, parameter in enumerate(parameters([binding.name for binding in bindings])):
        slot = lines.let(f"getelementptr i64, ptr %parameters, i64 {number}")
        emitter.bind(variable(parameter, INDEX), IRValue(lines.let(f"load i64, ptr {slot}, align 8"), INDEX))
    value = accumulator(kind, bindings[0].dtype, wide=True)
    folds = [_Fold(lines, emitter, memory, form, bindings, value) for _ in range(TURNS)]
    whole = lines.let("and i64 " + lines.let("sub i64 %hi, %lo") + f", {-TURNS}")
    full = lines.let(f"add i64 %lo, {whole}")
    for start, stop, turns in (("%lo", full, TURNS), (full, "%hi", 1)):
        with lines.loop(start, stop, turns) as row, emitter.scope():
            for turn, fold in enumerate(folds[:turns]):
                fold.begin(lines.let(f"add i64 {row}, {turn}"))
            with lines.loop("0", emitter.value(variable("n", INDEX)).text) as place:
                for fold in folds[:turns]:
                    fold.step(place)
    head = (
        f"define void @weft.{name}(ptr noalias %buffers, ptr noalias %parameters, i64 %lo, i64 %hi) nounwind"
    )
    return "\n\n".join([lines.function(head), *sorted(lines.declarations)]) + "\n"


class _Fold:
    """The scan of a row: its running states, in local memory that LLVM promotes to registers, and its steps."""

    def __init__(
        self, lines: FunctionWriter, emitter: Emitter, memory: Memory, form: Scan, bindings: list[Binding],
        value: dtypes.DType,
    ) -> None:  # fmt: skip
        self.lines, self.emitter, self.memory = lines, emitter, memory
        self.form, self.bindings, self.value = form, bindings, value
        self.types = form.types(value)
        self.places = [lines.local(IRValue("", dtype).type) for dtype in self.types]
        self.row = self.outer = self.inner = ""

    def begin(self, row: str) -> None:
        """Compute the row's indices, and set the states to its first element."""
        rows1 = self.emitter.value(variable("rows1", INDEX)).text
        self.outer = self.lines.let(f"udiv i64 {row}, {rows1}")
        self.inner = self.lines.let(f"sub i64 {row}, {self.lines.let(f'mul i64 {self.outer}, {rows1}')}")
        with self.emitter.scope():  # values at position 0 must not be reused at other positions
            self._keep(self._lifted("0"))

    def step(self, place: str) -> None:
        """Combine the element at a position with the states, and store the results."""
        lines, emitter = self.lines, self.emitter
        with emitter.scope():
            before = [
                IRValue(lines.let(f"load {IRValue('', dtype).type}, ptr {state}, align 8"), dtype)
                for dtype, state in zip(self.types, self.places, strict=True)
            ]
            element = self._lifted(place)
            after = _joined(emitter, self.form, self.value, before, element)
            first = IRValue(lines.let(f"icmp eq i64 {place}, 0"), dtypes.bool_)
            chosen = [
                emitter.select(first, lifted, both) for lifted, both in zip(element, after, strict=True)
            ]
            self._keep(chosen)
            for at, number in enumerate(self.form.outputs):
                target = self.bindings[self.form.inputs + at]
                result = emitter.convert(chosen[number], target.dtype.compute)
                self.memory.store(emitter, target.name, _index(target.name), result)

    def _keep(self, states: list[IRValue]) -> None:
        for state, dtype, place in zip(states, self.types, self.places, strict=True):
            self.lines.do(f"store {IRValue('', dtype).type} {state.text}, ptr {place}, align 8")

    def _lifted(self, place: str) -> list[IRValue]:
        for name, text in (("r0", self.outer), ("r1", self.inner)):
            self.emitter.bind(variable(name, INDEX), IRValue(text, INDEX))
        return _lifted(self.emitter, self.form, self.bindings, self.value, place)


def _index(buffer: str) -> Expr:
    offset, first, s0, s1, sn = (
        variable(f"{buffer}_{part}", INDEX) for part in ("offset", "first", "s0", "s1", "sn")
    )
    r0, r1, i = (variable(name, INDEX) for name in ("r0", "r1", "i"))
    return offset + first + r0 * s0 + r1 * s1 + i * sn


def _lifted(
    emitter: Emitter, form: Scan, bindings: list[Binding], value: dtypes.DType, place: str
) -> list[IRValue]:
    emitter.bind(variable("i", INDEX), IRValue(place, INDEX))
    inputs = {
        f"x{at}": emitter.value(cast(load(f"x{at}", _index(f"x{at}"), bindings[at].dtype.compute), value))
        for at in range(form.inputs)
    }
    values = {**inputs, "i": IRValue(place, INDEX)}
    return [emitter.inline(state, values) for state in form.lifted(value)]


def _joined(
    emitter: Emitter, form: Scan, value: dtypes.DType, before: list[IRValue], element: list[IRValue]
) -> list[IRValue]:
    values = {f"a{at}": state for at, state in enumerate(before)}
    values |= {f"b{at}": state for at, state in enumerate(element)}
    return [emitter.inline(state, values) for state in form.joined(value)]
