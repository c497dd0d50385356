"""A GGUF file as a checkpoint: its configuration and its weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from weft import dtypes
from weft.dtypes import DType
from weft.models.decoder import Decoder
from weft.models.gguf.architectures import (
    IGNORED,
    LAYER_NAMES,
    NAMES,
    architecture_of,
    config_of,
    tensor_name,
)
from weft.models.gguf.reader import GGUFFile
from weft.models.loading import Ledger, LoadingSource
from weft.models.quant.format import QuantFormat
from weft.models.quant.projection import QuantizedMatrix
from weft.tensors.tensor import Tensor


class GGUFSource(LoadingSource):
    """Weights of a GGUF file under the model's names; with ``quantized`` matrices stay quantised where kernels can."""

    def __init__(
        self, file: GGUFFile, ledger: Ledger, dtype: DType, device: str, heads: dict[str, int], quantized: bool,
        quantize: QuantFormat | None = None, prefix: str = "",
    ) -> None:  # fmt: skip
        super().__init__(ledger, dtype, device, prefix, quantize)
        self.file, self.heads, self.quantized = file, heads, quantized

    def __truediv__(self, name: str) -> GGUFSource:
        prefix = f"{self.prefix}{name}."
        return GGUFSource(
            self.file, self.ledger, self.dtype, self.device, self.heads, self.quantized, self.quantize, prefix
        )

    def weight(self, rows: int, columns: int) -> Tensor | QuantizedMatrix:
        """The matrix of this part, with the file's own quants where kernels take them."""
        name = f"{self.prefix}weight"
        found = self.file.tensors.get(tensor_name(name))
        own = self.quantized and found is not None and QuantizedMatrix.suits(found.format, columns)
        if found is None or not own or found.shape != (rows, columns):
            return super().weight(rows, columns)
        self.has("weight", (rows, columns))
        return QuantizedMatrix.of(found.format, self.rows(name), self.device)

    def names(self) -> list[str]:
        """The model's names of all tensors; a tensor without one keeps its own."""
        backward = {theirs: ours for ours, theirs in NAMES.items()}
        parts = {theirs: ours for ours, theirs in LAYER_NAMES.items()}

        def ours(name: str) -> str:
            if name in backward:
                return backward[name]
            pieces = name.split(".")
            if len(pieces) == 4 and pieces[0] == "blk" and pieces[2] in parts:
                return f"model.layers.{pieces[1]}.{parts[pieces[2]]}.{pieces[3]}"
            return name

        return [ours(name) for name in self.file.tensors if name not in IGNORED]

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """A tensor's shape."""
        found = self.file.tensors.get(tensor_name(name))
        return None if found is None else found.shape

    def read(self, name: str, start: int, stop: int) -> Any:
        """Rows of a tensor, float32."""
        tensor, rows = self.file.tensors[tensor_name(name)], self.rows(name)
        if len(tensor.shape) == 1:
            return tensor.format.dequantize(rows[:1])[0, start:stop]
        inner = math.prod(tensor.shape[1:-1])
        values = tensor.format.dequantize(rows[start * inner : stop * inner])
        return values.reshape(stop - start, *tensor.shape[1:])

    def rows(self, name: str) -> Rows:
        """A tensor's bytes by rows, those of queries and keys in the order of the model."""
        return Rows(self.file.read(tensor_name(name)), self.heads.get(name.split(".")[-2], 0))


class Rows:
    """Rows of bytes; with ``heads`` in the model's order, half a head apart where GGUF has neighbouring pairs.

    GGUF pairs neighbouring rows of a head for the rotation.
    """

    def __init__(self, stored: Any, heads: int = 0) -> None:
        self.stored, self.shape = stored, stored.shape
        self.order = None
        if heads:
            numbers = np.arange(len(stored)).reshape(heads, -1, 2)
            self.order = numbers.swapaxes(1, 2).reshape(-1)

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, rows: slice) -> Any:
        return self.stored[rows] if self.order is None else self.stored[self.order[rows]]


def load_gguf(
    file: GGUFFile, dtype: DType = dtypes.float32, device: str = "cpu", *, quantized: bool = True,
    quantize: QuantFormat | None = None, progress: Callable[[str], None] | None = None,
) -> Decoder:  # fmt: skip
    """The model of an open file; ``FormatError`` names every tensor that is missing, misshapen or unexpected.

    With ``quantized`` matrices keep the file's quants. ``quantize`` is the format, one of weft's own, to which all
    other matrices are quantised whose columns are a multiple of its group.
    """
    path = str(file.path)
    config = config_of(file.metadata, file.tensors, path)
    interleaved = architecture_of(file.metadata, path).interleaved
    heads = {"q_proj": config.num_heads, "k_proj": config.num_kv_heads} if interleaved else {}
    source = GGUFSource(file, Ledger(progress), dtype, device, heads, quantized, quantize)
    model = Decoder(config, source)
    source.finish(path)
    return model
