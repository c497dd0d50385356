"""Short rows, sixteen at a time: each pass goes over all sixteen rows before the next pass begins.

A single row is bound by latency: of joining the lanes of its maximum, of an exponential, of joining the lanes of the
sum, of a logarithm. Sixteen rows hide it. Their lanes are joined in one tree of shuffles, and values that depend only
on a row's results are computed for all sixteen rows in the lanes of one vector. Each row's sum is the same tree as for
a single row. The length of the rows alone decides which form runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from weft import dtypes
from weft.codegen.folds import passes
from weft.codegen.llvm.lanes import lanes_of
from weft.codegen.llvm.memory import LANES, Lane
from weft.codegen.llvm.part import PartWriter
from weft.codegen.llvm.reduction import combine
from weft.codegen.llvm.reused import cost, reused_values
from weft.expr import Expr, walk
from weft.expr.llvm_text import IRValue
from weft.expr.node import INDEX
from weft.kernels import Axis, Part, Reduction

SHORT: Final = 256
"""Elements of a row up to which sixteen rows stay in the L1 cache from one pass to the next."""

_FOLDS: Final = ("sum", "prod", "max", "min")
_COSTLY: Final = 2
"""Operations on a row's results from which their value is stored for the row."""


def folds_rows(part: Part) -> bool:
    """Return whether lanes fold the rows of a part, by folds whose lanes can be joined for many rows at once."""
    return bool(part.axes and part.reductions and not part.checks and lanes_of(part)[0] is not None) and all(
        fold.combine in _FOLDS and fold.value.dtype.kind != "bool" for fold in part.reductions
    )


