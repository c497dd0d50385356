"""``gradcheck`` and ``gradgradcheck``: analytical gradients against central differences, in float64 on ``cpu``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from weft import dtypes
from weft.autograd.engine import grad
from weft.autograd.mode import no_grad
from weft.errors import DTypeError, GradError, mistake
from weft.tensors.tensor import Tensor, tensor

Function = Callable[..., Any]


def gradcheck(
    func: Function,
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of ``func`` agree with central differences, as ``torch.autograd.gradcheck``.

    The tensors in ``inputs`` that require grad must be float64. Every element of the Jacobian is compared; on a
    difference ``GradError`` shows both (or the result is False, without ``raise_exception``).

    >>> import weft as wf
    >>> x = wf.tensor([0.5, -1.0], dtype=wf.float64, device="cpu", requires_grad=True)
    >>> wf.autograd.gradcheck(wf.tanh, (x,))
    True
    """
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = [value for value in given if isinstance(value, Tensor) and value.requires_grad]
    if not checked:
        raise GradError(mistake("gradcheck", "inputs", "without a tensor that requires grad", "at least one"))
    for one in checked:
        if one.dtype is not dtypes.float64:
            raise DTypeError(mistake("gradcheck", "inputs", f"of dtype {one.dtype.name}", "float64"))
    outputs = _outputs(func(*given))
    # all analytical ones first: the numerical ones overwrite the inputs
    jacobians = {
        (p, i): _analytical(output, one) for p, output in enumerate(outputs) for i, one in enumerate(checked)
    }
    for position in range(len(outputs)):
        for place, one in enumerate(checked):
            analytical = jacobians[position, place]
            numerical = _numerical(func, given, one, position, eps)
            if not numpy.allclose(analytical, numerical, rtol, atol, equal_nan=True):
                if not raise_exception:
                    return False
                raise GradError(
                    f"gradcheck: the Jacobian of output {position} with respect to input {place} differs by "
                    f"{numpy.abs(analytical - numerical).max():.3g}\nnumerical:\n{numerical}\nanalytical:\n{analytical}"
                )
    return True


def gradgradcheck(
    func: Function,
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of the gradients of ``func`` agree with central differences.

    ``grad_outputs`` are the directions; random ones of a fixed seed by default.
    """
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    outputs = _outputs(func(*given))
    if grad_outputs is None:
        draw = numpy.random.default_rng(0)
        seeds = [
            tensor(draw.standard_normal(o.shape), dtype=o.dtype, device=str(o.device), requires_grad=True)
            for o in outputs
        ]
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)

    def first(*values: Any) -> tuple[Any, ...]:
        own, directions = values[: len(given)], values[len(given) :]
        wanted = [value for value in own if isinstance(value, Tensor) and value.requires_grad]
        found = grad(_outputs(func(*own)), wanted, directions, create_graph=True, allow_unused=True)
        return tuple(value for value in found if value is not None and value.requires_grad)

    return gradcheck(first, (*given, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)


def _outputs(result: Any) -> list[Tensor]:
    every = [result] if isinstance(result, Tensor) else list(result)
    return [one for one in every if isinstance(one, Tensor) and one.requires_grad]


def _analytical(output: Tensor, one: Tensor) -> Any:
    """The Jacobian (outputs by inputs), a row at a time."""
    rows = numpy.zeros((output.numel(), one.numel()))
    for row in range(output.numel()):
        seed = numpy.zeros(output.numel())
        seed[row] = 1.0
        direction = tensor(seed.reshape(output.shape), dtype=output.dtype, device=str(output.device))
        (found,) = grad(output, one, direction, retain_graph=True, allow_unused=True)
        if found is not None:
            rows[row] = found.numpy().reshape(-1)
    return rows


def _numerical(func: Function, given: tuple[Any, ...], one: Tensor, position: int, eps: float) -> Any:
    columns = []
    start = one.detach().numpy().copy()
    for element in range(one.numel()):
        sides = []
        for step in (eps, -eps):
            moved = start.reshape(-1).copy()
            moved[element] += step
            with no_grad():
                one.copy_(tensor(moved.reshape(start.shape), dtype=one.dtype, device=str(one.device)))
            sides.append(_outputs(func(*given))[position].detach().numpy().astype("float64").reshape(-1))
        columns.append((sides[0] - sides[1]) / (2 * eps))
        with no_grad():
            one.copy_(tensor(start, dtype=one.dtype, device=str(one.device)))
    size = _outputs(func(*given))[position].numel() if not columns else columns[0].size
    return numpy.stack(columns, 1) if columns else numpy.zeros((size, 0))
