"""The skeleton of a batched matrix product in WGSL: tiles, accumulators in registers, operands by snippets.

``matmul`` and ``conv2d`` share this loop and differ in snippets. An operand's element is found from four integers of
its row (or column) and four of its depth, each computed once: the divisions of an implicit im2col stay out of the
inner loop.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft.codegen.wgsl import work
from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.tile_sizes import Tile
from weft.expr import Expr, simplify
from weft.kernels import Axis
from weft.target import KernelSpec

HEAVY = 2048
"""Operations of all stores of an invocation from which the stores are a loop: drivers inline each call."""
UNROLLED = 4
"""Depths in a step of the loop without workgroup memory: software drivers bound the steps."""


@dataclass(frozen=True)
class Side:
    """How an operand is read: bodies of WGSL functions.

    ``outer(batch: i32, index: i32) -> vec4<i32>``, ``depth(at: vec4<i32>) -> vec4<i32>``, and
    ``value(outer: vec4<i32>, depth: vec4<i32>) -> T``. ``at`` is a place in depth: its fastest, middle and slowest
    index, and the flat one. ``along_depth`` is a condition that holds where neighbours in depth are neighbours in
    memory, so that staging reads them together. ``vector`` promises more: that elements lie in fours, 16-byte
    aligned, along ``"depth"`` or along ``"outer"``, of a size that is a multiple of 4; then
    ``value(outer, depth) -> vec4<T>`` gives four, and staging takes them at once.
    """

    outer: str
    depth: str
    value: str
    along_depth: str
    vector: str = ""


@dataclass(frozen=True)
class Product:
    """``out[batch, row, column] = sum over depth of a[batch, row, depth] b[batch, depth, column]``.

    Counts are expressions over the parameters; ``store(batch: i32, row: i32, column: i32, value: T)`` is a body.
    ``inner`` and ``middle`` are WGSL for the sizes of the fastest and the middle index of depth. ``splits`` is how
    many pieces of ``chunk`` the depth is cut into, each with its own result; ``store`` then sees ``split``.
    ``weight``: about how many operations ``store`` is; heavy ones are written once, in a loop over the elements.
    ``wide``: ``store`` takes four neighbouring columns, the first a multiple of 4, as one vector; the columns are a
    multiple of 4.
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
    splits: Expr | None = None
    chunk: Expr | None = None
    weight: int = 1
    wide: bool = False


def write_product(module: Module, product: Product, tile: Tile, texts: dict[Expr, str]) -> KernelSpec:
    """Write the kernel of a product; ``texts`` holds the WGSL of its four counts."""
    writer = _ProductWriter(module, product, tile, texts)
    rows = work.groups(product.rows, tile.rows)
    columns = work.groups(product.columns, tile.columns)
    splits = [product.splits] if product.splits is not None else []
    total = work.points([Axis(product.rows, size) for size in (*splits, product.batches, rows, columns)])
    depth = product.depth if product.chunk is None else product.chunk
    steps = work.groups(depth, tile.depth or UNROLLED)
    steps = simplify(steps + writer.stored_in_turn)
    module.bound_steps(steps if tile.depth else simplify(steps + UNROLLED))
    return module.finish(writer.body(), work.grid(total))


