"""``QuantFormat``: a block of quantised numbers, declared by its fields; packing and reading follow from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from weft import dtypes
from weft.expr.evaluate import evaluate
from weft.expr.parse import parse

Array = np.ndarray[Any, Any]
Parts = tuple[Array, Array, Array | None]
"""Quants (rows, columns), and scales and minima (rows, groups) of a run of rows."""
Kind = Literal["uint", "int", "float16", "bfloat16", "float32", "float"]
"""``float`` is any floating-point type, for fields in a tensor of their own."""


@dataclass(frozen=True)
class Piece:
    """``bits`` neighbouring bits of each entry of a field; ``places`` are their positions in the block.

    The lowest of them is bit ``up`` of the entry.
    """

    bits: int
    places: tuple[int, ...]
    up: int = 0


@dataclass(frozen=True)
class Field:
    """A field of a block: entries of the same ``kind``, each belonging to a run of neighbouring elements.

    The block's elements are shared out evenly: with 32 elements and 2 entries, entry 0 belongs to elements 0 to 15.
    ``int`` is two's complement in as many bits as the pieces have together.
    """

    name: str
    kind: Kind
    pieces: tuple[Piece, ...]

    @property
    def count(self) -> int:
        """Entries in a block."""
        return len(self.pieces[0].places)

    @property
    def bits(self) -> int:
        """Bits of an entry."""
        return max(piece.up + piece.bits for piece in self.pieces)


@dataclass(frozen=True)
class QuantFormat:
    """Blocks of ``nbytes`` bytes that hold ``elements`` numbers, each ``scale * (q - zero) + minimum``.

    ``scale`` and ``minimum`` are expressions over the fields other than ``q``; both are empty in formats that store the
    numbers themselves.

    >>> from weft.models.quant import Q4_0
    >>> Q4_0.elements, Q4_0.nbytes, Q4_0.value
    (32, 18, 'd * (q - 8)')
    """

    name: str
    elements: int
    nbytes: int
    fields: tuple[Field, ...]
    scale: str = ""
    zero: int = 0
    minimum: str = ""

    @property
    def value(self) -> str:
        """The expression of a number."""
        return value_of(self.scale, str(self.zero or ""), self.minimum)

    @property
    def group(self) -> int:
        """Neighbouring elements that share a scale; 1 where there is none."""
        counts = [field.count for field in self.fields if field.name != "q"]
        return self.elements // max(counts) if counts else 1

    @property
    def bits_per_element(self) -> float:
        """Bits of storage for a number, scales included."""
        return 8 * self.nbytes / self.elements

    def unpack(self, blocks: Array) -> dict[str, Array]:
        """The fields' entries of uint8 ``blocks`` (..., nbytes): name to (..., entries)."""
        return {field.name: entries_of(field, blocks) for field in self.fields}

    def pack(self, entries: Mapping[str, Array]) -> Array:
        """Blocks, uint8 (..., nbytes), of the fields' entries: what ``unpack`` reads back."""
        lead = next(iter(entries.values())).shape[:-1]
        bits = np.zeros((*lead, 8 * self.nbytes), np.uint8)
        for field in self.fields:
            raw = _raw(field, entries[field.name])
            for piece in field.pieces:
                for bit in range(piece.bits):
                    bits[..., np.array(piece.places) + bit] = (raw >> np.uint64(piece.up + bit)) & np.uint64(
                        1
                    )
        return np.packbits(bits, axis=-1, bitorder="little")

    def dequantize(self, rows: Array) -> Array:
        """Numbers of uint8 ``rows`` (..., bytes): float32 (..., elements of the row)."""
        flat = rows.reshape(-1, rows.shape[-1])
        if self.scale:
            values = dequantized(self.groups(flat), self.zero)
        else:
            values = self.unpack(flat.reshape(len(flat), -1, self.nbytes))["q"].astype(np.float32)
        return values.reshape(*rows.shape[:-1], -1)

    def groups(self, rows: Array) -> Parts:
        """The parts of uint8 ``rows`` (rows, bytes): quants, and scale and minimum of each group, (rows, groups).

        A scale that is a float16 field stays float16; others are float32.
        """
        blocks = rows.reshape(len(rows), -1, self.nbytes)
        entries = self.unpack(blocks)
        quants = entries.pop("q").reshape(len(rows), -1)
        count = self.elements // self.group
        wide = {
            name: np.repeat(values, count // values.shape[-1], axis=-1) for name, values in entries.items()
        }

        def computed(source: str) -> Array:
            if source in entries:
                return wide[source].reshape(len(rows), -1)
            types = {field.name: dtypes.float32 for field in self.fields if field.name != "q"}
            return np.asarray(evaluate(parse(source, types), wide)).reshape(len(rows), -1)

        return quants, computed(self.scale), computed(self.minimum) if self.minimum else None


def dequantized(parts: Parts, zero: int) -> Array:
    """Return the numbers, float32 (rows, columns), of quants, scales and minima: ``scale * (q - zero) + minimum``."""
    quants, scales, minima = parts
    values = quants.reshape(*scales.shape, -1).astype(np.float32)
    if zero:
        values -= zero
    values *= scales[..., None]
    if minima is not None:
        values += minima[..., None]
    return values.reshape(len(quants), -1)


def places(start: int, count: int, step: int) -> tuple[int, ...]:
    """Bit positions of ``count`` entries, ``step`` bits apart, from byte ``start`` on.

    >>> places(2, 3, 8)
    (16, 24, 32)
    """
    return tuple(8 * start + step * number for number in range(count))


def whole(name: str, kind: Kind, start: int, count: int = 1) -> Field:
    """A field of ``count`` numbers in whole bytes from byte ``start`` on; ``int`` and ``uint`` have 8 bits."""
    bits = {"float16": 16, "bfloat16": 16, "float32": 32}.get(kind, 8)
    return Field(name, kind, (Piece(bits, places(start, count, bits)),))


def value_of(scale: str, zero: str, minimum: str) -> str:
    """Return the expression of a number; empty parts are left out.

    >>> value_of("s", "z + 1", ""), value_of("d", "", "m")
    ('s * (q - (z + 1))', 'd * q + m')
    """
    subtracted = f"({zero})" if " " in zero else zero
    quant = f"(q - {subtracted})" if zero else "q"
    return " ".join([f"{scale} * {quant}" if scale else quant, *(["+", minimum] if minimum else [])])


def entries_of(field: Field, blocks: Array) -> Array:
    """Return a field's entries (..., entries) of uint8 ``blocks`` (..., bytes)."""
    kind = {"float16": "<f2", "float32": "<f4", "bfloat16": "<u2", "int": "i1", "uint": "u1"}[field.kind]
    first = field.pieces[0]
    if len(field.pieces) == 1 and first.bits == np.dtype(kind).itemsize * 8 and _is_run(first):
        start = first.places[0] // 8
        data = np.ascontiguousarray(blocks[..., start : start + field.count * first.bits // 8]).view(kind)
        if field.kind == "bfloat16":
            return (data.astype(np.uint32) << 16).view(np.float32)
        return data
    raw = np.zeros((*blocks.shape[:-1], field.count), np.uint8)
    for piece in field.pieces:
        at = np.array(piece.places)
        raw |= (
            (blocks[..., at // 8] >> (at % 8).astype(np.uint8)) & np.uint8((1 << piece.bits) - 1)
        ) << np.uint8(piece.up)
    if field.kind == "int":
        sign = 1 << (field.bits - 1)
        return ((raw ^ np.uint8(sign)).astype(np.int16) - sign).astype(np.int8)
    return raw


def _is_run(piece: Piece) -> bool:
    return piece.places == places(piece.places[0] // 8, len(piece.places), piece.bits)


def _raw(field: Field, entries: Array) -> Array:
    """An entry's bits as an unsigned number."""
    if field.kind == "float16":
        return entries.astype("<f2").view(np.uint16).astype(np.uint64)
    if field.kind == "float32":
        return entries.astype("<f4").view(np.uint32).astype(np.uint64)
    if field.kind == "bfloat16":
        return (entries.astype("<f4").view(np.uint32) >> 16).astype(np.uint64)
    return entries.astype(np.int64).astype(np.uint64) & np.uint64((1 << field.bits) - 1)


def halves(start: int, count: int, bits: int = 4) -> tuple[int, ...]:
    """Positions of ``count`` entries of 4 bits: the first half in the low halves of bytes, the second in the high."""
    low = places(start, count // 2, 8)
    return (*low, *(place + bits for place in low))


def joined(parts: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The positions of all parts, in order."""
    return tuple(place for part in parts for place in part)
