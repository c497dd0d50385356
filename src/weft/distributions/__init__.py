"""Probability distributions with PyTorch's names: samples, log-probabilities, entropies and divergences.

>>> import weft as wf
>>> policy = wf.distributions.Categorical(logits=wf.zeros(3))
>>> policy.log_prob(wf.tensor(1)), policy.entropy()
(tensor(-1.0986), tensor(1.0986))
"""

from weft.distributions.continuous import Exponential, Laplace, LogNormal, Normal, Uniform
from weft.distributions.discrete import Bernoulli, Categorical, OneHotCategorical
from weft.distributions.distribution import Distribution, Independent
from weft.distributions.divergence import kl_divergence, register_kl
from weft.distributions.gamma import Beta, Chi2, Dirichlet, Gamma, StudentT
from weft.distributions.multivariate import MultivariateNormal

__all__ = [
    "Bernoulli", "Beta", "Categorical", "Chi2", "Dirichlet", "Distribution", "Exponential", "Gamma", "Independent",
    "Laplace", "LogNormal", "MultivariateNormal", "Normal", "OneHotCategorical", "StudentT", "Uniform", "kl_divergence",
    "register_kl",
]  # fmt: skip
