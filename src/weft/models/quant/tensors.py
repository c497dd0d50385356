"""``TensorFormat``: a quantised matrix in several tensors of a checkpoint (MLX, GPTQ, AWQ), declared by its fields.

Entries of 4 and 8 bits are packed into words of 32 bits. A field says where in a word its entries lie, whether they are
neighbours along a row or along a column of the matrix, and whether its tensor is stored transposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from weft import dtypes
from weft.errors import FormatError, mistake
from weft.expr import evaluate, parse
from weft.kernels.library.quantized import GROUP, SCALE_COLUMNS
from weft.models.quant.format import Array, Field, Parts, Piece, dequantized, entries_of, places, value_of
from weft.models.upload import runs

WORD = 4
"""Bytes of a word of packed entries."""
LOW_FIRST = {4: places(0, 8, 4), 8: places(0, 4, 8)}
"""By bits: the positions of a word's entries, from the lowest on."""
AWQ_PLACES = (0, 16, 4, 20, 8, 24, 12, 28)
"""Even entries of a word come first, as AWQ's GEMM kernel unpacks two at a time."""


@dataclass(frozen=True)
class TensorField:
    """A field in the tensor whose name ends in ``suffix``.

    ``q`` has an entry for each element of the matrix, any other field for each group of a row. Entries of a word are
    neighbours ``along`` a row or a column of the matrix. ``transposed`` tensors have the dimensions (columns, rows).
    """

    suffix: str
    field: Field
    along: Literal["row", "column"] = "row"
    transposed: bool = False

    @property
    def packed(self) -> bool:
        """Whether entries are packed into words."""
        return self.field.kind == "uint"

    def shape(self, rows: int, entries: int) -> tuple[int, int]:
        """The tensor's shape in the file, for ``entries`` in a row of the matrix."""
        count = self.field.count if self.packed else 1
        sizes = (rows, -(-entries // count)) if self.along == "row" else (-(-rows // count), entries)
        return sizes[::-1] if self.transposed else sizes

    def read(self, tensor: Array, start: int, stop: int) -> Array:
        """Return the entries (rows, entries of a row) of rows ``start`` to ``stop`` of the matrix."""
        data = tensor.T if self.transposed else tensor
        if not self.packed:
            return data[start:stop]
        count = self.field.count
        if self.along == "row":
            words = np.ascontiguousarray(data[start:stop])
            return entries_of(self.field, _bytes(words)).reshape(len(words), -1)
        first = start // count
        words = np.ascontiguousarray(data[first : -(-stop // count)].T)
        entries = entries_of(self.field, _bytes(words)).reshape(len(words), -1).T
        return entries[start - first * count : stop - first * count]


def _bytes(words: Array) -> Array:
    return words.view(np.uint8).reshape(*words.shape, WORD)


def _packed(name: str, bits: int, where: tuple[int, ...] = ()) -> Field:
    return Field(name, "uint", (Piece(bits, where or LOW_FIRST[bits]),))


def _numbers(name: str) -> Field:
    return Field(name, "float", (Piece(32, (0,)),))


@dataclass(frozen=True)
class TensorFormat:
    """A matrix of numbers ``scale * (q - zero) + minimum`` whose fields lie in tensors of their own.

    ``scale``, ``zero`` and ``minimum`` are expressions over the fields. ``group`` neighbouring columns share a scale,
    0 stands for all. ``order`` is the suffix of a tensor that gives each column its group, if the file has it.

    >>> gptq(4, 128).value, awq(128).value
    ('s * (q - (z + 1))', 's * (q - z)')
    """

    name: str
    bits: int
    group: int
    fields: tuple[TensorField, ...]
    scale: str
    zero: str = ""
    minimum: str = ""
    order: str = ""

    @property
    def value(self) -> str:
        """The expression of a number."""
        return value_of(self.scale, self.zero, self.minimum)

    def dtypes(self, suffix: str) -> tuple[str, ...]:
        """The types that a tensor may have in the file."""
        packed = suffix == self.order or any(part.packed for part in self.fields if part.suffix == suffix)
        return ("int32", "uint32") if packed else ("float16", "bfloat16", "float32")

    def shapes(self, rows: int, columns: int) -> dict[str, tuple[int, int]]:
        """The shapes of the tensors of a matrix by their suffixes."""
        groups = -(-columns // self.group) if self.group else 1
        return {
            part.suffix: part.shape(rows, columns if part.field.name == "q" else groups)
            for part in self.fields
        }


class StoredMatrix:
    """A matrix (rows, columns) of a ``TensorFormat``, over the mapped ``tensors`` of a file by suffix.

    The file's matrix may have more rows; these begin at row ``first``.
    """

    def __init__(
        self, form: TensorFormat, tensors: Mapping[str, Array], rows: int, columns: int, name: str, first: int = 0
    ) -> None:  # fmt: skip
        self.first = first
        self.form, self.tensors, self.rows, self.columns, self.name = form, tensors, rows, columns, name
        self.group = form.group or columns

    @cached_property
    def groups_of_columns(self) -> Array:
        """The group of each column."""
        groups = -(-self.columns // self.group)
        found = self.tensors.get(self.form.order)
        if found is None:
            return np.arange(self.columns) // self.group
        least, most = int(found.min()), int(found.max())
        if least < 0 or most >= groups:
            given = f"{least} to {most}"
            raise FormatError(mistake(self.name, self.form.order, given, f"groups from 0 to {groups - 1}"))
        return np.asarray(found).astype(np.int64)

    @cached_property
    def order(self) -> Array | None:
        """The columns in the order of their groups; None where they lie so."""
        groups = self.groups_of_columns
        return None if (np.diff(groups) >= 0).all() else np.argsort(groups, kind="stable")

    @property
    def suits(self) -> bool:
        """Whether the kernels take the matrix as it is: whole groups of equal size."""
        return (
            self.columns % GROUP == 0
            and self.columns % self.group == 0
            and self.group % SCALE_COLUMNS == 0
            and bool(
                (
                    np.bincount(self.groups_of_columns, minlength=self.columns // self.group) == self.group
                ).all()
            )
        )

    def _read(self, part: TensorField, start: int, stop: int) -> Array:
        return part.read(self.tensors[part.suffix], self.first + start, self.first + stop)

    def _computed(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Scales, minima and zero points, float32 (rows, groups), as the file's fields say; absent ones are zeros."""
        fields = {
            part.field.name: part.read(
                self.tensors[part.suffix], self.first + start, self.first + stop
            ).astype(np.float32)
            for part in self.form.fields
            if part.field.name != "q"
        }
        types, shape = dict.fromkeys(fields, dtypes.float32), next(iter(fields.values())).shape
        scales, minima, zeros = (
            np.asarray(evaluate(parse(source, types), fields))
            if source and not source.isdigit()
            else np.full(shape, source or 0, np.float32)
            for source in (self.form.scale, self.form.minimum, self.form.zero)
        )
        return scales, minima, zeros

    @cached_property
    def zero(self) -> int | None:
        """The zero point that all elements share; None where zero points differ."""
        zeros: set[float] = set()
        for start, stop in runs(self.rows, self.columns):
            found = self._computed(start, stop)[2]
            zeros |= {float(found.min()), float(found.max())}
        return int(zeros.pop()) if len(zeros) == 1 else None

    def _scales(self, start: int, stop: int) -> tuple[Array, Array | None]:
        """Scales and minima of rows; zero points that differ are part of the minima."""
        scales, minima, zeros = self._computed(start, stop)
        if self.zero is None:
            return scales, minima - scales * zeros
        return scales, minima if self.form.minimum else None

    @cached_property
    def narrow(self) -> bool:
        """Whether float16 holds all scales and minima as they are."""
        with np.errstate(over="ignore"):
            return all(
                np.array_equal(numbers, numbers.astype(np.float16))
                for start, stop in runs(self.rows, self.columns)
                for numbers in self._scales(start, stop)
                if numbers is not None
            )

    def quants(self, start: int, stop: int) -> Array:
        """Quants (rows, columns), uint8, of rows ``start`` to ``stop``, columns in the order of their groups."""
        (part,) = (part for part in self.form.fields if part.field.name == "q")
        found = self._read(part, start, stop)[:, : self.columns]
        return found if self.order is None else found[:, self.order]

    def parts(self, start: int, stop: int) -> Parts:
        """Quants, scales and minima of rows ``start`` to ``stop``."""
        scales, minima = self._scales(start, stop)
        if self.narrow:
            scales = scales.astype(np.float16)
            minima = None if minima is None else minima.astype(np.float16)
        return self.quants(start, stop), scales, minima

    def dequantize(self, start: int, stop: int) -> Array:
        """Numbers, float32 (rows, columns), of rows ``start`` to ``stop``, columns as they lie in the file."""
        quants, of_group = self.quants(start, stop), self.groups_of_columns
        if self.order is not None:
            quants = quants[:, np.argsort(self.order)]
        scales, minima = self._scales(start, stop)
        wide = None if minima is None else minima[:, of_group]
        return dequantized((quants, scales[:, of_group], wide), self.zero or 0)


def mlx(bits: int, group: int) -> TensorFormat:
    """MLX's affine mode: https://ml-explore.github.io/mlx/build/html/python/_autosummary/mlx.core.quantize.html."""
    fields = (
        TensorField("weight", _packed("q", bits)),
        TensorField("scales", _numbers("s")),
        TensorField("biases", _numbers("m")),
    )
    return TensorFormat(f"mlx-{bits}bit-{group}", bits, group, fields, "s", minimum="m")


def gptq(bits: int, group: int, version: int = 1) -> TensorFormat:
    """GPTQ's packing, along the columns; version 1 stores zero points less 1, version 2 as they are."""
    fields = (
        TensorField("qweight", _packed("q", bits), transposed=True),
        TensorField("scales", _numbers("s"), transposed=True),
        TensorField("qzeros", _packed("z", bits), "column", transposed=True),
    )
    zero = "z + 1" if version == 1 else "z"
    return TensorFormat(f"gptq-{bits}bit-{group or 'row'}", bits, group, fields, "s", zero, order="g_idx")


def awq(group: int) -> TensorFormat:
    """AWQ's packing for its GEMM kernel, 4 bits, along the rows."""
    fields = (
        TensorField("qweight", _packed("q", 4, AWQ_PLACES), "column", transposed=True),
        TensorField("scales", _numbers("s"), transposed=True),
        TensorField("qzeros", _packed("z", 4, AWQ_PLACES), "column", transposed=True),
    )
    return TensorFormat(f"awq-4bit-{group or 'row'}", 4, group, fields, "s", "z")


def weft(bits: int, group: int, zero: int, minima: bool) -> TensorFormat:
    """weft's own files: as MLX's, with a zero point that all elements share, and minima where a matrix has them."""
    fields = [TensorField("weight", _packed("q", bits)), TensorField("scales", _numbers("s"))]
    if minima:
        fields.append(TensorField("minima", _numbers("m")))
    name = f"int{bits}-{group}{'-minima' if minima else ''}"
    return TensorFormat(
        name, bits, group, tuple(fields), "s", str(zero or ""), "m" if minima else "", order="g_idx"
    )


def words_of(quants: Array, bits: int) -> Array:
    """Return unsigned entries (rows, columns) packed into words, the first in the lowest bits: uint32 (rows, words).

    >>> [hex(word) for word in words_of(np.arange(8, dtype=np.uint8)[None], 4)[0]]
    ['0x76543210']
    """
    packed = quants if bits == 8 else quants[:, 0::2] | (quants[:, 1::2] << 4)
    return np.ascontiguousarray(packed).view("<u4")
