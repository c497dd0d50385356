"""``weight_norm`` and ``spectral_norm`` in PyTorch's older form, whose parameters are attributes of the same module.

The weight is computed when it is read, not by a hook before ``forward``: a hook would store a traced tensor.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from weft.autograd import no_grad
from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.nn.utils.computed import Computation, attach, computations, detach
from weft.nn.utils.parametrizations import (
    as_matrix,
    checked_steps,
    default_dim,
    norm_except,
    power_iteration,
    random_vectors,
)
from weft.tensors.tensor import Tensor

M = TypeVar("M", bound=Module)


class _Computed(Computation):
    """A weight that is computed from ``parts``, parameters and buffers of the same module."""

    parts: ClassVar[tuple[str, ...]]

    def __init__(self, name: str) -> None:
        self.name = name

    def assign(self, module: Any, value: Tensor) -> None:
        """Raise ``UnsupportedError``: only the parts can be assigned."""
        parts = " and ".join(f"{self.name}_{part}" for part in self.parts)
        raise UnsupportedError(f"{self.name}: is computed from {parts}, expected those to be assigned")


class _WeightNorm(_Computed):
    parts = ("g", "v")

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def compute(self, module: Module) -> Tensor:
        size, direction = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        weight: Tensor = direction * (size / norm_except(direction, self.dim))
        return weight


class _SpectralNorm(_Computed):
    parts = ("orig", "u", "v")

    def __init__(self, name: str, count: int, dim: int, eps: float) -> None:
        super().__init__(name)
        self.count, self.dim, self.eps = count, dim, eps

    def compute(self, module: Module) -> Tensor:
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = as_matrix(weight, self.dim)
        if module.training:
            power_iteration(matrix.detach(), u, v, self.count, self.eps, columns_first=True)
        normalized: Tensor = weight / (u.clone() * (matrix @ v.clone())).sum()
        return normalized


def _parameter(where: str, module: Module, name: str) -> Parameter:
    """Return the parameter of a name; ``ArgumentError`` where there is none."""
    weight = module._parameters.get(name)
    if weight is None:
        known = (
            "a parameter without this norm" if name in computations(module) else "a parameter of the module"
        )
        raise ArgumentError(mistake(where, "name", repr(name), known))
    return weight


def _remove(where: str, module: M, name: str, kind: type[_Computed]) -> M:
    computation = computations(module).get(name)
    if not isinstance(computation, kind):
        raise ArgumentError(mistake(where, "name", repr(name), "a parameter with this norm"))
    with no_grad():
        weight = computation.compute(module).detach()
    detach(module, name)
    for part in computation.parts:
        delattr(module, f"{name}_{part}")
    module.register_parameter(name, Parameter(weight))
    return module


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Split a weight into its norms ``weight_g`` and directions ``weight_v``, and return the module.

    ``parametrizations.weight_norm`` is the newer form. ``remove_weight_norm`` undoes this function.

    >>> import weft as wf
    >>> sorted(weight_norm(wf.nn.Linear(2, 3)).state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    weight = _parameter("weight_norm", module, name)
    sizes = norm_except(weight.detach(), dim)
    del module._parameters[name]
    module.register_parameter(f"{name}_g", Parameter(sizes))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    attach(module, name, _WeightNorm(name, dim))
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the weight a single parameter again, and return the module."""
    return _remove("remove_weight_norm", module, name, _WeightNorm)


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a weight by its largest singular value, and return the module.

    The parameter is ``weight_orig``, the singular vectors are ``weight_u`` and ``weight_v``.
    ``parametrizations.spectral_norm`` is the newer form. ``remove_spectral_norm`` undoes this function.
    """
    weight = _parameter("spectral_norm", module, name)
    count, place = checked_steps(n_power_iterations), default_dim(module) if dim is None else dim
    u, v = random_vectors(as_matrix(weight.detach(), place), eps)
    del module._parameters[name]
    module.register_parameter(f"{name}_orig", weight)
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    attach(module, name, _SpectralNorm(name, count, place, eps))
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the weight a single parameter again, and return the module."""
    return _remove("remove_spectral_norm", module, name, _SpectralNorm)
