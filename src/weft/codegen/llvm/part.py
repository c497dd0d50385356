"""One part of a derived kernel as an IR function over a range of its points.

Points are the flattened outer axes, so that any range of them is a piece of work. Rows of the last axis are
inner loops. A part is vectorised in one of three ways: by LLVM (no reductions), by lanes along the innermost
reduction axis (rows of contiguous values), or by lanes along the last axis (sums over columns); else its
points run one by one. ``form`` decides which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weft.codegen.llvm.form import TURNS, PointForm
from weft.codegen.llvm.memory import LANES, WIDE
from weft.codegen.llvm.point import Body, PointWriter, row_checks
from weft.codegen.llvm.shortcuts import BLOCK as SHORTCUT_BLOCK
from weft.codegen.llvm.shortcuts import by_shortcuts
from weft.codegen.llvm.stream import ONE_BY_ONE, STREAM, Stream
from weft.expr import Expr
from weft.expr.llvm_text import IRValue
from weft.expr.node import INDEX
from weft.kernels import Axis, Part


class PartWriter(PointWriter):
    """Writes one part; ``text(head)`` gives the function."""

    @property
    def attributes(self) -> str:
        """The function's attributes."""
        return self.form.attributes

    def text(self, head: str) -> str:
        """Return the function under its head, which has i64 arguments ``%lo < %hi``."""
        axes = self.form.part.axes
        if len(axes) > 1:
            self._rows(axes[:-1], axes[-1])
        elif axes:
            self._columns(axes[0], "%lo", "%hi")
        else:
            self.point(self.form.point)
        return self.lines.function(head)

    def _rows(self, rows: Sequence[Axis], column: Axis) -> None:
        """Write the rows of the range of points; the first and the last row may be incomplete."""
        lines = self.lines
        size = self.emitter.value(column.size).text
        first, last = lines.let(f"udiv i64 %lo, {size}"), lines.let("sub i64 %hi, 1")
        last = lines.let(f"udiv i64 {last}, {size}")
        start = lines.let(f"sub i64 %lo, {lines.let(f'mul i64 {first}, {size}')}")
        stop = lines.let(f"sub i64 %hi, {lines.let(f'mul i64 {last}, {size}')}")
        end = lines.let(f"add nuw nsw i64 {last}, 1")

        def write_row(row: str) -> None:
            with self.emitter.scope():
                self._decode(row, rows)
                opens, closes = (lines.let(f"icmp eq i64 {row}, {other}") for other in (first, last))
                begin = lines.let(f"select i1 {opens}, i64 {start}, i64 0")
                finish = lines.let(f"select i1 {closes}, i64 {stop}, i64 {size}")
                for check in row_checks(self.form.part, column):
                    self.check(check)
                self._columns(column, begin, finish)

        self._all_rows(rows, column, (first, end, start, stop), write_row)

    def _all_rows(
        self,
        rows: Sequence[Axis],
        column: Axis,
        within: tuple[str, str, str, str],
        write_row: Callable[[str], None],
    ) -> None:
        """``write_row`` for each row. ``within``: the first row, the end, the first's start, the last one's stop."""
        with self.loop(within[0], within[1]) as row:
            write_row(row)

    def _decode(self, flat: str, axes: Sequence[Axis]) -> None:
        """Bind axes to the digits of a flat index, the last one fastest."""
        for position in range(len(axes) - 1, -1, -1):
            axis = axes[position]
            if position == 0:
                self.emitter.bind(axis.variable, IRValue(flat, INDEX))
                return
            size = self.emitter.value(axis.size).text
            quotient = self.lines.let(f"udiv i64 {flat}, {size}")
            digit = self.lines.let(f"sub i64 {flat}, {self.lines.let(f'mul i64 {quotient}, {size}')}")
            self.emitter.bind(axis.variable, IRValue(digit, INDEX))
            flat = quotient

    def _columns(self, axis: Axis, start: str, stop: str) -> None:
        """Write the points from ``start`` to ``stop`` of a row."""
        form = self.form
        if form.outer is None:
            self._points(axis, start, stop)
        elif form.gathers:
            start = self.whole(axis.variable, start, stop, LANES, self._neighbours(LANES))[1]
            self._points(axis, start, stop)
        elif form.columns == WIDE:
            start = self.whole(axis.variable, start, stop, WIDE, self._neighbours(WIDE))[1]
            self._narrow_or_rest(axis, start, stop)
        else:
            self.across(axis.variable, start, stop, LANES, self._neighbours(LANES))

    def _neighbours(self, lanes: int, turns: int = 1) -> Body:
        """Return the body of a vectorised loop over ``lanes`` neighbouring points."""
        form = self.form.neighbours(lanes, turns)
        return lambda span: self.point(form)

    def _narrow_or_rest(self, axis: Axis, start: str, stop: str) -> None:
        """Write the columns that fill no wide vector: all of a narrow matrix, with its rows in turn, or the last ones.

        The width of the whole matrix decides, not the range's, so that no sum depends on how ranges are cut.
        """
        narrow = self.lines.let(f"icmp ult i64 {self.emitter.value(axis.size).text}, {WIDE}")
        for turns in (TURNS, 1):
            condition = self.lines.let(f"xor i1 {narrow}, true") if turns == 1 else narrow
            with self.lines.when(condition), self.emitter.scope():
                self.across(axis.variable, start, stop, LANES, self._neighbours(LANES, turns))

    def _points(self, axis: Axis, start: str, stop: str) -> None:
        """Write points one by one, in loops that LLVM may vectorise."""
        form = self.form.point
        if self.form.nontemporal is not None:
            start = self._nontemporal_stores(axis, start, stop, self.form.nontemporal)
        shorter = by_shortcuts(form.part) if not form.part.reduce_axes and not form.part.checks else None
        if shorter is None:
            self._one_by_one(axis, start, stop, form)
        else:
            self._blocks(axis, start, stop, *shorter)

    def _one_by_one(self, axis: Axis, start: str, stop: str, form: PointForm) -> None:
        with self.loop(start, stop, hint=STREAM if self.form.streams else "") as index:
            self.emitter.bind(axis.variable, IRValue(index, INDEX))
            self.point(form)

    def _blocks(self, axis: Axis, start: str, stop: str, condition: Expr, shorter: Part) -> None:
        """Write blocks of an axis, by the shorter part where the condition holds in all of a block."""
        lines = self.lines
        holds = lines.local("i1")
        with self.loop(start, stop, SHORTCUT_BLOCK) as first:
            end = lines.let(f"add nuw nsw i64 {first}, {SHORTCUT_BLOCK}")
            end = lines.let(f"call i64 @llvm.smin.i64(i64 {end}, i64 {stop})")
            lines.do(f"store i1 true, ptr {holds}")
            with self.loop(first, end) as index:
                self.emitter.bind(axis.variable, IRValue(index, INDEX))
                here = self.emitter.value(condition).text
                both = lines.let(f"and i1 {lines.let(f'load i1, ptr {holds}')}, {here}")
                lines.do(f"store i1 {both}, ptr {holds}")
            everywhere = lines.let(f"load i1, ptr {holds}")
            somewhere_not = lines.let(f"xor i1 {everywhere}, true")
            for choice, part in ((everywhere, shorter), (somewhere_not, self.form.point.part)):
                with lines.when(choice):
                    self._one_by_one(axis, first, end, PointForm(part, None))

    def _nontemporal_stores(self, axis: Axis, start: str, stop: str, stream: Stream) -> str:
        """Write non-temporal stores if what is read and written exceeds the cache; return the first value after them.

        A line that is stored whole need not be read first, but later reads do not find it in the cache.
        """
        lines, form = self.lines, self.form.point
        reached = lines.local("i64")
        lines.do(f"store i64 {start}, ptr {reached}")
        with lines.when(stream.is_large(lines, self.emitter.value(axis.size).text)), self.emitter.scope():
            first = stream.aligned(self.emitter, axis.variable, start, stop)
            with self.loop(start, first, hint=ONE_BY_ONE) as index:
                self.emitter.bind(axis.variable, IRValue(index, INDEX))
                self.point(form)
            last = self.whole(
                axis.variable, first, stop, LANES, lambda span: self.point(form), nontemporal=True
            )[1]
            lines.do(f"store i64 {last}, ptr {reached}")
            lines.do("fence seq_cst")  # non-temporal stores are not ordered with the flag that ends the work
        return lines.let(f"load i64, ptr {reached}")
