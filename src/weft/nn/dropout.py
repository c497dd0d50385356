"""``Dropout``: random zeros in training."""

from __future__ import annotations

from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.nn import functional
from weft.nn.module import Module
from weft.tensors.tensor import Tensor


class Dropout(Module):
    """In training each element is 0 with probability ``p``, else scaled by 1 / (1 - p); in evaluation unchanged."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ArgumentError(mistake("Dropout", "p", p, "a probability in [0, 1]"))
        if inplace:
            raise UnsupportedError(
                mistake("Dropout", "inplace", True, "False", "the mask's backward needs the input")
            )
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return functional.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """The options."""
        return f"p={self.p}, inplace={self.inplace}"
