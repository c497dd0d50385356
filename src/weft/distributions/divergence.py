"""``kl_divergence``: formulas by the kinds of two distributions, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft.distributions.continuous import Exponential, Laplace, LogNormal, Normal, Uniform
from weft.distributions.discrete import Bernoulli, Categorical, OneHotCategorical
from weft.distributions.distribution import Distribution, Independent, sum_last
from weft.distributions.gamma import Beta, Dirichlet, Gamma, log_beta
from weft.distributions.multivariate import MultivariateNormal, solve_lower
from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.ops import FUNCTIONS
from weft.tensors.tensor import Tensor

Formula = Callable[[Any, Any], Tensor]

FORMULAS: dict[tuple[type, type], Formula] = {}
"""The divergence of a kind from another."""


def register_kl(type_p: type, type_q: type) -> Callable[[Formula], Formula]:
    """A decorator that gives the divergence of a kind of distribution from another, subclasses included."""

    def register(formula: Formula) -> Formula:
        FORMULAS[type_p, type_q] = formula
        return formula

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The Kullback-Leibler divergence of ``q`` from ``p``, in nats, one for each of a batch.

    Raises ``UnsupportedError`` for kinds without a formula; ``register_kl`` adds one.

    >>> import weft as wf
    >>> kl_divergence(Normal(wf.zeros(1), wf.ones(1)), Normal(wf.ones(1), wf.ones(1)))
    tensor([0.5000])
    """
    for first in type(p).__mro__:
        for second in type(q).__mro__:
            if (first, second) in FORMULAS:
                return FORMULAS[first, second](p, q)
    pairs = ", ".join(sorted(f"{one.__name__} from {two.__name__}" for one, two in FORMULAS))
    raise UnsupportedError(
        mistake(
            "kl_divergence", "p and q", f"{type(p).__name__} and {type(q).__name__}", pairs, "see register_kl"
        )
    )


EULER = 0.5772156649015329
"""The Euler-Mascheroni constant."""


def _where(condition: Tensor, value: Any, other: Any) -> Tensor:
    made: Tensor = FUNCTIONS["where"].function(condition, value, other)
    return made


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = p.scale / q.scale
    ratio = ratio * ratio
    distance = (p.loc - q.loc) / q.scale
    return (ratio + distance * distance - 1 - ratio.log()) / 2


@register_kl(LogNormal, LogNormal)
def _log_normal(p: LogNormal, q: LogNormal) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    outside = (q.low > p.low).logical_or(q.high < p.high)
    return _where(outside, float("inf"), ((q.high - q.low) / (p.high - p.low)).log())


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    made: Tensor = (
        q.concentration * (p.rate / q.rate).log()
        + q.concentration.lgamma()
        - p.concentration.lgamma()
        + (p.concentration - q.concentration) * p.concentration.digamma()
        + (q.rate - p.rate) * (p.concentration / p.rate)
    )
    return made


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Tensor:
    ratio = q.rate / p.rate
    made: Tensor = -q.concentration * ratio.log() + ratio + q.concentration.lgamma()
    return made + q.concentration * EULER - (1 + EULER)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Gamma, q: Exponential) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    first, second = p.concentration1, p.concentration0
    total, other = first + second, q.concentration1 + q.concentration0
    made: Tensor = (
        log_beta(q.concentration1, q.concentration0)
        - log_beta(first, second)
        + (first - q.concentration1) * first.digamma()
        + (second - q.concentration0) * second.digamma()
        + (other - total) * total.digamma()
    )
    return made


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    own, other = p.concentration, q.concentration
    total = own.sum(-1, keepdim=True)
    logarithms = total.squeeze(-1).lgamma() - other.sum(-1).lgamma() + (other.lgamma() - own.lgamma()).sum(-1)
    made: Tensor = logarithms + ((own - other) * (own.digamma() - total.digamma())).sum(-1)
    return made


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    distance = (p.loc - q.loc).abs()
    ratio = p.scale / q.scale
    return ratio * (-distance / p.scale).exp() + distance / q.scale - ratio.log() - 1


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    softplus = FUNCTIONS["softplus"].function
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    none = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    beyond_one = (q.probs == 0).logical_and(p.probs != 0)
    beyond_none = (q.probs == 1).logical_and(p.probs != 1)
    one = _where(p.probs == 0, 0.0, _where(beyond_one, float("inf"), one))
    return one + _where(p.probs == 1, 0.0, _where(beyond_none, float("inf"), none))


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = _where(q.probs == 0, float("inf"), terms)
    made: Tensor = _where(p.probs == 0, 0.0, terms).sum(-1)
    return made


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise ArgumentError(
            mistake("kl_divergence", "reinterpreted_batch_ndims of q", q.reinterpreted_batch_ndims,
                    f"{p.reinterpreted_batch_ndims}, as of p")
        )  # fmt: skip
    return sum_last(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ArgumentError(
            mistake(
                "kl_divergence", "event_shape of q", tuple(q.event_shape), f"{tuple(p.event_shape)}, as of p"
            )
        )
    distance = solve_lower(q.scale_tril, q.loc - p.loc)
    # the columns of p's factor, each solved for
    across = solve_lower(q.scale_tril.unsqueeze(-3), p.scale_tril.transpose(-2, -1))
    logarithms = q._diagonal.log().sum(-1) - p._diagonal.log().sum(-1)
    squares = (across * across).sum((-2, -1)) + (distance * distance).sum(-1)
    made: Tensor = logarithms + (squares - p.event_shape[0]) / 2
    return made
