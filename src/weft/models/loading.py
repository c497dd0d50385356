"""``LoadingSource``: weights out of a checkpoint, one after another, with every problem named in one error."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from weft.dtypes import DType
from weft.errors import FormatError
from weft.models.source import Source
from weft.tensors.creation import as_tensor, zeros
from weft.tensors.tensor import Tensor

MOST_NAMED = 20
"""Problems that an error lists; the rest are counted."""


class Ledger:
    """What a model asked for: names used so far, problems, and who is told of progress."""

    def __init__(self, progress: Callable[[str], None] | None = None) -> None:
        self.used: set[str] = set()
        self.problems: list[str] = []
        self.progress = progress


class LoadingSource(Source):
    """A source over named tensors of a file; ``finish()`` raises ``FormatError`` for all that did not fit."""

    def __init__(self, ledger: Ledger, dtype: DType, device: str, prefix: str = "") -> None:
        super().__init__(prefix)
        self.ledger, self.dtype, self.device = ledger, dtype, device

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Every name in the file, as the model calls it; those that the model may ignore are left out."""

    @abstractmethod
    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """A tensor's shape; None where the file has no such tensor."""

    @abstractmethod
    def read(self, name: str) -> Any:
        """A tensor's numbers as a NumPy array."""

    def has(self, name: str, shape: Sequence[int]) -> bool:
        """Whether the file has the tensor in this shape; a problem is noted where it has not."""
        full = self.prefix + name
        found = self.shape_of(full)
        self.ledger.used.add(full)
        if found == tuple(shape):
            if self.ledger.progress is not None:
                self.ledger.progress(full)
            return True
        problem = f"{full} is missing" if found is None else f"{full} is {found}, expected {tuple(shape)}"
        self.ledger.problems.append(problem)
        return False

    def tensor(self, name: str, shape: Sequence[int]) -> Tensor:
        """A weight of the file, in the source's type."""
        if not self.has(name, shape):
            return zeros(0, device=self.device)
        return as_tensor(self.read(self.prefix + name), dtype=self.dtype, device=self.device)

    def finish(self, path: str) -> None:
        """Raise for missing, misshapen and unexpected tensors, all named."""
        problems = self.ledger.problems + [
            f"{name} is unexpected" for name in self.names() if name not in self.ledger.used
        ]
        if problems:
            more = len(problems) - MOST_NAMED
            listed = "; ".join(problems[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
            raise FormatError(f"{path!r}: the weights do not fit the configuration: {listed}")
