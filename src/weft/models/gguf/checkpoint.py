"""A GGUF file as a checkpoint: its configuration and its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from weft.models.quant.projection import QuantizedEmbedding, QuantizedMatrix, QuantizedProjection
from weft.nn.module import Module


class GGUFSource(LoadingSource):
    """Weights of a GGUF file under the model's names; with ``quantized`` matrices stay quantised where kernels can."""

    def __init__(
        self, file: GGUFFile, ledger: Ledger, dtype: DType, device: str, heads: dict[str, int], quantized: bool,
        quantize: QuantFormat | None = None, prefix: str = "",
    ) -> None:  # fmt: skip
        super().__init__(ledger, dtype, device, prefix)
        self.file, self.heads, self.quantized, self.quantize = file, heads, quantized, quantize

    def __truediv__(self, name: str) -> GGUFSource:
        prefix = f"{self.prefix}{name}."
        return GGUFSource(
            self.file, self.ledger, self.dtype, self.device, self.heads, self.quantized, self.quantize, prefix
        )

    def _matrix(self, rows: int, columns: int) -> QuantizedMatrix | None:
        """The part's weight as the file's own quants, or quantised here; None where it becomes a float tensor."""
        name = f"{self.prefix}weight"
        found = self.file.tensors.get(tensor_name(name))
        if found is None:
            return None
        own = self.quantized and bool(found.format.scale)
        form = found.format if own else self.quantize
        if (
            form is None
            or not QuantizedMatrix.suits(form, columns)
            or not self.has("weight", (rows, columns))
        ):
            return None
        if own:
            return QuantizedMatrix.of(form, self.rows(name), self.device)
        return QuantizedMatrix.of_weights(form, self.read(name), self.device)

    def linear(self, name: str, out_features: int, in_features: int, bias: bool = False) -> Module:
        """The linear layer called ``name`` of this part, with the file's quants where kernels take them."""
        part = self / name
        matrix = part._matrix(out_features, in_features)
        if matrix is None:
            return super().linear(name, out_features, in_features, bias)
        return QuantizedProjection(matrix, part.tensor("bias", (out_features,)) if bias else None)

    def embedding(self, name: str, rows: int, size: int) -> Module:
        """The embedding called ``name`` of this part, with the file's quants where kernels take them."""
        matrix = (self / name)._matrix(rows, size)
        return (
            super().embedding(name, rows, size) if matrix is None else QuantizedEmbedding(matrix, self.dtype)
        )

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

    def read(self, name: str) -> Any:
        """A tensor's numbers, float32."""
        tensor = self.file.tensors[tensor_name(name)]
        return tensor.format.dequantize(self.rows(name)).reshape(tensor.shape)

    def rows(self, name: str) -> Any:
        """A tensor's bytes by rows, those of queries and keys in the order of the model."""
        rows = self.file.read(tensor_name(name))
        part = name.split(".")[-2]
        if part not in self.heads:
            return rows
        # GGUF pairs neighbouring rows of a head for the rotation, the model rows half a head apart
        heads = self.heads[part]
        return rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


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
