"""weft's own formats of 4 and 8 bits, and the quantiser that makes them from float weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from weft.errors import ArgumentError, mistake
from weft.models.quant.format import Field, Parts, Piece, QuantFormat, halves, whole

Array = np.ndarray[Any, Any]
SPANS = {4: (1.0, 0.97, 0.94, 0.91, 0.88, 0.84, 0.8), 8: (1.0,)}
"""By bits: the fractions of a group's range that the quantiser tries; numbers outside the range are clipped."""
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

    Numbers are rounded to nearest. With 4 bits, each group takes of several ranges the one of least squared error.

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
    (field,) = (field for field in form.fields if field.name == "q")
    best = np.full(len(groups), np.inf, np.float32)
    quants = np.zeros(groups.shape, np.int8 if field.kind == "int" else np.uint8)
    scales, minima = (np.zeros(len(groups), np.float16) for _ in range(2))
    for span in SPANS[field.bits]:
        low, scale = _range(form, field, groups, span)
        wide = scale.astype(np.float32)
        inverse = np.divide(1, wide, out=np.zeros_like(wide), where=wide != 0)
        shifted = groups - low.astype(np.float32)[:, None]
        least, most = (-127, 127) if field.kind == "int" else (0, 2**field.bits - 1)
        whole_numbers = np.clip(np.rint(shifted * inverse[:, None]) + form.zero, least, most)
        error = np.square((whole_numbers - form.zero) * wide[:, None] - shifted).sum(1)
        # the first range is taken as it is, so that numbers that are not finite reach the caller's check
        better = (error < best) | (span == 1.0)
        best = np.where(better, error, best)
        quants[better] = np.nan_to_num(whole_numbers[better]).astype(quants.dtype)
        scales[better], minima[better] = scale[better], low[better]
    return quants, scales, minima


def _range(form: QuantFormat, field: Field, groups: Array, span: float) -> tuple[Array, Array]:
    """Return minimum and scale, float16, for a fraction of each group's range."""
    low, high = groups.min(1), groups.max(1)
    with np.errstate(over="ignore", invalid="ignore"):
        if form.minimum:
            start = (low + (high - low) * (1 - span) / 2).astype(np.float16)
            return start, ((high - low) * span / (2**field.bits - 1)).astype(np.float16)
        extreme = np.where(-low > high, low, high)
        # with 4 bits the quants run from -8 to 7: the sign of the scale puts the extreme at -8
        scale = extreme * span / -8 if form.zero else np.abs(extreme) / 127
        return np.zeros(len(groups), np.float16), scale.astype(np.float16)
