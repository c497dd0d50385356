"""``cached_attention`` on the ``cpu``: FlashAttention-2 (Dao 2023) over tiles of 32 keys of a paged cache.

A unit of work is a few tokens, a head of keys and values, and a piece of the keys: every ``pieces``-th tile. The query
heads of those tokens that share the keys are the *rows* of a unit, at most ``each * group``. A tile of keys is
transposed into scratch once for all rows, so that the lanes of a vector are keys, and the products need no sums across
lanes. Tokens of a unit that belong to different rows of the page table are computed one run of equal rows after
another. A work item is a job, which takes every ``jobs``-th unit and has scratch of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from weft import dtypes
from weft.codegen.llvm.memory import ELEMENTS, LANES
from weft.codegen.llvm.mixed import FLOATS, MixedRoutine
from weft.codegen.templates import template
from weft.dtypes import DType
from weft.expr.llvm_narrow import widened
from weft.expr.llvm_text import IRValue
from weft.kernels.library import cached_attentions as cached
from weft.kernels.library.cached_attentions import CPU_KEYS as KEYS
from weft.kernels.library.cached_attentions import HIDDEN
from weft.kernels.program import Library
from weft.target import Binding, KernelSpec, Parameter, TargetProfile

GRAIN = 1 << 15
"""The least number of multiplications for which another thread pays off."""
VECTORS = KEYS // LANES
REGISTERS = 24
"""Accumulators that are held in registers."""


@template("llvm", "cached_attention")
def cached_attention(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel; for its buffers and options see ``kernels.library.cached_attentions`` and the op."""
    options = dict(library.options)
    sinks, pieces = bool(options["sinks"]), int(options["pieces"])
    reads, writes = cached.reads(sinks), (*cached.writes(pieces), "scratch")
    kinds = dict(zip((*reads, *writes), library.dtypes, strict=True))
    parameters = (*cached.parameters(sinks, pieces), "jobs", "room")
    title = "_".join(
        ["cached_attention", *(f"{key}{int(value)}" for key, value in library.options),
         *(kinds[name].name for name in reads)]
    )  # fmt: skip
    writer = _Writer(title, kinds, parameters, options)
    work = f"tokens * shared * capacity * {int(options['group']) * int(options['size'])}"
    return KernelSpec(
        name=title,
        language="llvm",
        parameters=tuple(
            Parameter(name, dtypes.float64 if name in ("scale", "softcap") else dtypes.int64)
            for name in parameters
        ),
        inputs=tuple(Binding(name, kinds[name]) for name in reads),
        outputs=tuple(Binding(name, kinds[name], "read_write") for name in writes),
        workgroup_size=(GRAIN, 1, 1),
        workgroup_count=("jobs", work, "1"),
        source=writer.source(),
    )


