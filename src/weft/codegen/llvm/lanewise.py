"""Vectors of ``LANES`` numbers in IR: products with constant matrices, and exchanges of lanes among vectors."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from weft.codegen.llvm.memory import LANES
from weft.expr.llvm_text import Lines, suffix, vector_type

_LANE: Final = [Fraction(1), Fraction(-1)]

Row = Sequence[Fraction]


class Lanewise:
    """Writes operations on vectors, given by the names of their values, into lines of IR."""

    def __init__(self, lines: Lines, number: str) -> None:
        self.lines, self.number = lines, number
        self.vector = vector_type(number, LANES)

    def times(self, matrix: Sequence[Row], values: Sequence[str]) -> list[str]:
        """Return the product of a constant matrix and a column of vectors.

        Two rows, or columns, that differ only in signs share a sum: they are its sum and difference with the rest.
        """
        rows: list[str] = [""] * len(matrix)
        for first, second in _opposite(matrix):
            same = [x if x == y else Fraction(0) for x, y in zip(matrix[first], matrix[second], strict=True)]
            other = [x if x != y else Fraction(0) for x, y in zip(matrix[first], matrix[second], strict=True)]
            even, odd = self.sum_of(same, values), self.sum_of(other, values)
            rows[first], rows[second] = self._binary("fadd", even, odd), self._binary("fsub", even, odd)
        if any(rows):
            return [row or self.sum_of(weights, values) for row, weights in zip(rows, matrix, strict=True)]
        columns = list(zip(*matrix, strict=True))
        pairs = _opposite(columns)
        values = list(values)
        given = [list(row) for row in matrix]
        for first, second in pairs:
            total = self._binary("fadd", values[first], values[second])
            difference = self._binary("fsub", values[first], values[second])
            values[first], values[second] = total, difference
            for row in given:
                row[first], row[second] = (
                    (row[first], Fraction(0)) if row[first] == row[second] else (Fraction(0), row[first])
                )
        return [self.sum_of(row, values) for row in given]

    def both_ways(self, matrix: Sequence[Row], values: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return ``matrix values matrix^T`` of a square of vectors."""
        along = [self.times(matrix, row) for row in values]
        down = [self.times(matrix, column) for column in zip(*along, strict=True)]
        return [list(row) for row in zip(*down, strict=True)]

    def sum_of(self, weights: Row, values: Sequence[str]) -> str:
        """Return the sum of vectors times constants."""
        terms = [(weight, value) for weight, value in zip(weights, values, strict=True) if weight]
        terms.sort(
            key=lambda term: term[0] != 1
        )  # a vector with weight 1 is the first term, without a product
        total = ""
        for weight, value in terms:
            if not total:
                total = value if weight == 1 else self._binary("fmul", self.constant(weight), value)
            elif weight in _LANE:
                total = self._binary("fadd" if weight == 1 else "fsub", total, value)
            else:
                name = f"@llvm.fma.{suffix(self.number, LANES)}"
                given = ", ".join(f"{self.vector} {each}" for each in (self.constant(weight), value, total))
                self.lines.declarations.add(f"declare {self.vector} {name}({', '.join([self.vector] * 3)})")
                total = self.lines.let(f"call {self.vector} {name}({given})")
        return total or "zeroinitializer"

    def constant(self, value: Fraction) -> str:
        """Return a vector with one number, rounded to the type, in all lanes."""
        number = float(value)
        if self.number == "float":
            (number,) = struct.unpack("f", struct.pack("f", number))
        return f"splat ({self.number} 0x{struct.unpack('Q', struct.pack('d', number))[0]:016X})"

    def transposed(self, values: Sequence[str]) -> list[str]:
        """Transpose ``LANES`` vectors: lane i of vector j becomes lane j of vector i."""
        found = list(values)
        distance = 1
        while distance < LANES:
            for low in range(LANES):
                if low & distance:
                    continue
                high = low | distance
                first = [LANES + lane - distance if lane & distance else lane for lane in range(LANES)]
                second = [LANES + lane if lane & distance else lane + distance for lane in range(LANES)]
                found[low], found[high] = (
                    self._shuffled(found[low], found[high], lanes) for lanes in (first, second)
                )
            distance *= 2
        return found

    def taken(self, values: Sequence[str], places: Sequence[int]) -> str:
        """Return a vector of the elements at ``places`` of the concatenated vectors, an element for each lane."""
        total = "poison"
        for number, value in enumerate(values):
            own = {
                lane: place - number * LANES for lane, place in enumerate(places) if place // LANES == number
            }
            if own:
                total = self._shuffled(
                    total, value, [LANES + own[lane] if lane in own else lane for lane in range(LANES)]
                )
        return total

    def _shuffled(self, a: str, b: str, lanes: Sequence[int]) -> str:
        given = ", ".join(f"i32 {lane}" for lane in lanes)
        return self.lines.let(
            f"shufflevector {self.vector} {a}, {self.vector} {b}, <{LANES} x i32> <{given}>"
        )

    def _binary(self, operation: str, a: str, b: str) -> str:
        return self.lines.let(f"{operation} {self.vector} {a}, {b}")


def _opposite(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return pairs of rows that differ, and only in signs."""
    found: list[tuple[int, int]] = []
    free = list(range(len(rows)))
    while free:
        first = free.pop(0)
        for second in free:
            signs = {x == y for x, y in zip(rows[first], rows[second], strict=True) if x or y}
            sizes = all(abs(x) == abs(y) for x, y in zip(rows[first], rows[second], strict=True))
            if sizes and signs == {True, False}:
                found.append((first, second))
                free.remove(second)
                break
    return found
