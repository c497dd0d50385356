"""``weight_norm`` and ``spectral_norm`` in PyTorch's older form, whose parameters lie beside the weight.

The weight is computed when it is read, not by a hook before ``forward``, which would leave a traced tensor behind.
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
    started,
)
from weft.tensors.tensor import Tensor

M = TypeVar("M", bound=Module)


class _Computed(Computation):
    """A weight that is computed from parameters of the same module, ``parts``."""

    parts: ClassVar[tuple[str, ...]]

    def __init__(self, name: str) -> None:
        self.name = name

    def assign(self, module: Any, value: Tensor) -> None:
        """Refused: the parts are what may be written."""
        parts = " and ".join(f"{self.name}_{part}" for part in self.parts)
        raise UnsupportedError(f"{self.name}: is computed from {parts}, expected those to be written")


class _WeightNorm(_Computed):
    parts = ("g", "v")

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def compute(self, module: Module) -> Tensor:
        size, direction = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        made: Tensor = direction * (size / norm_except(direction, self.dim))
        return made


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
        made: Tensor = weight / (u.clone() * (matrix @ v.clone())).sum()
        return made


def _start(where: str, module: Module, name: str) -> Parameter:
    """The parameter, which the module gives up."""
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
    """Split a weight into its sizes ``weight_g`` and directions ``weight_v``; gives the module.

    ``parametrizations.weight_norm`` is the newer form. ``remove_weight_norm`` takes it away.

    >>> import weft as wf
    >>> sorted(weight_norm(wf.nn.Linear(2, 3)).state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    weight = _start("weight_norm", module, name)
    sizes = norm_except(weight.detach(), dim)
    del module._parameters[name]
    module.register_parameter(f"{name}_g", Parameter(sizes))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    attach(module, name, _WeightNorm(name, dim))
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the weight one parameter again; gives the module."""
    return _remove("remove_weight_norm", module, name, _WeightNorm)


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a weight by its largest singular value: ``weight_orig``, with ``weight_u`` and ``weight_v``; the module.

    ``parametrizations.spectral_norm`` is the newer form. ``remove_spectral_norm`` takes it away.
    """
    weight = _start("spectral_norm", module, name)
    count, place = checked_steps(n_power_iterations), default_dim(module) if dim is None else dim
    u, v = started(as_matrix(weight.detach(), place), eps)
    del module._parameters[name]
    module.register_parameter(f"{name}_orig", weight)
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    attach(module, name, _SpectralNorm(name, count, place, eps))
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the weight one parameter again; gives the module."""
    return _remove("remove_spectral_norm", module, name, _SpectralNorm)
