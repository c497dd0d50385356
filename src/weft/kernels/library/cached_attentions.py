"""The interface of ``cached_attention``'s kernels: buffers, parameters, and how keys and tokens are divided.

Queries and results are (tokens, heads, size), keys and values (pages, page size, shared heads, size); a head's elements
have unit stride, all other strides are free. ``pages``, ``rows``, ``positions`` and ``sinks`` are contiguous. Where the
keys of a token are divided into pieces, a kernel writes for each token, head and piece ``parts``, the sum of the values
weighted by the exponentials of the scores, and ``stats``, the largest score and the sum of the exponentials.
"""

from __future__ import annotations

CPU_KEYS = 32
"""Keys of a tile on the CPU."""
CPU_ROWS = 48
"""The most query rows, a token's heads each, that share a tile of keys on the CPU."""
CPU_UNITS = 16
"""The least units of work into which the CPU divides the keys of a token."""
GPU_KEYS = 128
"""Keys of a tile on a GPU, one for each invocation of a workgroup."""
GPU_ROWS = 16
"""The most query rows that share a tile of keys on a GPU, unless the heads of one token are more."""
GPU_PARTS = 8
"""The partial maxima of each query row, without subgroups."""
GPU_FIXED = 2600
"""The bytes of workgroup memory that do not depend on the number of rows, at most."""
GPU_PIECES = 16
"""The most pieces into which a GPU divides the keys of a token."""
HIDDEN = -2.3e38
"""The largest score of no keys, below every score of a model; finite times log2(e), as drivers differ in exp2(-inf)."""

SIZES = ("tokens", "shared", "columns", "capacity", "window", "scale", "softcap")
"""``shared`` heads of keys and values, ``columns`` of the page table, positions that it holds (``capacity``)."""
_ROW, _CACHE, _DENSE = ("offset", "n", "h"), ("offset", "p", "s", "h"), ("offset",)
_SUFFIXES = {"q": _ROW, "k": _CACHE, "v": _CACHE, "out": _ROW}


def suffixes(name: str) -> tuple[str, ...]:
    """Return the suffixes of a buffer's parameters: its offset and strides."""
    return _SUFFIXES.get(name, _DENSE)


def reads(sinks: bool) -> tuple[str, ...]:
    """Return the names of the buffers that a kernel reads, in order."""
    return ("q", "k", "v", "pages", "rows", "positions", *(("sinks",) if sinks else ()))


def writes(pieces: int) -> tuple[str, ...]:
    """Return the names of the results, in order."""
    return ("out",) if pieces == 1 else ("parts", "stats")


def parameters(sinks: bool, pieces: int) -> tuple[str, ...]:
    """Return the names of the parameters in order."""
    buffers = (*reads(sinks), *writes(pieces))
    return (*SIZES, *(f"{name}_{suffix}" for name in buffers for suffix in suffixes(name)))


def cpu_division(tokens_of_row: int, group: int, shared: int) -> tuple[int, int]:
    """Return how many tokens of a row share a tile of keys, and into how many pieces the keys are divided.

    Neither depends on the number of rows, so that the result of a row does not depend on other rows.

    >>> cpu_division(1, 3, 3), cpu_division(256, 3, 3)
    ((1, 5), (16, 1))
    """
    if tokens_of_row == 1:
        return 1, max(1, CPU_UNITS // shared)
    return max(1, min(tokens_of_row, CPU_ROWS // group)), 1


def gpu_division(
    tokens_of_row: int, group: int, capacity: int, size: int, memory: int
) -> tuple[int, int, int]:
    """Return the same for a GPU with ``memory`` bytes for a workgroup, and how many heads of a token it has.

    The number of pieces follows from the capacity of the page table.

    >>> gpu_division(1, 7, 2048, 64, 16384), gpu_division(256, 7, 2048, 64, 16384)
    ((1, 16, 7), (2, 1, 7))
    """
    most = max(1, min(GPU_ROWS, (memory - GPU_FIXED) // (16 * words(size) + 4 * (GPU_KEYS + GPU_PARTS + 2))))
    heads = block_rows(group, most)
    if tokens_of_row == 1:
        return 1, max(1, min(GPU_PIECES, capacity // GPU_KEYS)), heads
    return max(1, min(tokens_of_row, most // heads)), 1, heads


def words(size: int) -> int:
    """Return the words of 4 elements that hold a head's elements."""
    return -(-size // 4)


def block_rows(rows: int, most: int = 8) -> int:
    """Return the rows that are computed together, of ``rows``: few are left over in the last block.

    >>> block_rows(3), block_rows(7), block_rows(48), block_rows(10)
    (3, 7, 8, 5)
    """
    blocks = -(-rows // most)
    return -(-rows // blocks)


def cpu_layout(rows: int, size: int, value_size: int) -> dict[str, int]:
    """Return where a job on the CPU has its arrays, in floats: each begins at a multiple of 16, the last is ``end``.

    ``queries`` and ``sums`` are (rows, size) with sizes filled up to multiples of 16, ``keys`` (size, tile), which is
    transposed, ``values`` (tile, size), ``scores`` (rows, tile); ``largest`` and ``totals`` have a number for each row.
    Rows are filled up to whole blocks.
    """
    block = block_rows(rows)
    padded = -(-rows // block) * block
    wide, value_wide = (-(-each // 16) * 16 for each in (size, value_size))
    arrays = {
        "queries": padded * wide, "keys": wide * CPU_KEYS, "values": CPU_KEYS * value_wide,
        "scores": padded * CPU_KEYS, "sums": padded * value_wide, "largest": padded, "totals": padded,
    }  # fmt: skip
    places, at = {}, 0
    for name, count in arrays.items():
        places[name] = at
        at += -(-count // 16) * 16
    return {**places, "end": at}
