"""Causal convolutions along the tokens, each feature for itself, whose state is the last inputs of each sequence."""

from __future__ import annotations

from weft import dtypes
from weft.models.attention import Context
from weft.models.cache import Stored
from weft.models.config import DecoderConfig, LayerConfig
from weft.models.source import Source
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops.index.indexing import cat
from weft.tensors.creation import arange, zeros
from weft.tensors.tensor import Tensor


class CausalConvolution(Module):
    """A depthwise convolution of each token and the ``size - 1`` before it: (B, T, features), shape kept.

    ``weight`` is (features, 1, size), as a ``Conv1d`` with groups has it.
    """

    def __init__(self, layer: int, features: int, size: int, bias: bool, source: Source) -> None:
        super().__init__()
        self.layer, self.features, self.size = layer, features, size
        self.weight = Parameter(source.tensor("weight", (features, 1, size)), requires_grad=False)
        self.bias = Parameter(source.tensor("bias", (features,)), requires_grad=False) if bias else None

    def forward(self, input: Tensor, context: Context) -> Tensor:
        """(B, T, features), shape kept; the last real inputs of each sequence become its state."""
        batch, tokens = input.shape[:2]
        view = context.view
        before = (
            zeros(batch, self.size - 1, self.features, dtype=input.dtype, device=str(input.device))
            if view is None
            else view.state(self.layer, "inputs").to(input.dtype)
        )
        inputs = cat([before, input], 1)
        result: Tensor = inputs[:, :tokens] * self.weight[:, 0, 0]
        for at in range(1, self.size):
            result = result + inputs[:, at : at + tokens] * self.weight[:, 0, at]
        if view is not None:
            last = arange(
                self.size - 1, dtype=dtypes.int64, device=str(input.device)
            ) + view.lengths.unsqueeze(1)
            places = last.unsqueeze(2).expand(batch, self.size - 1, self.features)
            view.keep(self.layer, "inputs", inputs.gather(1, places))
        return result if self.bias is None else result + self.bias

    def stores(self) -> dict[str, Stored]:
        """What is kept of each sequence."""
        shape = (self.size - 1, self.features)
        return {"inputs": Stored(shape, of_sequence=True, dtype=self.weight.dtype)}


class ShortConvolution(Module):
    """LFM2's mixer of tokens: a short convolution between two gates, (B, T, hidden) to (B, T, hidden)."""

    def __init__(self, config: DecoderConfig, index: int, layer: LayerConfig, source: Source) -> None:
        super().__init__()
        hidden, bias = config.hidden_size, config.conv_bias
        self.in_proj = source.linear("in_proj", 3 * hidden, hidden, bias)
        self.conv = CausalConvolution(index, hidden, config.conv_size, bias, source / "conv")
        self.out_proj = source.linear("out_proj", hidden, hidden, bias)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, hidden), shape kept."""
        before, after, values = self.in_proj(hidden).chunk(3, -1)
        result: Tensor = self.out_proj(after * self.conv(before * values, context))
        return result

    def stores(self) -> dict[str, Stored]:
        """What is kept of each sequence."""
        return self.conv.stores()
