"""``LoadingSource``: weights out of a checkpoint, one after another, with every problem named in one error."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from weft.dtypes import DType
from weft.errors import FormatError
from weft.models.quant.format import QuantFormat
from weft.models.quant.projection import QuantizedEmbedding, QuantizedMatrix, QuantizedProjection
from weft.models.source import Embedding, Projection, Source
from weft.models.upload import Upload, runs
from weft.nn.module import Module
from weft.tensors.creation import zeros
from weft.tensors.tensor import Tensor

MOST_NAMED = 20
"""Problems that an error lists; the rest are counted."""


class Ledger:
    """What a model asked for: names used so far, problems, and who is told of progress."""

    def __init__(self, progress: Callable[[str], None] | None = None) -> None:
        self.used: set[str] = set()
        self.problems: list[str] = []
        self.progress = progress

    def note(self, problem: str) -> None:
        """Add a problem, once."""
        if problem not in self.problems:
            self.problems.append(problem)


class LoadingSource(Source):
    """A source over named tensors of a file; ``finish()`` raises ``FormatError`` for all that did not fit.

    Linear layers and embeddings stay quantised where the file has them so and kernels take them. ``quantize`` is the
    format, one of weft's own, to which all others are quantised whose columns are a multiple of its group.
    """

    def __init__(
        self, ledger: Ledger, dtype: DType, device: str, prefix: str = "", quantize: QuantFormat | None = None
    ) -> None:
        super().__init__(prefix)
        self.ledger, self.dtype, self.device, self.quantize = ledger, dtype, device, quantize

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Every name in the file, as ``placed`` gives it; those that the model may ignore are left out."""

    @abstractmethod
    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """A tensor's shape; None where the file has no such tensor."""

    @abstractmethod
    def read(self, name: str, start: int, stop: int) -> Any:
        """Rows of a tensor as a NumPy array; the rows of a tensor are its elements along the first dimension."""

    def weight(self, rows: int, columns: int) -> Tensor | QuantizedMatrix:
        """The matrix of this part, quantised where it can be; a problem is noted where it does not fit."""
        shape = rows, columns
        if not self.has("weight", shape):
            return zeros(0, device=self.device)
        name, form = self.prefix + "weight", self.quantize
        if form is None or not QuantizedMatrix.suits(form, columns):
            return self.filled(shape, lambda start, stop: self.read(name, start, stop))
        return QuantizedMatrix.of_runs(
            form, shape, lambda start, stop: self.read(name, start, stop), self.device
        )

    def filled(self, shape: Sequence[int], read: Callable[[int, int], Any]) -> Tensor:
        """A tensor in the source's type of the rows that ``read(start, stop)`` gives."""
        upload = Upload(shape, self.dtype, self.device)
        for start, stop in runs(shape[0], math.prod(shape[1:])):
            upload.append(read(start, stop))
        return upload.tensor

    def linear(self, name: str, out_features: int, in_features: int, bias: bool = False) -> Module:
        """The linear layer called ``name`` of this part, quantised where it can be."""
        part = self / name
        weight = part.weight(out_features, in_features)
        added = part.tensor("bias", (out_features,)) if bias else None
        if isinstance(weight, QuantizedMatrix):
            return QuantizedProjection(weight, added)
        return Projection(weight, added)

    def embedding(self, name: str, rows: int, size: int) -> Module:
        """The embedding called ``name`` of this part, quantised where it can be."""
        weight = (self / name).weight(rows, size)
        if isinstance(weight, QuantizedMatrix):
            return QuantizedEmbedding(weight, self.dtype)
        return Embedding(weight)

    @abstractmethod
    def __truediv__(self, name: str) -> LoadingSource:
        """The source of the part called ``name``."""

    def placed(self, name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Return the file's name of the tensor that holds a weight, and the shape that it must have."""
        return name, shape

    def has(self, name: str, shape: Sequence[int]) -> bool:
        """Whether the file has the tensor in this shape; a problem is noted where it has not."""
        full, expected = self.placed(self.prefix + name, tuple(shape))
        return self.present(full, self.shape_of(self.prefix + name), expected)

    def present(self, full: str, found: tuple[int, ...] | None, expected: tuple[int, ...]) -> bool:
        """Whether the file's tensor ``full`` is there as expected; notes its use, and a problem where it is not."""
        first = full not in self.ledger.used
        self.ledger.used.add(full)
        if found == expected:
            if first and self.ledger.progress is not None:
                self.ledger.progress(full)
            return True
        problem = f"{full} is missing" if found is None else f"{full} is {found}, expected {expected}"
        self.ledger.note(problem)
        return False

    def tensor(self, name: str, shape: Sequence[int]) -> Tensor:
        """A weight of the file, in the source's type."""
        if not self.has(name, shape):
            return zeros(0, device=self.device)
        return self.filled(shape, lambda start, stop: self.read(self.prefix + name, start, stop))

    def finish(self, path: str) -> None:
        """Raise for missing, misshapen and unexpected tensors, all named."""
        problems = self.ledger.problems + [
            f"{name} is unexpected" for name in self.names() if name not in self.ledger.used
        ]
        if problems:
            more = len(problems) - MOST_NAMED
            listed = "; ".join(problems[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
            raise FormatError(f"{path!r}: the weights do not fit the configuration: {listed}")
