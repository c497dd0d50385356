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
    """Return whether the gradients of ``func`` agree with central differences, as ``torch.autograd.gradcheck``.

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
    for value in checked:
        if value.dtype is not dtypes.float64:
            raise DTypeError(mistake("gradcheck", "inputs", f"of dtype {value.dtype.name}", "float64"))
    outputs = _outputs(func(*given))
    # all analytical ones first: the numerical ones overwrite the inputs
    jacobians = {
        (p, i): _analytical(output, value)
        for p, output in enumerate(outputs)
        for i, value in enumerate(checked)
    }
    for position in range(len(outputs)):
        for place, value in enumerate(checked):
            analytical = jacobians[position, place]
            numerical = _numerical(func, given, value, position, eps)
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
    """Return whether the gradients of the gradients of ``func`` agree with central differences.

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
        arguments, directions = values[: len(given)], values[len(given) :]
        wanted = [value for value in arguments if isinstance(value, Tensor) and value.requires_grad]
        gradients = grad(_outputs(func(*arguments)), wanted, directions, create_graph=True, allow_unused=True)
        return tuple(value for value in gradients if value is not None and value.requires_grad)

    return gradcheck(first, (*given, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)


def _outputs(result: Any) -> list[Tensor]:
    """Return the results that require grad."""
    results = [result] if isinstance(result, Tensor) else list(result)
    return [value for value in results if isinstance(value, Tensor) and value.requires_grad]


def _analytical(output: Tensor, value: Tensor) -> Any:
    """Return the Jacobian (outputs by inputs), computed row by row."""
    rows = numpy.zeros((output.numel(), value.numel()))
    for row in range(output.numel()):
        seed = numpy.zeros(output.numel())
        seed[row] = 1.0
        direction = tensor(seed.reshape(output.shape), dtype=output.dtype, device=str(output.device))
        (gradient,) = grad(output, value, direction, retain_graph=True, allow_unused=True)
        if gradient is not None:
            rows[row] = gradient.numpy().reshape(-1)
    return rows


def _numerical(func: Function, given: tuple[Any, ...], value: Tensor, position: int, eps: float) -> Any:
    """Return the Jacobian of an output by one of the inputs, by central differences."""
    columns = []
    start = value.detach().numpy().copy()
    for element in range(value.numel()):
        sides = []
        for step in (eps, -eps):
            moved = start.reshape(-1).copy()
            moved[element] += step
            with no_grad():
                value.copy_(tensor(moved.reshape(start.shape), dtype=value.dtype, device=str(value.device)))
            sides.append(_outputs(func(*given))[position].detach().numpy().astype("float64").reshape(-1))
        columns.append((sides[0] - sides[1]) / (2 * eps))
        with no_grad():
            value.copy_(tensor(start, dtype=value.dtype, device=str(value.device)))
    size = _outputs(func(*given))[position].numel() if not columns else columns[0].size
    return numpy.stack(columns, 1) if columns else numpy.zeros((size, 0))
