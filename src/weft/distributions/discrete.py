"""Distributions of choices: ``Bernoulli``, ``Categorical``, ``OneHotCategorical``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.autograd import no_grad
from weft.distributions.distribution import Distribution, broadcast, common
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.ops import FUNCTIONS
from weft.random import rand
from weft.tensors.ranges import finfo
from weft.tensors.tensor import Tensor


def _check_single(where: str, probs: Any, logits: Any) -> None:
    """Raise ``ArgumentError`` unless exactly one of ``probs`` and ``logits`` is given."""
    if (probs is None) == (logits is None):
        given = "both given" if probs is not None else "both left out"
        raise ArgumentError(mistake(where, "probs and logits", given, "one of them"))


def _clamped(probs: Tensor) -> Tensor:
    """Clamp probabilities to [eps, 1 - eps] before a logarithm, as PyTorch does."""
    eps = finfo(probs.dtype).eps
    result: Tensor = probs.clamp(eps, 1 - eps)
    return result


class Bernoulli(Distribution):
    """1 with probability ``probs`` or ``sigmoid(logits)``, else 0, as ``torch.distributions.Bernoulli``."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        _check_single("Bernoulli", probs, logits)
        if probs is not None:
            (self.probs,) = common("Bernoulli", probs=probs)
            clamped = _clamped(self.probs)
            self.logits: Tensor = clamped.log() - (-clamped).log1p()
        else:
            (self.logits,) = common("Bernoulli", logits=logits)
            self.probs = self.logits.sigmoid()
        super().__init__(self.probs.shape, (), validate_args)
        if probs is not None:
            self._check("probs", (self.probs >= 0).logical_and(self.probs <= 1), "in [0, 1]")

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return self.probs

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws of 0 and 1, of the type of the parameter."""
        with no_grad():
            shape, like = self._extended_shape(sample_shape), self.probs
            return (rand(shape, dtype=like.dtype, device=str(like.device)) < like).to(like.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of 0 or 1."""
        self._check("value", (self._checked_value(value) == 0).logical_or(value == 1), "0 or 1")
        softplus = FUNCTIONS["softplus"].function
        result: Tensor = value * self.logits - softplus(self.logits)
        return result

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        result: Tensor = FUNCTIONS["softplus"].function(self.logits) - self.probs * self.logits
        return result


class Categorical(Distribution):
    """Integers from 0 on with probabilities along the last dimension, as ``torch.distributions.Categorical``.

    ``probs`` need not add up to 1; ``logits`` are logarithms of probabilities, up to a constant.
    """

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        _check_single(self._name, probs, logits)
        given = logits if probs is None else probs
        if not isinstance(given, Tensor) or given.ndim < 1:
            state = f"{given.ndim}-dimensional" if isinstance(given, Tensor) else f"a {type(given).__name__}"
            raise ArgumentTypeError(
                mistake(self._name, "probs or logits", state, "a tensor of 1 dimension or more")
            )
        super().__init__(given.shape[:-1], (), validate_args)
        self._num_events = given.shape[-1]
        if probs is not None:
            self._check("probs", probs >= 0, "0 or more")
            self.probs: Tensor = probs / probs.sum(-1, keepdim=True)
            self.logits: Tensor = _clamped(self.probs).log()
        else:
            self.logits = given - given.logsumexp(-1, keepdim=True)
            self.probs = self.logits.softmax(-1)

    def _draw(self, sample_shape: Sequence[int]) -> Tensor:
        """Return the place of the largest logit with Gumbel noise (Gumbel 1954)."""
        shape = (*sample_shape, *self.batch_shape, self._num_events)
        noise = rand(shape, dtype=self.probs.dtype, device=str(self.probs.device))
        # a class of probability 0 has the logarithm -inf, and is never drawn
        place: Tensor = (self.probs.log() - (-noise.log()).log()).argmax(-1)
        return place

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws as int64."""
        with no_grad():
            return self._draw(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of an integer."""
        self._check(
            "value",
            (self._checked_value(value) >= 0).logical_and(value < self._num_events),
            "a class's number",
        )
        shape = broadcast(self._name, value.shape, self.batch_shape)
        logits = self.logits.expand(*shape, self._num_events)
        index = value.long().expand(*shape).unsqueeze(-1)
        result: Tensor = logits.gather(-1, index).squeeze(-1)
        return result

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        logits = self.logits.clamp(min=finfo(self.logits.dtype).min)
        result: Tensor = -(logits * self.probs).sum(-1)
        return result

    @property
    def mode(self) -> Tensor:
        """The most likely class."""
        result: Tensor = self.probs.argmax(-1)
        return result


class OneHotCategorical(Distribution):
    """Rows with a single 1, at a ``Categorical`` place, as ``torch.distributions.OneHotCategorical``."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        self.probs, self.logits = self._categorical.probs, self._categorical.logits
        super().__init__(self._categorical.batch_shape, self.probs.shape[-1:], validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return self.probs

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws of the type of the parameter."""
        drawn = self._categorical.sample(sample_shape)
        result: Tensor = FUNCTIONS["one_hot"].function(drawn, self.probs.shape[-1])
        return result.to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of a row."""
        self._check("value", (self._checked_value(value).sum(-1) == 1), "rows with a single 1")
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        return self._categorical.entropy()
