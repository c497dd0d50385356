"""``Embedding``: a table of vectors, picked by index."""

from __future__ import annotations

from weft.autograd import no_grad
from weft.dtypes import DType
from weft.errors import ArgumentError, mistake
from weft.nn import functional, init
from weft.nn.linear import extent
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops import OPS, bind
from weft.tensors.creation import empty
from weft.tensors.tensor import Tensor


class Embedding(Module):
    """Rows of ``weight`` (num_embeddings, embedding_dim) by index: (*) to (*, embedding_dim); starts normal.

    The row ``padding_idx`` starts as zeros and gets no gradient.

    >>> import weft as wf
    >>> tuple(wf.nn.Embedding(10, 3)(wf.tensor([[1, 2], [3, 4]])).shape)
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = extent("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = extent("Embedding", "embedding_dim", embedding_dim)
        if padding_idx is not None:
            if not -self.num_embeddings <= padding_idx < self.num_embeddings:
                raise ArgumentError(
                    mistake(
                        "Embedding",
                        "padding_idx",
                        padding_idx,
                        f"within num_embeddings, {self.num_embeddings}",
                    )
                )
            padding_idx %= self.num_embeddings
        self.padding_idx = padding_idx
        self.weight = Parameter(empty(self.num_embeddings, self.embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].zero_()

    def forward(self, input: Tensor) -> Tensor:
        """Integers of any shape (*) to (*, embedding_dim)."""
        rows: Tensor = functional.embedding(input, self.weight)
        if self.padding_idx is None or not rows.requires_grad:
            return rows
        padded = (input == self.padding_idx).unsqueeze(-1)
        result: Tensor = bind(OPS["where"], padded, rows.detach(), rows)
        return result

    def extra_repr(self) -> str:
        """The options."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
