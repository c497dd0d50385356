"""Layers with quantised matrices: a projection, and an embedding that may be the output layer too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from weft import dtypes
from weft.dtypes import DType
from weft.kernels.library.quantized import (
    GROUP,
    ROWS,
    SCALE_COLUMNS,
    group_bytes,
    interleave,
    interleave_scales,
    separate,
)
from weft.metatensor import Pending
from weft.models.quant.format import Parts, QuantFormat
from weft.models.quant.integers import rounded
from weft.models.quant.tensors import StoredMatrix, words_of
from weft.models.upload import Upload, runs
from weft.nn.module import Module
from weft.ops import bind
from weft.ops.matmul.quantized import QUANTIZED_EMBEDDING, QUANTIZED_LINEAR, bits_of
from weft.tensors.creation import as_tensor
from weft.tensors.tensor import Tensor


class QuantizedMatrix(Module):
    """A matrix (rows, columns) as the ops take it: interleaved quants, scales and minima, and the zero point.

    With an ``order`` the columns lie in another order than the activations', which are put into it first.
    """

    packed: Tensor
    scales: Tensor
    minima: Tensor | None
    order: Tensor | None

    def __init__(
        self, packed: Tensor, scales: Tensor, minima: Tensor | None, rows: int, zero: int, format: str,
        order: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rows, self.zero, self.format = rows, zero, format
        self.register_buffer("packed", packed)
        self.register_buffer("scales", scales)
        self.register_buffer("minima", minima)
        self.register_buffer("order", order)

    @classmethod
    def of(cls, form: QuantFormat, rows: Any, device: str) -> QuantizedMatrix:
        """Repack uint8 ``rows`` (rows, bytes) of a format whose groups are of 16 elements or a multiple."""
        stored = next(field for field in form.fields if field.name == "q")
        columns = rows.shape[1] // form.nbytes * form.elements
        return cls.built(
            form.name, stored.bits, form.zero, (len(rows), columns), lambda start, stop: form.groups(rows[start:stop]),
            device,
        )  # fmt: skip

    @classmethod
    def of_weights(cls, form: QuantFormat, weights: Any, device: str) -> QuantizedMatrix:
        """Quantise float weights (rows, columns) to one of weft's own formats."""
        return cls.of_runs(form, weights.shape, lambda start, stop: weights[start:stop], device)

    @classmethod
    def of_runs(
        cls, form: QuantFormat, shape: tuple[int, int], read: Callable[[int, int], Any], device: str
    ) -> QuantizedMatrix:
        """Quantise float weights that ``read(start, stop)`` gives by runs of rows."""
        stored = next(field for field in form.fields if field.name == "q")
        return cls.built(
            form.name, stored.bits, form.zero, shape, lambda start, stop: rounded(form, read(start, stop)), device
        )  # fmt: skip

    @classmethod
    def of_stored(cls, matrix: StoredMatrix, device: str) -> QuantizedMatrix:
        """Repack a matrix of a checkpoint."""
        form, shape = matrix.form, (matrix.rows, matrix.columns)
        return cls.built(form.name, form.bits, matrix.zero or 0, shape, matrix.parts, device, matrix.order)

    @classmethod
    def built(
        cls, name: str, bits: int, zero: int, shape: tuple[int, int], parts: Callable[[int, int], Parts],
        device: str, order: Any = None,
    ) -> QuantizedMatrix:  # fmt: skip
        """Interleave what ``parts(start, stop)`` gives, run of rows by run of rows: quants, scales and minima.

        Signed quants are stored 128 higher. ``order`` are the columns in the order in which ``parts`` gives them.
        """
        rows, columns = shape
        blocks, bits = -(-rows // ROWS), 4 if bits == 4 else 8
        packed = Upload((blocks, columns // GROUP, group_bytes(bits)), dtypes.uint8, device)
        uploads: list[Upload] = []
        signed = False
        for start, stop in runs(rows, columns, ROWS):
            quants, *numbers = parts(start, stop)
            signed = quants.dtype == np.int8
            packed.append(interleave(quants.view(np.uint8) ^ 128 if signed else quants, bits))
            given = [part for part in numbers if part is not None]
            uploads = uploads or [
                Upload((blocks, part.shape[1], ROWS), dtypes.from_numpy(part.dtype), device) for part in given
            ]
            for upload, part in zip(uploads, given, strict=True):
                upload.append(interleave_scales(part))
        scales, *minima = (upload.tensor for upload in uploads)
        zero += 128 if signed else 0
        columns_of = None if order is None else as_tensor(order, device=device)
        return cls(packed.tensor, scales, minima[0] if minima else None, rows, zero, name, columns_of)

    @property
    def form(self) -> dict[str, int | bool]:
        """What a file says of the matrix: bits, columns that share a scale, zero point, whether it has minima."""
        return {
            "bits": bits_of(self.packed),
            "group_size": self.columns // int(self.scales.shape[1]),
            "zero": self.zero,
            "minima": self.minima is not None,
        }

    def tensors(self) -> dict[str, Pending]:
        """The matrix as ``weft.models.quant.tensors.weft`` lays it out, by suffix; each is made when it is written."""
        made = {
            "weight": Pending("U32", (self.rows, self.columns * bits_of(self.packed) // 32), self._words),
            "scales": self._pending(self.scales),
        }
        if self.minima is not None:
            made["minima"] = self._pending(self.minima)
        if self.order is not None:
            made["g_idx"] = Pending("I32", (self.columns,), self._groups)
        return made

    def _words(self) -> Any:
        """Quants in words (rows, words), columns as the activations have them."""
        blocks, bits = len(self.packed), bits_of(self.packed)
        words = np.empty((self.rows, self.columns * bits // 32), np.uint32)
        back = None if self.order is None else np.argsort(self.order.numpy())
        for start, stop in runs(blocks * ROWS, self.columns, ROWS):
            quants = separate(self.packed[start // ROWS : stop // ROWS].numpy())[: self.rows - start]
            ordered = quants if back is None else quants[:, back]
            words[start:stop] = words_of(ordered, bits)
        return words

    def _pending(self, numbers: Tensor) -> Pending:
        """Scales or minima by rows, (rows, groups)."""
        groups = int(numbers.shape[1])
        return Pending(
            {"float16": "F16", "float32": "F32"}[numbers.dtype.name],
            (self.rows, groups),
            lambda: np.ascontiguousarray(numbers.numpy().transpose(0, 2, 1).reshape(-1, groups)[: self.rows]),
        )

    def _groups(self) -> Any:
        """The group of each column."""
        assert self.order is not None
        found = np.empty(self.columns, np.int32)
        found[self.order.numpy()] = np.arange(self.columns) // self.form["group_size"]
        return found

    @staticmethod
    def suits(form: QuantFormat, columns: int) -> bool:
        """Whether the kernels take a matrix of this format and width."""
        return (
            bool(form.scale)
            and form.group % SCALE_COLUMNS == 0
            and columns % GROUP == 0
            and columns % form.elements == 0
        )

    @property
    def columns(self) -> int:
        """Columns of the matrix."""
        return int(self.packed.shape[1]) * GROUP

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        parts = [self.packed, self.scales, *([] if self.minima is None else [self.minima])]
        return sum(part.numel() * part.element_size() for part in parts)

    def _bound(self, op: Any, input: Tensor) -> Tensor:
        minima = () if self.minima is None else (self.minima,)
        result: Tensor = bind(op, input, self.packed, self.scales, *minima, rows=self.rows, zero=self.zero)
        return result

    def multiply(self, input: Tensor) -> Tensor:
        """``input @ matrix.T``: (*, columns) to (*, rows)."""
        ordered = input if self.order is None else input.index_select(-1, self.order)
        return self._bound(QUANTIZED_LINEAR, ordered)

    def take(self, index: Tensor) -> Tensor:
        """Rows at an index tensor: (*) to (*, columns)."""
        found = self._bound(QUANTIZED_EMBEDDING, index)
        return found if self.order is None else found.index_select(-1, self.order.argsort())


class QuantizedProjection(Module):
    """``x @ matrix.T + bias`` with a quantised matrix: (*, columns) to (*, rows)."""

    def __init__(self, matrix: QuantizedMatrix, bias: Tensor | None = None) -> None:
        super().__init__()
        self.matrix, self.bias = matrix, bias

    def forward(self, input: Tensor) -> Tensor:
        """Map (*, columns) to (*, rows)."""
        result = self.matrix.multiply(input)
        return result if self.bias is None else result + self.bias

    def extra_repr(self) -> str:
        """The sizes and the format."""
        return (
            f"in_features={self.matrix.columns}, out_features={self.matrix.rows}, format={self.matrix.format}"
        )


class QuantizedEmbedding(Module):
    """Rows of a quantised table by token: (*) to (*, columns); ``as_linear`` multiplies by it."""

    def __init__(self, matrix: QuantizedMatrix, dtype: DType = dtypes.float32) -> None:
        super().__init__()
        self.matrix, self.dtype = matrix, dtype

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (*) to (*, columns), in ``dtype``."""
        return self.matrix.take(tokens).to(self.dtype)

    def as_linear(self, hidden: Tensor) -> Tensor:
        """(*, columns) to (*, rows): the logits of a model with tied embeddings."""
        return self.matrix.multiply(hidden)
