"""``cached_attention`` for WGSL: FlashAttention-2 (Dao 2023) over tiles of keys of a paged cache.

A workgroup has a few tokens, ``heads`` of the query heads that share a head of keys and values, and a piece of the
keys: every ``pieces``-th tile. Its *rows* are those heads of those tokens. Each invocation computes the scores of one
key of a tile with all rows; then, for four elements of a value and a part of the tile's keys, the weighted sums of all
rows, in registers. Tokens that belong to different rows of the page table are computed one run of equal rows after
another. Numbers that loops depend on are broadcast from workgroup memory, since control flow must be uniform.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from weft.codegen.templates import template
from weft.codegen.wgsl import work
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import LANES, View
from weft.dtypes import float32
from weft.expr import const, variable
from weft.expr.node import INDEX
from weft.kernels import Axis
from weft.kernels.library import cached_attentions as cached
from weft.kernels.library.cached_attentions import GPU_KEYS as KEYS
from weft.kernels.library.cached_attentions import GPU_PARTS as PARTS
from weft.kernels.library.cached_attentions import words
from weft.kernels.program import Library
from weft.target import KernelSpec, Parameter, TargetProfile

HIDDEN = f"({cached.HIDDEN!r}f)"
LOG2_E = f"{math.log2(math.e)!r}f"
WORDS = KEYS // 4
"""The words of a row of scores."""


@template("wgsl", "cached_attention")
def cached_attention(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel; for its buffers and options see ``kernels.library.cached_attentions`` and the op."""
    options = dict(library.options)
    sinks, pieces = bool(options["sinks"]), int(options["pieces"])
    reads, writes = cached.reads(sinks), cached.writes(pieces)
    fours = str(options["fours"]).split()
    views = {
        name: View(f"{name}_data", dtype, name in writes, 4 if name in fours else 1)
        for name, dtype in zip((*reads, *writes), library.dtypes, strict=True)
    }
    parameters = tuple(
        Parameter(name, float32 if name in ("scale", "softcap") else INDEX)
        for name in cached.parameters(sinks, pieces)
    )
    title = "_".join(
        [
            "cached_attention",
            views["q"].dtype.name,
            views["k"].dtype.name,
            *(["pieces"] if pieces > 1 else []),
        ]
    )
    module = Module(title, profile, parameters, tuple(views.values()), (KEYS, 1, 1))
    writer = _Writer(module, options, views)
    body = writer.body()
    tokens = work.groups(variable("tokens", INDEX), writer.each)
    sizes = (tokens, variable("shared", INDEX), const(pieces * writer.chunks, INDEX))
    return module.finish(body, work.grid(work.points([Axis(size, size) for size in sizes])))


