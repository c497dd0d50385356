"""``Source``: where a model's parts take their weights from, so that no weight is made twice.

A part asks its source for each weight by name and shape while it is constructed. ``RandomSource`` draws weights;
``weft.models.checkpoints`` reads them from files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from weft.dtypes import DType
from weft.nn import functional
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.random import normal
from weft.tensors.creation import ones, zeros
from weft.tensors.tensor import Tensor


class Projection(Module):
    """``x @ weight.T + bias`` of given tensors: (*, in) to (*, out); ``weight`` (out, in), ``bias`` (out) or None."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight = Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else Parameter(bias, requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:
        """Map (*, in) to (*, out)."""
        result: Tensor = functional.linear(input, self.weight, self.bias)
        return result

    def extra_repr(self) -> str:
        """The sizes."""
        rows, columns = self.weight.shape
        return f"in_features={columns}, out_features={rows}, bias={self.bias is not None}"


class Embedding(Module):
    """Rows of a table by token: (*) to (*, size); ``as_linear`` multiplies by the table."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = Parameter(weight, requires_grad=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (*) to (*, size)."""
        result: Tensor = functional.embedding(tokens, self.weight)
        return result

    def as_linear(self, hidden: Tensor) -> Tensor:
        """(*, size) to (*, rows): the logits of a model with tied embeddings."""
        result: Tensor = functional.linear(hidden, self.weight)
        return result


class Source(ABC):
    """Gives weights by their full names; ``source / "name"`` is the source of a part."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    @abstractmethod
    def __truediv__(self, name: str) -> Source:
        """The source of the part called ``name``."""

    @abstractmethod
    def tensor(self, name: str, shape: Sequence[int]) -> Tensor:
        """The weight called ``name`` of this part."""

    def linear(self, name: str, out_features: int, in_features: int, bias: bool = False) -> Module:
        """The linear layer called ``name`` of this part."""
        part = self / name
        weight = part.tensor("weight", (out_features, in_features))
        return Projection(weight, part.tensor("bias", (out_features,)) if bias else None)

    def embedding(self, name: str, rows: int, size: int) -> Module:
        """The embedding called ``name`` of this part; it has ``as_linear``."""
        return Embedding((self / name).tensor("weight", (rows, size)))


class RandomSource(Source):
    """Draws weights of standard deviation ``std``; norms (names that end in ``norm``) begin as 1, biases as 0."""

    def __init__(
        self, std: float = 0.02, dtype: DType | None = None, device: str | None = None, prefix: str = ""
    ) -> None:
        super().__init__(prefix)
        self.std, self.dtype, self.device = std, dtype, device

    def __truediv__(self, name: str) -> RandomSource:
        return RandomSource(self.std, self.dtype, self.device, f"{self.prefix}{name}.")

    def tensor(self, name: str, shape: Sequence[int]) -> Tensor:
        """A weight of its own."""
        if name == "bias":
            return zeros(*shape, dtype=self.dtype, device=self.device)
        if self.prefix.rstrip(".").endswith("norm"):
            return ones(*shape, dtype=self.dtype, device=self.device)
        return normal(0.0, self.std, tuple(shape), dtype=self.dtype, device=self.device)
