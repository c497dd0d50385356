"""The kernels of a matrix product on a GPU: a tiled kernel, with split-K for deep products, or a matrix-vector kernel.

The choice depends only on sizes, strides and the class of the adapter, so that the order of a product's additions is
the same in every run. The summed dimension is called the depth (k).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from weft.kernels import Argument, Builder, KernelProgram, KernelStep, Library, Offset, Operand
from weft.ops.registry import sharing
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.machines import STAGE, Machine, fitting, machine
from weft.ops.registry.temporaries import Scratch
from weft.target import TargetProfile

SHORT = 512
"""Depth up to which results are stored as vectors of four: accumulators in vectors cost an H200's longer loops 5%."""
LONG = 2048
"""The same limit where more than one result is stored: for split-K and for the outputs of an epilogue."""
FUSED = 1 << 23
"""Elements up to which a matrix is multiplied by a vector in a derived kernel, which fuses with others: it reads them
in the time of a dispatch or two."""
TINY = 1 << 15
"""Multiplications up to which the derived kernel is as fast as any other."""
ROWS_EACH = ((4, 8192), (2, 2048), (1, 0))
"""Pairs of the rows that a workgroup of ``matvec`` takes, and the number of rows from which on it takes them."""
Choice = tuple[str, int]
"""The name of a tile, and the number of pieces that split-K cuts the depth into (1 is no split)."""
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
SHORTEST = 64
"""The least depth of a piece; pieces are multiples of the tiles' depth."""


@dataclass(frozen=True)
class Asked:
    """A product to choose a kernel for: its sizes, its types, and the operands' alignment (``ProductLayout.fours``)."""

    batches: int
    m: int
    n: int
    k: int
    types: tuple[str, str, str] = ("float32", "float32", "float32")
    fours: tuple[str, str] = ("", "")

    def __str__(self) -> str:
        types = ",".join(dict.fromkeys(self.types))
        fours = "/".join(four or "-" for four in self.fours)
        return f"matmul {self.batches}x{self.m}x{self.n}x{self.k} {types} {fours}"


def choose(profile: TargetProfile, asked: Asked) -> Choice:
    """Return the tile and the number of pieces: the choice tuned on the adapter, or the fastest by the cost model."""
    tuned = profile.choices.get(str(asked)) if profile.choices else None
    if tuned is not None and tuned in possible(profile, asked):
        return tuned
    return candidates(profile, asked)[0]


def possible(profile: TargetProfile, asked: Asked) -> list[Choice]:
    """Return all tiles and numbers of pieces that the target can run."""
    splits = [count for count in SPLITS if count == 1 or piece(asked.k, count) >= SHORTEST]
    if profile.software:
        splits = [1]
    names = [*(["software"] if profile.software else []), *fitting(profile, asked.fours.count("depth"))]
    return [(name, count) for name in names for count in splits]


def candidates(profile: TargetProfile, asked: Asked) -> list[Choice]:
    """Return the possible choices, the fastest by the cost model first; in a fixed order on software adapters."""
    choices = possible(profile, asked)
    if profile.software:
        return choices
    return sorted(choices, key=lambda choice: (_time(machine(profile), asked, *choice), choice))


