"""Normalisations of decoders."""

from __future__ import annotations

from weft.models.source import Source
from weft.nn import functional
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.tensors.tensor import Tensor


class RMSNorm(Module):
    """Root mean square normalisation (Zhang and Sennrich 2019) of the last dimension, then scale by ``weight``."""

    def __init__(self, size: int, eps: float, source: Source) -> None:
        super().__init__()
        self.size, self.eps = size, eps
        self.weight = Parameter(source.tensor("weight", (size,)), requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:
        """(*, size), shape kept."""
        result: Tensor = functional.rms_norm(input, (self.size,), self.weight, self.eps)
        return result
