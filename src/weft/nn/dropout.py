"""Dropout layers: random zeros in training, of elements or of whole channels."""

from __future__ import annotations

from typing import ClassVar

from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.nn import functional
from weft.nn.module import Module
from weft.tensors.tensor import Tensor


class _Dropout(Module):
    """A dropout function as a layer, which acts in training only."""

    op: ClassVar[str]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        name = type(self).__name__
        if not 0.0 <= p <= 1.0:
            raise ArgumentError(mistake(name, "p", p, "a probability in [0, 1]"))
        if inplace:
            raise UnsupportedError(
                mistake(name, "inplace", True, "False", "the mask's backward needs the input")
            )
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        result: Tensor = getattr(functional, self.op)(input, self.p, self.training)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training each element is 0 with probability ``p``, else scaled by 1 / (1 - p); in evaluation unchanged."""

    op = "dropout"


class Dropout1d(_Dropout):
    """In training each channel of (N, C, L) or (C, L) is 0 with probability ``p``, else scaled by 1 / (1 - p)."""

    op = "dropout1d"


class Dropout2d(_Dropout):
    """In training each channel of (N, C, H, W) is 0 with probability ``p``, else scaled by 1 / (1 - p)."""

    op = "dropout2d"


class Dropout3d(_Dropout):
    """In training each channel of (N, C, D, H, W) or (C, D, H, W) is 0 with probability ``p``, else scaled."""

    op = "dropout3d"


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1, for networks of SELU (Klambauer et al. 2017)."""

    op = "alpha_dropout"


class FeatureAlphaDropout(_Dropout):
    """``AlphaDropout`` of whole channels of (N, C, *)."""

    op = "feature_alpha_dropout"
