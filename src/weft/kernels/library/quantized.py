"""How quantised matrices lie in memory, which ops, templates and packing agree on.

A matrix (rows, columns) is cut into blocks of ``ROWS`` rows and groups of ``GROUP`` columns. Each block has its groups
in order. A group holds, for every four neighbouring columns (a *quad*), those columns of each of its rows in turn: what
a processor's dot product of four bytes multiplies at a time. With 4 bits, a byte holds in its low half a column of the
first half of the group and in its high half the column 16 after it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ROWS = 16
"""Rows that lie interleaved."""
GROUP = 32
"""Columns of a group, which lie together; a row has a whole number of groups."""
SCALE_COLUMNS = 16
"""Fewest columns that share a scale; every scale belongs to a multiple of as many columns."""
QUAD = 4


def activation_group(groups: int, scales: int) -> int:
    """Return the columns by which activations are quantised, for rows of ``groups`` groups and ``scales`` scales.

    >>> activation_group(8, 4), activation_group(8, 8), activation_group(8, 16)
    (32, 32, 16)
    """
    return GROUP if groups % scales == 0 else SCALE_COLUMNS


def group_bytes(bits: int) -> int:
    """Return the bytes of a group of a block."""
    return ROWS * GROUP * bits // 8


def interleave(quants: Any, bits: int) -> Any:
    """Return unsigned numbers (rows, columns) of ``bits`` bits in that layout: uint8 (blocks, groups, bytes).

    Rows are filled up to whole blocks with zeros.

    >>> interleave(np.arange(32, dtype=np.uint8)[None] % 16, 4).shape
    (1, 1, 256)
    """
    rows, columns = quants.shape
    padded = np.zeros((-(-rows // ROWS) * ROWS, columns), np.uint8)
    padded[:rows] = quants
    blocks = padded.reshape(-1, ROWS, columns // GROUP, GROUP // QUAD, QUAD).transpose(0, 2, 3, 1, 4)
    if bits == 4:
        half = GROUP // QUAD // 2
        blocks = blocks[:, :, :half] | (blocks[:, :, half:] << 4)
    return np.ascontiguousarray(blocks).reshape(len(blocks), columns // GROUP, group_bytes(bits))


def interleave_scales(scales: Any) -> Any:
    """Return numbers of groups (rows, groups) as (blocks, groups, ROWS), filled up with zeros."""
    rows, groups = scales.shape
    padded = np.zeros((-(-rows // ROWS) * ROWS, groups), scales.dtype)
    padded[:rows] = scales
    return np.ascontiguousarray(padded.reshape(-1, ROWS, groups).transpose(0, 2, 1))


def separate(packed: Any) -> Any:
    """Return the numbers of ``interleave``, uint8 (rows, columns), rows that fill up included."""
    blocks, groups, size = packed.shape
    quads = packed.reshape(blocks, groups, -1, ROWS, QUAD)
    if size == group_bytes(4):
        quads = np.concatenate([quads & 15, quads >> 4], axis=2)
    return quads.transpose(0, 3, 1, 2, 4).reshape(blocks * ROWS, groups * GROUP)