class _Writer:
    def __init__(self, module: Module, options: dict[str, int | str | bool], views: dict[str, View]) -> None:
        self.module, self.views = module, views
        self.subgroup, self.partial = 0, PARTS
        self.size, self.value_size, self.group, self.heads, self.each, self.pieces, self.page = (
            int(options[key]) for key in ("size", "value_size", "group", "heads", "each", "pieces", "page")
        )
        self.softcap, self.sinks = bool(options["softcap"]), bool(options["sinks"])
        self.chunks = -(-self.group // self.heads)
        self.rows = range(self.each * self.heads)
        self.columns = words(self.value_size)
        self.parts = KEYS // self.columns
        """Parts of a tile's keys, each summed by ``columns`` invocations."""
        self.together = max(1, len(self.rows) * WORDS // KEYS)
        """Rows whose sums are joined between two barriers."""
        self.p = {parameter.name: module.parameter(parameter.name) for parameter in module.parameters}
        self.lines: list[str] = []
        self._depth = 1

    # Text.

    def line(self, *texts: str) -> None:
        """Append statements."""
        self.lines += ["    " * self._depth + text for text in texts]

    @contextmanager
    def block(self, head: str = "") -> Iterator[None]:
        """Write a block of statements under a head."""
        self.line(f"{head} {{" if head else "{")
        self._depth += 1
        yield
        self._depth -= 1
        self.line("}")

    def each_row(self, *texts: str) -> None:
        """Write statements for each row, with its number ``{m}`` and the number ``{c}`` of its token in the run."""
        for m in self.rows:
            self.line(*(text.format(m=m, c=m // self.heads) for text in texts))

    def body(self) -> list[str]:
        """Return all statements."""
        shared, count = self.module.shared, len(self.rows)
        self.subgroup = self.module.subgroup()
        self.partial = KEYS // self.subgroup if self.subgroup else PARTS
        shared("queries", "vec4<f32>", count * words(self.size))
        shared("scores", "vec4<f32>", max(count * WORDS, KEYS))
        shared("partial", "f32", count * self.partial)
        shared("finals", "vec2<f32>", count)
        shared("places", "i32", KEYS)
        shared("run_of_tokens", "vec4<i32>", 1)
        self._readers()
        tiles = work.groups(variable("capacity", INDEX), KEYS * self.pieces)
        steps = words(self.size) + WORDS // self.parts + 8 + self.partial
        self.module.bound_steps((tiles + const(1, INDEX)) * const(self.each * (steps + 8), INDEX))
        self._unit()
        with self.block("for (var start = begin; start < end;)"):
            self._run()
            self.line("start += run.x;")
        return self.lines

    def _readers(self) -> None:
        for name in ("q", "k", "v"):
            view, size = self.views[name], self.value_size if name == "v" else self.size
            lines = [f"fn {name}_at(base: i32, word: i32) -> vec4<f32> {{"]
            if view.vector == 4:
                lines += ["    let index = base + word * 4i;", f"    return {view.load4('index')};"]
            else:
                for lane in range(4):
                    lines += [
                        f"    let inside{lane} = word * 4i + {lane}i < {size}i;",
                        f"    let index{lane} = base + select(0i, word * 4i + {lane}i, inside{lane});",
                        f"    let found{lane} = select(0.0f, {view.load(f'index{lane}')}, inside{lane});",
                    ]
                lines.append("    return vec4<f32>(found0, found1, found2, found3);")
            self.module.functions.append("\n".join([*lines, "}"]))

    def _integer(self, buffer: str, index: str) -> str:
        return f"i32({self.views[buffer].name}[{self.p[f'{buffer}_offset']} + {index}])"

    def _unit(self) -> None:
        p, each = self.p, self.each
        self.line(
            "let group = i32(workgroup_id.y * workgroups.x + workgroup_id.x);",
            f"let tiles = ({p['tokens']} + {each - 1}i) / {each}i;",
            f"let behind = group / ({p['shared']} * {self.pieces * self.chunks}i);",
            "if (behind >= tiles) {",
            "    return;",
            "}",
            f"let head = group % {p['shared']};",
            f"let piece = group / {p['shared']} % {self.pieces}i;",
            f"let chunk = group / ({p['shared']} * {self.pieces}i) % {self.chunks}i;",
            f"let first_head = head * {self.group}i + chunk * {self.heads}i;",
            f"let most_heads = (head + 1i) * {self.group}i;",
            f"let begin = (tiles - 1i - behind) * {each}i;",  # later tokens see more keys: they come first
            f"let end = min(begin + {each}i, {p['tokens']});",
            f"let column = i32(local) % {self.columns}i;",
            f"let part = i32(local) / {self.columns}i;",
        )

    # A run of tokens of the same row.

    def _run(self) -> None:
        p = self.p
        with self.block("if (local == 0u)"):
            self._measure()
        self.line("let run = workgroupUniformLoad(&run_of_tokens[0]);")
        for c in range(self.each):
            position = self._integer("positions", f"min(start + {c}i, {p['tokens']} - 1i)")
            self.line(f"let position{c} = select(-1i, {position}, {c}i < run.x);")
        self._stage_queries()
        self.each_row(f"var largest{{m}} = {HIDDEN};", "var total{m} = 0.0f;", "var o{m} = vec4<f32>();")
        with self.block(f"for (var j0 = run.z + piece * {KEYS}i; j0 <= run.y; j0 += {KEYS * self.pieces}i)"):
            self._scores()
            self._weigh_values()
        self._finish()

    def _measure(self) -> None:
        """Write to workgroup memory: the tokens of the run, the last and the first key that they see, their row."""
        self.line(
            f"let row = {self._integer('rows', 'start')};",
            "var measured = vec4<i32>(0i, -1i, 2147483647i, row);",
        )
        with self.block("for (var token = start; token < end; token++)"):
            self.line(
                f"if ({self._integer('rows', 'token')} != row) {{",
                "    break;",
                "}",
                "measured.x++;",
                f"let position = {self._integer('positions', 'token')};",
            )
            with self.block("if (position >= 0i)"):
                self.line(
                    "measured.y = max(measured.y, position);",
                    f"measured.z = min(measured.z, max(position - {self.p['window']} + 1i, 0i));",
                )
        # an empty range of keys ends before the first tile of every piece
        self.line("measured.z = select(measured.z, 0i, measured.y < 0i);", "run_of_tokens[0] = measured;")

    def _stage_queries(self) -> None:
        p, per_row = self.p, words(self.size)
        with self.block(f"for (var item = i32(local); item < {len(self.rows) * per_row}i; item += {KEYS}i)"):
            self.line(
                f"let row = item / {per_row}i;",
                f"let token = min(start + row / {self.heads}i, {p['tokens']} - 1i);",
                f"let own_head = min(first_head + row % {self.heads}i, most_heads - 1i);",
                f"let base = {p['q_offset']} + token * {p['q_n']} + own_head * {p['q_h']};",
                f"queries[item] = q_at(base, item % {per_row}i) * {p['scale']};",
            )
        self.line("workgroupBarrier();")

    def _scores(self) -> None:
        """Compute the scores of the invocation's key; replace them by weights in workgroup memory."""
        p = self.p
        page = self._integer("pages", f"run.w * {p['columns']} + near / {self.page}i")
        self.line(
            "let j = j0 + i32(local);",
            "let near = min(j, run.y);",  # keys beyond the last one repeat it, with weight 0
            f"let slot = near % {self.page}i;",
            f"let page = {page};",
            f"let base = {p['k_offset']} + page * {p['k_p']} + slot * {p['k_s']} + head * {p['k_h']};",
            f"places[local] = {p['v_offset']} + page * {p['v_p']} + slot * {p['v_s']} + head * {p['v_h']};",
        )
        self.each_row("var s{m} = 0.0f;")
        with self.block(f"for (var word = 0i; word < {words(self.size)}i; word++)"):
            self.line("let key = k_at(base, word);")
            self.each_row(f"s{{m}} += dot(queries[{{m}}i * {words(self.size)}i + word], key);")
        if self.softcap:
            cap = p["softcap"]
            self.module.declarations.functions["weft_softcap"] = _SOFTCAP
            self.each_row(f"s{{m}} = weft_softcap(s{{m}}, {cap});")
        for c in range(self.each):
            self.line(f"let seen{c} = j <= position{c} && j > position{c} - {p['window']};")
        # NaN stays: no comparison with it is true
        self.each_row(
            f"s{{m}} = select(s{{m}}, {HIDDEN}, !seen{{c}} || s{{m}} < {HIDDEN});", "var most{m} = s{m};"
        )
        self._join("most", "max")
        self.each_row(
            "most{m} = max(most{m}, largest{m});",
            f"let fade{{m}} = exp2((largest{{m}} - most{{m}}) * {LOG2_E});",
            f"let weight{{m}} = select(exp2((s{{m}} - most{{m}}) * {LOG2_E}), 0.0f, s{{m}} <= {HIDDEN});",
            "total{m} = fma(total{m}, fade{m}, weight{m});",
            "largest{m} = most{m};",
            "o{m} *= fade{m};",
            f"scores[{{m}}i * {WORDS}i + i32(local >> 2u)][local & 3u] = weight{{m}};",
        )
        self.line("workgroupBarrier();")

    def _join(self, name: str, function: str) -> None:
        """Join a value of each row over all invocations; each of them then has the result."""
        count = self.partial
        if self.subgroup:
            for apart in (1 << level for level in range(self.subgroup.bit_length() - 1)):
                other = f"subgroupShuffleXor({name}{{m}}, {apart}u)"
                self.each_row(f"{name}{{m}} = {_joined(function, f'{name}{{m}}', other)};")
            with self.block(f"if (local % {self.subgroup}u == 0u)"):
                self.each_row(f"partial[{{m}}u * {count}u + local / {self.subgroup}u] = {name}{{m}};")
        else:
            self.each_row(f"scores[{{m}}i * {WORDS}i + i32(local >> 2u)][local & 3u] = {name}{{m}};")
            self.line("workgroupBarrier();")
            with self.block(f"if (i32(local) < {len(self.rows) * count}i)"):
                each = WORDS // count
                first = f"i32(local) * {each}i"
                self.line(f"var four = scores[{first}];")
                for at in range(1, each):
                    self.line(f"four = {_joined(function, 'four', f'scores[{first} + {at}i]')};")
                two = _joined(function, "four.xy", "four.zw")
                self.line(f"let two = {two};", f"partial[local] = {_joined(function, 'two.x', 'two.y')};")
        self.line("workgroupBarrier();")
        for m in self.rows:
            texts = [f"partial[{m * count + at}]" for at in range(count)]
            while len(texts) > 1:
                texts = [_joined(function, *texts[at : at + 2]) for at in range(0, len(texts), 2)]
            self.line(f"{name}{m} = {texts[0]};")

    def _weigh_values(self) -> None:
        """Add the tile's values, weighted, to the sums."""
        self.line(f"let stop = min({WORDS}i, (run.y - j0) / 4i + 1i);")
        choice = "" if KEYS % self.columns == 0 else f"if (part < {self.parts}i)"
        with self.block(choice), self.block(f"for (var word = part; word < stop; word += {self.parts}i)"):
            for lane in range(4):
                self.line(f"let v{lane} = v_at(places[word * 4i + {lane}i], column);")
            for m in self.rows:
                self.line(f"let p{m} = scores[{m}i * {WORDS}i + word];")
                for lane, letter in enumerate(LANES):
                    self.line(f"o{m} = fma(vec4<f32>(p{m}.{letter}), v{lane}, o{m});")
        self.line("workgroupBarrier();")

    # Results.

    def _finish(self) -> None:
        self._join("total", "+")
        with self.block("if (local == 0u)"):
            self.each_row("finals[{m}] = vec2<f32>(largest{m}, total{m});")
        for first in range(0, len(self.rows), self.together):
            rows = self.rows[first : first + self.together]
            self.line("workgroupBarrier();")
            for at, m in enumerate(rows):
                self.line(f"scores[{at * KEYS}u + local] = o{m};")
            self.line("workgroupBarrier();")
            items = len(rows) * self.columns
            with self.block(f"for (var item = i32(local); item < {items}i; item += {KEYS}i)"):
                self._store(first)
        self.line("workgroupBarrier();")

    def _store(self, first: int) -> None:
        """Join the sums of a word of a row over the parts of the keys, and write the result."""
        p = self.p
        self.line(
            f"let place = item / {self.columns}i * {KEYS}i + item % {self.columns}i;",
            f"let row = {first}i + item / {self.columns}i;",
            "var four = scores[place];",
        )
        if self.parts > 1:
            with self.block(f"for (var other = 1i; other < {self.parts}i; other++)"):
                self.line(f"four += scores[place + other * {self.columns}i];")
        self.line(
            f"let token = start + row / {self.heads}i;",
            f"let own_head = first_head + row % {self.heads}i;",
            f"let word = item % {self.columns}i;",
        )
        with self.block(f"if (row / {self.heads}i < run.x && own_head < most_heads)"):
            if self.pieces > 1:
                self._store_part()
                return
            self._factor()
            self.line(
                f"four = select(four * factor, vec4<f32>(), {self._integer('positions', 'token')} < 0i);",
                f"let base = {p['out_offset']} + token * {p['out_n']} + own_head * {p['out_h']} + word * 4i;",
            )
            view = self.views["out"]
            if view.vector == 4:
                self.line(f"{view.all4('base', 'four', self.module.declarations)};")
            else:
                self._store_elements("out")

    def _store_elements(self, name: str) -> None:
        """Write the elements of ``four`` from ``base`` on that the row has."""
        for lane, letter in enumerate(LANES):
            with self.block(f"if (word * 4i + {lane}i < {self.value_size}i)"):
                self.line(f"let index = base + {lane}i;", f"let value = four.{letter};")
                self.line(*self.views[name].store("index", "value", self.module.declarations))

    def _store_part(self) -> None:
        p = self.p
        self.line(
            f"let target_row = (token * {p['shared']} * {self.group}i + own_head) * {self.pieces}i + piece;",
            f"let base = {p['parts_offset']} + target_row * {self.value_size}i + word * 4i;",
        )
        self._store_elements("parts")
        stats, name = f"{p['stats_offset']} + target_row * 2i", self.views["stats"].name
        with self.block("if (word == 0i)"):
            self.line(f"{name}[{stats}] = finals[row].x;", f"{name}[{stats} + 1i] = finals[row].y;")

    def _factor(self) -> None:
        """Name the factor of a row's sums: 1 over the total, to which the head's sink is added."""
        if not self.sinks:
            self.line("let factor = select(1.0f / finals[row].y, 0.0f, finals[row].y == 0.0f);")
            return
        self.line(
            f"let sink_index = {self.p['sinks_offset']} + own_head;",
            f"let sink = {self.views['sinks'].load('sink_index')};",
            "let peak = max(finals[row].x, sink);",
            f"let shrink = exp2((finals[row].x - peak) * {LOG2_E});",
            f"let factor = shrink / fma(finals[row].y, shrink, exp2((sink - peak) * {LOG2_E}));",
        )


def _joined(function: str, a: str, b: str) -> str:
    return f"({a} + {b})" if function == "+" else f"{function}({a}, {b})"


# exp of a large number is infinite, and tanh by 1 - 2 / (1 + exp) is 1 then
_SOFTCAP = f"""fn weft_softcap(score: f32, cap: f32) -> f32 {{
    let x = min(abs(score / cap), 20.0f);
    let away = 1.0f - 2.0f / (1.0f + exp2(2.0f * x * {LOG2_E}));
    let near = x * (1.0f - x * x * (1.0f / 3.0f - x * x * (2.0f / 15.0f)));
    let magnitude = select(away, near, x < 0.1f);
    return select(cap * sign(score) * magnitude, score, score != score);
}}"""
