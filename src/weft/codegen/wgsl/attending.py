"""The skeleton of attention kernels: a tile of own rows against tile after tile of other rows.

A workgroup's invocations form a grid; each has ``row_block`` own rows and, of a tile of scores, ``column_block``
columns, both spread evenly. Scores are products over the heads' elements, staged a few at a time; weights made of
them lie in workgroup memory, from which rows of results are summed up in registers. All numbers are float32.

Workgroup memory is an array for each of an invocation's rows and columns, ``rows0[ty][word]`` … and
``others0[word][tx]`` …, and loops over it are written out: an index that is a constant is not checked against the
array's length, and a variable index is checked once for all. ``rows`` hold own rows while scores are made of them, then
each row's partial maxima, then weights: less memory is more workgroups at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from weft.codegen.wgsl.module import Module
from weft.codegen.wgsl.storage import View
from weft.errors import KernelError
from weft.kernels.library.attentions import TILES, Tile


def choose_tile(options: dict[str, int | str | bool]) -> Tile:
    """Return the tile that the options name."""
    name = str(options.get("tile"))
    if name not in TILES:
        raise KernelError(f"attention: tile is {name!r}, expected one of {', '.join(TILES)}")
    return TILES[name]


def words(size: int) -> int:
    """Return the words of 4 elements that hold a head's elements."""
    return -(-size // 4)


@dataclass(frozen=True)
class Load:
    """Rows of words for ``count`` arrays, of which each takes ``rows`` of ``across`` words.

    ``row`` is the text of where a row comes from: ``{n}`` is the array's number, ``{at}`` the row in it; ``place`` that
    of where the word ``column`` of row ``at`` goes.
    """

    name: str
    arrays: str
    count: int
    base: str
    rows: int
    across: int
    row: str
    place: str

    @property
    def each(self) -> int:
        """Words of an array."""
        return self.rows * self.across


@dataclass(frozen=True)
class _Item:
    """A word that each invocation loads: its place in an array, the array's number, and the possible arrays."""

    place: str
    number: str
    arrays: range
    partial: bool


@dataclass
class Skeleton:
    """Collects the statements of a kernel, which gives its own names to own and other rows."""

    module: Module
    tile: Tile
    lines: list[str] = field(default_factory=list)
    _depth: int = 1

    def line(self, *texts: str) -> None:
        """Append statements at the current indentation."""
        self.lines += ["    " * self._depth + text for text in texts]

    def open(self, head: str) -> None:
        """Begin a block."""
        self.line(f"{head} {{")
        self._depth += 1

    def close(self) -> None:
        """End a block."""
        self._depth -= 1
        self.line("}")

    def steps(self, count: int) -> Iterator[str]:
        """Iterate over ``count`` steps: unrolled, or as a loop on a software rasteriser, whose compiler is slow."""
        if self.module.profile.software:
            self.open(f"for (var step = 0i; step < {count}i; step++)")
            yield "step"
            self.close()
            return
        for step in range(count):
            self.open("")
            yield f"{step}i"
            self.close()

    def begin(self) -> None:
        """Declare the workgroup's memory, and each invocation's place in the grid."""
        tile, shared = self.tile, self.module.shared
        for i in range(tile.row_block):
            shared(f"rows{i}", f"array<vec4<f32>, {tile.row_words}>", tile.down)
        for j in range(tile.column_block):
            shared(f"others{j}", f"array<vec4<f32>, {tile.across + 1}>", tile.depth)
        self.line(f"let tx = i32(local) % {tile.across}i;", f"let ty = i32(local) / {tile.across}i;")

    # Memory.

    def reader(self, name: str, view: View, size: int, count: str) -> None:
        """Add a function ``{name}_at(base, row, word)``: four elements of a row, 0 beyond the rows and the row's end.

        It has no branches, so that several loads can be in flight: places outside are read at ``base``.
        """
        p = self.module.parameter
        lines = [
            f"fn {name}_at(base: i32, row: i32, word: i32) -> vec4<f32> {{",
            f"    let inside = row < {count} && word < {words(size)}i;",
            f"    let start = base + row * {p(f'{name}_l')};",
        ]
        if view.vector == 4:
            lines += [
                "    let index = select(base, start + word * 4i, inside);",
                f"    return select(vec4<f32>(), {view.load4('index')}, inside);",
            ]
        else:
            lines.append(f"    let step = {p(f'{name}_d')};")
            for lane in range(4):
                lines += [
                    f"    let inside{lane} = inside && word * 4i + {lane}i < {size}i;",
                    f"    let index{lane} = select(base, start + (word * 4i + {lane}i) * step, inside{lane});",
                    f"    let found{lane} = select(0.0f, {view.load(f'index{lane}')}, inside{lane});",
                ]
            lines.append("    return vec4<f32>(found0, found1, found2, found3);")
        self.module.functions.append("\n".join([*lines, "}"]))

    def fetch(self, loads: Sequence[Load], word: str, declare: bool = False) -> None:
        """Load an invocation's share of rows into registers, with no use of them yet."""
        for load in loads:
            for number, item in enumerate(self._items(load)):
                at, column = f"({item.place} / {load.across}i)", f"{item.place} % {load.across}i"
                row = load.row.format(n=item.number, at=at)
                name = f"{'var ' if declare else ''}{load.arrays}_{load.name}{number}"
                self.line(f"{name} = {load.name}_at({load.base}, {row}, {word} + {column});")

    def keep(self, loads: Sequence[Load]) -> None:
        """Store fetched rows in workgroup memory."""
        for load in loads:
            for number, item in enumerate(self._items(load)):
                self._keep(load, item, f"{load.arrays}_{load.name}{number}")

    def _keep(self, load: Load, item: _Item, value: str) -> None:
        self.open("")
        self.line(f"let at = {item.place} / {load.across}i;", f"let column = {item.place} % {load.across}i;")
        for n in item.arrays:
            side_by_side = load.each < self.tile.invocations
            choice = [f"i32(local) / {load.each}i == {n - item.arrays[0]}i"] if side_by_side else []
            choice += [f"{item.place} < {load.each}i"] if item.partial else []
            store = f"{load.arrays}{n}{load.place} = {value};"
            self.line(f"if ({' && '.join(choice)}) {{ {store} }}" if choice else store)
        self.close()

    def _items(self, load: Load) -> list[_Item]:
        """Return the words that an invocation loads."""
        team, found = self.tile.invocations, []
        together = max(1, team // load.each)  # arrays that the invocations fill side by side
        for first in range(0, load.count, together):
            arrays = range(first, min(first + together, load.count))
            number = f"{first}i" if together == 1 else f"({first}i + i32(local) / {load.each}i)"
            for start in range(0, load.each, team):
                place = f"(i32(local) % {load.each}i)" if together > 1 else f"({start}i + i32(local))"
                found.append(_Item(place, number, arrays, together == 1 and start + team > load.each))
        return found

    # Products.

    def scores(self, target: str, own: str, own_base: str, other: str, other_base: str, size: int) -> None:
        """Write ``target{i}_{j}``, the products of own row i and other row j over the elements of a head."""
        tile, depth = self.tile, min(self.tile.depth, words(size))
        self.line(
            *(f"var {target}{i}_{j} = 0.0f;" for i in range(tile.row_block) for j in range(tile.column_block))
        )
        loads = (
            Load(own, "rows", tile.row_block, own_base, tile.down, depth,
                 f"first + {{n}} * {tile.down}i + {{at}}", "[at][column]"),
            Load(other, "others", tile.column_block, other_base, tile.across, depth,
                 f"other + {{n}} * {tile.across}i + {{at}}", "[column][at]"),
        )  # fmt: skip
        self.open("")
        if tile.ahead:
            self.fetch(loads, "0i", declare=True)
        self.open(f"for (var word = 0i; word < {words(size)}i; word += {depth}i)")
        if not tile.ahead:
            self.fetch(loads, "word", declare=True)
        self.keep(loads)
        self.line("workgroupBarrier();")
        if tile.ahead and words(size) > depth:
            self.fetch(loads, f"word + {depth}i")
        for step in self.steps(depth):
            self.line(*(f"let a{i} = rows{i}[ty][{step}];" for i in range(tile.row_block)))
            self.line(*(f"let b{j} = others{j}[{step}][tx];" for j in range(tile.column_block)))
            for letter in "xyzw":
                for i in range(tile.row_block):
                    for j in range(tile.column_block):
                        name = f"{target}{i}_{j}"
                        self.line(f"{name} = fma(a{i}.{letter}, b{j}.{letter}, {name});")
        self.line("workgroupBarrier();")
        self.close()
        self.close()

    def sums(self, target: str, size: int) -> int:
        """Declare a row of results for each own row; return how many words of it an invocation has."""
        each = -(-words(size) // self.tile.across)
        for i in range(self.tile.row_block):
            self.line(*(f"var {target}{i}_{n} = vec4<f32>();" for n in range(each)))
        return each

    def put_weights(self, source: str) -> None:
        """Store the invocation's tile of weights in workgroup memory."""
        tile = self.tile
        self.open("")
        self.line("let lane = tx & 3i;")
        for j in range(tile.column_block):
            for i in range(tile.row_block):
                self.line(f"rows{i}[ty][(tx >> 2u) + {tile.across // 4 * j}i][lane] = {source}{i}_{j};")
        self.close()

    def values(self, each: int, other: str, base: str) -> Load:
        """Fetch the first other rows of a sum before they are needed; return the load of all its rows."""
        tile, keys = self.tile, self.tile.columns
        while keys // 4 * each > tile.depth:
            keys //= 2
        if keys < 4:
            raise KernelError(
                f"attention: heads of {each * tile.across * 4} elements do not fit the tile; choose a larger one"
            )
        place = f"[at * {each}i + column / {tile.across}i][column % {tile.across}i]"
        row = "other + {part} + {at} * 4i + {n}"
        load = Load(other, "others", 4, base, keys // 4, each * tile.across, row, place)
        if tile.ahead:
            self.fetch([_at_part(load, "0i")], "0i", declare=True)
        return load

    def accumulate(self, target: str, each: int, load: Load) -> None:
        """Add the products of weights in workgroup memory and other rows to ``target``, between two barriers.

        Of every four rows the first is in ``others0``, the second in ``others1``, and so on.
        """
        tile, keys = self.tile, load.rows * 4
        self.open(f"for (var part = 0i; part < {tile.columns}i; part += {keys}i)")
        if not tile.ahead:
            self.fetch([_at_part(load, "part")], "0i", declare=True)
        self.keep([load])
        self.line("workgroupBarrier();")
        if tile.ahead and keys < tile.columns:
            self.fetch([_at_part(load, f"part + {keys}i")], "0i")
        for step in self.steps(keys // 4):
            self.line(f"let mine = (part >> 2u) + {step};")
            self.line(*(f"let p{i} = rows{i}[ty][mine];" for i in range(tile.row_block)))
            for n in range(each):
                for lane, letter in enumerate("xyzw"):
                    self.line(f"let v{n}_{lane} = others{lane}[{step} * {each}i + {n}i][tx];")
                    for i in range(tile.row_block):
                        name = f"{target}{i}_{n}"
                        self.line(f"{name} = fma(vec4<f32>(p{i}.{letter}), v{n}_{lane}, {name});")
        self.line("workgroupBarrier();")
        self.close()

    def share(self, name: str, joined: str) -> None:
        """Join a value of each own row over the invocations that share the row; each of them then has it."""
        tile = self.tile
        for i in range(tile.row_block):
            self.line(f"rows{i}[ty][tx >> 2u][tx & 3i] = {name}{i};")
        self.line("workgroupBarrier();")
        self.open("")
        for i in range(tile.row_block):
            texts = [f"rows{i}[ty][{u}i]" for u in range(tile.across // 4)]
            self.line(f"let all{i} = {_tree(texts, joined)};")
            self.line(f"{name}{i} = {_tree([f'all{i}.{letter}' for letter in 'xyzw'], joined)};")
        self.close()
        self.line("workgroupBarrier();")

    def store(self, name: str, view: View, source: str, each: int, size: int, base: str, count: str) -> None:
        """Write the invocation's words of result rows, ``source{i}_{n}``."""
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


def _tree(texts: list[str], joined: str) -> str:
    """Join texts pairwise, as a binary tree."""
    while len(texts) > 1:
        texts = [joined.format(*texts[at : at + 2]) for at in range(0, len(texts), 2)]
    return texts[0]


def _at_part(load: Load, part: str) -> Load:
    """Return the load of the rows from ``part`` of the tile on."""
    return replace(load, row=load.row.replace("{part}", part))
