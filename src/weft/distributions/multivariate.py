"""``MultivariateNormal``, by the lower triangular factor of its covariance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from weft.distributions.distribution import LOG_2PI, Distribution, broadcast
from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError, mistake
from weft.ops import FUNCTIONS
from weft.random import randn
from weft.tensors.tensor import Tensor


def cholesky(matrix: Tensor) -> Tensor:
    """Return the lower triangular factor of small positive definite matrices, column by column."""
    columns: list[Any] = []
    matrix = (matrix + matrix.transpose(-2, -1)) / 2  # both halves take part in the gradient, as in PyTorch
    for place in range(matrix.shape[-1]):
        column = matrix[..., place]
        for before in columns:
            column = column - before * before[..., place : place + 1]
        column = column / column[..., place : place + 1].sqrt()
        if place:
            zeros = column[..., :place] * 0
            column = FUNCTIONS["cat"].function([zeros, column[..., place:]], -1)
        columns.append(column)
    factor: Tensor = FUNCTIONS["stack"].function(columns, -1)
    return factor


def solve_lower(factor: Tensor, value: Tensor) -> Tensor:
    """Return ``x`` with ``factor @ x == value`` for lower triangular factors, by forward substitution."""
    solution: list[Tensor] = []
    for place in range(factor.shape[-1]):
        rest = value[..., place]
        for before, solved in enumerate(solution):
            rest = rest - factor[..., place, before] * solved
        solution.append(rest / factor[..., place, place])
    x: Tensor = FUNCTIONS["stack"].function(solution, -1)
    return x


class MultivariateNormal(Distribution):
    """The normal distribution of vectors, as ``torch.distributions.MultivariateNormal``.

    ``loc`` (..., n) is the mean. Give either ``covariance_matrix`` or ``scale_tril``, its lower triangular factor, both
    (..., n, n). The number of operations grows with n squared, so that the class suits some tens of dimensions. A
    normal distribution with a diagonal covariance of any size is ``Independent(Normal(loc, scale), 1)``.
    ``precision_matrix`` raises ``UnsupportedError``.
    """

    has_rsample: ClassVar[bool] = True

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        where = "MultivariateNormal"
        if precision_matrix is not None:
            raise UnsupportedError(
                f"{where}: precision_matrix is given, expected covariance_matrix or scale_tril; invert it first"
            )
        if (covariance_matrix is None) == (scale_tril is None):
            raise ArgumentError(
                mistake(where, "covariance_matrix and scale_tril", "both given or left out", "one of them")
            )
        matrix = scale_tril if covariance_matrix is None else covariance_matrix
        for name, given, rank in (("loc", loc, 1), ("the matrix", matrix, 2)):
            if not isinstance(given, Tensor):
                raise ArgumentTypeError(mistake(where, name, f"a {type(given).__name__}", "a tensor"))
            if given.ndim < rank:
                raise ShapeError(
                    mistake(where, name, f"{given.ndim}-dimensional", f"at least {rank}-dimensional")
                )
        size = loc.shape[-1]
        if matrix.shape[-2:] != (size, size):
            raise ShapeError(
                mistake(where, "the matrix", f"of shape {tuple(matrix.shape)}", f"(…, {size}, {size})")
            )
        shape = broadcast(where, loc.shape[:-1], matrix.shape[:-2])
        super().__init__(shape, (size,), validate_args)
        self.loc: Tensor = loc.expand(*shape, size)
        factor = matrix.tril() if covariance_matrix is None else cholesky(matrix)
        self.scale_tril: Tensor = factor.expand(*shape, size, size)
        self._check(
            "scale_tril" if covariance_matrix is None else "covariance_matrix",
            self._diagonal
            > 0,  # the factor of a matrix that is not positive definite has NaN, which is not above 0
            "a factor with a diagonal above 0" if covariance_matrix is None else "positive definite",
        )

    @property
    def _diagonal(self) -> Tensor:
        result: Tensor = FUNCTIONS["diagonal"].function(self.scale_tril, 0, -2, -1)
        return result

    @property
    def covariance_matrix(self) -> Tensor:
        """The covariance: (..., n, n)."""
        result: Tensor = self.scale_tril @ self.scale_tril.transpose(-2, -1)
        return result

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variances of the components of draws."""
        result: Tensor = (self.scale_tril * self.scale_tril).sum(-1)
        return result

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameters."""
        shape = self._extended_shape(sample_shape)
        noise = randn(shape, dtype=self.loc.dtype, device=str(self.loc.device))
        result: Tensor = self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
        return result

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density at a vector."""
        distance = solve_lower(self.scale_tril, self._checked_value(value) - self.loc)
        logarithms = self._diagonal.log().sum(-1)
        result: Tensor = -((distance * distance).sum(-1) + self.event_shape[0] * LOG_2PI) / 2 - logarithms
        return result

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        result: Tensor = self._diagonal.log().sum(-1) + self.event_shape[0] * (1 + LOG_2PI) / 2
        return result
