"""Functions on the parameters of modules: gradient clipping, and parameters as one vector.

Clipping does not synchronize with the device: the norm stays there, and one kernel scales all gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from weft.autograd import no_grad
from weft.errors import ArgumentError, ArgumentTypeError, GradError, ShapeError, mistake
from weft.ops import FUNCTIONS, OPS, bind
from weft.ops.reduce.norms import joined_power_sums, power_root, power_sum
from weft.ops.registry.interpreters import atomic_writes
from weft.ops.registry.lazy_fronts import check_functions
from weft.optim.groups import number
from weft.tensors.creation import zeros
from weft.tensors.tensor import Tensor

Parameters = Tensor | Iterable[Tensor]


def _listed(where: str, argument: str, given: Parameters) -> list[Tensor]:
    """Return a tensor, or those of an iterable, as a list; ``ArgumentTypeError`` for other arguments."""
    words = "a tensor or an iterable of tensors"
    try:
        tensors = [given] if isinstance(given, Tensor) else list(given)
    except TypeError:
        raise ArgumentTypeError(mistake(where, argument, f"a {type(given).__name__}", words)) from None
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise ArgumentTypeError(mistake(where, argument, f"with a {type(tensor).__name__} in it", words))
    return tensors


def _gradients(where: str, parameters: Parameters) -> list[Tensor]:
    listed = _listed(where, "parameters", parameters)
    return [tensor.grad.detach() for tensor in listed if tensor.grad is not None]


def _by_device_and_type(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Group tensors by device and dtype."""
    groups: dict[tuple[str, str], list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault((str(tensor.device), tensor.dtype.name), []).append(tensor)
    return list(groups.values())


def get_total_norm(
    tensors: Parameters, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Return the norm of all tensors taken as one vector, on the first tensor's device; 0 without tensors.

    ``norm_type`` is above 0, or infinity. With ``error_if_nonfinite`` the function synchronizes with the device and
    raises ``GradError`` for a norm that is not finite.
    """
    given = _listed("get_total_norm", "tensors", tensors)
    order = number("get_total_norm", "norm_type", norm_type)
    if not order:
        raise ArgumentError(mistake("get_total_norm", "norm_type", norm_type, "above 0"))
    if not given:
        return zeros(())
    with no_grad():
        wide = [value.float() if value.dtype.itemsize < 4 else value for value in given]
        sums = [power_sum(value, order, tuple(range(value.ndim))) for value in wide if value.numel()]
        if not sums:
            return zeros((), device=str(given[0].device))
        first = sums[0]
        stacked = FUNCTIONS["stack"].function([part.to(first.dtype, str(first.device)) for part in sums])
        total = power_root(joined_power_sums(stacked, order), order)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise GradError(
            mistake(
                "clip_grad_norm_", "the total norm", total.item(), "finite", "pass error_if_nonfinite=False"
            )
        )
    norm: Tensor = total
    return norm


def clip_grads_with_norm_(
    parameters: Parameters, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients by ``max_norm / (total_norm + 1e-6)`` where that is below 1."""
    most = number("clip_grads_with_norm_", "max_norm", max_norm)
    with no_grad():
        _scale(_gradients("clip_grads_with_norm_", parameters), (most / (total_norm + 1e-6)).clamp(max=1.0))


def clip_grad_norm_(
    parameters: Parameters,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients so that their norm, taken as one vector, is at most ``max_norm``; return the norm before.

    As ``torch.nn.utils.clip_grad_norm_``.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([0.0, 0.0]))
    >>> (p * wf.tensor([3.0, 4.0])).sum().backward()
    >>> clip_grad_norm_([p], 1.0), p.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    given = _listed("clip_grad_norm_", "parameters", parameters)
    total = get_total_norm(_gradients("clip_grad_norm_", given), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(given, max_norm, total)
    return total


def normalize_grads_(
    parameters: Parameters, norm_type: float = 2.0, eps: float = 1e-6, error_if_nonfinite: bool = False
) -> Tensor:
    """Divide all gradients by their norm plus ``eps``, taken as one vector; return the norm before.

    The length of a gradient step is then the learning rate, whatever the slope of the loss. PyTorch has no such
    function.

    >>> import weft as wf
    >>> p = wf.nn.Parameter(wf.tensor([0.0, 0.0]))
    >>> (p * wf.tensor([30.0, 40.0])).sum().backward()
    >>> normalize_grads_([p]), p.grad
    (tensor(50.), tensor([0.6000, 0.8000]))
    """
    gradients = _gradients("normalize_grads_", parameters)
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    with no_grad():
        _scale(gradients, 1.0 / (total + number("normalize_grads_", "eps", eps)))
    return total


def _scale(gradients: Iterable[Tensor], scale: Tensor) -> None:
    groups = [(scale.to(str(group[0].device)), group) for group in _by_device_and_type(gradients)]
    with atomic_writes():
        for local_scale, group in groups:
            bind(OPS["scale_all"], local_scale, *group, into=tuple(group))


def clip_grad_value_(parameters: Parameters, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp every element of all gradients to [-clip_value, clip_value], as ``torch.nn.utils.clip_grad_value_``."""
    limit = number("clip_grad_value_", "clip_value", clip_value)
    with no_grad(), atomic_writes():
        for group in _by_device_and_type(_gradients("clip_grad_value_", parameters)):
            bind(OPS["clamp_all"], *group, into=tuple(group), limit=limit)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Concatenate the elements of all parameters to one vector; the operation is differentiable."""
    vector: Tensor = FUNCTIONS["cat"].function(
        [parameter.reshape(-1) for parameter in _listed("parameters_to_vector", "parameters", parameters)]
    )
    return vector


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Overwrite the parameters with the elements of a vector, in order; the lengths must agree."""
    given = _listed("vector_to_parameters", "parameters", parameters)
    total = sum(value.numel() for value in given)
    if not isinstance(vec, Tensor) or vec.ndim != 1 or vec.numel() != total:
        shape: Any = tuple(vec.shape) if isinstance(vec, Tensor) else type(vec).__name__
        raise ShapeError(mistake("vector_to_parameters", "vec", shape, f"a tensor of shape ({total},)"))
    start = 0
    with no_grad():
        for parameter in given:
            parameter.copy_(vec[start : start + parameter.numel()].reshape(*parameter.shape))
            start += parameter.numel()


check_functions(globals())
