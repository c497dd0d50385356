"""``weight_norm`` and ``spectral_norm`` as parametrizations, with PyTorch's state-dict keys.

``orthogonal`` is not implemented: it raises ``UnsupportedError``.
"""

from __future__ import annotations

from typing import Any

from weft.autograd import no_grad
from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.nn.module import Module
from weft.nn.utils.parametrize import register_parametrization
from weft.ops import FUNCTIONS
from weft.random import randn
from weft.tensors.tensor import Tensor


def norm_except(value: Tensor, dim: int | None) -> Tensor:
    """Return the norms over all dimensions except ``dim``, kept with size 1; over all dimensions for None or -1."""
    norm = FUNCTIONS["vector_norm"].function
    if dim is None or dim == -1:
        whole: Tensor = norm(value, 2)
        return whole
    if not -value.ndim <= dim < value.ndim:
        raise ArgumentError(mistake("weight_norm", "dim", dim, f"a dimension of {tuple(value.shape)}"))
    others = tuple(d for d in range(value.ndim) if d != dim % value.ndim)
    norms: Tensor = norm(value, 2, others, True) if others else value.abs()
    return norms


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Split a weight into norms, ``original0``, and directions, ``original1`` (Salimans and Kingma 2016).

    There is a norm for each index of ``dim``, or, with None, a single norm of the whole weight.

    >>> import weft as wf
    >>> sorted(weight_norm(wf.nn.Linear(2, 3)).state_dict())
    ['bias', 'parametrizations.weight.original0', 'parametrizations.weight.original1']
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """View a weight as a matrix with ``dim`` as rows and all other dimensions as columns."""
    moved = weight if dim == 0 else weight.movedim(dim, 0)
    matrix: Tensor = moved.reshape(moved.shape[0], -1)
    return matrix


def power_iteration(
    matrix: Tensor, u: Tensor, v: Tensor, count: int, eps: float, columns_first: bool = False
) -> None:
    """Update ``u`` and ``v`` in place towards the singular vectors of the largest singular value."""
    normalize = FUNCTIONS["normalize"].function
    updates = [(u, matrix, v), (v, matrix.T, u)]
    with no_grad():
        for _ in range(count):
            for target, factor, source in reversed(updates) if columns_first else updates:
                target.copy_(normalize(factor @ source, dim=0, eps=eps))


def random_vectors(matrix: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return random unit vectors for the rows and the columns of a matrix."""
    normalize = FUNCTIONS["normalize"].function
    options: dict[str, Any] = {"dtype": matrix.dtype, "device": str(matrix.device)}
    u, v = (normalize(randn(size, **options), dim=0, eps=eps) for size in matrix.shape)
    return u, v


def checked_steps(count: int) -> int:
    """Return a number of power iterations; ``ArgumentError`` where it is below 1."""
    if count < 1:
        raise ArgumentError(mistake("spectral_norm", "n_power_iterations", count, "1 or more"))
    return count


def default_dim(module: Module) -> int:
    """Return the dimension of a layer's outputs: 1 for transposed convolutions, else 0."""
    from weft.nn.convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d

    return 1 if isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d) else 0


class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.ndim <= dim < max(weight.ndim, 1):
            raise ArgumentError(mistake("spectral_norm", "dim", dim, f"a dimension of {tuple(weight.shape)}"))
        self.dim, self.eps, self.n_power_iterations = dim, eps, checked_steps(n_power_iterations)
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), dim)
            u, v = random_vectors(matrix, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)
            power_iteration(matrix, u, v, 15, eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            direction: Tensor = FUNCTIONS["normalize"].function(weight, dim=0, eps=self.eps)
            return direction
        matrix = as_matrix(weight, self.dim)
        if self.training:
            power_iteration(matrix.detach(), self._u, self._v, self.n_power_iterations, self.eps)
        u, v = self._u.clone(), self._v.clone()
        divided: Tensor = weight / (u * (matrix @ v)).sum()
        return divided

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value, which power iterations estimate (Miyato et al. 2018).

    ``dim`` is the dimension of outputs: by default 0, and 1 for transposed convolutions. Each use in training mode does
    ``n_power_iterations`` more iterations.

    >>> import weft as wf
    >>> sorted(spectral_norm(wf.nn.Linear(2, 3, bias=False)).state_dict())
    ['parametrizations.weight.0._u', 'parametrizations.weight.0._v', 'parametrizations.weight.original']
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ArgumentError(mistake("spectral_norm", "name", repr(name), "a parameter of the module"))
    place = default_dim(module) if dim is None else dim
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, place, eps))


def orthogonal(module: Module, name: str = "weight", *args: Any, **options: Any) -> Module:
    """Raise ``UnsupportedError``; ``nn.init.orthogonal_`` initializes a weight with an orthogonal matrix."""
    raise UnsupportedError(
        "parametrizations.orthogonal: is not in weft yet, expected weight_norm or spectral_norm; "
        "nn.init.orthogonal_ initializes a weight with an orthogonal matrix"
    )
