"""``GatedDeltaNet``: Qwen3.5's mixer of tokens without attention."""

from __future__ import annotations

from weft import dtypes
from weft.models.attention import Context
from weft.models.cache import Stored
from weft.models.config import DecoderConfig, LayerConfig
from weft.models.norms import RMSNorm
from weft.models.recurrent.delta_rule import gated_delta_rule
from weft.models.recurrent.short_convolution import CausalConvolution
from weft.models.source import Source
from weft.nn import functional
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.tensors.creation import zeros
from weft.tensors.tensor import Tensor

EPSILON = 1e-6
"""Added to the square of a key's or query's length."""


class GatedDeltaNet(Module):
    """A short convolution, then the gated delta rule in each head, then a gated norm: (B, T, hidden), shape kept."""

    def __init__(self, config: DecoderConfig, index: int, layer: LayerConfig, source: Source) -> None:
        super().__init__()
        self.index, hidden = index, config.hidden_size
        self.key_heads, self.heads = config.delta_key_heads, config.delta_value_heads
        self.key_size, self.value_size = config.delta_key_size, config.delta_value_size
        self.keys, self.values = self.key_heads * self.key_size, self.heads * self.value_size
        width = 2 * self.keys + self.values
        self.in_proj_qkv = source.linear("in_proj_qkv", width, hidden)
        self.in_proj_z = source.linear("in_proj_z", self.values, hidden)
        self.in_proj_b = source.linear("in_proj_b", self.heads, hidden)
        self.in_proj_a = source.linear("in_proj_a", self.heads, hidden)
        self.conv1d = CausalConvolution(index, width, config.conv_size, config.conv_bias, source / "conv1d")
        self.dt_bias = Parameter(source.tensor("dt_bias", (self.heads,)), requires_grad=False)
        self.A_log = Parameter(source.tensor("A_log", (self.heads,)), requires_grad=False)
        self.norm = RMSNorm(self.value_size, config.norm_eps, source / "norm")
        self.out_proj = source.linear("out_proj", hidden, self.values)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """(B, T, hidden), shape kept."""
        batch, tokens = hidden.shape[:2]
        view = context.view
        mixed = functional.silu(self.conv1d(self.in_proj_qkv(hidden), context)).to(dtypes.float32)
        queries, keys, values = mixed.split([self.keys, self.keys, self.values], -1)
        queries, keys = self._unit(queries) * self.key_size**-0.5, self._unit(keys)
        values = values.reshape(batch, tokens, self.heads, self.value_size).transpose(1, 2)
        rates = self.in_proj_b(hidden).to(dtypes.float32).sigmoid()
        step = functional.softplus(
            self.in_proj_a(hidden).to(dtypes.float32) + self.dt_bias.to(dtypes.float32)
        )
        decays = -self.A_log.to(dtypes.float32).exp() * step
        if view is None:
            shape = (batch, self.heads, self.key_size, self.value_size)
            state = zeros(*shape, dtype=dtypes.float32, device=str(hidden.device))
        else:
            state = view.state(self.index, "state")
            padding = ~view.real.unsqueeze(-1)
            rates, decays = rates.masked_fill(padding, 0.0), decays.masked_fill(padding, 0.0)
        results, state = gated_delta_rule(
            queries, keys, values, decays.transpose(1, 2), rates.transpose(1, 2), state
        )
        if view is not None:
            view.keep(self.index, "state", state)
        gate = self.in_proj_z(hidden).reshape(batch, tokens, self.heads, self.value_size)
        normed = self.norm(results.transpose(1, 2).to(hidden.dtype)) * functional.silu(gate)
        output: Tensor = self.out_proj(normed.reshape(batch, tokens, self.values))
        return output

    def _unit(self, heads: Tensor) -> Tensor:
        """Return vectors of length 1 (B, heads, T, K); each key head serves neighbouring value heads."""
        batch, tokens = heads.shape[:2]
        split = heads.reshape(batch, tokens, self.key_heads, self.key_size).transpose(1, 2)
        unit = split * ((split * split).sum(-1, keepdim=True) + EPSILON).rsqrt()
        shared = unit.unsqueeze(2).expand(
            batch, self.key_heads, self.heads // self.key_heads, tokens, self.key_size
        )
        result: Tensor = shared.reshape(batch, self.heads, tokens, self.key_size)
        return result

    def stores(self) -> dict[str, Stored]:
        """What is kept of each sequence."""
        shape = (self.heads, self.key_size, self.value_size)
        return {**self.conv1d.stores(), "state": Stored(shape, of_sequence=True, dtype=dtypes.float32)}
