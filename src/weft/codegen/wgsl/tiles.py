"""The skeleton of a batched matrix product in WGSL: tiles, accumulators in registers, operands by snippets.

``matmul`` and ``conv2d`` are this one loop with other snippets. An operand's element is found from what its row
(or column) gives and what its depth gives, each computed once and kept as four integers; so the divisions of an
implicit im2col stay out of the inner loop.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft.codegen.wgsl import work
from weft.codegen.wgsl.module import Module
from weft.errors import KernelError
from weft.expr import Expr, simplify
from weft.kernels import Axis
from weft.target import KernelSpec, TargetProfile

UNROLLED = 4
"""Depths in a step of the loop without workgroup memory: software drivers bound the steps."""


@dataclass(frozen=True)
class Tile:
    """Outputs of a workgroup (``rows`` × ``columns``) and of an invocation (``row_block`` × ``column_block``).

    ``depth`` is how far the operands are staged in workgroup memory at a time; 0 reads them from the buffers.
    Accumulators are named variables: an indexed array of them would lie in memory.
    """

    rows: int
    columns: int
    row_block: int
    column_block: int
    depth: int

    @property
    def across(self) -> int:
        """Invocations along the columns."""
        return self.columns // self.column_block

    @property
    def down(self) -> int:
        """Invocations along the rows."""
        return self.rows // self.row_block

    @property
    def invocations(self) -> int:
        """Invocations of a workgroup."""
        return self.across * self.down


TILES: dict[str, Tile] = {
    "software": Tile(64, 64, 8, 8, 0),  # a software rasteriser has no fast workgroup memory
    "small": Tile(32, 32, 4, 4, 16),
    "medium": Tile(64, 64, 4, 4, 16),
    "large": Tile(128, 128, 8, 8, 16),
}


def choose_tile(profile: TargetProfile, options: dict[str, int | str | bool]) -> Tile:
    """The tile that the options name, or the target's own."""
    name = options.get("tile", "software" if profile.software else "medium")
    if name not in TILES:
        raise KernelError(f"tile is {name!r}, expected one of {', '.join(TILES)}")
    return TILES[str(name)]


@dataclass(frozen=True)
class Side:
    """How an operand is read: bodies of WGSL functions.

    ``outer(batch: i32, index: i32) -> vec4<i32>``, ``depth(at: vec4<i32>) -> vec4<i32>``, and
    ``value(outer: vec4<i32>, depth: vec4<i32>) -> T``. ``at`` is a place in depth: its fastest, middle and slowest
    index, and the flat one. ``along_depth`` is a condition that holds where neighbours in depth are neighbours in
    memory, so that staging reads them together.
    """

    outer: str
    depth: str
    value: str
    along_depth: str


@dataclass(frozen=True)
class Product:
    """``out[batch, row, column] = sum over depth of a[batch, row, depth] b[batch, depth, column]``.

    Counts are expressions over the parameters; ``store(batch: i32, row: i32, column: i32, value: T)`` is a body.
    ``inner`` and ``middle`` are WGSL for the sizes of the fastest and the middle index of depth.
    """

    batches: Expr
    rows: Expr
    columns: Expr
    depth: Expr
    a: Side
    b: Side
    store: str
    scalar: str = "f32"
    inner: str = "1i"
    middle: str = "1i"


def write_product(module: Module, product: Product, tile: Tile, texts: dict[Expr, str]) -> KernelSpec:
    """The kernel of a product; ``texts`` gives the WGSL of its four counts."""
    writer = _ProductWriter(module, product, tile, texts)
    rows = work.groups(product.rows, tile.rows)
    columns = work.groups(product.columns, tile.columns)
    total = work.points([Axis(product.rows, size) for size in (product.batches, rows, columns)])
    each = UNROLLED if tile.depth == 0 else tile.depth
    steps = work.groups(product.depth, each) + (
        UNROLLED if tile.depth == 0 else work.groups(product.depth, 1)
    )
    module.bound_steps(simplify(steps))
    return module.finish(writer.body(), work.grid(total))


