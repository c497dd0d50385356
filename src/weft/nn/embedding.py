"""``Embedding`` and ``EmbeddingBag``: tables of vectors, selected by index one by one or in bags."""

from __future__ import annotations

from weft.autograd import no_grad
from weft.dtypes import DType
from weft.errors import ArgumentError, ShapeError, UnsupportedError, mistake
from weft.nn import functional, init
from weft.nn.linear import extent
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops.index.bags import MODES as BAG_MODES
from weft.ops.registry.arguments import tensor
from weft.tensors.creation import empty
from weft.tensors.tensor import Tensor


def refuse_norms(where: str, max_norm: float | None, scale_grad_by_freq: bool, sparse: bool) -> None:
    """Raise ``UnsupportedError`` for the options of embeddings that weft does not implement."""
    for name, given, expected in (
        ("max_norm", max_norm, None),
        ("scale_grad_by_freq", scale_grad_by_freq, False),
        ("sparse", sparse, False),
    ):
        if given is not None and given is not False:
            raise UnsupportedError(
                mistake(
                    where, name, given, expected, "weft does not renormalize rows, and gradients are dense"
                )
            )


def row_of(where: str, padding_idx: int | None, count: int) -> int | None:
    """Return ``padding_idx`` as a non-negative row; ``ArgumentError`` where it is out of range."""
    if padding_idx is None:
        return None
    if not -count <= padding_idx < count:
        raise ArgumentError(mistake(where, "padding_idx", padding_idx, f"within num_embeddings, {count}"))
    return padding_idx % count


def table_of(
    where: str, shape: tuple[int, int], given: Tensor | None, device: str | None, dtype: DType | None
) -> Parameter:
    """Return the rows of a layer: ``given``, which must have the shape, or a parameter of undefined contents."""
    if given is None:
        return Parameter(empty(shape, device=device, dtype=dtype))
    if tuple(given.shape) != shape:
        raise ShapeError(mistake(where, "_weight's shape", tuple(given.shape), f"{shape}"))
    return Parameter(given)


class Embedding(Module):
    """Rows of ``weight`` (num_embeddings, embedding_dim) by index: (*) to (*, embedding_dim).

    ``weight`` is initialized from the standard normal distribution. The row ``padding_idx`` is initialized to 0 and
    gets no gradient. ``max_norm``, ``scale_grad_by_freq`` and ``sparse`` raise ``UnsupportedError``.

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
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        refuse_norms("Embedding", max_norm, scale_grad_by_freq, sparse)
        self.num_embeddings = extent("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = extent("Embedding", "embedding_dim", embedding_dim)
        self.padding_idx = row_of("Embedding", padding_idx, self.num_embeddings)
        shape = (self.num_embeddings, self.embedding_dim)
        self.weight = table_of("Embedding", shape, _weight, device, dtype)
        self.weight.requires_grad_(not _freeze)
        if _weight is None:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the weight at random."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].zero_()

    def forward(self, input: Tensor) -> Tensor:
        """Integers of any shape (*) to (*, embedding_dim)."""
        result: Tensor = functional.embedding(input, self.weight, self.padding_idx)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Embedding:
        """Return a layer with the rows ``embeddings`` (num_embeddings, embedding_dim), not trained if ``freeze``."""
        rows, size = tensor("Embedding.from_pretrained", "embeddings", embeddings, 2).shape
        layer = cls(rows, size, padding_idx, device=str(embeddings.device), dtype=embeddings.dtype)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer


class EmbeddingBag(Module):
    """Rows of ``weight`` (num_embeddings, embedding_dim) summed, averaged or maximised over bags of indices.

    ``max_norm``, ``scale_grad_by_freq`` and ``sparse`` raise ``UnsupportedError``.

    >>> import weft as wf
    >>> tuple(wf.nn.EmbeddingBag(10, 3)(wf.tensor([1, 2, 3, 4]), wf.tensor([0, 3])).shape)
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if mode not in BAG_MODES:
            raise ArgumentError(
                mistake("EmbeddingBag", "mode", repr(mode), f"one of {', '.join(map(repr, BAG_MODES))}")
            )
        refuse_norms("EmbeddingBag", max_norm, scale_grad_by_freq, sparse)
        self.num_embeddings = extent("EmbeddingBag", "num_embeddings", num_embeddings)
        self.embedding_dim = extent("EmbeddingBag", "embedding_dim", embedding_dim)
        self.mode, self.include_last_offset = mode, include_last_offset
        self.padding_idx = row_of("EmbeddingBag", padding_idx, self.num_embeddings)
        shape = (self.num_embeddings, self.embedding_dim)
        self.weight = table_of("EmbeddingBag", shape, _weight, device, dtype)
        if _weight is None:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the weight at random."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].zero_()

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        """Integers (bags, indices), or (indices) with offsets (bags), to (bags, embedding_dim)."""
        result: Tensor = functional.embedding_bag(
            input, self.weight, offsets, mode=self.mode, per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset, padding_idx=self.padding_idx,
        )  # fmt: skip
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}{padding}"
