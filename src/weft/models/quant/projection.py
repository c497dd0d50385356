"""Layers with quantised matrices: a projection, and an embedding that may be the output layer too."""

from __future__ import annotations

from typing import Any

import numpy as np

from weft import dtypes
from weft.dtypes import DType
from weft.kernels.library.quantized import GROUP, SCALE_COLUMNS, interleave, interleave_scales
from weft.models.quant.format import QuantFormat
from weft.models.quant.integers import Parts, rounded
from weft.nn.module import Module
from weft.ops import bind
from weft.ops.matmul.quantized import QUANTIZED_EMBEDDING, QUANTIZED_LINEAR
from weft.tensors.creation import as_tensor
from weft.tensors.tensor import Tensor


class QuantizedMatrix(Module):
    """A matrix (rows, columns) as the ops take it: interleaved quants, scales and minima, and the zero point."""

    packed: Tensor
    scales: Tensor
    minima: Tensor | None

    def __init__(
        self, packed: Tensor, scales: Tensor, minima: Tensor | None, rows: int, zero: int, format: str
    ) -> None:
        super().__init__()
        self.rows, self.zero, self.format = rows, zero, format
        self.register_buffer("packed", packed)
        self.register_buffer("scales", scales)
        self.register_buffer("minima", minima)

    @classmethod
    def of(cls, form: QuantFormat, rows: Any, device: str) -> QuantizedMatrix:
        """Repack uint8 ``rows`` (rows, bytes) of a format whose groups are of 16 elements or a multiple."""
        return cls.of_parts(form, form.groups(rows), device)

    @classmethod
    def of_weights(cls, form: QuantFormat, weights: Any, device: str) -> QuantizedMatrix:
        """Quantise float weights (rows, columns) to one of weft's own formats."""
        return cls.of_parts(form, rounded(form, weights), device)

    @classmethod
    def of_parts(cls, form: QuantFormat, parts: Parts, device: str) -> QuantizedMatrix:
        """Interleave quants, scales and minima, as ``QuantFormat.groups`` gives them."""
        quants, scales, minima = parts
        stored = next(field for field in form.fields if field.name == "q")
        shift = 128 if stored.kind == "int" else 0
        unsigned = (quants.astype(np.int16) + shift).astype(np.uint8)
        packed = interleave(unsigned, 4 if stored.bits == 4 else 8)
        return cls(
            as_tensor(packed, device=device),
            as_tensor(interleave_scales(scales), device=device),
            None if minima is None else as_tensor(interleave_scales(minima), device=device),
            len(quants),
            form.zero + shift,
            form.name,
        )

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
        return self._bound(QUANTIZED_LINEAR, input)

    def take(self, index: Tensor) -> Tensor:
        """Rows at an index tensor: (*) to (*, columns)."""
        return self._bound(QUANTIZED_EMBEDDING, index)


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
