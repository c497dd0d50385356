"""``attention`` for WGSL: FlashAttention-2 (Dao 2023) over tiles in workgroup memory, forward and backward.

Options: ``form`` (``"forward"``, ``"query"``, ``"key"``), ``size`` and ``value_size`` of heads, ``causal``, ``mask``
(``""``, ``"bool"``, ``"add"``), ``tile``, ``fours``: the names, separated by blanks, of buffers that can be read in
aligned groups of four. Workgroups over queries (``forward``, ``query``) loop over the keys; workgroups over keys loop
over the queries of all heads that share the keys. The score of a key that a query does not attend to is HIDDEN.
"""

from __future__ import annotations

import math

from weft.codegen.templates import template
from weft.codegen.wgsl import work
from weft.codegen.wgsl.attending import Skeleton, choose_tile, words
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.dtypes import DType, float32
from weft.errors import KernelError
from weft.expr import call, const, variable
from weft.expr.node import INDEX
from weft.kernels import Axis
from weft.kernels.library import attentions
from weft.kernels.program import Library
from weft.target import KernelSpec, Parameter, TargetProfile

HIDDEN = "(-2.3e38f)"
"""A number below every score, finite after multiplication by log2(e): drivers differ in exp2(-inf)."""
LEAST = "(-2.2e38f)"
"""The lower limit, above HIDDEN, of scores with a finite mask, which count where a row has no other keys."""
LARGEST = "3.4028235e38f"
LOG2_E = f"{math.log2(math.e)!r}f"
STATISTICS = ("peak", "share", "rest")
"""The numbers of a row in ``stats``: its largest score, 1 over its sum, and the sum of output times gradient."""
OWN = {"forward": "l", "query": "l", "key": "s"}
"""The size over which a form's workgroups are distributed."""


@template("wgsl", "attention")
def attention(library: Library, profile: TargetProfile) -> KernelSpec:
    """Return the kernel of a form; ``library.dtypes`` are the types of its buffers in order."""
    options = dict(library.options)
    form, mask = str(options["form"]), str(options["mask"])
    if form not in OWN:
        raise KernelError(f"attention: form is {form!r}, expected one of {', '.join(OWN)}")
    buffers = attentions.FORMS[form]
    names = (*buffers.reads(bool(mask)), *buffers.outputs)
    fours = str(options["fours"]).split()
    views = {
        name: View(f"{name}_data", dtype, name in buffers.outputs, 4 if name in fours else 1)
        for name, dtype in zip(names, library.dtypes, strict=True)
    }
    tile = choose_tile(options)
    parameters = tuple(
        Parameter(name, float32 if name == "scale" else INDEX)
        for name in attentions.parameters(form, bool(mask))
    )
    title = "_".join(
        filter(None, ("attention", form, views["q"].dtype.name, mask, "causal" * bool(options["causal"])))
    )
    module = Module(title, profile, parameters, tuple(views.values()), (tile.invocations, 1, 1))
    writer = _Writer(module, options, views, Skeleton(module, tile))
    body = writer.body()
    return module.finish(body, work.grid(work.points(writer.grid())))


