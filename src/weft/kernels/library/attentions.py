"""The interface of the attention kernels: buffers, parameters and tile sizes of each form.

Tensors are (batch, length, heads, size) with any strides. ``sums`` (batch, heads, length, 2: the largest score, and 1
over the sum of exponentials) and ``stats`` (batch, heads, length, 3: ``sums``, then the sum of the output times its
gradient) are contiguous. The parameters are ``SIZES``, then offset and strides of each buffer in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SIZES = ("batch", "heads", "shared", "l", "s", "scale")
"""``heads`` query heads share ``shared`` heads of keys and values; ``l`` queries, ``s`` keys."""
STRIDED = ("offset", "b", "l", "h", "d")
MASKED = ("offset", "b", "h", "l", "s")
DENSE = ("offset",)
CPU_ROWS, CPU_KEYS = 128, 512
"""The queries and keys of a tile of scores on the CPU, which fits a core's cache."""
LARGEST_HEAD = 256
"""The largest head size: the accumulators of a row of results are held in registers."""


@dataclass(frozen=True)
class Tile:
    """A tile of scores on a GPU, own rows by other rows, and each invocation's block of it.

    Heads are staged in workgroup memory ``depth`` words of 4 elements at a time, in rows padded by a word against bank
    conflicts. With ``ahead`` the next stage is prefetched into registers while the current stage is multiplied.
    """

    rows: int
    columns: int
    row_block: int
    column_block: int
    depth: int = 8
    ahead: bool = False

    @property
    def across(self) -> int:
        """The invocations that share a row."""
        return self.columns // self.column_block

    @property
    def down(self) -> int:
        """The invocations that share a column."""
        return self.rows // self.row_block

    @property
    def invocations(self) -> int:
        """The invocations of a workgroup."""
        return self.across * self.down

    @property
    def pitch(self) -> int:
        """The words between the starts of two rows of weights."""
        return self.columns // 4 + 1

    @property
    def row_words(self) -> int:
        """The words of workgroup memory for each own row: staged elements, partial results, weights."""
        return max(self.pitch, self.depth + 1)

    @property
    def memory(self) -> int:
        """The bytes of workgroup memory."""
        return 16 * (self.rows * self.row_words + self.column_block * self.depth * (self.across + 1))


TILES: dict[str, Tile] = {
    "tall": Tile(128, 32, 8, 4),
    "broad": Tile(128, 64, 8, 4),
    "flat": Tile(32, 64, 4, 4, ahead=True),
    "small": Tile(32, 32, 4, 4),
}
LONG = 512
"""The least number of own rows for which large tiles occupy a GPU."""
SUITED = (("tall", 64, LONG), ("broad", 128, LONG), ("flat", LARGEST_HEAD, 0), ("small", LARGEST_HEAD, 0))
"""Tiles with their largest head and their least number of rows, the fastest first (measured on an H200)."""


def tile_for(limits: Mapping[str, int], software: bool, size: int, rows: int) -> str:
    """Return the tile for heads of ``size`` and ``rows`` own rows: the first of ``SUITED`` within the target's limits.

    The last tile fits all targets. A software rasteriser always gets the last tile, which it compiles fastest.
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
    """The inputs of a form, without the mask, which follows them, and its outputs."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def reads(self, masked: bool) -> tuple[str, ...]:
        """Return all inputs."""
        return (*self.inputs, "mask") if masked else self.inputs


FORMS = {
    "forward": Form(("q", "k", "v"), ("out", "sums")),
    "query": Form(("q", "k", "v", "grad", "stats"), ("dq",)),
    "key": Form(("q", "k", "v", "grad", "stats"), ("dk", "dv")),
    "backward": Form(("q", "k", "v", "grad", "stats"), ("dq", "dk", "dv")),
}
"""The forms. ``query`` and ``key``, with workgroups over queries and over keys, together compute ``backward``."""


def of_buffer(name: str) -> tuple[str, ...]:
    """Return the suffixes of a buffer's parameters: its offset and strides."""
    if name == "mask":
        return MASKED
    return DENSE if name in ("sums", "stats") else STRIDED


def parameters(form: str, masked: bool) -> tuple[str, ...]:
    """Return the names of a form's parameters in order."""
    buffers = (*FORMS[form].reads(masked), *FORMS[form].outputs)
    return (*SIZES, *(f"{name}_{part}" for name in buffers for part in of_buffer(name)))
