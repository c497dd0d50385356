"""One part of a derived kernel as an IR function over a range of its points.

Points are the flattened outer axes, so that any range of them is a piece of work. Rows of the last axis are
inner loops. A part is vectorised in one of three ways: by LLVM (no reductions), by lanes along the innermost
reduction axis (rows of contiguous values), or by lanes along the last axis (sums over columns); else its
points run one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from weft import dtypes
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.llvm.held import Held, held
from weft.codegen.llvm.lanes import folds_wide, is_light, lanes_of
from weft.codegen.llvm.memory import LANES, WIDE, Memory, depends
from weft.codegen.llvm.predicate import predicated
from weft.codegen.llvm.reduction import BLOCK, Accumulator, passes
from weft.codegen.llvm.shortcuts import BLOCK as SHORTCUT_BLOCK
from weft.codegen.llvm.shortcuts import usual
from weft.codegen.llvm.stream import ONE_BY_ONE, STREAM, STREAM_ATTRIBUTE, Stream, stream
from weft.expr import Expr, const
from weft.expr.llvm import Emitter
from weft.expr.llvm_text import Value, vector_type
from weft.expr.node import INDEX
from weft.kernels import Axis, Check, Kernel, Part, Reduction, Store

TURNS: Final = 4
"""Rows that are added to a vector of columns in turn, each to one of its own: a single one waits for each addition."""


class PartWriter:
    """Writes one part; ``text(head)`` gives the function."""

    def __init__(self, kernel: Kernel, part: Part, parameters: dict[Expr, Value]) -> None:
        self.kernel = kernel
        self.lines = FunctionWriter()
        self.memory = Memory({buffer.name: buffer.dtype for buffer in kernel.buffers})
        self.emitter = Emitter(self.lines, self.memory.load)
        for name, value in parameters.items():
            self.emitter.bind(name, value)
        self.inner, self.outer, self.gathers = lanes_of(part)
        light = len(part.reductions) == 1 and folds_wide(part.reductions)
        self.width = WIDE if self.outer is not None and not self.gathers and light else LANES
        self.broad = False
        self.streams = self.inner is None and self.outer is None and not part.reductions and is_light(part)
        self.past = stream(part, self.memory) if self.streams else None
        self.sums = light and part.reductions[0].combine == "sum"
        self.narrow = False
        self.turns = 1
        self.turn = 0
        self.scalar = part
        if self.outer is not None:
            self.memory.varying = frozenset(reduction.result for reduction in part.reductions)
        lanes = self.inner is not None or self.outer is not None
        self.part = predicated(part, points=self.outer is not None) if lanes else part

    @property
    def attributes(self) -> str:
        """The function's attributes."""
        if self.sums and self.inner is not None:
            return STREAM_ATTRIBUTE
        return STREAM_ATTRIBUTE if self.streams else ""

    def text(self, head: str) -> str:
        """The function under its head; it has i64 arguments ``%lo`` and ``%hi``, with ``%lo < %hi``."""
        rows = self.part.axes[:-1]
        if rows:
            self._rows(rows, self.part.axes[-1])
        elif self.part.axes:
            self._columns(self.part.axes[-1], "%lo", "%hi")
        else:
            self._point()
        return self.lines.function(head)

    # The index space.

    def _rows(self, rows: Sequence[Axis], column: Axis) -> None:
        lines = self.lines
        size = self.emitter.value(column.size).text
        first, last = lines.let(f"udiv i64 %lo, {size}"), lines.let("sub i64 %hi, 1")
        last = lines.let(f"udiv i64 {last}, {size}")
        start = lines.let(f"sub i64 %lo, {lines.let(f'mul i64 {first}, {size}')}")
        stop = lines.let(f"sub i64 %hi, {lines.let(f'mul i64 {last}, {size}')}")
        end = lines.let(f"add nuw nsw i64 {last}, 1")

        def one(row: str) -> None:
            with self.emitter.scope():
                self._decode(row, rows)
                opens, closes = (lines.let(f"icmp eq i64 {row}, {other}") for other in (first, last))
                begin = lines.let(f"select i1 {opens}, i64 {start}, i64 0")
                finish = lines.let(f"select i1 {closes}, i64 {stop}, i64 {size}")
                for check in self._row_checks(column):
                    self._check(check)
                self._columns(column, begin, finish)

        self._all_rows(rows, column, (first, end, start, stop), one)

    def _all_rows(
        self,
        rows: Sequence[Axis],
        column: Axis,
        within: tuple[str, str, str, str],
        one: Callable[[str], None],
    ) -> None:
        """``one`` for each row from the first on; ``within``: those two, where the first begins and the last stops."""
        with self._loop(within[0], within[1]) as row:
            one(row)

    def _decode(self, flat: str, axes: Sequence[Axis]) -> None:
        """Bind axes to the digits of a flat index, the last one fastest."""
        for position in range(len(axes) - 1, -1, -1):
            axis = axes[position]
            if position == 0:
                self.emitter.bind(axis.variable, Value(flat, INDEX))
                return
            size = self.emitter.value(axis.size).text
            quotient = self.lines.let(f"udiv i64 {flat}, {size}")
            digit = self.lines.let(f"sub i64 {flat}, {self.lines.let(f'mul i64 {quotient}, {size}')}")
            self.emitter.bind(axis.variable, Value(digit, INDEX))
            flat = quotient

    def _columns(self, axis: Axis, start: str, stop: str) -> None:
        if self.outer is not None and not self.gathers:
            if self.width == WIDE:
                start = self._whole(axis.variable, start, stop, lambda mask: self._point())[1]
                self.width = LANES
                self._narrow_or_rest(axis, start, stop)
                return
            self._across(axis.variable, start, stop, lambda mask: self._point())
            return
        if self.outer is not None:
            start = self._whole(axis.variable, start, stop, lambda mask: self._point())[1]
        lanes, self.part = self.part, self.part if self.inner is not None else self.scalar
        if self.streams and self.past is not None:
            start = self._past_the_cache(axis, start, stop, self.past)
        shorter = usual(self.part) if not self.part.reduce_axes and not self.part.checks else None
        if shorter is None:
            self._one_by_one(axis, start, stop)
        else:
            self._blocks(axis, start, stop, *shorter)
        self.part = lanes

    def _narrow_or_rest(self, axis: Axis, start: str, stop: str) -> None:
        """Columns that fill no wide vector: all of a narrow matrix, whose rows are added in turns, or the last ones.

        The width of the whole matrix decides, not the range's, so that no sum depends on how ranges are cut.
        """
        narrow = self.lines.let(f"icmp ult i64 {self.emitter.value(axis.size).text}, {WIDE}")
        for in_turns in (True, False):
            condition = narrow if in_turns else self.lines.let(f"xor i1 {narrow}, true")
            with self.lines.when(condition), self.emitter.scope():
                self.narrow = in_turns
                self._across(axis.variable, start, stop, lambda mask: self._point())
        self.narrow = False

    def _one_by_one(self, axis: Axis, start: str, stop: str) -> None:
        """A loop that LLVM vectorises."""
        with self._loop(start, stop, hint=STREAM if self.streams else "") as index:
            self.emitter.bind(axis.variable, Value(index, INDEX))
            self._point()

    def _blocks(self, axis: Axis, start: str, stop: str, condition: Expr, shorter: Part) -> None:
        """Blocks of an axis: by the shorter part where the condition holds in all of one, else by the whole part."""
        lines, whole = self.lines, self.part
        holds = lines.local("i1")
        with self._loop(start, stop, SHORTCUT_BLOCK) as first:
            end = lines.let(f"add nuw nsw i64 {first}, {SHORTCUT_BLOCK}")
            end = lines.let(f"call i64 @llvm.smin.i64(i64 {end}, i64 {stop})")
            lines.do(f"store i1 true, ptr {holds}")
            with self._loop(first, end) as index:
                self.emitter.bind(axis.variable, Value(index, INDEX))
                here = self.emitter.value(condition).text
                both = lines.let(f"and i1 {lines.let(f'load i1, ptr {holds}')}, {here}")
                lines.do(f"store i1 {both}, ptr {holds}")
            everywhere = lines.let(f"load i1, ptr {holds}")
            somewhere_not = lines.let(f"xor i1 {everywhere}, true")
            for choice, part in ((everywhere, shorter), (somewhere_not, whole)):
                self.part = part
                with lines.when(choice):
                    self._one_by_one(axis, first, end)

    def _past_the_cache(self, axis: Axis, start: str, stop: str, stream: Stream) -> str:
        """Where all that is read and written does not fit in the cache, store around it; gives where that ends.

        A line that is stored whole need not be read first, but nobody finds it in the cache later.
        """
        lines = self.lines
        reached = lines.local("i64")
        lines.do(f"store i64 {start}, ptr {reached}")
        with lines.when(stream.is_large(lines, self.emitter.value(axis.size).text)), self.emitter.scope():
            first = stream.aligned(self.emitter, axis.variable, start, stop)
            with self._loop(start, first, hint=ONE_BY_ONE) as index:
                self.emitter.bind(axis.variable, Value(index, INDEX))
                self._point()
            self.memory.around = True
            last = self._whole(axis.variable, first, stop, lambda mask: self._point())[1]
            self.memory.around = False
            lines.do(f"store i64 {last}, ptr {reached}")
            lines.do("fence seq_cst")  # such stores are not ordered with what tells others that they are done
        return lines.let(f"load i64, ptr {reached}")

    @contextmanager
    def _loop(self, start: str, stop: str, step: int = 1, hint: str = "") -> Iterator[str]:
        with self.lines.loop(start, stop, step, hint) as index, self.emitter.scope():
            yield index

    def _whole(
        self, axis: Expr, start: str, stop: str, body: Callable[[Value | None], None]
    ) -> tuple[str, str]:
        """``body`` for whole vectors of an axis; gives how many values are left, and where they begin."""
        lines = self.lines
        count = lines.let(f"sub i64 {stop}, {start}")
        whole = lines.let(f"and i64 {count}, {-self.width}")
        full = lines.let(f"add i64 {start}, {whole}")
        with self._loop(start, full, self.width) as base, self._vectorised(axis, base, None):
            body(None)
        return lines.let(f"sub i64 {count}, {whole}"), full

    def _across(self, axis: Expr, start: str, stop: str, body: Callable[[Value | None], None]) -> None:
        """``body`` for all values of an axis, ``width`` at a time; the mask says which lanes are real."""
        lines = self.lines
        rest, full = self._whole(axis, start, stop, body)
        some = lines.let(f"icmp ne i64 {rest}, 0")
        with lines.when(some), self.emitter.scope():
            steps = ", ".join(f"i64 {lane}" for lane in range(self.width))
            limit = self.emitter.splat(Value(rest, INDEX), self.width)
            real = lines.let(f"icmp slt {vector_type('i64', self.width)} <{steps}>, {limit.text}")
            mask = Value(real, dtypes.bool_, self.width)
            with self._vectorised(axis, full, mask):
                body(mask)

    def _vectorised(self, axis: Expr, base: str, mask: Value | None) -> AbstractContextManager[None]:
        return self.memory.vectorised(self.emitter, axis, base, mask, self.width)

    # What happens at a point.

    def _point(self) -> None:
        groups = passes(self.part.reductions)
        waiting = held(self.kernel, self.part, groups)
        for number, group in enumerate(groups):
            self._reduce(number, group, waiting)
        done = self._row_checks(self.part.axes[-1]) if len(self.part.axes) > 1 else []
        outer = [check for check in self.part.checks if not check.inner and check not in done]
        for check in outer:
            self._check(check)
        inner = [store for store in self.part.stores if store.inner]
        inner_checks = [check for check in self.part.checks if check.inner]
        if inner or inner_checks:
            self._at_all(inner_checks, inner, waiting)
        self._effects([], [store for store in self.part.stores if not store.inner])

    def _at_all(self, checks: Sequence[Check], stores: Sequence[Store], waiting: Sequence[Held]) -> None:
        def finish(mask: Value | None) -> None:
            self._take(waiting)
            self._effects(checks, stores)

        self._at_reduction_points(finish)

    def _take(self, waiting: Iterable[Held]) -> None:
        """What earlier passes left at this point stands for what they computed."""
        for each in waiting:
            self.emitter.bind(each.value, self.emitter.value(each.kept))

    def _leave(self, waiting: Iterable[Held]) -> None:
        for each in waiting:
            self.memory.store(
                self.emitter, each.store.buffer, each.store.index, self.emitter.value(each.value)
            )

    def _effects(self, checks: Sequence[Check], stores: Sequence[Store]) -> None:
        for check in checks:
            self._check(check)
        values = [self.emitter.value(store.value) for store in stores]  # all, before anything is overwritten
        for store, value in zip(stores, values, strict=True):
            self.memory.store(self.emitter, store.buffer, store.index, value)

    def _row_checks(self, column: Axis) -> list[Check]:
        """The checks that hold for a whole row: made once, and no obstacle to vectorising it."""
        if self.part.reductions:
            return []
        return [
            check
            for check in self.part.checks
            if not check.inner
            and not depends(check.valid, column.variable)
            and not depends(check.value, column.variable)
        ]

    def _check(self, check: Check) -> None:
        valid = self.emitter.value(check.valid)
        wrong = self.lines.let(f"xor i1 {valid.text}, true")
        with self.lines.when(wrong), self.emitter.scope():
            value = self.emitter.convert(self.emitter.value(check.value), INDEX)
            self.lines.do(f"call void @weft.report(ptr %status, i64 %report, i64 {value.text})")

    # Reductions.

    def _reduce(self, number: int, group: Sequence[Reduction], waiting: Sequence[Held]) -> None:
        joined = self.inner is not None
        for total in self._fold(number, group, waiting):
            self.emitter.bind(total.reduction.result, total.result(self.emitter, joined))

    def _fold(self, number: int, group: Sequence[Reduction], waiting: Sequence[Held]) -> list[Accumulator]:
        """Fold a group over the reduction axes; gives what each lane has gathered."""
        joined = self.inner is not None
        lanes = self.width if joined or self.memory.lane is not None else 1
        folds = self._accumulators(group, lanes)
        # whole runs of a row go to accumulators of their own, WIDE at a time: one vector would wait for each addition
        self.broad = joined and folds_wide(group)
        broad = self._accumulators(group, WIDE) if self.broad else []
        self.turns = TURNS if self.narrow else 1
        more = [[pair[1] for pair in self._accumulators(group, lanes)] for _ in range(self.turns - 1)]

        def fold(mask: Value | None) -> None:
            self._take(each for each in waiting if each.group < number)
            self._leave(each for each in waiting if each.group == number)
            blocks = [block for _, block in (broad if self.width == WIDE and joined else folds)]
            for block in more[self.turn - 1] if self.turn else blocks:
                block.take(self.emitter, self._candidates(block.reduction), mask if joined else None)

        def before() -> None:
            for total, block in (*folds, *broad):
                if block is not total:
                    block.reset(self.emitter)
            for block in (block for turn in more for block in turn):
                block.reset(self.emitter)

        def after() -> None:
            for position, (total, block) in enumerate((*folds, *broad)):
                for turn in more:
                    block.take(self.emitter, turn[position].read(self.emitter))
                if block is not total:
                    total.take(self.emitter, block.read(self.emitter))

        self._at_reduction_points(fold, before, after)
        self.broad, self.turns = False, 1
        for (total, _), (wide, _) in zip(folds, broad, strict=False):
            total.take(self.emitter, wide.narrowed(self.emitter, lanes))
        return [total for total, _ in folds]

    def _accumulators(self, group: Sequence[Reduction], lanes: int) -> list[tuple[Accumulator, Accumulator]]:
        """For each reduction its total, empty, and what gathers a block (the total itself where order is no matter)."""
        made = []
        for reduction in group:
            total = Accumulator.make(self.lines, reduction, lanes)
            total.reset(self.emitter)
            block = Accumulator.make(self.lines, reduction, lanes) if _rounds(reduction) else total
            made.append((total, block))
        return made

    def _candidates(self, reduction: Reduction) -> list[Value]:
        value = self.emitter.value(reduction.value)
        if reduction.combine not in ("argmax", "argmin"):
            return [value]
        position: Expr | None = None
        for axis in self.part.reduce_axes:
            position = axis.variable if position is None else position * axis.size + axis.variable
        return [value, self.emitter.value(const(0, INDEX) if position is None else position)]

    def _at_reduction_points(
        self,
        body: Callable[[Value | None], None],
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        """Nested loops over the reduction axes; ``before`` and ``after`` frame blocks of the innermost one."""
        self._nest(list(self.part.reduce_axes), body, before, after)

    def _nest(
        self,
        axes: list[Axis],
        body: Callable[[Value | None], None],
        before: Callable[[], None],
        after: Callable[[], None],
    ) -> None:
        if not axes:
            before()
            with self.emitter.scope():
                body(None)
            after()
            return
        axis, size = axes[0], self.emitter.value(axes[0].size).text
        if len(axes) > 1:
            with self._loop("0", size) as index:
                self.emitter.bind(axis.variable, Value(index, INDEX))
                self._nest(axes[1:], body, before, after)
            return
        step = BLOCK * LANES if self.inner is not None else BLOCK
        with self._loop("0", size, step) as start:
            stop = self.lines.let(f"add nuw nsw i64 {start}, {step}")
            stop = self.lines.let(f"call i64 @llvm.smin.i64(i64 {stop}, i64 {size})")
            before()
            self._innermost(axis, start, stop, body)
            after()

    def _innermost(self, axis: Axis, start: str, stop: str, body: Callable[[Value | None], None]) -> None:
        if self.inner is not None:
            if self.broad:
                self.width = WIDE
                start = self._whole(axis.variable, start, stop, body)[1]
                self.width = LANES
            self._across(axis.variable, start, stop, body)
            return
        if self.turns > 1:
            start = self._in_turns(axis, start, stop, body)
        with self._loop(start, stop) as index:
            self.emitter.bind(axis.variable, Value(index, INDEX))
            body(None)

    def _in_turns(self, axis: Axis, start: str, stop: str, body: Callable[[Value | None], None]) -> str:
        """``body`` for whole turns; gives where they end."""
        lines = self.lines
        whole = lines.let(f"and i64 {lines.let(f'sub i64 {stop}, {start}')}, {-self.turns}")
        full = lines.let(f"add i64 {start}, {whole}")
        with self._loop(start, full, self.turns) as index:
            for turn in range(self.turns):
                self.turn = turn
                with self.emitter.scope():
                    place = lines.let(f"add nuw nsw i64 {index}, {turn}")
                    self.emitter.bind(axis.variable, Value(place, INDEX))
                    body(None)
        self.turn = 0
        return full


def _rounds(reduction: Reduction) -> bool:
    """Whether the order of the fold shows in its result, so that long folds are done in blocks."""
    return reduction.combine in ("sum", "prod") and reduction.value.dtype.kind == "float"
