"""Normalisations of decoders, by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from weft.models.config import DecoderConfig, NormKind
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


class RMSNormPlusOne(RMSNorm):
    """``RMSNorm`` that scales by ``1 + weight``."""

    def forward(self, input: Tensor) -> Tensor:
        """(*, size), shape kept."""
        result: Tensor = functional.rms_norm(input, (self.size,), self.weight + 1, self.eps)
        return result


class LayerNorm(Module):
    """Layer normalisation (Ba et al. 2016) of the last dimension, then scale by ``weight`` and add ``bias``."""

    def __init__(self, size: int, eps: float, source: Source) -> None:
        super().__init__()
        self.size, self.eps = size, eps
        self.weight = Parameter(source.tensor("weight", (size,)), requires_grad=False)
        self.bias = Parameter(source.tensor("bias", (size,)), requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:
        """(*, size), shape kept."""
        result: Tensor = functional.layer_norm(input, (self.size,), self.weight, self.bias, self.eps)
        return result


NORMS: Mapping[NormKind, Callable[[int, float, Source], Module]] = {
    "rms": RMSNorm,
    "rms_plus_one": RMSNormPlusOne,
    "layer": LayerNorm,
}
"""By ``DecoderConfig.norm``."""


def norm(config: DecoderConfig, size: int, source: Source) -> Module:
    """Return the model's kind of norm over ``size`` features."""
    return NORMS[config.norm](size, config.norm_eps, source)
