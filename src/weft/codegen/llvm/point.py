"""Writes the points of a part: loops over reductions, checks, stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from weft import dtypes
from weft.codegen.folds import passes, position
from weft.codegen.llvm.form import PointForm, Span, part_form
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.llvm.lanes import folds_wide
from weft.codegen.llvm.memory import LANES, WIDE, Lane, Memory, depends
from weft.codegen.llvm.reduction import BLOCK, Accumulator, Pass
from weft.codegen.llvm.reused import Reused, reused_values
from weft.expr import Expr
from weft.expr.llvm import Emitter
from weft.expr.llvm_text import IRValue, vector_type
from weft.expr.node import INDEX
from weft.kernels import Axis, Check, Kernel, Part, Reduction, Store

Body = Callable[[Span], None]


class PointWriter:
    """Writes points of a part into the lines of a function; ``form`` says how."""

    def __init__(self, kernel: Kernel, part: Part, parameters: dict[Expr, IRValue]) -> None:
        self.kernel = kernel
        self.lines = FunctionWriter()
        self.memory = Memory({buffer.name: buffer.dtype for buffer in kernel.buffers})
        self.emitter = Emitter(self.lines, self.memory.load)
        for name, value in parameters.items():
            self.emitter.bind(name, value)
        self.form = part_form(part, self.memory)

    # Loops.

    @contextmanager
    def loop(self, start: str, stop: str, step: int = 1, hint: str = "") -> Iterator[str]:
        """Write a loop whose body's values are not visible after it."""
        with self.lines.loop(start, stop, step, hint) as index, self.emitter.scope():
            yield index

    def whole(
        self, axis: Expr, start: str, stop: str, width: int, body: Body, nontemporal: bool = False
    ) -> tuple[str, str]:
        """Write ``body`` for whole vectors of an axis; return how many values are left, and the first of them.

        ``nontemporal``: its stores, which are aligned, are non-temporal.
        """
        lines = self.lines
        count = lines.let(f"sub i64 {stop}, {start}")
        whole = lines.let(f"and i64 {count}, {-width}")
        full = lines.let(f"add i64 {start}, {whole}")
        with self.loop(start, full, width) as base, self.vectorised(axis, base, Span(width), nontemporal):
            body(Span(width))
        return lines.let(f"sub i64 {count}, {whole}"), full

    def across(self, axis: Expr, start: str, stop: str, width: int, body: Body) -> None:
        """Write ``body`` for all values of an axis, ``width`` at a time; the last vector has a mask."""
        lines = self.lines
        rest, full = self.whole(axis, start, stop, width, body)
        some = lines.let(f"icmp ne i64 {rest}, 0")
        with lines.when(some), self.emitter.scope():
            steps = ", ".join(f"i64 {lane}" for lane in range(width))
            limit = self.emitter.splat(IRValue(rest, INDEX), width)
            real = lines.let(f"icmp slt {vector_type('i64', width)} <{steps}>, {limit.text}")
            span = Span(width, IRValue(real, dtypes.bool_, width))
            with self.vectorised(axis, full, span):
                body(span)

    def vectorised(
        self, axis: Expr, base: str, span: Span, nontemporal: bool = False
    ) -> AbstractContextManager[None]:
        """A scope in which ``axis`` stands for a span of values from ``base`` on."""
        lane = Lane(axis, span.mask, span.width, self.form.varying, nontemporal)
        return self.memory.vectorised(self.emitter, base, lane)

    # A point.

    def point(self, form: PointForm) -> None:
        """Write reductions, checks and stores of the point, or of the points in lanes, at the axes' values."""
        part = form.part
        groups = passes(part.reductions)
        reused = reused_values(self.kernel, part, groups)
        for number, group in enumerate(groups):
            for total in self.fold(form, number, group, reused):
                result = total.result(self.emitter, joined=form.along is not None)
                self.emitter.bind(total.reduction.result, result)
        done = row_checks(part, part.axes[-1]) if len(part.axes) > 1 else []
        outer = [check for check in part.checks if not check.inner and check not in done]
        for check in outer:
            self.check(check)
        inner = [store for store in part.stores if store.inner]
        inner_checks = [check for check in part.checks if check.inner]
        if inner or inner_checks:
            self.at_reduction_points(form, inner_checks, inner, reused)
        self.effects([], [store for store in part.stores if not store.inner])

    def at_reduction_points(
        self, form: PointForm, checks: Sequence[Check], stores: Sequence[Store], reused: Sequence[Reused]
    ) -> None:
        """Write checks and stores at all points of the reduction axes."""

        def body(span: Span) -> None:
            self._load_reused(reused)
            self.effects(checks, stores)

        self._nest(form, Pass(), form.part.reduce_axes, body)

    def effects(self, checks: Sequence[Check], stores: Sequence[Store]) -> None:
        """Write checks, then stores."""
        for check in checks:
            self.check(check)
        values = [self.emitter.value(store.value) for store in stores]  # all, before anything is overwritten
        for store, value in zip(stores, values, strict=True):
            self.memory.store(self.emitter, store.buffer, store.index, value)

    def check(self, check: Check) -> None:
        """Report the check's value where it fails."""
        valid = self.emitter.value(check.valid)
        wrong = self.lines.let(f"xor i1 {valid.text}, true")
        with self.lines.when(wrong), self.emitter.scope():
            value = self.emitter.convert(self.emitter.value(check.value), INDEX)
            self.lines.do(f"call void @weft.report(ptr %status, i64 %report, i64 {value.text})")

    def _load_reused(self, reused: Iterable[Reused]) -> None:
        """Load the values that earlier passes stored at this point, instead of computing them."""
        for each in reused:
            self.emitter.bind(each.value, self.emitter.value(each.loaded))

    def _store_reused(self, reused: Iterable[Reused]) -> None:
        """Store the values that later passes load."""
        for each in reused:
            self.memory.store(
                self.emitter, each.store.buffer, each.store.index, self.emitter.value(each.value)
            )

    # Reductions.

    def fold(
        self, form: PointForm, number: int, group: Sequence[Reduction], reused: Sequence[Reused]
    ) -> list[Accumulator]:
        """Fold a group over the reduction axes; return an accumulator of each reduction, its lanes not yet joined."""
        joined = form.along is not None
        gathered = Pass.make(
            self.lines,
            self.emitter,
            group,
            form.width,
            form.turns,
            WIDE if joined and folds_wide(group) else 0,
        )

        def body(span: Span) -> None:
            self._load_reused(each for each in reused if each.group < number)
            self._store_reused(each for each in reused if each.group == number)
            for block in gathered.blocks(span.width, span.turn):
                candidates = self._candidates(form.part, block.reduction)
                block.take(self.emitter, candidates, span.mask)

        self._nest(form, gathered, form.part.reduce_axes, body)
        return gathered.totals(self.emitter)

    def _candidates(self, part: Part, reduction: Reduction) -> list[IRValue]:
        """The value to fold, and for argmax and argmin its row-major position."""
        value = self.emitter.value(reduction.value)
        if reduction.combine not in ("argmax", "argmin"):
            return [value]
        return [value, self.emitter.value(position(part.reduce_axes))]

    def _nest(self, form: PointForm, gathered: Pass, axes: Sequence[Axis], body: Body) -> None:
        """Nested loops over reduction axes, the innermost one in blocks that ``gathered`` frames."""
        if not axes:
            gathered.begin(self.emitter)
            with self.emitter.scope():
                body(Span())
            gathered.end(self.emitter)
            return
        axis, size = axes[0], self.emitter.value(axes[0].size).text
        if len(axes) > 1:
            with self.loop("0", size) as index:
                self.emitter.bind(axis.variable, IRValue(index, INDEX))
                self._nest(form, gathered, axes[1:], body)
            return
        if not gathered.in_blocks:
            self._innermost(form, gathered, axis, "0", size, body)
            return
        step = BLOCK if form.along is None else BLOCK * LANES
        with self.loop("0", size, step) as start:
            stop = self.lines.let(f"add nuw nsw i64 {start}, {step}")
            stop = self.lines.let(f"call i64 @llvm.smin.i64(i64 {stop}, i64 {size})")
            self._innermost(form, gathered, axis, start, stop, body)

    def _innermost(
        self, form: PointForm, gathered: Pass, axis: Axis, start: str, stop: str, body: Body
    ) -> None:
        """A block of the innermost reduction axis, or all of it."""
        gathered.begin(self.emitter)
        if form.along is None:
            self._serial(axis, start, stop, gathered.turns, body)
        else:
            if gathered.wide:
                start = self.whole(axis.variable, start, stop, WIDE, body)[1]
            self.across(axis.variable, start, stop, LANES, body)
        gathered.end(self.emitter)

    def _serial(self, axis: Axis, start: str, stop: str, turns: int, body: Body) -> None:
        """``body`` for the values of an axis one after another, first in whole rounds of ``turns``."""
        lines = self.lines
        if turns > 1:
            whole = lines.let(f"and i64 {lines.let(f'sub i64 {stop}, {start}')}, {-turns}")
            full = lines.let(f"add i64 {start}, {whole}")
            with self.loop(start, full, turns) as index:
                for turn in range(turns):
                    with self.emitter.scope():
                        place = lines.let(f"add nuw nsw i64 {index}, {turn}")
                        self.emitter.bind(axis.variable, IRValue(place, INDEX))
                        body(Span(turn=turn))
            start = full
        with self.loop(start, stop) as index:
            self.emitter.bind(axis.variable, IRValue(index, INDEX))
            body(Span())


def row_checks(part: Part, column: Axis) -> list[Check]:
    """Return the checks that do not depend on the column: made once for a row, which can then be vectorised."""
    if part.reductions:
        return []
    return [
        check
        for check in part.checks
        if not check.inner
        and not depends(check.valid, column.variable)
        and not depends(check.value, column.variable)
    ]