class _Writer(MixedRoutine):
    def __init__(
        self,
        title: str,
        kinds: dict[str, DType],
        parameters: Sequence[str],
        options: dict[str, int | str | bool],
    ) -> None:
        super().__init__(title, kinds, parameters)
        self.arrays: dict[str, str] = {}
        self.size, self.value_size, self.group, self.each, self.pieces, self.page = (
            int(options[key]) for key in ("size", "value_size", "group", "each", "pieces", "page")
        )
        self.softcap, self.sinks = bool(options["softcap"]), bool(options["sinks"])
        self.scale, self.cap = (self.float_parameter(name) for name in ("scale", "softcap"))
        self.block = cached.block_rows(self.group * self.each)
        self.wide, self.value_wide = (-(-size // LANES) * LANES for size in (self.size, self.value_size))
        self.stages_values = self.each > 1
        whole = f"[{KEYS} x i64]"
        self.key_places, self.value_places = (self.lines.local(whole) for _ in range(2))
        self.counted, self.agrees, self.high, self.low, self.next = (
            self.lines.local("i64") for _ in range(5)
        )

    def source(self) -> str:
        """Return the kernel's IR."""
        unit_of = f"idiv(tokens + {self.each - 1}, {self.each})"
        self.names(tiles=unit_of)
        self.names(units=f"tiles * shared * {self.pieces}")
        with self.loop("hi", "job", "lo"):
            self._scratch()
            with self.loop("idiv(units - job + jobs - 1, jobs)", "turn"):
                self.names(unit="job + turn * jobs")
                self.names(behind=f"idiv(unit, shared * {self.pieces})", head="irem(unit, shared)")
                # later tokens see more keys: the longest units come first
                self.names(
                    piece=f"irem(idiv(unit, shared), {self.pieces})",
                    begin=f"(tiles - 1 - behind) * {self.each}",
                )
                self.names(end=f"minimum(begin + {self.each}, tokens)")
                self.store_integer(self.next, "begin")
                with self.loop("end", "start", "begin"):
                    first = self.lines.let(f"icmp eq i64 {self.integer(self.next)}, {self.at('start')}")
                    with self.lines.when(first), self.emitter.scope():
                        self._run()
        return self.finished(multiplies=False)

    def _scratch(self) -> None:
        base = self.element("%b.scratch", "job * room")
        places = cached.cpu_layout(self.group * self.each, self.size, self.value_size)
        for name, at in places.items():
            self.arrays[name] = self.lines.let(f"getelementptr float, ptr {base}, i64 {at}")

    # A run of tokens of the same row.

    def _run(self) -> None:
        """Compute the tokens from ``start`` on that belong to the same row of the page table."""
        self.index("row", "rows", "start")
        self._measure()
        self.name_integer("count", self.counted)
        self.name_integer("last", self.high)
        self.name_integer("least", self.low)
        self.names(
            rows_here=f"count * {self.group}",
            blocks=f"idiv(count * {self.group} + {self.block - 1}, {self.block})",
        )
        self.store_integer(self.next, "start + count")
        self._begin()
        with self.loop("last + 1", "j0", f"least + piece * {KEYS}", KEYS * self.pieces):
            self._places()
            self._transpose_keys()
            if self.stages_values:
                self._stage_values()
            with self.loop("blocks", "block"):
                self._scores()
                self._weigh_values()
        with self.loop("rows_here", "m"):
            self._finish()

    def _measure(self) -> None:
        """Store the number of tokens of the run, the last key that they see, and the first one."""
        for place, value in ((self.counted, 0), (self.agrees, 1), (self.high, -1), (self.low, 1 << 40)):
            self.store_integer(place, value)
        with self.loop("end", "token", "start"):
            self.index("own_row", "rows", "token")
            same = self.lines.let(f"icmp eq i64 {self.at('own_row')}, {self.at('row')}")
            flag = self.lines.let(
                f"and i64 {self.integer(self.agrees)}, {self.lines.let(f'zext i1 {same} to i64')}"
            )
            self.lines.do(f"store i64 {flag}, ptr {self.agrees}, align 8")
            with self.lines.when(self.lines.let(f"icmp ne i64 {flag}, 0")), self.emitter.scope():
                before = self.values
                self.name_integer("counted", self.counted)
                self.store_integer(self.counted, "counted + 1")
                self.index("position", "positions", "token")
                real = self.lines.let(f"icmp sge i64 {self.at('position')}, 0")
                with self.lines.when(real), self.emitter.scope():
                    self.name_integer("high", self.high)
                    self.name_integer("low", self.low)
                    self.store_integer(self.high, "maximum(high, position)")
                    self.store_integer(self.low, "minimum(low, maximum(position - window + 1, 0))")
                self.values = before

    def _begin(self) -> None:
        """Store the scaled queries of all rows, and clear their sums."""
        scale, clear = self.spread(self.scale), self.constant(0.0, LANES)
        with self.loop("rows_here", "m"):
            self.names(
                token=f"start + idiv(m, {self.group})", q_head=f"head * {self.group} + irem(m, {self.group})"
            )
            self.names(source="q_offset + token * q_n + q_head * q_h")
            for at in range(0, self.size, LANES):
                query = self.read("q", self.at(f"source + {at}"), self.size - at)
                self.put(
                    self.apply("x * y", x=query, y=scale),
                    self.element(self.arrays["queries"], f"m * {self.wide} + {at}"),
                )
            for at in range(0, self.value_size, LANES):
                self.put(clear, self.element(self.arrays["sums"], f"m * {self.value_wide} + {at}"))
            self.put(self.constant(HIDDEN), self.element(self.arrays["largest"], "m"))
            self.put(self.constant(0.0), self.element(self.arrays["totals"], "m"))

    def _places(self) -> None:
        """Store the places of the tile's keys and values; those beyond the last key repeat it."""
        with self.loop(str(KEYS), "i"):
            self.names(j="minimum(j0 + i, last)")
            self.names(slot=f"irem(j, {self.page})")
            self.index("found", "pages", f"row * columns + idiv(j, {self.page})")
            for name, places in (("k", self.key_places), ("v", self.value_places)):
                at = self.lines.let(f"getelementptr i64, ptr {places}, i64 {self.at('i')}")
                self.store_integer(
                    at, f"{name}_offset + found * {name}_p + slot * {name}_s + head * {name}_h"
                )

    def _place(self, places: str, text: str) -> str:
        return self.integer(self.lines.let(f"getelementptr i64, ptr {places}, i64 {self.at(text)}"))

    def _transpose_keys(self) -> None:
        """Store the tile of keys transposed: a vector of 16 keys for each element of a head."""
        whole, rest = divmod(self.size, LANES)
        with self.loop(str(KEYS), "i0", step=LANES):
            places = [self._place(self.key_places, f"i0 + {lane}") for lane in range(LANES)]
            with self.loop(str(whole * LANES), "d", step=LANES):
                self._transpose(places, LANES)
            if rest:
                self.names(d=str(whole * LANES))
                self._transpose(places, rest)

    def _transpose(self, places: list[str], left: int) -> None:
        """Transpose the elements from ``d`` on of 16 keys."""
        rows = [
            self.read("k", self.lines.let(f"add i64 {place}, {self.at('d')}"), left).text for place in places
        ]
        for apart in (8, 4, 2, 1):
            rows = self._exchange(rows, apart)
        for at, text in enumerate(rows[:left]):
            place = self.element(self.arrays["keys"], f"(d + {at}) * {KEYS} + i0")
            self.put(IRValue(text, dtypes.float32, LANES), place)

    def _exchange(self, rows: list[str], apart: int) -> list[str]:
        """Exchange blocks of ``apart`` by ``apart`` elements across the diagonal, in squares of twice the size."""
        found = list(rows)
        for first in (row for row in range(LANES) if not row & apart):
            for offset, half in ((0, 0), (apart, apart)):
                order = [(lane & ~apart) + half + (LANES if lane & apart else 0) for lane in range(LANES)]
                mask = ", ".join(f"i32 {lane}" for lane in order)
                found[first + offset] = self.lines.let(
                    f"shufflevector {FLOATS} {rows[first]}, {FLOATS} {rows[first + apart]}, <{LANES} x i32> <{mask}>"
                )
        return found

    def _stage_values(self) -> None:
        """Store the tile of values as float32."""
        with self.loop(str(KEYS), "i"):
            place = self._place(self.value_places, "i")
            for at in range(0, self.value_size, LANES):
                value = self.read("v", self.lines.let(f"add i64 {place}, {at}"), self.value_size - at)
                self.put(value, self.element(self.arrays["values"], f"i * {self.value_wide} + {at}"))

    # A tile of keys by a block of rows.

    def _accumulators(self, count: int) -> list[str]:
        found = [self.lines.local(FLOATS) for _ in range(count)]
        for place in found:
            self.put(self.constant(0.0, LANES), place)
        return found

    def _scores(self) -> None:
        """Replace the block's scores by weights; update each row's largest score and total, and fade its sums."""
        sums = self._accumulators(self.block * VECTORS)
        with self.loop(str(self.size), "d"):
            keys = [
                self.vector_at(self.element(self.arrays["keys"], f"d * {KEYS} + {at * LANES}"))
                for at in range(VECTORS)
            ]
            for i in range(self.block):
                query = self.float_at(
                    self.element(self.arrays["queries"], f"(block * {self.block} + {i}) * {self.wide} + d")
                )
                for at, key in enumerate(keys):
                    place = sums[i * VECTORS + at]
                    self.put(self.fma(key, self.spread(query), self.vector_at(place)), place)
        for i in range(self.block):
            self.names(m=f"minimum(block * {self.block} + {i}, rows_here - 1)")
            self.names(at_row=f"block * {self.block} + {i}")
            scores = [self.vector_at(place) for place in sums[i * VECTORS : (i + 1) * VECTORS]]
            self._softmax_row(self._masked(scores))

    def _masked(self, scores: list[IRValue]) -> list[IRValue]:
        """Apply the softcap, and set the scores of keys that the token of row ``m`` does not see to -inf."""
        if self.softcap:
            cap = self.spread(self.cap)
            scores = [self.apply("y * tanh(x / y)", x=score, y=cap) for score in scores]
        self.index("position", "positions", f"start + idiv(m, {self.group})")
        self.names(least_seen="maximum(position - window + 1, 0)")
        hidden = self.constant(-math.inf, LANES)
        found = []
        for at, score in enumerate(scores):
            first = f"(j0 + {at * LANES} - least_seen)"
            mask = self.lanes(first, "position + 1 - least_seen")
            text = f"select <{LANES} x i1> {mask}, {FLOATS} {score.text}, {FLOATS} {hidden.text}"
            found.append(IRValue(self.lines.let(text), dtypes.float32, LANES))
        return found

    def _softmax_row(self, scores: list[IRValue]) -> None:
        most, total = (
            self.element(self.arrays["largest"], "at_row"),
            self.element(self.arrays["totals"], "at_row"),
        )
        before, joined = self.float_at(most), scores[0]
        for score in scores[1:]:
            joined = self.apply("larger(x, y)", x=joined, y=score)
        largest = self.apply("larger(x, y)", x=before, y=self.reduce_lanes(joined, "larger(x, y)"))
        wide = self.spread(largest)
        weights = [self.apply("exp(x - y)", x=score, y=wide) for score in scores]
        fade = self.apply("exp(x - y)", x=before, y=largest)
        for at, weight in enumerate(weights):
            self.put(weight, self.element(self.arrays["scores"], f"at_row * {KEYS} + {at * LANES}"))
        joined = weights[0]
        for weight in weights[1:]:
            joined = self.apply("x + y", x=joined, y=weight)
        added = self.reduce_lanes(joined, "x + y")
        self.put(self.apply("x * y + z", x=self.float_at(total), y=fade, z=added), total)
        self.put(largest, most)
        factor = self.spread(fade)
        for at in range(0, self.value_size, LANES):
            place = self.element(self.arrays["sums"], f"at_row * {self.value_wide} + {at}")
            self.put(self.apply("x * y", x=self.vector_at(place), y=factor), place)

    def _weigh_values(self) -> None:
        """Add the values, weighted, to the sums of the block's rows."""
        together = max(1, REGISTERS // self.block)
        vectors = list(range(0, self.value_size, LANES))
        self.names(seen=f"minimum({KEYS}, last + 1 - j0)")
        for first in range(0, len(vectors), together):
            chosen = vectors[first : first + together]
            places = [
                (self.element(self.arrays["sums"], f"(block * {self.block} + {i}) * {self.value_wide} + {at}"))
                for i in range(self.block) for at in chosen
            ]  # fmt: skip
            sums = [self.lines.local(FLOATS) for _ in places]
            for place, own in zip(places, sums, strict=True):
                self.put(self.vector_at(place), own)
            with self.loop("seen", "i"):
                values = self._values(chosen)
                for i in range(self.block):
                    weight = self.spread(
                        self.float_at(
                            self.element(self.arrays["scores"], f"(block * {self.block} + {i}) * {KEYS} + i")
                        )
                    )
                    for at, value in enumerate(values):
                        own = sums[i * len(chosen) + at]
                        self.put(self.fma(value, weight, self.vector_at(own)), own)
            for place, own in zip(places, sums, strict=True):
                self.put(self.vector_at(own), place)

    def _values(self, chosen: list[int]) -> list[IRValue]:
        if self.stages_values:
            return [
                self.vector_at(self.element(self.arrays["values"], f"i * {self.value_wide} + {at}"))
                for at in chosen
            ]
        place = self._place(self.value_places, "i")
        return [
            self.read("v", self.lines.let(f"add i64 {place}, {at}"), self.value_size - at) for at in chosen
        ]

    # Results.

    def _finish(self) -> None:
        """Write the results of row ``m``."""
        self.names(
            token=f"start + idiv(m, {self.group})", q_head=f"head * {self.group} + irem(m, {self.group})"
        )
        self.index("position", "positions", "token")
        padding = self.lines.let(f"icmp slt i64 {self.at('position')}, 0")
        largest, total = (
            self.float_at(self.element(place, "m"))
            for place in (self.arrays["largest"], self.arrays["totals"])
        )
        sums = [
            self.vector_at(self.element(self.arrays["sums"], f"m * {self.value_wide} + {at}"))
            for at in range(0, self.value_size, LANES)
        ]
        if self.pieces > 1:
            self.names(target=f"(token * shared * {self.group} + q_head) * {self.pieces} + piece")
            self.names(
                at_stats="stats_offset + target * 2", at_parts=f"parts_offset + target * {self.value_size}"
            )
            for at, value in enumerate((largest, total)):
                self.put(value, self.element("%b.stats", f"at_stats + {at}"))
            for at, value in enumerate(sums):
                self.write("parts", self.at(f"at_parts + {at * LANES}"), value, self.value_size - at * LANES)
            return
        factor = self._factor(largest, total, padding)
        self.names(target="out_offset + token * out_n + q_head * out_h")
        for at, value in enumerate(sums):
            scaled = self.apply("x * y", x=value, y=self.spread(factor))
            clear = self.constant(0.0, LANES)
            text = self.lines.let(f"select i1 {padding}, {FLOATS} {clear.text}, {FLOATS} {scaled.text}")
            chosen = IRValue(text, dtypes.float32, LANES)
            self.write("out", self.at(f"target + {at * LANES}"), chosen, self.value_size - at * LANES)

    def _factor(self, largest: IRValue, total: IRValue, padding: str) -> IRValue:
        """Return the factor of the sums: 1 over the total, to which the head's sink is added."""
        shrink = None
        if self.sinks:
            dtype = self.kinds["sinks"]
            kind = ELEMENTS[dtype]
            place = self.lines.let(
                f"getelementptr {kind}, ptr %b.sinks, i64 {self.at('sinks_offset + q_head')}"
            )
            loaded = self.lines.let(f"load {kind}, ptr {place}, align {dtype.itemsize}")
            sink = widened(self.lines, loaded, dtype, 1)
            peak = self.apply("larger(x, y)", x=largest, y=sink)
            shrink = self.apply("exp(x - y)", x=largest, y=peak)
            total = self.apply("x * y + exp(z - w)", x=total, y=shrink, z=sink, w=peak)
        factor = self.apply("y / x", x=total, y=self.constant(1.0) if shrink is None else shrink)
        empty = self.lines.let(f"fcmp oeq float {total.text}, {self.constant(0.0).text}")
        zero = self.constant(0.0).text
        return IRValue(
            self.lines.let(f"select i1 {empty}, float {zero}, float {factor.text}"), dtypes.float32
        )
