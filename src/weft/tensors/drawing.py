"""``Drawing``: the part of ``Tensor`` that draws random numbers, in place or with its elements as probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.random import filling
from weft.random.choosing import multinomial
from weft.random.draws import bernoulli
from weft.tensors.creation import empty_like

if TYPE_CHECKING:
    from weft.random.generator import Generator
    from weft.tensors.tensor import Tensor


class Drawing:
    """Methods that draw from the device's generator unless another is given; those in place return the tensor.

    As with every write in place, a leaf that requires grad can be written under ``no_grad`` only.
    """

    __slots__ = ()

    def uniform_(
        self: Any, start: float = 0.0, to: float = 1.0, *, generator: Generator | None = None
    ) -> Tensor:
        """Overwrite the tensor with uniform numbers in [start, to).

        >>> import weft as wf
        >>> wf.empty(3).uniform_(2.0, 2.0)
        tensor([2., 2., 2.])
        """
        return filling.uniform_(self, start, to, generator)

    def normal_(
        self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
    ) -> Tensor:
        """Overwrite the tensor with normal numbers of a mean and a standard deviation."""
        return filling.normal_(self, mean, std, generator)

    def random_(
        self: Any, start: int = 0, to: int | None = None, *, generator: Generator | None = None
    ) -> Tensor:
        """Overwrite the tensor with uniform integers in [0, start), or in [start, to) where both are given.

        Without bounds the range is from 0 to the largest integer of the type. int64 and float64 need a range of at most
        2**32 numbers.
        """
        if to is None and start != 0:
            start, to = 0, start
        return filling.random_(self, start, to, generator)

    def exponential_(self: Any, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
        """Overwrite the tensor with exponentially distributed numbers of rate ``lambd``."""
        return filling.exponential_(self, lambd, generator)

    def cauchy_(
        self: Any, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
    ) -> Tensor:
        """Overwrite the tensor with Cauchy distributed numbers."""
        return filling.cauchy_(self, median, sigma, generator)

    def log_normal_(
        self: Any, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
    ) -> Tensor:
        """Overwrite the tensor with exponentials of normal numbers."""
        return filling.log_normal_(self, mean, std, generator)

    def geometric_(self: Any, p: float, *, generator: Generator | None = None) -> Tensor:
        """Overwrite the tensor with the number of trials up to the first success of probability ``p``."""
        return filling.geometric_(self, p, generator)

    def bernoulli_(self: Any, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
        """Overwrite the tensor with 1 with probability ``p``, a number or a tensor, else with 0."""
        return filling.bernoulli_(self, p, generator)

    def bernoulli(self: Any, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw 1 with the probability that each element gives, or with ``p``, else 0."""
        if p is not None:
            return empty_like(self).bernoulli_(p, generator=generator)
        return bernoulli(self, generator=generator)

    def multinomial(
        self: Any, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
    ) -> Tensor:
        """Draw indices with the weights of each row, as ``weft.multinomial``."""
        return multinomial(self, num_samples, replacement, generator=generator)