def _time(adapter: Machine, asked: Asked, name: str, splits: int) -> float:
    """Return the time of a product by the cost model, in microseconds."""
    tile = adapter.speeds[name]
    tiles = -(-asked.m // tile.rows) * -(-asked.n // tile.columns) * asked.batches
    busiest = -(-tiles * splits // adapter.processors)  # workgroups of one processor
    steps = piece(asked.k, splits) + tile.around
    whole = busiest * tile.rows * tile.columns * 2 * steps / (tile.teraflops * 1e6 / adapter.processors)
    time = max(whole, -(-busiest // tile.at_once) * steps * tile.step)
    if splits > 1:
        time += adapter.second + 8 * asked.batches * asked.m * asked.n * (splits + 1) / adapter.bandwidth
    return time


def piece(k: int, splits: int) -> int:
    """Return the depth of each of ``splits`` pieces."""
    return -(-k // (splits * STAGE)) * STAGE if splits > 1 else k


@dataclass(frozen=True)
class ProductLayout:
    """A product over two batch dimensions: its sizes, and for each operand the batch, row and column strides."""

    batch: tuple[int, int]
    m: int
    n: int
    k: int
    a: tuple[int, ...]
    b: tuple[int, ...]
    c: tuple[int, ...]

    def step(
        self, a: Operand, b: Operand, c: Operand, options: tuple[tuple[str, int | str | bool], ...] = ()
    ) -> KernelStep:
        """Return the library kernel's call that writes the whole product."""
        values: list[Argument] = [*self.batch, self.m, self.n, self.k]
        for operand, strides in ((a, self.a), (b, self.b), (c, self.c)):
            values += [Offset(operand.index), *strides]
        library = Library("matmul", (a.dtype, b.dtype, c.dtype), options)
        return KernelStep(library, (a.index, b.index, c.index), tuple(values))

    def fours(self, a: Operand, b: Operand) -> tuple[str, str]:
        """Return along which dimension aligned vectors of four elements can be loaded from each operand.

        ``"depth"``, ``"outer"`` (the rows of a, the columns of b), or empty where neither is possible.
        """
        return (
            _fours(a.aligned, self.a[:2], (self.a[2], self.m), (self.a[3], self.k)),
            _fours(b.aligned, self.b[:2], (self.b[3], self.n), (self.b[2], self.k)),
        )

    def rows_in_fours(self, c: Operand) -> bool:
        """Return whether the result's rows can be stored as aligned vectors of four elements."""
        return _fours(c.aligned, self.c[:2], (self.c[3], self.n), (self.c[2], self.m)) == "outer"


def _fours(aligned: bool, batch: Sequence[int], outer: tuple[int, int], depth: tuple[int, int]) -> str:
    if not aligned or any(stride % 4 for stride in batch):
        return ""
    if depth[0] == 1 and depth[1] % 4 == 0 and outer[0] % 4 == 0:
        return "depth"
    return "outer" if outer[0] == 1 and outer[1] % 4 == 0 and depth[0] % 4 == 0 else ""


def gpu_program(
    a: Operand, b: Operand, c: Operand, layout: ProductLayout, profile: TargetProfile, first_temporary: int
) -> KernelProgram:
    """Return the product as one kernel, or by split-K as partial products and the kernel that sums them."""
    if not profile.software:
        special = _vector_program(a, b, c, layout, profile, first_temporary)
        if special is not None:
            return special
    batches = layout.batch[0] * layout.batch[1]
    fours = layout.fours(a, b)
    types = (a.dtype.name, b.dtype.name, c.dtype.name)
    tile, splits = choose(profile, Asked(batches, layout.m, layout.n, layout.k, types, fours))
    options: tuple[tuple[str, int | str | bool], ...] = (("tile", tile), ("a", fours[0]), ("b", fours[1]))
    if splits == 1:
        return KernelProgram(
            (layout.step(a, b, c, (*options, ("c", layout.k < SHORT and layout.rows_in_fours(c)))),)
        )
    shape = (splits, *layout.batch, layout.m, layout.n)
    accumulator = c.dtype.compute
    scratch = Scratch(first_temporary)
    pieces = scratch.take(accumulator, shape)
    cut = replace(layout, c=pieces.strides[1:])
    wide = piece(layout.k, splits) < LONG and cut.rows_in_fours(pieces)
    whole = cut.step(a, b, pieces, (*options, ("c", wide), ("split", True)))
    first = replace(whole, arguments=(*whole.arguments, splits, piece(layout.k, splits), pieces.strides[0]))
    target = Operand(c.index, c.dtype, shape[1:], layout.c, c.slot, c.aligned)
    return scratch.program((first, sum_pieces(pieces, target)))


def sum_pieces(pieces: Operand, target: Operand) -> KernelStep:
    """Return the kernel of ``target = pieces.sum(0)``, which adds in order; a contiguous target is one dimension."""
    shape, strides = target.shape, target.strides
    if strides == contiguous_strides(shape):
        shape, strides = (math.prod(shape),), (1,)
    builder = Builder("sum_pieces")
    points = builder.axes(shape)
    (number,) = builder.reduce_axes((pieces.shape[0],))
    total = builder.reduce(
        "sum", builder.load(pieces, [number, *points], (pieces.strides[0], *contiguous_strides(shape)))
    )
    builder.store(target, points, total, strides)
    return builder.finish()


def _vector_program(
    a: Operand, b: Operand, c: Operand, layout: ProductLayout, profile: TargetProfile, free: int
) -> KernelProgram | None:
    """Return a product with one row or one column, or ``None`` where neither form of it applies.

    The product is memory-bound: the matrix is read once, in the order of its elements.
    """
    if layout.n == 1:
        matrix, vector, row, along, other = a, b, layout.a[2], layout.a[3], layout.b[2]
        rows, m_batch, v_batch, y = layout.m, layout.a[:2], layout.b[:2], layout.c[2]
    elif layout.m == 1:
        matrix, vector, row, along, other = b, a, layout.b[3], layout.b[2], layout.a[3]
        rows, m_batch, v_batch, y = layout.n, layout.b[:2], layout.a[:2], layout.c[3]
    else:
        return None
    fused = layout.batch == (1, 1) and rows * layout.k <= FUSED
    if along == 1 and other == 1 and not fused:
        strides = (*m_batch, *v_batch, row, layout.k)
        word = max(1, 128 // matrix.dtype.bits)
        ready = (
            matrix.aligned
            and vector.aligned
            and matrix.dtype is vector.dtype
            and matrix.dtype.kind == "float"
        )
        if ready and all(stride % word == 0 for stride in strides):
            numbers: list[Argument] = [*layout.batch, rows, layout.k, Offset(matrix.index), *m_batch, row]
            numbers += [Offset(vector.index), *v_batch, Offset(c.index), *layout.c[:2], y]
            group = next(count for count, least in ROWS_EACH if rows >= least)
            library = Library("matvec", (matrix.dtype, vector.dtype, c.dtype), (("rows", group),))
            return KernelProgram(
                (KernelStep(library, (matrix.index, vector.index, c.index), tuple(numbers)),)
            )
    if layout.batch != (1, 1) or (along != 1 and row != 1):
        return None
    return _derived_matvec(
        _view(matrix, (rows, layout.k), (row, along)), _view(vector, (layout.k,), (other,)), _view(c, (rows,), (y,)),
        profile, free,
    )  # fmt: skip


def _view(operand: Operand, shape: tuple[int, ...], strides: tuple[int, ...]) -> Operand:
    return Operand(operand.index, operand.dtype, shape, strides, operand.slot, operand.aligned)


def _derived_matvec(
    matrix: Operand, vector: Operand, y: Operand, profile: TargetProfile, free: int
) -> KernelProgram:
    """Return a matrix by a vector as a derived reduction, in two stages where there are few rows."""
    rows, depth = matrix.shape
    neighbours = matrix.strides[1] == 1
    accumulator = y.dtype.compute
    cut = sharing.pieces(profile, rows, (depth,), neighbours)
    builder = Builder("matvec_fold")
    if cut is None:
        (i,), (r,) = builder.axes((rows,)), builder.reduce_axes((depth,))
        product = builder.load(matrix, [i, r]) * builder.load(vector, [r])
        builder.store(y, [i], builder.reduce("sum", product))
        return KernelProgram((builder.finish(1, sharing.team(profile, rows, depth, neighbours)),))
    shape = (cut.count, rows)
    scratch = Scratch(free)
    pieces = scratch.take(accumulator, shape)
    number, i = builder.axes(shape)
    (r,) = builder.reduce_axes((cut.length,))
    at = number * builder.integer("length", cut.length) + r
    valid = None if cut.exact else at < builder.integer("total", depth)
    product = builder.load(matrix, [i, at], None, valid) * builder.load(vector, [at], None, valid)
    builder.store(pieces, [number, i], builder.reduce("sum", product))
    first = builder.finish(1, sharing.team(profile, rows * cut.count, cut.length, neighbours))
    return scratch.program((first, sum_pieces(pieces, y)))
