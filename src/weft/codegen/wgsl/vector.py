"""Four neighbouring points of a derived kernel at a time: 16-byte access to 32-bit types, whole words of others."""

from __future__ import annotations

from collections.abc import Iterable

from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.points import PointWriter, as_i32, roots_of
from weft.errors import KernelError
from weft.expr import Expr, walk
from weft.expr.wgsl import Value
from weft.expr.wgsl_text import identifier, type_name
from weft.kernels import Check, Kernel, Part, Store


class VectorWriter(PointWriter):
    """Four neighbouring points of a one-axis part at a time, the last invocation's fewer."""

    def __init__(self, module: Module, kernel: Kernel, part: Part) -> None:
        super().__init__(module, kernel, part)
        if len(part.axes) != 1 or part.reduce_axes:
            raise KernelError(
                f"kernel {kernel.name}: vector is {kernel.vector}, expected 1 for a part of "
                f"{len(part.axes)} axes and {len(part.reduce_axes)} reduction axes"
            )
        self.axis = part.axes[0]
        self.four = self.emitter.beside(self.resolve_four, width=4, opaque_loads=True)

    def resolve_four(self, node: Expr) -> Value:
        """The text of a parameter, or of a load: of four elements where its index moves with the axis."""
        if node.function == "variable":
            return self.resolve(node)
        index = node.args[0]
        if self.axis.variable not in set(walk(index)):
            return self.load(node)
        self._must_be_contiguous(index)
        view = self.view(node.data)
        wanted, given = type_name(node.dtype, 4), type_name(view.dtype, 4)
        text = view.load4(self.emitter.named(index).text)
        return Value(text if wanted == given else f"{wanted}({text})", 4, wanted, 1)

    def write(self) -> list[str]:
        """All statements of the part."""
        emitter, four = self.emitter, self.four
        four.count(roots_of(self.part))
        count = emitter.named(self.axis.size).text
        name = identifier(self.axis.variable.data)
        emitter.line(f"let {name} = i32(group * {self.module.invocations}u + local) * 4i;")
        emitter.line(f"let rest = {count} - {name};")
        emitter.line("if (rest <= 0i) {")
        emitter.line("    return;")
        emitter.line("}")
        emitter.define(self.axis.variable, name)
        four.define(self.axis.variable, f"(vec4<i32>({name}) + vec4<i32>(0i, 1i, 2i, 3i))", 4)
        self.checks(self.part.checks)
        placed = [(self._index(store), self._value(store)) for store in self.part.stores]
        for store, (index, value) in zip(self.part.stores, placed, strict=True):
            for line in self.view(store.buffer).store4(index, value, "rest", self.module.declarations):
                emitter.line(line)
        return emitter.lines

    def _index(self, store: Store) -> str:
        self._must_be_contiguous(store.index)
        return self.emitter.named(store.index).text

    def _value(self, store: Store) -> str:
        view = self.view(store.buffer)
        if type_name(store.value.dtype) != type_name(view.dtype) or not view.written:
            raise KernelError(
                f"kernel {self.module.name}: a {store.value.dtype.name} value is stored to buffer {view.name}, "
                f"expected a read_write buffer of that compute type, not {view.dtype.name}"
            )
        value = self.four.named(store.value)
        if value.width == 4:
            return value.text
        name = self.emitter.fresh()
        self.emitter.line(f"let {name} = {self.four.widened(value)};")
        return name

    def checks(self, checks: Iterable[Check]) -> None:
        """Report the values of checks that fail at one of the four points."""
        for check in checks:
            valid, value = self.four.named(check.valid), self.four.named(check.value)
            for lane in range(4):
                at = [
                    each.text if each.width == 1 else f"{each.text}.{'xyzw'[lane]}" for each in (valid, value)
                ]
                scalar = type_name(check.value.dtype)
                with self.emitter.block(f"if (rest > {lane}i && !{at[0]})"):
                    self.emitter.line(f"weft_report({as_i32(at[1], scalar)});")

    def _must_be_contiguous(self, index: Expr) -> None:
        terms, moving = [index], 0
        while terms:
            term = terms.pop()
            if term.function == "add":
                terms.extend(term.args)
            elif term is self.axis.variable:
                moving += 1
            elif self.axis.variable in set(walk(term)):
                moving = 2
        if moving != 1:
            raise KernelError(
                f"kernel {self.module.name}: index {index!r} of a vector kernel, expected an offset plus the axis"
            )
