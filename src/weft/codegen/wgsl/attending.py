"""The skeleton of attention kernels: a tile of own rows against one tile of other rows after another.

A workgroup's invocations form a grid; each has ``row_block`` own rows and, of a tile of scores, ``column_block``
columns, both spread evenly. Scores are products over the heads' elements, staged a few at a time; weights made of
them lie in workgroup memory, from which rows of results are summed up in registers. All numbers are float32.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.errors import KernelError
from weft.kernels.library.attentions import TILES, Tile


def choose_tile(options: dict[str, int | str | bool]) -> Tile:
    """The tile that the options name."""
    name = str(options.get("tile"))
    if name not in TILES:
        raise KernelError(f"attention: tile is {name!r}, expected one of {', '.join(TILES)}")
    return TILES[name]


def words(size: int) -> int:
    """Words of 4 elements that hold a head's elements."""
    return -(-size // 4)


@dataclass
class Skeleton:
    """Statements of one kernel in the making; names of own and other rows are those of the form that uses it."""

    module: Module
    tile: Tile
    lines: list[str] = field(default_factory=list)
    _depth: int = 1

    def line(self, *texts: str) -> None:
        """Statements at the present indentation."""
        self.lines += ["    " * self._depth + text for text in texts]

    def open(self, head: str) -> None:
        """Begin a block."""
        self.line(f"{head} {{")
        self._depth += 1

    def close(self) -> None:
        """End a block."""
        self._depth -= 1
        self.line("}")

    def begin(self) -> None:
        """Declare the workgroup's memory, and each invocation's place in the grid."""
        tile = self.tile
        self.module.shared("stage", "vec4<f32>", tile.staged)
        self.module.shared("weights", "vec4<f32>", tile.rows * tile.pitch)
        self.line(f"let tx = i32(local) % {tile.across}i;", f"let ty = i32(local) / {tile.across}i;")

    # Memory.

    def reader(self, name: str, view: View, size: int, count: str) -> None:
        """A function ``{name}_at(base, row, word)``: four elements of a row, 0 beyond the rows and the row's end."""
        p, zero = self.module.parameter, "vec4<f32>()"
        start = f"base + row * {p(f'{name}_l')}"
        lines = [
            f"fn {name}_at(base: i32, row: i32, word: i32) -> vec4<f32> {{",
            f"    if (row >= {count} || word >= {words(size)}i) {{",
            f"        return {zero};",
            "    }",
        ]
        if view.vector == 4:
            lines += [f"    let index = {start} + word * 4i;", f"    return {view.load4('index')};"]
        else:
            lines += [f"    var found = {zero};", f"    let step = {p(f'{name}_d')};"]
            for lane, letter in enumerate("xyzw"):
                lines += [
                    f"    if (word * 4i + {lane}i < {size}i) {{",
                    f"        let index = {start} + (word * 4i + {lane}i) * step;",
                    f"        found.{letter} = {view.load('index')};",
                    "    }",
                ]
            lines.append("    return found;")
        self.module.functions.append("\n".join([*lines, "}"]))

    def stage(self, name: str, base: str, first: str, rows: int, word: str, across: int, place: int, pitch: int) -> None:
        """Rows from ``first``, words from ``word``, into the stage at ``place``, every ``pitch``."""
        total, team = rows * across, self.tile.invocations
        for start in range(0, total, team):
            inside = start + team <= total
            self.open("" if inside else f"if ({start}i + i32(local) < {total}i)")
            self.line(
                f"let item = {start}i + i32(local);",
                f"let at = item / {across}i;",
                f"let column = item % {across}i;",
                f"stage[{place}i + at * {pitch}i + column] = {name}_at({base}, {first} + at, {word} + column);",
            )
            self.close()

    # Products.

    def scores(self, target: str, own: str, own_base: str, other: str, other_base: str, size: int) -> None:
        """``target{i}_{j}``: own row i by other row j over the elements of a head."""
        tile, depth = self.tile, min(self.tile.depth, words(size))
        pitch = depth + 1 if depth % 2 == 0 else depth
        second = tile.rows * pitch
        self.line(*(f"var {target}{i}_{j} = 0.0f;" for i in range(tile.row_block) for j in range(tile.column_block)))
        self.open(f"for (var word = 0i; word < {words(size)}i; word += {depth}i)")
        self.stage(own, own_base, "first", tile.rows, "word", depth, 0, pitch)
        self.stage(other, other_base, "other", tile.columns, "word", depth, second, pitch)
        self.line("workgroupBarrier();")
        self.open(f"for (var step = 0i; step < {depth}i; step++)")
        for i in range(tile.row_block):
            self.line(f"let a{i} = stage[(ty + {tile.down * i}i) * {pitch}i + step];")
        for j in range(tile.column_block):
            self.line(f"let b{j} = stage[{second}i + (tx + {tile.across * j}i) * {pitch}i + step];")
        for letter in "xyzw":
            for i in range(tile.row_block):
                for j in range(tile.column_block):
                    name = f"{target}{i}_{j}"
                    self.line(f"{name} = fma(a{i}.{letter}, b{j}.{letter}, {name});")
        self.close()
        self.line("workgroupBarrier();")
        self.close()

    def sums(self, target: str, size: int) -> int:
        """Declare a row of results for each own row; gives how many words of it an invocation has."""
        each = -(-words(size) // self.tile.across)
        for i in range(self.tile.row_block):
            self.line(*(f"var {target}{i}_{n} = vec4<f32>();" for n in range(each)))
        return each

    def put_weights(self, source: str) -> None:
        """The invocation's tile of weights into workgroup memory."""
        tile = self.tile
        for j in range(tile.column_block):
            self.open("")
            self.line(f"let column = tx + {tile.across * j}i;")
            for i in range(tile.row_block):
                row = f"(ty + {tile.down * i}i) * {tile.pitch}i"
                self.line(f"weights[{row} + (column >> 2u)][column & 3i] = {source}{i}_{j};")
            self.close()

    def accumulate(self, target: str, each: int, other: str, base: str) -> None:
        """``target`` plus the weights in workgroup memory by the other rows; waits before it and after it."""
        tile = self.tile
        width = each * tile.across
        keys = tile.columns
        while keys * width > tile.staged:
            keys //= 2
        if keys < 4:
            raise KernelError(f"attention: heads of {width * 4} elements do not fit the tile; choose a larger one")
        self.open(f"for (var part = 0i; part < {tile.columns}i; part += {keys}i)")
        self.stage(other, base, "other + part", keys, "0i", width, 0, width)
        self.line("workgroupBarrier();")
        self.open(f"for (var step = 0i; step < {keys // 4}i; step++)")
        for i in range(tile.row_block):
            self.line(f"let p{i} = weights[(ty + {tile.down * i}i) * {tile.pitch}i + (part >> 2u) + step];")
        for n in range(each):
            for lane, letter in enumerate("xyzw"):
                place = f"(step * 4i + {lane}i) * {width}i + tx + {tile.across * n}i"
                self.line(f"let v{n}_{lane} = stage[{place}];")
                for i in range(tile.row_block):
                    name = f"{target}{i}_{n}"
                    self.line(f"{name} = fma(vec4<f32>(p{i}.{letter}), v{n}_{lane}, {name});")
        self.close()
        self.line("workgroupBarrier();")
        self.close()

    def store(self, name: str, view: View, source: str, each: int, size: int, base: str, count: str) -> None:
        """The invocation's words of rows of results, ``source{i}_{n}``, to their places."""
        tile, p = self.tile, self.module.parameter
        for i in range(tile.row_block):
            self.open(f"if (first + ty + {tile.down * i}i < {count})")
            self.line(f"let start = {base} + (first + ty + {tile.down * i}i) * {p(f'{name}_l')};")
            for n in range(each):
                self.open("")
                self.line(f"let word = tx + {tile.across * n}i;", f"let four = {source}{i}_{n};")
                if view.vector == 4:
                    self.open(f"if (word < {words(size)}i)")
                    self.line(
                        "let index = start + word * 4i;",
                        f"{view.all4('index', 'four', self.module.declarations)};",
                    )
                    self.close()
                else:
                    for lane, letter in enumerate("xyzw"):
                        self.open(f"if (word * 4i + {lane}i < {size}i)")
                        self.line(
                            f"let index = start + (word * 4i + {lane}i) * {p(f'{name}_d')};",
                            f"let value = four.{letter};",
                            *view.store("index", "value", self.module.declarations),
                        )
                        self.close()
                self.close()
            self.close()
