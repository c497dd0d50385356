"""``kl_divergence``: a table of formulas by the classes of two distributions."""

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
"""The formula of the divergence for a pair of classes."""


def register_kl(type_p: type, type_q: type) -> Callable[[Formula], Formula]:
    """Return a decorator that registers the formula for two classes of distributions, subclasses included."""

    def register(formula: Formula) -> Formula:
        FORMULAS[type_p, type_q] = formula
        return formula

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The Kullback-Leibler divergence KL(p || q), in nats, for each distribution of a batch.

    As ``torch.distributions.kl_divergence``. Raises ``UnsupportedError`` for classes without a formula; ``register_kl``
    adds a formula.

    >>> import weft as wf
    >>> kl_divergence(Normal(wf.zeros(1), wf.ones(1)), Normal(wf.ones(1), wf.ones(1)))
    tensor([0.5000])
    """
    for first in type(p).__mro__:
        for second in type(q).__mro__:
            if (first, second) in FORMULAS:
                return FORMULAS[first, second](p, q)
    pairs = ", ".join(sorted(f"{first.__name__} from {second.__name__}" for first, second in FORMULAS))
    raise UnsupportedError(
        mistake(
            "kl_divergence", "p and q", f"{type(p).__name__} and {type(q).__name__}", pairs, "see register_kl"
        )
    )


EULER = 0.5772156649015329
"""The Euler-Mascheroni constant."""


def _where(condition: Tensor, value: Any, other: Any) -> Tensor:
    result: Tensor = FUNCTIONS["where"].function(condition, value, other)
    return result


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
    result: Tensor = (
        q.concentration * (p.rate / q.rate).log()
        + q.concentration.lgamma()
        - p.concentration.lgamma()
        + (p.concentration - q.concentration) * p.concentration.digamma()
        + (q.rate - p.rate) * (p.concentration / p.rate)
    )
    return result


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Tensor:
    ratio = q.rate / p.rate
    result: Tensor = -q.concentration * ratio.log() + ratio + q.concentration.lgamma()
    return result + q.concentration * EULER - (1 + EULER)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Gamma, q: Exponential) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    first, second = p.concentration1, p.concentration0
    total, other = first + second, q.concentration1 + q.concentration0
    result: Tensor = (
        log_beta(q.concentration1, q.concentration0)
        - log_beta(first, second)
        + (first - q.concentration1) * first.digamma()
        + (second - q.concentration0) * second.digamma()
        + (other - total) * total.digamma()
    )
    return result


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    first, second = p.concentration, q.concentration
    total = first.sum(-1, keepdim=True)
    logarithms = total.squeeze(-1).lgamma() - second.sum(-1).lgamma()
    logarithms = logarithms + (second.lgamma() - first.lgamma()).sum(-1)
    divergence: Tensor = logarithms + ((first - second) * (first.digamma() - total.digamma())).sum(-1)
    return divergence


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    distance = (p.loc - q.loc).abs()
    ratio = p.scale / q.scale
    return ratio * (-distance / p.scale).exp() + distance / q.scale - ratio.log() - 1


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    softplus = FUNCTIONS["softplus"].function
    of_1 = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    of_0 = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    infinite_1 = (q.probs == 0).logical_and(p.probs != 0)
    infinite_0 = (q.probs == 1).logical_and(p.probs != 1)
    of_1 = _where(p.probs == 0, 0.0, _where(infinite_1, float("inf"), of_1))
    return of_1 + _where(p.probs == 1, 0.0, _where(infinite_0, float("inf"), of_0))


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = _where(q.probs == 0, float("inf"), terms)
    result: Tensor = _where(p.probs == 0, 0.0, terms).sum(-1)
    return result


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
    # solve for each column of p's factor
    across = solve_lower(q.scale_tril.unsqueeze(-3), p.scale_tril.transpose(-2, -1))
    logarithms = q._diagonal.log().sum(-1) - p._diagonal.log().sum(-1)
    squares = (across * across).sum((-2, -1)) + (distance * distance).sum(-1)
    result: Tensor = logarithms + (squares - p.event_shape[0]) / 2
    return result
