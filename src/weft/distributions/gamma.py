"""Distributions that are sampled from gamma variables: ``Gamma``, ``Chi2``, ``Beta``, ``Dirichlet``, ``StudentT``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from weft.distributions.distribution import Distribution, common
from weft.errors import ArgumentTypeError, mistake
from weft.ops import FUNCTIONS
from weft.random import randn
from weft.random.gamma import log_gamma_variables
from weft.tensors.ranges import finfo
from weft.tensors.tensor import Tensor

LOG_PI = math.log(math.pi)


def log_beta(first: Tensor, second: Tensor) -> Tensor:
    """Return the logarithm of the beta function."""
    result: Tensor = first.lgamma() + second.lgamma() - (first + second).lgamma()
    return result


class PositiveParameters(Distribution):
    """A distribution with parameters that broadcast; those named in ``above_zero`` must be positive."""

    has_rsample: ClassVar[bool] = True
    above_zero: ClassVar[tuple[str, ...]] = ()

    def _set_parameters(self, validate_args: bool | None, **values: Any) -> None:
        """Set the parameters, broadcast to one shape, as attributes."""
        parameters = common(self._name, **values)
        for name, value in zip(values, parameters, strict=True):
            setattr(self, name, value)
        Distribution.__init__(self, parameters[0].shape, (), validate_args)
        for name in self.above_zero:
            self._check(name, getattr(self, name) > 0, "above 0")


class Gamma(PositiveParameters):
    """The gamma distribution of a shape ``concentration`` and a ``rate``, as ``torch.distributions.Gamma``."""

    above_zero = ("concentration", "rate")
    concentration: Tensor
    rate: Tensor

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, concentration=concentration, rate=rate)

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        result: Tensor = ((self.concentration - 1) / self.rate).clamp(min=0)
        return result

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        return self.concentration / (self.rate * self.rate)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameters; at least the type's smallest normal number."""
        shape = self._extended_shape(sample_shape)
        drawn = log_gamma_variables(self.concentration.expand(*shape)).exp() / self.rate
        result: Tensor = drawn.clamp(min=finfo(drawn.dtype).tiny)
        return result

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density at a value above 0."""
        self._check("value", self._checked_value(value) > 0, "above 0")
        xlogy = FUNCTIONS["xlogy"].function
        result: Tensor = (
            xlogy(self.concentration, self.rate)
            + xlogy(self.concentration - 1, value)
            - self.rate * value
            - self.concentration.lgamma()
        )
        return result

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        shape = self.concentration
        result: Tensor = shape - self.rate.log() + shape.lgamma() + (1 - shape) * shape.digamma()
        return result


class Chi2(Gamma):
    """The chi-squared distribution of ``df`` degrees of freedom, as ``torch.distributions.Chi2``."""

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        (freedom,) = common("Chi2", df=df)
        super().__init__(freedom / 2, 0.5, validate_args)

    @property
    def df(self) -> Tensor:
        """The degrees of freedom."""
        return self.concentration * 2


class Beta(PositiveParameters):
    """The beta distribution of the concentrations at 1 and at 0, as ``torch.distributions.Beta``."""

    above_zero = ("concentration1", "concentration0")
    concentration1: Tensor
    concentration0: Tensor

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, concentration1=concentration1, concentration0=concentration0)

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total * total * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws in [0, 1] with gradients to the parameters."""
        shape = self._extended_shape(sample_shape)
        first, second = (
            log_gamma_variables(value.expand(*shape)) for value in (self.concentration1, self.concentration0)
        )
        result: Tensor = (first - second).sigmoid()
        return result

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density at a value in [0, 1]."""
        self._check("value", (self._checked_value(value) >= 0).logical_and(value <= 1), "in [0, 1]")
        xlogy = FUNCTIONS["xlogy"].function
        result: Tensor = (
            xlogy(self.concentration1 - 1, value)
            + xlogy(self.concentration0 - 1, 1 - value)
            - log_beta(self.concentration1, self.concentration0)
        )
        return result

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        first, second = self.concentration1, self.concentration0
        total = first + second
        result: Tensor = (
            log_beta(first, second)
            - (first - 1) * first.digamma()
            - (second - 1) * second.digamma()
            + (total - 2) * total.digamma()
        )
        return result


class Dirichlet(Distribution):
    """Probabilities that sum to 1 along the last dimension, as ``torch.distributions.Dirichlet``."""

    has_rsample: ClassVar[bool] = True

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        if not isinstance(concentration, Tensor) or concentration.ndim < 1:
            given = type(concentration).__name__ if not isinstance(concentration, Tensor) else "0-dimensional"
            raise ArgumentTypeError(
                mistake("Dirichlet", "concentration", given, "a tensor of 1 dimension or more")
            )
        self.concentration: Tensor = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)
        self._check("concentration", concentration > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        result: Tensor = self.concentration / self.concentration.sum(-1, keepdim=True)
        return result

    @property
    def variance(self) -> Tensor:
        """The variances of the components of draws."""
        total = self.concentration.sum(-1, keepdim=True)
        result: Tensor = self.concentration * (total - self.concentration) / (total * total * (total + 1))
        return result

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameter."""
        shape = self._extended_shape(sample_shape)
        result: Tensor = log_gamma_variables(self.concentration.expand(*shape)).softmax(-1)
        return result

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density at probabilities."""
        self._check("value", self._checked_value(value) >= 0, "0 or more")
        self._check("value", (value.sum(-1) - 1).abs() < 1e-6, "of sum 1")
        result: Tensor = (
            FUNCTIONS["xlogy"].function(self.concentration - 1, value).sum(-1)
            + self.concentration.sum(-1).lgamma()
            - self.concentration.lgamma().sum(-1)
        )
        return result

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        total = self.concentration.sum(-1)
        result: Tensor = (
            self.concentration.lgamma().sum(-1)
            - total.lgamma()
            - (self.concentration.shape[-1] - total) * total.digamma()
            - ((self.concentration - 1) * self.concentration.digamma()).sum(-1)
        )
        return result


class StudentT(PositiveParameters):
    """Student's t-distribution of ``df`` degrees of freedom around ``loc``, as ``torch.distributions.StudentT``."""

    above_zero = ("df", "scale")
    df: Tensor
    loc: Tensor
    scale: Tensor

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, df=df, loc=loc, scale=scale)

    @property
    def mean(self) -> Tensor:
        """The mean of draws; NaN up to 1 degree of freedom."""
        result: Tensor = FUNCTIONS["where"].function(self.df > 1, self.loc, math.nan)
        return result

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of draws; infinite up to 2 degrees of freedom, NaN up to 1."""
        where = FUNCTIONS["where"].function
        many = self.df > 2
        finite = self.scale * self.scale * self.df / (where(many, self.df, 4.0) - 2)
        result: Tensor = where(many, finite, where(self.df > 1, math.inf, math.nan))
        return result

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameters: a normal variable divided by the root of a chi-squared variable."""
        shape = self._extended_shape(sample_shape)
        normal = randn(shape, dtype=self.df.dtype, device=str(self.df.device))
        half = (self.df / 2).expand(*shape)
        spread = ((half.log() - log_gamma_variables(half)) / 2).exp()
        return self.loc + self.scale * normal * spread

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density at a value."""
        y = (self._checked_value(value) - self.loc) / self.scale
        result: Tensor = (
            -(self.df + 1) / 2 * (y * y / self.df).log1p()
            - self.scale.log()
            - self.df.log() / 2
            - LOG_PI / 2
            - (self.df / 2).lgamma()
            + ((self.df + 1) / 2).lgamma()
        )
        return result

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        half, more = self.df / 2, (self.df + 1) / 2
        result: Tensor = (
            self.scale.log()
            + more * (more.digamma() - half.digamma())
            + self.df.log() / 2
            + half.lgamma()
            + LOG_PI / 2
            - more.lgamma()
        )
        return result
