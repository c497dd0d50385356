"""Writes four neighbouring points at a time: 16-byte access to 32-bit types, whole words of packed types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from weft.codegen.wgsl import reductions, work
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.points import PointWriter, as_i32
from weft.errors import KernelError
from weft.expr import Expr, walk
from weft.expr.wgsl import WgslValue
from weft.expr.wgsl_text import identifier, type_name
from weft.kernels import Axis, Check, Kernel, Part, Reduction, Store


class FourWriter(PointWriter):
    """Base of writers of four neighbours along ``axis``: ``four`` emits vectors, ``emitter`` scalars."""

    def __init__(self, module: Module, kernel: Kernel, part: Part, axis: Axis | None = None) -> None:
        super().__init__(module, kernel, part)
        along = part.reduce_axes if kernel.cooperative else part.axes
        if axis is not None:
            along = (axis,)
        if len(along) != 1 or (part.reduce_axes and not kernel.cooperative):
            raise KernelError(
                f"kernel {kernel.name}: vector is {kernel.vector}, expected 1 for a part of "
                f"{len(part.axes)} axes and {len(part.reduce_axes)} reduction axes"
            )
        self.axis = along[0]
        self.four = self.emitter.beside(self.resolve_four, width=4, opaque_loads=True)

    def resolve_four(self, node: Expr) -> WgslValue:
        """Return the text of a variable or of a load, of four elements where its index varies along the axis."""
        if node.function == "variable":
            return self.emitter.value(node)
        index = node.args[0]
        if self.axis.variable not in set(walk(index)):
            return self.emitter.value(node)
        self._must_be_contiguous(index)
        view = self.view(node.data)
        wanted, given = type_name(node.dtype, 4), type_name(view.dtype, 4)
        text = view.load4(self.emitter.named(index).text)
        return WgslValue(text if wanted == given else f"{wanted}({text})", 4, wanted, 1)

    def define_axis(self, name: str) -> None:
        """Let the axis stand for four values, the first in the variable ``name``."""
        self.emitter.define(self.axis.variable, name)
        self.four.define(self.axis.variable, f"(vec4<i32>({name}) + vec4<i32>(0i, 1i, 2i, 3i))", 4)

    def _index(self, store: Store) -> str:
        self._must_be_contiguous(store.index)
        return self.emitter.named(store.index).text

    def _value(self, store: Store) -> str:
        self.check_store(store)
        return self._wide(store.value)

    def _wide(self, node: Expr) -> str:
        value = self.four.named(node)
        if value.width == 4:
            return value.text
        name = self.emitter.fresh()
        self.emitter.line(f"let {name} = {self.four.widened(value)};")
        return name

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


class RowWriter(FourWriter):
    """Writes reductions over rows of aligned fours, in workgroup-strided loops."""

    def prepare(self) -> None:
        """Count the uses of vectors."""
        self.four.count(self.part.expressions)

    def fold(self, reduction: Reduction) -> reductions.Fold:
        """Return the fold of four lanes."""
        return reductions.make_fold(reduction, f"{identifier(reduction.result.data)}_four", 4)

    def folded_value(self, reduction: Reduction) -> str:
        """Return the text of the next four terms."""
        return self._wide(reduction.value)

    def folded(self, fold: reductions.Fold) -> reductions.Fold:
        """Return the fold of the joined lanes."""
        return fold.narrowed(self.emitter, identifier(fold.reduction.result.data))

    def strided(
        self, roots: Sequence[Expr], body: Callable[[Callable[[], str]], None], after: Callable[[int], None],
        unrolled: int,
    ) -> None:  # fmt: skip
        """Write a workgroup-strided loop over fours."""
        with self.four.scope():
            for node in self.emitter.hoist(roots, [self.axis.variable]):
                known = self.emitter.value(node)
                self.four.define(node, known.text)
            total = self.emitter.named(work.points(self.part.reduce_axes)).text
            lane = "local" if self.whole else "lane"
            name = identifier(self.axis.variable.data)
            header = f"for (var {name} = i32({lane}) * 4i; {name} < {total}; {name} += {4 * self.team}i)"
            with self.emitter.block(header), self.four.scope():
                self.define_axis(name)
                body(lambda: name)
                after(1)

    def store_all(self, stores: Sequence[Store]) -> None:
        """Compute all values, then write them."""
        placed = [(self._index(store), self._value(store)) for store in stores]
        for store, (index, value) in zip(stores, placed, strict=True):
            self.emitter.line(f"{self.view(store.buffer).all4(index, value, self.module.declarations)};")

    def checks(self, checks: Iterable[Check]) -> None:
        """Raise ``KernelError`` for checks, which rows in fours cannot have."""
        if list(checks):
            raise KernelError(
                f"kernel {self.module.name}: checks in a cooperative vector kernel; use vector 1"
            )


class VectorWriter(FourWriter):
    """Writes four neighbouring points of a part of one axis at a time; the last invocation may have fewer."""

    def write(self) -> list[str]:
        """Return all statements of the part."""
        emitter, four = self.emitter, self.four
        four.count(self.part.expressions)
        count = emitter.named(self.axis.size).text
        name = identifier(self.axis.variable.data)
        each = self.module.invocations
        emitter.line(f"let {name} = i32(group * {each}u + local) * 4i;")
        emitter.line(f"let rest = {count} - {name};")
        emitter.line("if (rest <= 0i) {")
        emitter.line("    return;")
        emitter.line("}")
        self.define_axis(name)
        self.checks(self.part.checks)
        placed = [(self._index(store), self._value(store)) for store in self.part.stores]
        whole = (
            f"{count} - i32(group * {each}u) * 4i >= {4 * each}i"  # one answer for the workgroup: no masks
        )
        with emitter.block(f"if ({whole})"):
            for store, (index, value) in zip(self.part.stores, placed, strict=True):
                emitter.line(f"{self.view(store.buffer).all4(index, value, self.module.declarations)};")
        with emitter.block("else"):
            for store, (index, value) in zip(self.part.stores, placed, strict=True):
                for line in self.view(store.buffer).store4(index, value, "rest", self.module.declarations):
                    emitter.line(line)
        return emitter.lines

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
