"""``Mixture``: a feed-forward part that is a mixture of experts, of which each token takes a few.

An expert's matrices are slices of stacked weights. Memory decides how they are multiplied. A decode step with ``N``
tokens that take ``k`` experts each needs at most ``N * k`` experts. While these are no more than all ``E`` experts,
``indexed_linear`` reads only their matrices, one for each pair of token and expert. Gathering the matrices first would
move three times as many bytes. Beyond that, each expert's matrices are read once: experts follow each other in a loop,
and each multiplies all tokens, with a share of 0 for tokens that did not choose it.
"""

from __future__ import annotations

from collections.abc import Mapping

from weft import dtypes
from weft.control import scan
from weft.models.activations import ACTIVATIONS
from weft.models.config import DecoderConfig
from weft.models.source import Source
from weft.models.stacking import STACKINGS
from weft.nn import functional
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops import bind
from weft.ops.matmul.indexed import INDEXED_LINEAR
from weft.tensors.creation import zeros, zeros_like
from weft.tensors.tensor import Tensor


class Mixture(Module):
    """A mixture of experts (Shazeer et al. 2017): (B, T, hidden), shape kept.

    The router scores each expert for each token. A token's result is the sum of its ``k`` best experts' results by
    their shares: the softmax of the chosen scores, or without ``renormalise`` the softmax of all scores at the chosen.
    """

    def __init__(self, config: DecoderConfig, source: Source) -> None:
        super().__init__()
        self.count, self.chosen, self.renormalise = config.experts, config.experts_chosen, config.renormalise
        self.router = source.linear("router", self.count, config.hidden_size, config.expert_bias)
        self.experts = Experts(config, source / "experts")

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden), shape kept."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        scores = self.router(rows).to(dtypes.float32)
        best, chosen = scores.topk(self.chosen, dim=-1)
        shares = best.softmax(-1) if self.renormalise else scores.softmax(-1).gather(1, chosen)
        result: Tensor = self.experts(rows, shares.to(hidden.dtype), chosen).reshape(*hidden.shape)
        return result


class Experts(Module):
    """Gated feed-forward parts with stacked weights.

    ``gate_up`` (E, 2 * inner, hidden) holds the gates' rows before those of the other factor, ``down`` is
    (E, hidden, inner); ``gate_up_bias`` and ``down_bias`` lack the last dimension, and may be None.
    """

    def __init__(self, config: DecoderConfig, source: Source) -> None:
        super().__init__()
        self.inner, self.limits = config.expert_size, (config.gate_slope, config.gate_limit)
        self.activation = ACTIVATIONS[config.activation]
        self.stacking = STACKINGS[config.expert_stacking]
        weights = {
            name: Parameter(weight, requires_grad=False)
            for name, weight in self.stacking.read(config, source).items()
        }
        self.gate_up, self.down = weights["gate_up"], weights["down"]
        self.gate_up_bias, self.down_bias = weights.get("gate_up_bias"), weights.get("down_bias")

    def forward(self, rows: Tensor, shares: Tensor, chosen: Tensor) -> Tensor:
        """Map (N, hidden) to (N, hidden); ``chosen`` and ``shares`` (N, k) name each row's experts."""
        if chosen.numel() <= self.gate_up.shape[0]:
            return self._chosen(rows, shares, chosen)
        return self._all(rows, shares, chosen)

    def stored(self) -> Mapping[str, Tensor]:
        """Return the weights as the family's checkpoints have them."""
        return self.stacking.write(dict(self.named_parameters()))

    def _chosen(self, rows: Tensor, shares: Tensor, chosen: Tensor) -> Tensor:
        """Multiply each row by its own experts' matrices."""
        index = chosen.reshape(-1)
        pairs = rows.unsqueeze(1).expand(*chosen.shape, rows.shape[1]).reshape(-1, 1, rows.shape[1])
        inner: Tensor = bind(INDEXED_LINEAR, pairs, self.gate_up, index)
        if self.gate_up_bias is not None:
            inner = inner + self.gate_up_bias.index_select(0, index).unsqueeze(1)
        outer: Tensor = bind(INDEXED_LINEAR, self._gated(inner), self.down, index)
        if self.down_bias is not None:
            outer = outer + self.down_bias.index_select(0, index).unsqueeze(1)
        return (outer.reshape(*chosen.shape, rows.shape[1]) * shares.unsqueeze(-1)).sum(1)

    def _all(self, rows: Tensor, shares: Tensor, chosen: Tensor) -> Tensor:
        """Multiply all rows by each expert's matrices in turn."""
        spread = zeros(
            rows.shape[0], self.gate_up.shape[0], dtype=shares.dtype, device=str(rows.device)
        ).scatter(1, chosen, shares)
        stacked = {"gate_up": self.gate_up, "down": self.down, "share": spread.t().unsqueeze(-1)}
        if self.gate_up_bias is not None and self.down_bias is not None:
            stacked |= {"gate_up_bias": self.gate_up_bias, "down_bias": self.down_bias}

        def expert(total: Tensor, own: Mapping[str, Tensor]) -> tuple[Tensor, None]:
            inner = functional.linear(rows, own["gate_up"], own.get("gate_up_bias"))
            outer = functional.linear(self._gated(inner), own["down"], own.get("down_bias"))
            return total + outer * own["share"], None

        result: Tensor = scan(expert, zeros_like(rows), stacked)[0]
        return result

    def _gated(self, inner: Tensor) -> Tensor:
        """Return the product of the two halves of (*, 2 * inner), the gates activated."""
        gate, up = inner[..., : self.inner], inner[..., self.inner :]
        slope, limit = self.limits
        if slope is None or limit is None:
            return self.activation(gate) * up
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
        return (up + 1) * gate * (gate * slope).sigmoid()