class _ProductWriter:
    def __init__(self, module: Module, product: Product, tile: Tile, texts: dict[Expr, str]) -> None:
        self.module, self.product, self.tile = module, product, tile
        self.texts = texts
        self.m, self.n, self.k = (texts[each] for each in (product.rows, product.columns, product.depth))
        self.batches = texts[product.batches]
        self.T = product.scalar
        self.V = f"vec4<{self.T}>"
        self.end = self.k if product.chunk is None else "depth_end"
        for name, side in (("a", product.a), ("b", product.b)):
            given = self.V if side.vector else self.T
            module.functions += [
                f"fn {name}_outer(batch: i32, index: i32) -> vec4<i32> {{\n{_indented(side.outer)}\n}}",
                f"fn {name}_depth(at: vec4<i32>) -> vec4<i32> {{\n{_indented(side.depth)}\n}}",
                f"fn {name}_value(outer: vec4<i32>, depth: vec4<i32>) -> {given} {{\n{_indented(side.value)}\n}}",
            ]
        module.functions.append(
            f"fn store_out({'' if product.splits is None else 'split: i32, '}batch: i32, row: i32, column: i32, "
            f"value: {self.V if product.wide else self.T}) {{\n{_indented(product.store)}\n}}"
        )

    @property
    def stored_in_turn(self) -> int:
        """Steps of the loop of stores; 0 where each store has a statement."""
        count = self.tile.row_block * self.tile.column_block
        heavy = self.product.weight * count > HEAVY
        return count // (4 if self.product.wide else 1) if heavy else 0

    def body(self) -> list[str]:
        """Return the entry point: the workgroup's tile, the accumulators, the loop, the stores."""
        tile = self.tile
        lines = [
            "let group = i32(workgroup_id.y * workgroups.x + workgroup_id.x);",
            f"let tile_columns = ({self.n} + {tile.columns - 1}i) / {tile.columns}i;",
            f"let tile_rows = ({self.m} + {tile.rows - 1}i) / {tile.rows}i;",
            *self._batch(),
            "let tile_number = group % (tile_rows * tile_columns);",
            f"let row0 = tile_number / tile_columns * {tile.rows}i;",
            f"let column0 = tile_number % tile_columns * {tile.columns}i;",
            f"let across = i32(local % {tile.across}u);",
            f"let down = i32(local / {tile.across}u);",
        ]
        lines += [f"var {c} = {self.V}();" for c in self._accumulators()]
        lines += self._staged() if tile.depth else self._direct()
        return [f"    {line}" for line in lines] + self._stores()

    def _batch(self) -> list[str]:
        """Return statements that find the batch and the piece of the depth."""
        numbers = (
            f"{'let' if self.product.splits is None else 'var'} batch = group / (tile_rows * tile_columns);"
        )
        if self.product.splits is None or self.product.chunk is None:
            return [numbers, f"if (batch >= {self.batches}) {{", "    return;", "}"]
        splits, chunk = self.texts[self.product.splits], self.texts[self.product.chunk]
        return [
            numbers,
            f"let split = batch / {self.batches};",
            f"if (split >= {splits}) {{",
            "    return;",
            "}",
            f"batch -= split * {self.batches};",
            f"let depth_start = split * {chunk};",
            f"let depth_end = min({self.k}, depth_start + {chunk});",
        ]

    def _accumulators(self) -> list[str]:
        return [f"c{i}_{j}" for i in range(self.tile.row_block) for j in range(self.tile.column_block // 4)]

    def _row(self, i: int) -> str:
        """Return the row of the invocation's i-th accumulators."""
        if self.tile.depth:  # four rows are one vector of the staged tile
            return f"row0 + (down + {i // 4 * self.tile.down}i) * 4i + {i % 4}i"
        return f"row0 + down * {self.tile.row_block}i + {i}i"

    def _column(self, j: int, lane: int) -> str:
        """Return the column of a lane of the invocation's j-th vectors."""
        if self.tile.depth:
            return f"column0 + (across + {j * self.tile.across}i) * 4i + {lane}i"
        return f"column0 + across * {self.tile.column_block}i + {4 * j + lane}i"

    def _multiply(self) -> list[str]:
        """Return the products at one depth, of a0 … (scalars or vectors' lanes) and b0 …."""
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
        """Return the loop that reads operands from buffers; indices beyond the end read the last row or column."""
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
        if self.product.chunk is None:
            lines += ["var at = vec4<i32>();", "var k = 0i;"]
        else:
            self._depth_place()
            lines += ["var k = depth_start;", "var at = depth_place(k);"]
        lines += [f"for (; k + {UNROLLED - 1}i < {self.end}; k += {UNROLLED}i) {{"]
        for _ in range(UNROLLED):
            lines += ["    {", *(f"        {line}" for line in step), "    }"]
        return [*lines, "}", f"for (; k < {self.end}; k++) {{", *(f"    {line}" for line in step), "}"]

    def _direct_step(self) -> list[str]:
        """Return the products at one depth, and the step to the next depth."""
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

    def _depth_place(self) -> None:
        inner, middle = self.product.inner, self.product.middle
        self.module.functions.append(
            "fn depth_place(k: i32) -> vec4<i32> {\n"
            f"    return vec4<i32>(k % {inner}, k / {inner} % {middle}, k / ({inner} * {middle}), k);\n}}"
        )

    def _staged(self) -> list[str]:
        """Return the loop that stages operands in workgroup memory: all invocations fill both tiles, then read them."""
        tile = self.tile
        self._depth_place()
        heads: list[str] = []
        loads: list[str] = []
        puts: list[str] = []
        for name, size, first, end in (
            ("a", tile.rows, "row0", self.m),
            ("b", tile.columns, "column0", self.n),
        ):
            side: Side = getattr(self.product, name)
            vectors = size // 4  # transposed on the way in, writes would share a memory bank without padding
            row = vectors + 1 if side.vector == "depth" else vectors
            self.module.shared(f"tile_{name}", f"array<{self.V}, {row}>", tile.depth)
            if not side.vector:
                heads.append(f"let {name}_along_depth = {side.along_depth};")
            for slot in range(-(-tile.depth * vectors // tile.invocations)):
                make = {"depth": self._slot_of_depth, "outer": self._slot_of_outer}.get(
                    side.vector, self._slot
                )
                head, load, put = make(name, slot, size, first, end)
                within = f"if ({name}{slot}_slot < {tile.depth * vectors}i)"
                if (slot + 1) * tile.invocations > tile.depth * vectors:
                    put = [f"{within} {{", *(f"    {line}" for line in put), "}"]
                heads += [*head, f"var {name}{slot}_values = {self.V}();"]
                loads += load
                puts += put
        start = "0i" if self.product.chunk is None else "depth_start"
        lines = [*heads, f"var k0 = {start};"]
        if tile.ahead:
            lines += loads
        lines.append(f"for (; k0 < {self.end};) {{")
        inside = [*puts, "workgroupBarrier();"] if tile.ahead else [*loads, *puts, "workgroupBarrier();"]
        inside.append(f"k0 += {tile.depth}i;")
        inside += [*(loads if tile.ahead else ()), *self._products(), "workgroupBarrier();"]
        return [*lines, *(f"    {line}" for line in inside), "}"]

    def _products(self) -> list[str]:
        """Return the products of a stage, unrolled: constant indices need no bounds check in the loop."""
        tile, lines = self.tile, []
        for k in range(tile.depth):
            lines.append("{")
            lines += [
                f"    let a{i} = tile_a[{k}][down + {i * tile.down}i];" for i in range(tile.row_block // 4)
            ]
            lines += [
                f"    let b{j} = tile_b[{k}][across + {j * tile.across}i];"
                for j in range(tile.column_block // 4)
            ]
            lines += [*(f"    {line}" for line in self._multiply()), "}"]
        return lines

    def _slot(
        self, name: str, slot: int, size: int, first: str, end: str
    ) -> tuple[list[str], list[str], list[str]]:
        """Stage four neighbouring rows (or columns) at one depth, loaded one by one."""
        tile, s, vectors = self.tile, f"{name}{slot}", size // 4
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
        return (
            head,
            self._load(name, s, f"{self.V}({values})"),
            [f"tile_{name}[{s}_depth][{s}_vector] = {s}_values;"],
        )

    def _slot_of_outer(
        self, name: str, slot: int, size: int, first: str, end: str
    ) -> tuple[list[str], list[str], list[str]]:
        """Stage four neighbouring rows (or columns) at one depth, which are contiguous."""
        s, vectors = f"{name}{slot}", size // 4
        head = [
            f"let {s}_slot = i32(local) + {slot * self.tile.invocations}i;",
            f"let {s}_depth = {s}_slot / {vectors}i;",
            f"let {s}_vector = {s}_slot % {vectors}i;",
            f"let {s}_outer = {name}_outer(batch, min({first} + {s}_vector * 4i, {end} - 4i));",
        ]
        load = self._load(name, s, f"{name}_value({s}_outer, {s}_at)")
        return head, load, [f"tile_{name}[{s}_depth][{s}_vector] = {s}_values;"]

    def _slot_of_depth(
        self, name: str, slot: int, size: int, first: str, end: str
    ) -> tuple[list[str], list[str], list[str]]:
        """Stage four contiguous neighbours in depth of a row (or column), transposed on the way in."""
        tile, s = self.tile, f"{name}{slot}"
        head = [
            f"let {s}_slot = i32(local) + {slot * tile.invocations}i;",
            f"let {s}_depth = {s}_slot % {tile.depth // 4}i * 4i;",
            f"let {s}_row = {s}_slot / {tile.depth // 4}i;",
            f"let {s}_outer = {name}_outer(batch, min({first} + {s}_row, {end} - 1i));",
        ]
        put = [
            f"tile_{name}[{s}_depth + {lane}i][{s}_row / 4i][{s}_row % 4i] = {s}_values.{'xyzw'[lane]};"
            for lane in range(4)
        ]
        return head, self._load(name, s, f"{name}_value({s}_outer, {s}_at)"), put

    def _load(self, name: str, s: str, value: str) -> list[str]:
        """Read a slot's values of the stage that begins at k0; they are zero beyond the end."""
        return [
            f"{s}_values = {self.V}();",
            f"if (k0 + {s}_depth < {self.end}) {{",
            f"    let {s}_at = {name}_depth(depth_place(k0 + {s}_depth));",
            f"    {s}_values = {value};",
            "}",
        ]

    def _stores(self) -> list[str]:
        if self.stored_in_turn:
            return self._stores_in_turn()
        lines = []
        batch = "batch" if self.product.splits is None else "split, batch"
        for i in range(self.tile.row_block):
            lines += ["    {", f"        let row = {self._row(i)};", f"        if (row < {self.m}) {{"]
            for j in range(self.tile.column_block // 4):
                for lane in (0,) if self.product.wide else range(4):
                    column = self._column(j, lane)
                    value = f"c{i}_{j}" if self.product.wide else f"c{i}_{j}.{'xyzw'[lane]}"
                    lines.append(
                        f"            if ({column} < {self.n}) {{ store_out({batch}, row, {column}, {value}); }}"
                    )
            lines += ["        }", "    }"]
        return lines

    def _stores_in_turn(self) -> list[str]:
        """Return the stores as a loop: only here the accumulators become an array, so that the products stay fast."""
        tile, each = self.tile, 4 if self.product.wide else 1
        across = tile.column_block // each
        row, column = f"row0 + down * {tile.row_block}i + i", f"column0 + across * {tile.column_block}i + j"
        if tile.depth:
            row = f"row0 + (down + i / 4i * {tile.down}i) * 4i + i % 4i"
            column = f"column0 + (across + j / 4i * {tile.across}i) * 4i + j % 4i"
        batch = "batch" if self.product.splits is None else "split, batch"
        value = "results[element]" if self.product.wide else "results[element / 4i][element % 4i]"
        count = tile.row_block * tile.column_block // 4
        lines = [
            f"var results = array<{self.V}, {count}>({', '.join(self._accumulators())});",
            f"for (var element = 0i; element < {self.stored_in_turn}i; element++) {{",
            f"    let i = element / {across}i;",
            f"    let j = element % {across}i * {each}i;",
            f"    let row = {row};",
            f"    let column = {column};",
            f"    if (row < {self.m} && column < {self.n}) {{",
            f"        store_out({batch}, row, column, {value});",
            "    }",
            "}",
        ]
        return [f"    {line}" for line in lines]


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.splitlines())
