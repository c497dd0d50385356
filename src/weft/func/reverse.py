"""``grad``, ``grad_and_value`` and ``vjp``: reverse-mode derivatives of functions, as ``torch.func`` has them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from weft.errors import DTypeError, GradError, mistake
from weft.func.level import Level
from weft.func.trees import chosen, matching, tensors_of, with_aux
from weft.ops import OPS, bind
from weft.tensors.tensor import Tensor
from weft.utils.tree import flatten

Function = Callable[..., Any]


def filled_like(tensor: Tensor, value: int) -> Tensor:
    """Return a constant tensor with the shape, type and device of another."""
    made: Tensor = bind(
        OPS["full"], value, shape=tuple(tensor.shape), dtype=tensor.dtype, device=str(tensor.device)
    )
    return made


def outside(level: Level, tree: Any) -> Any:
    """Return a tree with tensors of a level replaced by the tensors of the stack below that they hold."""
    leaves, rebuild = flatten(tree)
    return rebuild([level.below(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves])


def _scalar(where: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise GradError(
            mistake(where, "the function's result", f"a {type(value).__name__}", "a tensor of shape ()")
        )
    if value.shape != ():
        raise GradError(
            mistake(where, "the function's result", f"a tensor of shape {tuple(value.shape)}", "a tensor of shape ()",
                    "reduce it, or use jacrev or vjp")
        )  # fmt: skip
    if value.dtype.kind != "float":
        raise DTypeError(
            mistake(where, "the dtype of the function's result", value.dtype.name, "a floating point type")
        )
    return value


def _differentiated(
    where: str, func: Function, argnums: int | Sequence[int], has_aux: bool, args: Any, kwargs: Any
) -> tuple[Any, Any, Any]:
    """Return the gradients, the value, and the auxiliary result of the function."""
    level, given = Level(where), list(args)
    leaves: list[Tensor] = []
    parts: list[tuple[int, Any]] = []
    with level.entered():
        for place in chosen(where, argnums, len(args)):
            argument, rebuild = flatten(args[place])
            made = [level.leaf(where, leaf) for leaf in argument]
            given[place] = rebuild(list(made))
            leaves += made
            parts.append((len(made), rebuild))
        result, aux = with_aux(where, func(*given, **kwargs), has_aux)
        output = level.to_level(_scalar(where, result))
    value = level.below(output)
    found = level.flow([output], [filled_like(value, 1)], leaves, keep=False)
    grads = iter([filled_like(level.below(leaf), 0) if gradient is None else gradient
                  for leaf, gradient in zip(leaves, found, strict=True)])  # fmt: skip
    trees = [rebuild([next(grads) for _ in range(count)]) for count, rebuild in parts]
    return (
        tuple(trees) if isinstance(argnums, tuple | list) else trees[0],
        value,
        outside(level, aux),
    )


def grad(func: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """Return a function that computes the gradients of ``func``, as ``torch.func.grad``.

    Captured tensors are constants for this gradient; an enclosing ``grad`` or ``backward`` differentiates them.

    Args:
        func: a function that returns a tensor of shape ().
        argnums: the argument, or a tuple of arguments, to differentiate with respect to; each is a tree of floating
            point tensors, and its gradient is a tree of the same structure.
        has_aux: ``func`` returns a pair (output, aux), and the result is a pair (gradients, aux).

    Raises:
        GradError: when called, for a result of another shape.
        DTypeError: when called, for integer tensors.

    >>> import weft as wf
    >>> wf.func.grad(lambda x: x**3)(wf.tensor(2.0))
    tensor(12.)
    >>> wf.func.grad(wf.func.grad(lambda x: x**3))(wf.tensor(2.0))
    tensor(12.)
    """

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        grads, _, aux = _differentiated("grad", func, argnums, has_aux, args, kwargs)
        return (grads, aux) if has_aux else grads

    return gradient


def grad_and_value(func: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """Return a function that computes (gradients, value), or (gradients, (value, aux)) with ``has_aux``; see ``grad``.

    >>> import weft as wf
    >>> wf.func.grad_and_value(lambda x: x**3)(wf.tensor(2.0))
    (tensor(12.), tensor(8.))
    """

    @functools.wraps(func)
    def gradient_and_value(*args: Any, **kwargs: Any) -> Any:
        grads, value, aux = _differentiated("grad_and_value", func, argnums, has_aux, args, kwargs)
        return (grads, (value, aux)) if has_aux else (grads, value)

    return gradient_and_value


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return ``func(*primals)``, and a function from output cotangents to primal cotangents, as ``torch.func.vjp``.

    Args:
        func: a function of trees of tensors that returns a tree of tensors.
        *primals: the arguments, trees of floating point tensors.
        has_aux: ``func`` returns a pair (output, aux).

    Returns:
        (output, pull), or (output, pull, aux). ``pull`` takes a cotangent with the structure and shapes of the output,
        returns a tuple with a tree for each primal, and may be called several times.

    Raises:
        ArgumentTypeError: in ``pull``, for a cotangent of another structure.
        ShapeError: in ``pull``, for a cotangent of other shapes.

    >>> import weft as wf
    >>> output, pull = wf.func.vjp(lambda x: x * x, wf.tensor([1.0, 2.0]))
    >>> output, pull(wf.tensor([1.0, 10.0]))
    (tensor([1., 4.]), (tensor([ 2., 40.]),))
    """
    level = Level("vjp")
    with level.entered():
        given, rebuild = flatten(primals)
        leaves = [level.leaf("vjp", value) for value in given]
        result, aux = with_aux("vjp", func(*rebuild(list(leaves))), has_aux)
        outputs = [level.to_level(leaf) for leaf in tensors_of("vjp", "the function's result", result)[0]]
    output = outside(level, result)

    def pull(cotangents: Any) -> Any:
        """Return the cotangents of the primals for a cotangent of the output."""
        seeds = matching("vjp", "the cotangent", cotangents, output)
        found = level.flow(outputs, seeds, leaves, keep=True)
        return rebuild([filled_like(level.below(leaf), 0) if gradient is None else gradient
                        for leaf, gradient in zip(leaves, found, strict=True)])  # fmt: skip

    return (output, pull, outside(level, aux)) if has_aux else (output, pull)
