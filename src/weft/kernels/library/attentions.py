"""What the kernels of attention take: buffers and parameters of each form, for templates and lowerings alike.

Tensors are (batch, length, heads, size) with any strides; ``sums`` (batch, heads, length, 2: the largest score and 1
over the sum of exponentials) and ``stats`` (batch, heads, length, 3: ``sums``, then the sum of the output times its
gradient) are dense. Parameters are ``SIZES``, then for
each buffer in order its offset and strides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SIZES = ("batch", "heads", "shared", "l", "s", "scale")
"""``shared`` heads of keys and values for ``heads`` of queries; ``l`` queries, ``s`` keys."""
STRIDED = ("offset", "b", "l", "h", "d")
MASKED = ("offset", "b", "h", "l", "s")
DENSE = ("offset",)
CPU_ROWS, CPU_KEYS = 128, 512
"""On the CPU: queries and keys of a tile of scores, which stays in a processor's own cache."""
LARGEST_HEAD = 256
"""Elements of a head, at most: the sums of a row of results are held in registers."""


@dataclass(frozen=True)
class Tile:
    """On a GPU: own rows by other rows of a tile of scores, and each invocation's share of it.

    Heads are staged ``depth`` words of 4 elements at a time, rows padded by a word against bank conflicts. ``ahead``
    loads what comes next into registers while the present stage is multiplied.
    """

    rows: int
    columns: int
    row_block: int
    column_block: int
    depth: int = 8
    ahead: bool = False

    @property
    def across(self) -> int:
        """Invocations that share a row."""
        return self.columns // self.column_block

    @property
    def down(self) -> int:
        """Invocations that share a column."""
        return self.rows // self.row_block

    @property
    def invocations(self) -> int:
        """Invocations of a workgroup."""
        return self.across * self.down

    @property
    def pitch(self) -> int:
        """Words from a row of weights to the next."""
        return self.columns // 4 + 1

    @property
    def row_words(self) -> int:
        """Words that workgroup memory has for each own row: staged elements, partial results, weights."""
        return max(self.pitch, self.depth + 1)

    @property
    def memory(self) -> int:
        """Bytes of workgroup memory."""
        return 16 * (self.rows * self.row_words + self.column_block * self.depth * (self.across + 1))


TILES: dict[str, Tile] = {
    "tall": Tile(128, 32, 8, 4),
    "broad": Tile(128, 64, 8, 4),
    "flat": Tile(32, 64, 4, 4, ahead=True),
    "small": Tile(32, 32, 4, 4),
}
LONG = 512
"""Own rows from which on large tiles keep a GPU busy."""
SUITED = (("tall", 64, LONG), ("broad", 128, LONG), ("flat", LARGEST_HEAD, 0), ("small", LARGEST_HEAD, 0))
"""Tiles with the largest head and the least rows that they are for, the fastest first (measured on an H200)."""


def tile_for(limits: Mapping[str, int], software: bool, size: int, rows: int) -> str:
    """The tile for heads of ``size`` and so many own rows: the first that suits them and fits the target's limits.

    The last one does always. A software rasteriser gets it too, as it compiles it soonest.
    """
    memory = limits.get("max-compute-workgroup-storage-size", 16384)
    invocations = limits.get("max-compute-invocations-per-workgroup", 256)
    for name, largest, least in SUITED:
        tile = TILES[name]
        fits = tile.memory <= memory and tile.invocations <= invocations
        if not software and fits and size <= largest and rows >= least:
            return name
    return "small"


@dataclass(frozen=True)
class Form:
    """The buffers that a form reads, without the mask, which follows them, and those that it writes."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def reads(self, masked: bool) -> tuple[str, ...]:
        """All inputs."""
        return (*self.inputs, "mask") if masked else self.inputs


FORMS = {
    "forward": Form(("q", "k", "v"), ("out", "sums")),
    "query": Form(("q", "k", "v", "grad", "stats"), ("dq",)),
    "key": Form(("q", "k", "v", "grad", "stats"), ("dk", "dv")),
    "backward": Form(("q", "k", "v", "grad", "stats"), ("dq", "dk", "dv")),
}
"""``query`` and ``key`` together are ``backward``, by workgroups over queries and over keys."""


def of_buffer(name: str) -> tuple[str, ...]:
    """What follows a buffer's name in its parameters: its offset and strides."""
    if name == "mask":
        return MASKED
    return DENSE if name in ("sums", "stats") else STRIDED


def parameters(form: str, masked: bool) -> tuple[str, ...]:
    """The names of a form's parameters in order."""
    own = FORMS[form]
    buffers = (*own.reads(masked), *own.outputs)
    return (*SIZES, *(f"{name}_{part}" for name in buffers for part in of_buffer(name)))