class _Writer:
    """Writes the body of a form's kernel."""

    def __init__(
        self, module: Module, options: dict[str, int | str | bool], views: dict[str, View], skeleton: Skeleton
    ) -> None:
        self.module, self.views, self.out = module, views, skeleton
        self.form, self.mask, self.causal = (
            str(options["form"]),
            str(options["mask"]),
            bool(options["causal"]),
        )
        self.sizes = {name: int(options["value_size" if name in ("v", "out", "grad", "dv") else "size"]) for name in
                      ("q", "k", "v", "out", "grad", "dq", "dk", "dv")}  # fmt: skip
        self.p = {parameter.name: module.parameter(parameter.name) for parameter in module.parameters}

    def grid(self) -> list[Axis]:
        """Return the axes of the workgroups: batch, heads, tiles."""
        heads = variable("shared" if self.form == "key" else "heads", INDEX)
        tiles = work.groups(variable(OWN[self.form], INDEX), self.out.tile.rows)
        return [Axis(size, size) for size in (variable("batch", INDEX), heads, tiles)]

    def body(self) -> list[str]:
        """Return all statements."""
        self._readers()
        self._bound_steps()
        out, p, tile = self.out, self.p, self.out.tile
        out.begin()
        heads = p["shared" if self.form == "key" else "heads"]
        out.line(
            "let group = i32(workgroup_id.y * workgroups.x + workgroup_id.x);",
            f"let tiles = ({p[OWN[self.form]]} + {tile.rows - 1}i) / {tile.rows}i;",
            "let row_of_tiles = group / tiles;",
            f"if (row_of_tiles >= {p['batch']} * {heads}) {{",
            "    return;",
            "}",
            f"let batch = row_of_tiles / {heads};",
            f"let together = {p['heads']} / {p['shared']};",  # heads that share keys and values
        )
        {"forward": self._forward, "query": self._query, "key": self._key}[self.form]()
        return out.lines

    def _bound_steps(self) -> None:
        """Declare the number of loop iterations of an invocation, which software drivers limit."""
        tile, inner = self.out.tile, 0
        for size in self.sizes["q"], self.sizes["v"]:
            inner += 2 * (words(size) + -(-words(size) // tile.depth)) + 2 * tile.columns
        tiles = work.groups(variable("l" if self.form == "key" else "s", INDEX), tile.columns)
        if self.form == "key":
            tiles = tiles * call("idiv", variable("heads", INDEX), variable("shared", INDEX))
        self.module.bound_steps(tiles * const(inner, INDEX))

    # Indices.

    def _readers(self) -> None:
        for name in ("q", "k", "v", "grad"):
            if name in self.views:
                count = self.p["l" if name in ("q", "grad") else "s"]
                self.out.reader(name, self.views[name], self.sizes[name], count)
        if not self.mask:
            return
        view, p = self.views["mask"], self.p
        kind = "bool" if self.mask == "bool" else "f32"
        self.module.functions.append("\n".join([
            f"fn mask_at(base: i32, query: i32, key: i32) -> {kind} {{",
            f"    if (query >= {p['l']} || key >= {p['s']}) {{",
            f"        return {kind}();",
            "    }",
            f"    let index = base + query * {p['mask_l']} + key * {p['mask_s']};",
            f"    return {view.load('index')};",
            "}",
        ]))  # fmt: skip

    def _base(self, name: str, head: str) -> None:
        """Name the index at which a buffer's batch and head begin."""
        p = self.p
        self.out.line(
            f"let {name}_base = {p[f'{name}_offset']} + batch * {p[f'{name}_b']} + {head} * {p[f'{name}_h']};"
        )

    def _bases(self, names: tuple[str, ...], head: str) -> None:
        for name in names:
            if name in self.views:
                self._base(name, head)

    def _rows(self, text: str) -> None:
        """Write a statement for each of the invocation's own rows: ``{i}`` is its number, ``{own}`` its index."""
        for i in range(self.out.tile.row_block):
            self.out.line(text.format(i=i, own=f"(first + ty + {self.out.tile.down * i}i)"))

    def _elements(self, *texts: str) -> None:
        """Write statements for each of the invocation's scores, with ``{i}``, ``{j}``, ``{query}`` and ``{key}``."""
        tile = self.out.tile
        for i in range(tile.row_block):
            for j in range(tile.column_block):
                own, other = f"(first + ty + {tile.down * i}i)", f"(other + tx + {tile.across * j}i)"
                query, key = (other, own) if self.form == "key" else (own, other)
                self.out.line(*(text.format(i=i, j=j, query=query, key=key) for text in texts))

    def _scores(self) -> None:
        """Compute the scores; HIDDEN where a query does not attend to a key."""
        own, other = ("k", "q") if self.form == "key" else ("q", "k")
        self.out.scores("s", own, f"{own}_base", other, f"{other}_base", self.sizes["q"])
        if self.mask == "add":
            self._elements(
                "let m{i}_{j} = mask_at(mask_base, {query}, {key});",
                "s{i}_{j} = fma(s{i}_{j}, scale, m{i}_{j});",
                f"s{{i}}_{{j}} = select(s{{i}}_{{j}}, {LEAST}, s{{i}}_{{j}} < {LEAST} && m{{i}}_{{j}} >= -{LARGEST});",
            )
        else:
            self._elements("s{i}_{j} *= scale;")
        self._hide()

    def _hide(self) -> None:
        """Set scores to HIDDEN where a query does not attend to a key; tiles without such keys skip the test."""
        by_key = self.form == "key"
        seen = ["{query} < " + self.p["l"] if by_key else "{key} < " + self.p["s"]]
        edges = [f"other + {self.out.tile.columns}i > {self.p['l' if by_key else 's']}"]
        if self.causal:
            seen.append("{key} <= {query}")
            last_key, first_query = (
                (f"first + {self.out.tile.rows - 1}i", "other") if by_key else
                (f"other + {self.out.tile.columns - 1}i", "first")
            )  # fmt: skip
            edges.append(f"{last_key} > {first_query}")
        if self.mask == "bool":
            seen.append("mask_at(mask_base, {query}, {key})")
        self.out.open("" if self.mask else f"if ({' || '.join(edges)})")
        # written so that the comparison is false for NaN, which stays
        hidden = f"!({' && '.join(seen)}) || s{{i}}_{{j}} < {HIDDEN}"
        self._elements(f"s{{i}}_{{j}} = select(s{{i}}_{{j}}, {HIDDEN}, {hidden});")
        self.out.close()

    def _power(self, less: str) -> None:
        """Replace scores by their exponentials relative to ``less``."""
        weight = f"exp2((s{{i}}_{{j}} - {less}) * {LOG2_E})"
        self._elements(f"s{{i}}_{{j}} = select({weight}, 0.0f, s{{i}}_{{j}} <= {HIDDEN});")

    def _over_keys(self) -> None:
        tile = self.out.tile
        stop = f"min({self.p['s']}, first + {tile.rows}i)" if self.causal else self.p["s"]
        self.out.line(f"let stop = {stop};")
        self.out.open(f"for (var other = 0i; other < stop; other += {tile.columns}i)")

    def _start(self, *buffers: str) -> None:
        """Begin a form over queries. Tiles are started from the last, since late tiles attend to most keys."""
        p, tile = self.p, self.out.tile
        self.out.line(
            f"let head = row_of_tiles % {p['heads']};",
            "let shared_head = head / together;",
            f"let first = (tiles - 1i - group % tiles) * {tile.rows}i;",
            f"let scale = {p['scale']};",
        )
        self._bases(("q", "grad", "mask", *buffers), "head")
        self._bases(("k", "v"), "shared_head")

    # The forms.

    def _forward(self) -> None:
        out, tile = self.out, self.out.tile
        self._start("out")
        each = out.sums("o", self.sizes["v"])
        self._rows(f"var largest{{i}} = {HIDDEN};")
        self._rows("var total{i} = 0.0f;")
        self._over_keys()
        self._scores()
        values = out.values(each, "v", "v_base")
        columns = range(tile.column_block)
        self._rows("var most{i} = largest{i};")
        self._elements("most{i} = max(most{i}, s{i}_{j});")
        out.share("most", "max({}, {})")
        self._rows(f"let fade{{i}} = exp2((largest{{i}} - most{{i}}) * {LOG2_E});")
        self._power("most{i}")
        added = " + ".join(f"s{{i}}_{j}" for j in columns)
        self._rows(f"total{{i}} = fma(total{{i}}, fade{{i}}, {added});")
        self._rows("largest{i} = most{i};")
        for n in range(each):
            self._rows(f"o{{i}}_{n} *= fade{{i}};")
        out.put_weights("s")
        out.accumulate("o", each, values)
        out.close()
        out.share("total", "({} + {})")
        self._rows("let inverse{i} = select(1.0f / total{i}, 0.0f, total{i} == 0.0f);")
        for n in range(each):
            self._rows(f"o{{i}}_{n} *= inverse{{i}};")
        out.store("out", self.views["out"], "o", each, self.sizes["v"], "out_base", self.p["l"])
        sums = self.views["sums"]
        out.open("if (tx == 0i)")
        start = f"row_of_tiles * {self.p['l']}"
        for i in range(tile.row_block):
            out.open(f"if (first + ty + {tile.down * i}i < {self.p['l']})")
            out.line(
                f"let index = {self.p['sums_offset']} + ({start} + first + ty + {tile.down * i}i) * 2i;",
                f"let peak = select(largest{i}, 0.0f, total{i} == 0.0f);",
                *sums.store("index", "peak", self.module.declarations),
                *sums.store("(index + 1i)", f"inverse{i}", self.module.declarations),
            )
            out.close()
        out.close()

    def _statistic(self, name: str, which: int, row: str) -> str:
        """Return the declaration of a row's statistic, number ``which`` of ``STATISTICS``."""
        p = self.p
        place = f"rows_before * {p['l']} + min({row}, {p['l']} - 1i)"
        return f"let {name} = stats_data[{p['stats_offset']} + ({place}) * 3i + {which}i];"

    def _query(self) -> None:
        out = self.out
        self._start("dq")
        each = out.sums("d", self.sizes["q"])
        out.line("let rows_before = row_of_tiles;")
        for which, name in enumerate(STATISTICS):
            self._rows(self._statistic(f"{name}{{i}}", which, "{own}"))
        self._over_keys()
        self._scores()
        out.scores("t", "grad", "grad_base", "v", "v_base", self.sizes["v"])
        values = out.values(each, "k", "k_base")
        self._power("peak{i}")
        self._elements("s{i}_{j} *= share{i} * (t{i}_{j} - rest{i});")
        out.put_weights("s")
        out.accumulate("d", each, values)
        out.close()
        for n in range(each):
            self._rows(f"d{{i}}_{n} *= {self.p['scale']};")
        out.store("dq", self.views["dq"], "d", each, self.sizes["q"], "dq_base", self.p["l"])

    def _key(self) -> None:
        out, p, tile = self.out, self.p, self.out.tile
        out.line(
            f"let shared_head = row_of_tiles % {p['shared']};",
            f"let first = group % tiles * {tile.rows}i;",
            f"let scale = {p['scale']};",
        )
        self._bases(("k", "v", "dk", "dv"), "shared_head")
        each_k, each_v = out.sums("d", self.sizes["k"]), out.sums("e", self.sizes["v"])
        out.open("for (var member = 0i; member < together; member++)")
        out.line(
            "let head = shared_head * together + member;", f"let rows_before = batch * {p['heads']} + head;"
        )
        self._bases(("q", "grad", "mask"), "head")
        start = f"first / {tile.columns}i * {tile.columns}i" if self.causal else "0i"
        out.open(f"for (var other = {start}; other < {p['l']}; other += {tile.columns}i)")
        self._scores()
        out.scores("t", "v", "v_base", "grad", "grad_base", self.sizes["v"])
        for j in range(tile.column_block):
            row = f"other + tx + {tile.across * j}i"
            out.line(*(self._statistic(f"{name}{j}", which, row) for which, name in enumerate(STATISTICS)))
        values = out.values(each_v, "grad", "grad_base")
        self._power("peak{j}")
        self._elements("s{i}_{j} *= share{j};")
        out.put_weights("s")
        out.accumulate("e", each_v, values)
        self._elements("s{i}_{j} *= t{i}_{j} - rest{j};")
        values = out.values(each_k, "q", "q_base")
        out.put_weights("s")
        out.accumulate("d", each_k, values)
        out.close()
        out.close()
        for n in range(each_k):
            self._rows(f"d{{i}}_{n} *= {p['scale']};")
        out.store("dk", self.views["dk"], "d", each_k, self.sizes["k"], "dk_base", p["s"])
        out.store("dv", self.views["dv"], "e", each_v, self.sizes["v"], "dv_base", p["s"])


def kinds(mask: DType | None) -> str:
    """Return the option ``mask`` for a mask's type."""
    return "" if mask is None else "bool" if mask.kind == "bool" else "add"
