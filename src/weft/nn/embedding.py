"""``Embedding``: a table of vectors, picked by index."""

from __future__ import annotations

from weft.autograd import no_grad
from weft.dtypes import DType
from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.nn import functional, init
from weft.nn.linear import extent
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops.arguments import tensor
from weft.tensors.creation import empty
from weft.tensors.tensor import Tensor


class Embedding(Module):
    """Rows of ``weight`` (num_embeddings, embedding_dim) by index: (*) to (*, embedding_dim); starts normal.

    The row ``padding_idx`` starts as zeros and gets no gradient. ``max_norm``, ``scale_grad_by_freq`` and ``sparse``
    raise ``UnsupportedError``.

    >>> import weft as wf
    >>> tuple(wf.nn.Embedding(10, 3)(wf.tensor([[1, 2], [3, 4]])).shape)
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        for name, given in (
            ("max_norm", max_norm),
            ("scale_grad_by_freq", scale_grad_by_freq),
            ("sparse", sparse),
        ):
            if given is not None and given is not False:
                expected = None if name == "max_norm" else False
                raise UnsupportedError(
                    mistake("Embedding", name, given, expected, "norms are left as they are, gradients dense")
                )
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
        result: Tensor = functional.embedding(input, self.weight, self.padding_idx)
        return result

    def extra_repr(self) -> str:
        """The options."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Embedding:
        """A layer of the rows of ``embeddings`` (num_embeddings, embedding_dim), fixed where ``freeze``."""
        rows, size = tensor("Embedding.from_pretrained", "embeddings", embeddings, 2).shape
        made = cls(rows, size, padding_idx, device=str(embeddings.device), dtype=embeddings.dtype)
        made.weight = Parameter(embeddings, requires_grad=not freeze)
        return made