class _ProductWriter:
    def __init__(self, module: Module, product: Product, tile: Tile, texts: dict[Expr, str]) -> None:
        self.module, self.product, self.tile = module, product, tile
        self.m, self.n, self.k = (texts[each] for each in (product.rows, product.columns, product.depth))
        self.batches = texts[product.batches]
        self.T = product.scalar
        self.V = f"vec4<{self.T}>"
        self.zero = f"{self.T}()"
        for name, side in (("a", product.a), ("b", product.b)):
            module.functions += [
                f"fn {name}_outer(batch: i32, index: i32) -> vec4<i32> {{\n{_indented(side.outer)}\n}}",
                f"fn {name}_depth(at: vec4<i32>) -> vec4<i32> {{\n{_indented(side.depth)}\n}}",
                f"fn {name}_value(outer: vec4<i32>, depth: vec4<i32>) -> {self.T} {{\n{_indented(side.value)}\n}}",
            ]
        module.functions.append(
            f"fn store_out(batch: i32, row: i32, column: i32, value: {self.T}) {{\n{_indented(product.store)}\n}}"
        )

    def body(self) -> list[str]:
        """The entry point: which tile this workgroup has, the accumulators, the loop, the stores."""
        tile = self.tile
        lines = [
            "let group = i32(workgroup_id.y * workgroups.x + workgroup_id.x);",
            f"let tile_columns = ({self.n} + {tile.columns - 1}i) / {tile.columns}i;",
            f"let tile_rows = ({self.m} + {tile.rows - 1}i) / {tile.rows}i;",
            "let batch = group / (tile_rows * tile_columns);",
            f"if (batch >= {self.batches}) {{",
            "    return;",
            "}",
            "let tile_number = group % (tile_rows * tile_columns);",
            f"let row0 = tile_number / tile_columns * {tile.rows}i;",
            f"let column0 = tile_number % tile_columns * {tile.columns}i;",
            f"let across = i32(local % {tile.across}u);",
            f"let down = i32(local / {tile.across}u);",
        ]
        lines += [f"var {c} = {self.V}();" for c in self._accumulators()]
        lines += self._staged() if tile.depth else self._direct()
        return [f"    {line}" for line in lines] + self._stores()

    def _accumulators(self) -> list[str]:
        return [f"c{i}_{j}" for i in range(self.tile.row_block) for j in range(self.tile.column_block // 4)]

    def _row(self, i: int) -> str:
        """The row of the invocation's i-th accumulators."""
        if self.tile.depth:  # four rows are one vector of the staged tile
            return f"row0 + (down + {i // 4 * self.tile.down}i) * 4i + {i % 4}i"
        return f"row0 + down * {self.tile.row_block}i + {i}i"

    def _column(self, j: int, lane: int) -> str:
        """The column of a lane of the invocation's j-th vectors."""
        if self.tile.depth:
            return f"column0 + (across + {j * self.tile.across}i) * 4i + {lane}i"
        return f"column0 + across * {self.tile.column_block}i + {4 * j + lane}i"

    def _multiply(self) -> list[str]:
        """One step of depth, from a0 … (scalars or vectors' lanes) and b0 …."""
        lines = []
        for i in range(self.tile.row_block):
            a = f"a{i // 4}.{'xyzw'[i % 4]}" if self.tile.depth else f"a{i}"
            for j in range(self.tile.column_block // 4):
                c = f"c{i}_{j}"
                lines.append(
                    f"{c} = fma({self.V}({a}), b{j}, {c});" if self.T == "f32" else f"{c} += {a} * b{j};"
                )
        return lines

    def _direct(self) -> list[str]:
        """Operands straight from the buffers; rows and columns beyond the end read the last, and are not stored."""
        tile = self.tile
        lanes = [(j, lane) for j in range(tile.column_block // 4) for lane in range(4)]
        lines = [
            f"if ({self._row(0)} >= {self.m} || {self._column(0, 0)} >= {self.n}) {{",
            "    return;",
            "}",
        ]
        lines += [
            f"let a_outer{i} = a_outer(batch, min({self._row(i)}, {self.m} - 1i));"
            for i in range(tile.row_block)
        ]
        lines += [
            f"let b_outer{4 * j + lane} = b_outer(batch, min({self._column(j, lane)}, {self.n} - 1i));"
            for j, lane in lanes
        ]
        step = self._direct_step()
        lines += ["var at = vec4<i32>();", "var k = 0i;"]
        lines += [f"for (; k + {UNROLLED - 1}i < {self.k}; k += {UNROLLED}i) {{"]
        for _ in range(UNROLLED):
            lines += ["    {", *(f"        {line}" for line in step), "    }"]
        return [*lines, "}", f"for (; k < {self.k}; k++) {{", *(f"    {line}" for line in step), "}"]

    def _direct_step(self) -> list[str]:
        """The products at one depth, and the step to the next place."""
        tile = self.tile
        lines = ["let a_at = a_depth(at);", "let b_at = b_depth(at);"]
        lines += [f"let a{i} = a_value(a_outer{i}, a_at);" for i in range(tile.row_block)]
        for j in range(tile.column_block // 4):
            values = ", ".join(f"b_value(b_outer{4 * j + lane}, b_at)" for lane in range(4))
            lines.append(f"let b{j} = {self.V}({values});")
        lines += self._multiply()
        # the next place in depth, by carrying: a division here would cost more than the products
        inner, middle = self.product.inner, self.product.middle
        lines += [
            "at += vec4<i32>(1i, 0i, 0i, 1i);",
            f"at = select(at, vec4<i32>(0i, at.y + 1i, at.z, at.w), at.x == {inner});",
            f"at = select(at, vec4<i32>(at.x, 0i, at.z + 1i, at.w), at.y == {middle});",
        ]
        return lines

    def _staged(self) -> list[str]:
        """Operands by way of workgroup memory: all invocations fill both tiles, then each reads its part."""
        tile = self.tile
        inner, middle = self.product.inner, self.product.middle
        self.module.functions.append(
            "fn depth_place(k: i32) -> vec4<i32> {\n"
            f"    return vec4<i32>(k % {inner}, k / {inner} % {middle}, k / ({inner} * {middle}), k);\n}}"
        )
        a, b = tile.rows // 4, tile.columns // 4
        self.module.shared("tile_a", self.V, tile.depth * a)
        self.module.shared("tile_b", self.V, tile.depth * b)
        before, inside = [], []
        for name, count, vectors, first, end in (
            ("a", tile.depth * a, a, "row0", self.m),
            ("b", tile.depth * b, b, "column0", self.n),
        ):
            along = getattr(self.product, name).along_depth
            before.append(f"let {name}_along_depth = {along};")
            for slot in range(-(-count // tile.invocations)):
                head, fill = self._slot(name, slot, count, vectors, first, end)
                before += head
                inside += fill
        lines = [*before, f"for (var k0 = 0i; k0 < {self.k}; k0 += {tile.depth}i) {{"]
        lines += [f"    {line}" for line in (*inside, "workgroupBarrier();")]
        lines.append(f"    for (var k = 0i; k < {tile.depth}i; k++) {{")
        lines += [
            f"        let a{i} = tile_a[k * {a}i + down + {i * tile.down}i];"
            for i in range(tile.row_block // 4)
        ]
        lines += [
            f"        let b{j} = tile_b[k * {b}i + across + {j * tile.across}i];"
            for j in range(tile.column_block // 4)
        ]
        lines += [f"        {line}" for line in self._multiply()]
        return [*lines, "    }", "    workgroupBarrier();", "}"]

    def _slot(
        self, name: str, slot: int, count: int, vectors: int, first: str, end: str
    ) -> tuple[list[str], list[str]]:
        """What an invocation stages at a time: four neighbouring rows (or columns) at one depth, as a vector."""
        tile = self.tile
        s = f"{name}{slot}"
        head = [
            f"let {s}_slot = i32(local) + {slot * tile.invocations}i;",
            f"let {s}_depth = select({s}_slot / {vectors}i, {s}_slot % {tile.depth}i, {name}_along_depth);",
            f"let {s}_vector = select({s}_slot % {vectors}i, {s}_slot / {tile.depth}i, {name}_along_depth);",
            f"let {s}_index = {first} + {s}_vector * 4i;",
            *(
                f"let {s}_outer{lane} = {name}_outer(batch, min({s}_index + {lane}i, {end} - 1i));"
                for lane in range(4)
            ),
        ]
        values = ", ".join(f"{name}_value({s}_outer{lane}, {s}_at)" for lane in range(4))
        fill = [
            f"var {s}_values = {self.V}();",
            f"if (k0 + {s}_depth < {self.k}) {{",
            f"    let {s}_at = {name}_depth(depth_place(k0 + {s}_depth));",
            f"    {s}_values = {self.V}({values});",
            "}",
            f"tile_{name}[{s}_depth * {vectors}i + {s}_vector] = {s}_values;",
        ]
        if (slot + 1) * tile.invocations > count:
            fill = [f"if ({s}_slot < {count}i) {{", *(f"    {line}" for line in fill), "}"]
        return head, fill

    def _stores(self) -> list[str]:
        lines = []
        for i in range(self.tile.row_block):
            lines += ["    {", f"        let row = {self._row(i)};", f"        if (row < {self.m}) {{"]
            for j in range(self.tile.column_block // 4):
                for lane in range(4):
                    column = self._column(j, lane)
                    lines.append(
                        f"            if ({column} < {self.n}) "
                        f"{{ store_out(batch, row, {column}, c{i}_{j}.{'xyzw'[lane]}); }}"
                    )
            lines += ["        }", "    }"]
        return lines


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.splitlines())
