"""weft's own formats of 4 and 8 bits, and the quantiser that makes them from float weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from weft.errors import ArgumentError, mistake
from weft.models.quant.format import Field, Parts, Piece, QuantFormat, halves, whole

Array = np.ndarray[Any, Any]
_SHARES = tuple(1.1 - 0.4 * step / 14 for step in range(15))
RANGES = (*((15 / levels, 0.0) for levels in (15, 14, 13, 12)), *((share, 0.5) for share in _SHARES))
"""The ranges that the quantiser tries with 4 bits, as shares of a group's range, and where they lie: 0.0 begins at the
least number, 0.5 in the middle. Numbers outside of a range are clipped; a larger range leaves quants unused."""
SYMMETRIC_RANGES = tuple((sign * share, 0.0) for share in _SHARES for sign in (1.0, -8 / 7))
"""Those of formats without minima: the extreme at -8, or at 7."""
REFITS = 2
"""How often scale and minimum are fitted to the quants anew, and the quants to them."""
ROWS_AT_A_TIME = 256


def name_of(bits: int, group: int, minima: bool) -> str:
    """Return the name of a format.

    >>> name_of(4, 64, minima=True)
    'int4-64-minima'
    """
    return f"int{bits}-{group}{'-minima' if minima else ''}"


def integer_format(bits: int, group: int, minima: bool) -> QuantFormat:
    """Return the format of ``bits`` bits with a float16 scale, and a float16 minimum if wanted, for each group.

    >>> integer_format(4, 64, minima=True).bits_per_element
    4.5
    """
    start = 4 if minima else 2
    fields = [whole("d", "float16", 0), *([whole("m", "float16", 2)] if minima else [])]
    if bits == 8:
        fields.append(whole("q", "uint" if minima else "int", start, group))
    else:
        fields.append(Field("q", "uint", (Piece(4, halves(start, group)),)))
    zero = 8 if bits == 4 and not minima else 0
    return QuantFormat(
        name_of(bits, group, minima),
        group,
        start + group * bits // 8,
        tuple(fields),
        "d",
        zero,
        "m" if minima else "",
    )


INTEGERS = {
    form.name: form
    for form in (
        integer_format(bits, group, minima)
        for bits in (4, 8)
        for group in (32, 64, 128)
        for minima in (False, True)
    )
}
"""Every format of this module by its name, such as ``int4-64-minima``."""
QUANTIZE = {"int4": INTEGERS["int4-32-minima"], "int8": INTEGERS["int8-32"]}
"""The formats that ``Engine.load(quantize=...)`` chooses from."""


def rounded(form: QuantFormat, weights: Array) -> Parts:
    """Return quants, scales and minima, as ``QuantFormat.groups`` does, of float weights (rows, columns).

    Numbers are rounded to nearest. With 4 bits, each group takes of several ranges the one of least squared error,
    after a fit of scale and minimum to its quants.

    Raises:
        ArgumentError: where the columns are no multiple of the group, or weights or scales exceed float16's range.
    """
    rows, columns = weights.shape
    if columns % form.elements:
        raise ArgumentError(
            mistake(
                "quantize", "columns", columns, f"a multiple of {form.elements}, the group of {form.name}"
            )
        )
    parts = [
        _rounded(form, weights[start : start + ROWS_AT_A_TIME].astype(np.float32).reshape(-1, form.elements))
        for start in range(0, rows, ROWS_AT_A_TIME)
    ]
    quants, scales, minima = (
        np.concatenate([part[at] for part in parts]).reshape(rows, -1) for at in range(3)
    )
    if not (np.isfinite(scales).all() and np.isfinite(minima).all()):
        raise ArgumentError(mistake("quantize", "weights", "inf or nan", "numbers that float16 scales reach"))
    return quants, scales, minima if form.minimum else None


def quantize(form: QuantFormat, weights: Array) -> Array:
    """Return float weights (rows, columns) as rows of the format's blocks: uint8 (rows, bytes).

    >>> form = INTEGERS["int8-32"]
    >>> form.dequantize(quantize(form, np.arange(32, dtype=np.float32)[None]))[0, 30:].round(1).tolist()
    [30.0, 31.0]
    """
    quants, scales, minima = rounded(form, weights)
    entries = {"q": quants.reshape(len(quants), -1, form.elements), "d": scales[..., None]}
    if minima is not None:
        entries["m"] = minima[..., None]
    return form.pack(entries).reshape(len(quants), -1)


def _rounded(form: QuantFormat, groups: Array) -> tuple[Array, Array, Array]:
    """Return quants, scales and minima of groups (count, elements); minima are zeros in symmetric formats."""
    grid = _Grid.of(form, groups)
    best = grid.kept(*grid.whole())
    if grid.bits == 4:
        for refit in range(REFITS + 1):
            better = grid.kept(*(grid.fitted(best[0]) if refit else grid.searched()))
            # a comparison with nan is false: numbers that are not finite keep the whole range, for the caller's check
            smaller = better[3] < best[3]
            best = tuple(  # type: ignore[assignment]
                np.where(smaller[:, None] if new.ndim == 2 else smaller, new, old)
                for new, old in zip(better, best, strict=True)
            )
    quants, scales, minima, _ = best
    return np.nan_to_num(quants).astype(grid.dtype), scales.astype(np.float16), minima.astype(np.float16)


@dataclass(frozen=True)
class _Grid:
    """The numbers that a format can hold, and the groups, float32 (count, elements), that are fitted to them.

    Quants are float32 whole numbers here, ``zero`` included.
    """

    groups: Array
    bits: int
    zero: int
    least: int
    most: int
    has_minima: bool
    dtype: type[np.generic]

    @classmethod
    def of(cls, form: QuantFormat, groups: Array) -> _Grid:
        """Return the grid of one of this module's formats."""
        (field,) = (field for field in form.fields if field.name == "q")
        least, most = (-127, 127) if field.kind == "int" else (0, 2**field.bits - 1)
        kind = np.int8 if field.kind == "int" else np.uint8
        return cls(groups, field.bits, form.zero, least, most, bool(form.minimum), kind)

    def whole(self) -> tuple[Array, Array]:
        """Return scales and minima with which the quants cover each group's range."""
        low, high = self.groups.min(1), self.groups.max(1)
        if self.has_minima:
            with np.errstate(over="ignore", invalid="ignore"):
                return (high - low) / self.most, low
        extreme = np.where(-low > high, low, high)
        # with 4 bits the quants run from -8 to 7: the sign of the scale puts the extreme at -8
        return extreme / -self.zero if self.zero else np.abs(extreme) / self.most, np.zeros_like(low)

    def kept(self, scales: Array, minima: Array) -> tuple[Array, Array, Array, Array]:
        """Return quants, the scales and minima as float16 holds them, and the squared error of each group."""
        with np.errstate(over="ignore", invalid="ignore"):
            scales, minima = (part.astype(np.float16).astype(np.float32) for part in (scales, minima))
            shifted = self.groups - minima[:, None]
            quants = self._quants(shifted, scales)
            difference = (quants - self.zero) * scales[:, None] - shifted
            return quants, scales, minima, np.einsum("ij,ij->i", difference, difference)

    def _quants(self, shifted: Array, scales: Array) -> Array:
        inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales != 0)
        quants = shifted * inverse[:, None]
        np.rint(quants, out=quants)
        quants += self.zero
        return np.clip(quants, self.least, self.most, out=quants)

    def fitted(self, quants: Array) -> tuple[Array, Array]:
        """Return the scales and minima of least squared error for given quants."""
        return self._fit(quants)[:2]

    def _fit(self, quants: Array) -> tuple[Array, Array, Array]:
        """Return scales and minima of least squares, and what they explain of each group's sum of squares."""
        if self.zero:
            quants = quants - self.zero
        squares = np.einsum("ij,ij->i", quants, quants)
        products = np.einsum("ij,ij->i", quants, self.groups)
        if not self.has_minima:
            scales = np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)
            return scales, np.zeros_like(scales), scales * products
        count, sums, total = self.groups.shape[1], quants.sum(1), self.groups.sum(1)
        spread = count * squares - sums * sums
        scales = np.divide(
            count * products - sums * total, spread, out=np.zeros_like(products), where=spread > 0
        )
        minima = (total - scales * sums) / count
        return scales, minima, scales * products + minima * total

    def searched(self) -> tuple[Array, Array]:
        """Return the scales and minima of least squared error over the quants of several ranges."""
        best = np.full(len(self.groups), -np.inf, np.float32)
        scales, minima = (np.zeros(len(self.groups), np.float32) for _ in range(2))
        whole, low = self.whole()
        with np.errstate(over="ignore", invalid="ignore"):
            for share, middle in RANGES if self.has_minima else SYMMETRIC_RANGES:
                scale = whole * np.float32(share)
                start = low + (whole - scale) * self.most * np.float32(middle)
                found = self._fit(self._quants(self.groups - start[:, None], scale))
                better = found[2] > best
                best = np.where(better, found[2], best)
                scales, minima = np.where(better, found[0], scales), np.where(better, found[1], minima)
        return scales, minima
