"""Distributions of real numbers: ``Normal``, ``LogNormal``, ``Uniform``, ``Exponential``, ``Laplace``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from weft.distributions.distribution import LOG_2PI, Distribution, common
from weft.ops import FUNCTIONS
from weft.random import rand, randn
from weft.tensors.tensor import Tensor


def _drawn(draw: Any, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Draw random numbers of the type and on the device of a tensor."""
    result: Tensor = draw(shape, dtype=like.dtype, device=str(like.device))
    return result


class Normal(Distribution):
    """The normal distribution of mean ``loc`` and standard deviation ``scale``, as ``torch.distributions.Normal``."""

    has_rsample: ClassVar[bool] = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = common(self._name, loc=loc, scale=scale)
        super().__init__(self.loc.shape, (), validate_args)
        self._check("scale", self.scale > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        return self.scale * self.scale

    @property
    def stddev(self) -> Tensor:
        """The standard deviation of draws."""
        return self.scale

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameters."""
        return self.loc + self.scale * _drawn(randn, self._extended_shape(sample_shape), self.loc)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density at a value."""
        distance = (self._checked_value(value) - self.loc) / self.scale
        return -(distance * distance) / 2 - self.scale.log() - LOG_2PI / 2

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a draw of at most a value."""
        distance = (self._checked_value(value) - self.loc) / self.scale
        # erfc is accurate in the lower tail, where 1 + erf is not
        probability: Tensor = FUNCTIONS["erfc"].function(-distance / math.sqrt(2)) / 2
        return probability

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        return (1 + LOG_2PI) / 2 + self.scale.log()


class LogNormal(Distribution):
    """The exponential of a normal variable, as ``torch.distributions.LogNormal``."""

    has_rsample: ClassVar[bool] = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.base_dist = Normal(loc, scale, validate_args)
        self.loc, self.scale = self.base_dist.loc, self.base_dist.scale
        super().__init__(self.loc.shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return (self.loc + self.scale * self.scale / 2).exp()

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        square = self.scale * self.scale
        result: Tensor = square.expm1() * (2 * self.loc + square).exp()
        return result

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameters."""
        return self.base_dist.rsample(sample_shape).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density at a value above 0."""
        self._check("value", self._checked_value(value) > 0, "above 0")
        logarithm = value.log()
        return self.base_dist.log_prob(logarithm) - logarithm

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a draw of at most a value."""
        return self.base_dist.cdf(self._checked_value(value).log())

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        return self.base_dist.entropy() + self.loc


class Uniform(Distribution):
    """The uniform distribution on [``low``, ``high``), as ``torch.distributions.Uniform``."""

    has_rsample: ClassVar[bool] = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = common("Uniform", low=low, high=high)
        super().__init__(self.low.shape, (), validate_args)
        self._check("high", self.low < self.high, "above low")

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return (self.high + self.low) / 2

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        width = self.high - self.low
        return width * width / 12

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameters."""
        return self.low + _drawn(rand, self._extended_shape(sample_shape), self.low) * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density at a value; a value outside raises ``ArgumentError``, or gives -inf."""
        self._checked_value(value)
        self._check("value", (value >= self.low).logical_and(value <= self.high), "between low and high")
        inside = (value >= self.low).logical_and(value < self.high)
        density = -(self.high - self.low).log()
        result: Tensor = FUNCTIONS["where"].function(inside, density, -math.inf)
        return result

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a draw of at most a value."""
        result: Tensor = ((self._checked_value(value) - self.low) / (self.high - self.low)).clamp(0, 1)
        return result

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        return (self.high - self.low).log()


class Exponential(Distribution):
    """The exponential distribution of a ``rate``, as ``torch.distributions.Exponential``."""

    has_rsample: ClassVar[bool] = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = common("Exponential", rate=rate)
        super().__init__(self.rate.shape, (), validate_args)
        self._check("rate", self.rate > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        return (self.rate * self.rate).reciprocal()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameter."""
        return -(-_drawn(rand, self._extended_shape(sample_shape), self.rate)).log1p() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density at a value of 0 or more."""
        self._check("value", self._checked_value(value) >= 0, "0 or more")
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a draw of at most a value."""
        return -(-self.rate * self._checked_value(value)).expm1()

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        return 1 - self.rate.log()


class Laplace(Distribution):
    """The Laplace distribution around ``loc``, as ``torch.distributions.Laplace``."""

    has_rsample: ClassVar[bool] = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = common("Laplace", loc=loc, scale=scale)
        super().__init__(self.loc.shape, (), validate_args)
        self._check("scale", self.scale > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        return 2 * self.scale * self.scale

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameters: the difference of two exponential variables."""
        shape = self._extended_shape(sample_shape)
        first, second = (-(-_drawn(rand, shape, self.loc)).log1p() for _ in range(2))
        return self.loc + self.scale * (first - second)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density at a value."""
        return -(self._checked_value(value) - self.loc).abs() / self.scale - (2 * self.scale).log()

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        return 1 + (2 * self.scale).log()
