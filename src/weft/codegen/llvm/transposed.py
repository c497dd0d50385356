"""Transposed operands: loads that are contiguous along the rows' axis, read in square tiles.

Row by row, each element would come from another cache line, and each line would be fetched for every row. Here
``LANES`` columns of ``LANES`` rows are loaded along their contiguous axis, and transposed in registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from weft.codegen.llvm.form import Span
from weft.codegen.llvm.function import FunctionWriter
from weft.codegen.llvm.lanewise import Lanewise
from weft.codegen.llvm.memory import LANES, Lane, Memory, stride
from weft.codegen.llvm.part import PartWriter
from weft.expr import Expr, walk
from weft.expr.llvm import Emitter
from weft.expr.llvm_text import SCALARS, IRValue
from weft.expr.node import INDEX
from weft.kernels import Axis, Part


def transposed_loads(part: Part) -> tuple[Expr, ...]:
    """Return the loads that are contiguous along the last axis but one, if all else is contiguous along the last."""
    if part.reductions or part.checks or len(part.axes) < 2:
        return ()
    row, column = (axis.variable for axis in part.axes[-2:])
    nodes = {node for store in part.stores for node in walk(store.value, store.index)}
    loads = [node for node in nodes if node.function == "load"]
    if any(stride(store.index, column) != 1 for store in part.stores):
        return ()
    across = [load for load in loads if stride(load.args[0], column) is None]
    functions = {node.function for each in across for node in walk(each.args[0])}
    affine = functions <= {"add", "sub", "mul", "const", "variable"}
    written = {store.buffer for store in part.stores}
    good = affine and all(stride(load.args[0], row) == 1 and load.data not in written for load in across)
    return tuple(sorted(across, key=repr)) if good else ()


class Tiles:
    """Square tiles of transposed loads: ``fill`` reads them, ``bind`` makes a row of each the load's value."""

    def __init__(
        self,
        lines: FunctionWriter,
        emitter: Emitter,
        memory: Memory,
        loads: tuple[Expr, ...],
        row: Axis,
        column: Axis,
    ) -> None:
        self.emitter, self.memory, self.loads, self.row, self.column = emitter, memory, loads, row, column
        self.kept: Mapping[Expr, str] = {
            load: lines.local(f"[{LANES} x {IRValue('', load.dtype, LANES).type}]") for load in loads
        }

    def fill(self, first_row: str, first_column: str) -> None:
        """Read the tiles whose first element is at ``first_row`` and ``first_column``."""
        lines = self.emitter.lines
        columns: dict[Expr, list[str]] = {load: [] for load in self.loads}
        for lane in range(LANES):
            with self.memory.vectorised(self.emitter, first_row, Lane(self.row.variable, None, LANES)):
                place = lines.let(f"add nuw nsw i64 {first_column}, {lane}")
                self.emitter.bind(self.column.variable, IRValue(place, self.column.variable.dtype))
                for load in self.loads:
                    columns[load].append(self.emitter.splat(self.emitter.value(load), LANES).text)
        for load, values in columns.items():
            kind = IRValue("", load.dtype, LANES).type
            for number, text in enumerate(Lanewise(lines, SCALARS[load.dtype]).transposed(values)):
                lines.do(f"store {kind} {text}, ptr {self._place(load, str(number))}")

    def bind(self, row: str) -> None:
        """Bind each load to row ``row`` of its tile, in lanes."""
        for load in self.loads:
            kind = IRValue("", load.dtype, LANES).type
            text = self.emitter.lines.let(f"load {kind}, ptr {self._place(load, row)}")
            self.emitter.bind(load, IRValue(text, load.dtype, LANES))

    def _place(self, load: Expr, row: str) -> str:
        kind = IRValue("", load.dtype, LANES).type
        return self.emitter.lines.let(f"getelementptr {kind}, ptr {self.kept[load]}, i64 {row}")


class TransposedWriter(PartWriter):
    """Writes a part with transposed loads."""

    def _all_rows(
        self,
        rows: Sequence[Axis],
        column: Axis,
        within: tuple[str, str, str, str],
        write_row: Callable[[str], None],
    ) -> None:
        """Write rows in groups of ``LANES`` by tiles; incomplete rows and groups by ``write_row``."""
        lines, (first, end, start, stop) = self.lines, within
        size, count = (self.emitter.value(axis.size).text for axis in (column, rows[-1]))
        tiles = Tiles(lines, self.emitter, self.memory, transposed_loads(self.form.masked), rows[-1], column)
        whole = lines.let(f"and i64 {size}, {-LANES}")
        reached = lines.local("i64")
        lines.do(f"store i64 {first}, ptr {reached}")
        with self._while(reached, end) as row:
            inside = lines.let(f"sub i64 {count}, {lines.let(f'urem i64 {row}, {count}')}")
            left = lines.let(f"sub i64 {end}, {row}")
            group = lines.let(f"call i64 @llvm.smin.i64(i64 {inside}, i64 {left})")
            enough = lines.let(f"icmp sge i64 {group}, {LANES}")
            last = lines.let(f"icmp eq i64 {left}, {LANES}")
            begins = lines.let(f"icmp eq i64 {row}, {first}")
            cut = lines.let(f"select i1 {begins}, i64 {start}, i64 0")
            ends = lines.let(f"select i1 {last}, i64 {stop}, i64 {size}")
            full = lines.let(
                f"and i1 {lines.let(f'icmp eq i64 {cut}, 0')}, {lines.let(f'icmp eq i64 {ends}, {size}')}"
            )
            grouped = lines.let(f"and i1 {enough}, {full}")
            with lines.when(grouped), self.emitter.scope():
                self._group(tiles, rows, column, row, whole)
            with lines.when(lines.let(f"xor i1 {grouped}, true")):
                write_row(row)
            step = lines.let(f"select i1 {grouped}, i64 {LANES}, i64 1")
            lines.do(f"store i64 {lines.let(f'add nuw nsw i64 {row}, {step}')}, ptr {reached}")

    def _group(self, tiles: Tiles, rows: Sequence[Axis], column: Axis, row: str, whole: str) -> None:
        """Write ``LANES`` whole rows from ``row`` on."""
        lines = self.lines
        self._decode(row, rows)
        top = self.emitter.value(rows[-1].variable).text
        with self.loop("0", whole, LANES) as left:
            tiles.fill(top, left)
            with self.loop("0", str(LANES)) as number:
                at = lines.let(f"add nuw nsw i64 {top}, {number}")
                self.emitter.bind(rows[-1].variable, IRValue(at, INDEX))
                with self.vectorised(column.variable, left, Span(LANES)):
                    tiles.bind(number)
                    self.point(self.form.neighbours(LANES))
        with self.loop("0", str(LANES)) as number:
            at = lines.let(f"add nuw nsw i64 {top}, {number}")
            self.emitter.bind(rows[-1].variable, IRValue(at, INDEX))
            self._columns(column, whole, self.emitter.value(column.size).text)

    @contextmanager
    def _while(self, reached: str, end: str) -> Iterator[str]:
        """Loop while the number at ``reached``, which the body increases, is below ``end``."""
        lines, number = self.lines, self.lines.fresh("")
        lines.do(f"br label %while{number}")
        lines.label(f"while{number}")
        at = lines.let(f"load i64, ptr {reached}")
        lines.do(f"br i1 {lines.let(f'icmp slt i64 {at}, {end}')}, label %turn{number}, label %ended{number}")
        lines.label(f"turn{number}")
        with self.emitter.scope():
            yield at
        lines.do(f"br label %while{number}")
        lines.label(f"ended{number}")