class RowsWriter(PartWriter):
    """A part that ``folds_rows`` accepts, for rows of at most ``SHORT``."""

    @property
    def attributes(self) -> str:
        """The function's attributes: none, as rows come from the cache and wide vectors are faster."""
        return ""

    def _columns(self, axis: Axis, start: str, stop: str) -> None:
        with self.loop(start, stop, LANES) as base:
            self._row_group(axis, base, stop)

    def _row_group(self, axis: Axis, base: str, stop: str) -> None:
        """Write the rows from ``base`` to ``base + LANES``, but only below ``stop``."""
        lines, emitter = self.lines, self.emitter
        rest = lines.let(f"sub i64 {stop}, {base}")
        count = lines.let(f"call i64 @llvm.smin.i64(i64 {rest}, i64 {LANES})")
        steps = ", ".join(f"i64 {lane}" for lane in range(LANES))
        limit = emitter.splat(IRValue(count, INDEX), LANES)
        real = lines.let(f"icmp slt {limit.type} <{steps}>, {limit.text}")
        mask = IRValue(real, dtypes.bool_, LANES)
        # results and values that depend on them alone: addresses of LANES values, a value for each row
        kept: dict[Expr, str] = {}
        form = self.form.point
        groups = passes(form.part.reductions)
        reused = reused_values(self.kernel, form.part, groups)
        for number, group in enumerate(groups):
            self._precompute(axis, base, mask, kept, [fold.value for fold in group])
            gathered = [lines.local(f"[{LANES} x {_vector(fold)}]") for fold in group]
            with self._each_row(axis, base, count, kept) as row:
                for total, place in zip(self.fold(form, number, group, reused), gathered, strict=True):
                    (value,) = total.read(emitter)
                    place = lines.let(f"getelementptr {value.type}, ptr {place}, i64 {row}")
                    lines.do(f"store {value.type} {value.text}, ptr {place}")
            for fold, place in zip(group, gathered, strict=True):
                self._store_rows(kept, fold.result, self._joined(fold, place))
        inner = [store for store in form.part.stores if store.inner]
        outer = [store for store in form.part.stores if not store.inner]
        if inner:
            self._precompute(axis, base, mask, kept, [store.value for store in inner])
            with self._each_row(axis, base, count, kept):
                self.at_reduction_points(form, [], inner, reused)
        with self._in_lanes(axis, base, mask, kept):
            self.effects([], outer)

    @contextmanager
    def _each_row(self, axis: Axis, base: str, count: str, kept: dict[Expr, str]) -> Iterator[str]:
        """Loop over the rows, with the kept values of the row bound."""
        with self.loop("0", count) as row:
            position = self.lines.let(f"add nuw nsw i64 {base}, {row}")
            self.emitter.bind(axis.variable, IRValue(position, INDEX))
            for node, address in kept.items():
                kind = IRValue("", node.dtype).type
                place = self.lines.let(f"getelementptr {kind}, ptr {address}, i64 {row}")
                self.emitter.bind(node, IRValue(self.lines.let(f"load {kind}, ptr {place}"), node.dtype))
            yield row

    @contextmanager
    def _in_lanes(self, axis: Axis, base: str, mask: IRValue, kept: dict[Expr, str]) -> Iterator[None]:
        """Open a scope in which the rows are the lanes of vectors."""
        lane = Lane(axis.variable, mask, LANES, varying=frozenset(kept))
        with self.memory.vectorised(self.emitter, base, lane):
            for node, address in kept.items():
                kind = IRValue("", node.dtype, LANES).type
                self.emitter.bind(
                    node, IRValue(self.lines.let(f"load {kind}, ptr {address}"), node.dtype, LANES)
                )
            yield

    def _precompute(
        self, axis: Axis, base: str, mask: IRValue, kept: dict[Expr, str], roots: Sequence[Expr]
    ) -> None:
        """Compute for all rows at once, and keep, what the next pass needs and depends only on a row's results."""
        wanted = [node for node in self._of_rows(roots) if node not in kept]
        with self._in_lanes(axis, base, mask, kept):
            for node in wanted:
                self._store_rows(kept, node, self.emitter.splat(self.emitter.value(node), LANES))

    def _of_rows(self, roots: Sequence[Expr]) -> list[Expr]:
        """Return the largest subexpressions that depend on a row's results but do not vary along the row."""
        along = {each.variable for each in self.form.part.reduce_axes}
        results = {fold.result for fold in self.form.part.reductions}
        fixed: dict[Expr, bool] = {}
        for node in walk(*roots):
            fixed[node] = node not in along and all(fixed[arg] for arg in node.args)
        inside = {arg for node in walk(*roots) if fixed[node] for arg in node.args}
        tops = {arg for node in walk(*roots) if not fixed[node] for arg in node.args} | set(roots)
        return [
            node
            for node in dict.fromkeys(walk(*roots))
            if fixed[node] and node in tops and node not in inside and node.dtype.kind == "float"
            and any(each in results for each in walk(node)) and cost(node) >= _COSTLY
        ]  # fmt: skip

    def _store_rows(self, kept: dict[Expr, str], node: Expr, value: IRValue) -> None:
        address = self.lines.local(value.type)
        self.lines.do(f"store {value.type} {value.text}, ptr {address}")
        kept[node] = address

    def _joined(self, fold: Reduction, place: str) -> IRValue:
        """Return a vector of the rows' results: halves of lanes are combined as for one row, two rows at a time."""
        kind, dtype = _vector(fold), fold.value.dtype
        vectors = [
            IRValue(self.lines.let(f"load {kind}, ptr {address}"), dtype, LANES)
            for row in range(LANES)
            for address in [self.lines.let(f"getelementptr {kind}, ptr {place}, i64 {row}")]
        ]
        each = LANES  # lanes that a row still has
        while each > 1:
            pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
            low = [self._halves(*pair, each, 0) for pair in pairs]
            high = [self._halves(*pair, each, each // 2) for pair in pairs]
            vectors = [
                combine(self.emitter, fold.combine, [x], [y])[0] for x, y in zip(low, high, strict=True)
            ]
            each //= 2
        return vectors[0]

    def _halves(self, a: IRValue, b: IRValue, each: int, first: int) -> IRValue:
        """Return, of every row in two vectors, the half of its lanes that begins at ``first``."""
        starts = range(first, 2 * LANES, each)
        lanes = ", ".join(f"i32 {start + lane}" for start in starts for lane in range(each // 2))
        given = f"{a.type} {a.text}, {b.type} {b.text}, <{LANES} x i32> <{lanes}>"
        return IRValue(self.lines.let(f"shufflevector {given}"), a.dtype, LANES)


def _vector(fold: Reduction) -> str:
    return IRValue("", fold.value.dtype, LANES).type
