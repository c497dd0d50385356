"""Rows in the registers of a team of invocations: read once, folded any number of times, written once.

An invocation keeps the elements (or fours) of its row at a stride of the team's size as named values. A later fold or
store uses values of earlier folds: softmax evaluates each exponential once.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft.codegen.folds import passes
from weft.codegen.wgsl import reductions
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.points import PointWriter
from weft.errors import KernelError
from weft.expr import Expr, walk
from weft.expr.wgsl import Emitter, WgslValue
from weft.expr.wgsl_text import identifier, type_name
from weft.kernels import Kernel, Part, Reduction, Store, may_coincide


@dataclass(frozen=True)
class Copy:
    """A place of an invocation in its row: ``values`` writes its elements, ``indices`` scalar indices.

    Only the last place may be beyond the row's end; the WGSL variable ``valid`` is true if it is not.
    """

    number: int
    values: Emitter
    indices: Emitter


class HeldWriter(PointWriter):
    """Writes a cooperative part of one reduction axis that is no longer than its team can hold."""

    def __init__(self, module: Module, kernel: Kernel, part: Part) -> None:
        super().__init__(module, kernel, part)
        positional = any(each.combine in ("argmax", "argmin") for each in part.reductions)
        if len(part.reduce_axes) != 1 or not kernel.cooperative or part.checks or positional:
            raise KernelError(
                f"kernel {kernel.name}: held is {kernel.held}, expected 0 but for cooperative parts of one "
                f"reduction axis without checks and positions"
            )
        self.axis = part.reduce_axes[0]
        self.width = kernel.vector
        self.count = kernel.held

    def write(self) -> list[str]:
        """Return all statements of the part."""
        emitter, part = self.emitter, self.part
        emitter.count(part.expressions)
        self.start()
        if self.whole:
            emitter.line("let lane = local;")
            emitter.line("let here = true;")
        copies = [self._copy(number) for number in range(self.count)]
        for group in passes(part.reductions):
            self._fold(group, copies)
        inner = [store for store in part.stores if store.inner]
        outer = [store for store in part.stores if not store.inner]
        placed = [
            (copy, store, self._index(copy, store), self._value(copy, store))
            for copy in copies
            for store in inner
        ]
        values = self.store_values(outer, alone=False)
        self.wait_for_reads(inner)
        for copy, store, index, value in placed:
            with emitter.block("if (here && valid)" if copy is copies[-1] else "if (here)"):
                self._write(store, index, value)
        if outer:
            with emitter.block("if (lane == 0u && here)"):
                self.stores(outer, values)
        return emitter.lines

    def _copy(self, number: int) -> Copy:
        emitter, name = self.emitter, identifier(self.axis.variable.data)
        total = emitter.named(self.axis.size).text
        place = f"{name}_{number}"
        own = f"i32(lane) * {self.width}i + {number * self.team * self.width}i"
        if number < self.count - 1:
            emitter.line(f"let {place} = {own};")
        else:
            emitter.line(f"let {place}_own = {own};")
            emitter.line(f"let valid = {place}_own < {total};")
            emitter.line(f"let {place} = min({place}_own, {total} - {self.width}i);")
        indices = emitter.beside(self._known, width=1, opaque_loads=False)
        indices.define(self.axis.variable, place)
        copy = Copy(number, emitter.beside(lambda node: self._load(copy, node), self.width, True), indices)
        copy.values.count(self.part.expressions)
        lanes = f"(vec4<i32>({place}) + vec4<i32>(0i, 1i, 2i, 3i))" if self.width == 4 else place
        copy.values.define(self.axis.variable, lanes, self.width)
        return copy

    def _known(self, node: Expr) -> WgslValue:
        return self.emitter.value(node)

    def _load(self, copy: Copy, node: Expr) -> WgslValue:
        if node.function == "variable" or self.axis.variable not in set(walk(node.args[0])):
            return self.emitter.value(node)
        view, index = self.view(node.data), copy.indices.named(node.args[0]).text
        text = view.load4(index) if self.width == 4 else view.load(index)
        wanted, given = type_name(node.dtype, self.width), type_name(view.dtype, self.width)
        return WgslValue(text if wanted == given else f"{wanted}({text})", self.width, wanted, 1)

    def _named(self, copy: Copy, node: Expr) -> str:
        value = copy.values.named(node)
        if value.width == self.width:
            return value.text
        name = self.emitter.fresh()
        self.emitter.line(f"let {name} = {copy.values.widened(value)};")
        return name

    def _fold(self, group: list[Reduction], copies: list[Copy]) -> None:
        emitter, folds = self.emitter, []
        for reduction in group:
            name = identifier(reduction.result.data)
            fold = reductions.make_fold(reduction, f"{name}_four" if self.width == 4 else name, self.width)
            start = fold.identity(emitter)
            emitter.line(f"var {fold.accumulator} = {start};")
            for copy in copies:
                value = self._named(copy, reduction.value)
                term = f"select({start}, {value}, valid)" if copy is copies[-1] else value
                joined = fold.joined(emitter.declarations, fold.accumulator, term)
                emitter.line(f"{fold.accumulator} = {joined};")
            folds.append(fold.narrowed(emitter, name) if self.width == 4 else fold)
        self.join(folds)
        for fold in folds:
            emitter.define(fold.reduction.result, fold.accumulator)

    def _index(self, copy: Copy, store: Store) -> str:
        return copy.indices.named(store.index).text

    def _value(self, copy: Copy, store: Store) -> str:
        self.check_store(store)
        return self._named(copy, store.value)

    def _write(self, store: Store, index: str, value: str) -> None:
        view, declarations = self.view(store.buffer), self.module.declarations
        if self.width == 4:
            self.emitter.line(f"{view.all4(index, value, declarations)};")
            return
        for line in view.store(index, value, declarations, may_coincide(store.index)):
            self.emitter.line(line)
