"""A GGUF file as a checkpoint: its configuration and its weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from weft import dtypes
from weft.dtypes import DType
from weft.models.decoder import Decoder
from weft.models.families.layout import BASE, Places
from weft.models.gguf.architectures import IGNORED, architecture_of, config_of, with_factors
from weft.models.gguf.reader import GGUFFile
from weft.models.loading import Ledger, LoadingSource
from weft.models.quant.format import QuantFormat
from weft.models.quant.projection import QuantizedMatrix
from weft.tensors.tensor import Tensor


class GGUFSource(LoadingSource):
    """Weights of a GGUF file under the model's names; with ``quantized`` matrices stay quantised where kernels can."""

    def __init__(
        self, file: GGUFFile, ledger: Ledger, dtype: DType, device: str, places: Places, heads: dict[str, int],
        quantized: bool, quantize: QuantFormat | None = None, prefix: str = "",
    ) -> None:  # fmt: skip
        super().__init__(ledger, dtype, device, prefix, quantize)
        self.file, self.places, self.heads, self.quantized = file, places, heads, quantized

    def __truediv__(self, name: str) -> GGUFSource:
        return GGUFSource(
            self.file, self.ledger, self.dtype, self.device, self.places, self.heads, self.quantized, self.quantize,
            f"{self.prefix}{name}.",
        )  # fmt: skip

    def weight(self, rows: int, columns: int) -> Tensor | QuantizedMatrix:
        """The matrix of this part, with the file's own quants where kernels take them."""
        name = f"{self.prefix}weight"
        found = self.file.tensors.get(self.places.of(name).name)
        own = self.quantized and found is not None and QuantizedMatrix.suits(found.format, columns)
        if found is None or not own or found.shape != self.placed(name, (rows, columns))[1]:
            return super().weight(rows, columns)
        self.has("weight", (rows, columns))
        return QuantizedMatrix.of(found.format, self.rows(name, rows), self.device)

    def names(self) -> list[str]:
        """The model's names of all tensors; a tensor that holds several weights, or is unknown, keeps its own."""
        layout = self.places.layout
        backward = {theirs: ours for ours, theirs in layout.names.items()}
        fused = {each.name for each in layout.fused}

        def ours(name: str) -> str:
            module, _, kind = name.rpartition(".")
            if module in layout.heads:
                return f"lm_head.{kind}"
            pieces = module.split(".")
            index = pieces[1] if pieces[0] == "blk" and len(pieces) > 1 else ""
            pattern = ".".join(["blk", "*", *pieces[2:]]) if index else module
            if pattern in fused or pattern not in backward:
                return name
            return f"{BASE}{backward[pattern].replace('*', index)}.{kind}"

        return [ours(name) for name in self.file.tensors if name not in IGNORED]

    def placed(self, name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Return the name of the tensor that holds a weight, the model's where it holds nothing else, and its shape."""
        place = self.places.of(name)
        return place.name if place.fused else name, place.shape(shape)

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """The shape of the tensor that holds a weight."""
        found = self.file.tensors.get(self.places.of(name).name)
        return None if found is None else found.shape

    def read(self, name: str, start: int, stop: int) -> Any:
        """Rows of a weight, float32."""
        place = self.places.of(name)
        tensor = self.file.tensors[place.name]
        if len(tensor.shape) == 1:
            values = tensor.format.dequantize(self.file.read(place.name))[0]
            # these files hold 1 + weight
            shifted = self.places.config.norm == "rms_plus_one" and name.endswith("norm.weight")
            order = pairs_apart(len(values), self.heads.get(name.split(".")[-2], 0))
            return place.rows_of(values[order], start, stop) - np.float32(shifted)
        inner = math.prod(tensor.shape[1:-1])
        values = tensor.format.dequantize(self.rows(name)[start * inner : stop * inner])
        return values.reshape(stop - start, *tensor.shape[1:])

    def rows(self, name: str, count: int | None = None) -> Rows:
        """``count`` rows or all of a matrix as bytes, those of queries and keys in the order of the model."""
        place = self.places.of(name)
        return Rows(self.file.read(place.name), place.start, count, self.heads.get(name.split(".")[-2], 0))


def pairs_apart(count: int, heads: int) -> Any:
    """Return the order of rows in which the pairs that rotate lie half a head apart, not side by side as in GGUF.

    >>> pairs_apart(8, 2).tolist(), pairs_apart(3, 0).tolist()
    ([0, 2, 1, 3, 4, 6, 5, 7], [0, 1, 2])
    """
    numbers = np.arange(count)
    return numbers.reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1) if heads else numbers


class Rows:
    """Rows of bytes from row ``first`` on, ``count`` or all; with ``heads`` in the model's order."""

    def __init__(self, stored: Any, first: int, count: int | None, heads: int = 0) -> None:
        self.stored = stored[first:] if count is None else stored[first : first + count]
        self.shape = self.stored.shape
        self.order = pairs_apart(len(self.stored), heads) if heads else None

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
    config = with_factors(
        config_of(file.metadata, file.tensors, path),
        lambda name: file.tensors[name].format.dequantize(file.read(name)),
        file.tensors,
    )
    architecture = architecture_of(file.metadata, path)
    heads = {"q_proj": config.num_heads, "k_proj": config.num_kv_heads} if architecture.interleaved else {}
    places = Places(architecture.layout, config)
    source = GGUFSource(file, Ledger(progress), dtype, device, places, heads, quantized, quantize)
    model = Decoder(config, source)
    source.finish(path)
    return model
