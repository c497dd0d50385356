"""``jacrev``, ``jacfwd`` and ``hessian``: Jacobians, by ``vmap`` of ``vjp`` and ``jvp`` over the unit vectors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from weft.errors import DTypeError, mistake
from weft.func.forward import jvp
from weft.func.mapping import vmap
from weft.func.reverse import vjp
from weft.func.trees import chosen, tensors_of
from weft.ops import OPS, bind
from weft.ops.make.creation import INDEX_DTYPE
from weft.tensors.tensor import Tensor

Function = Callable[..., Any]


def _units(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return for each tensor its part of the unit vectors: (n, *shape), where n counts the elements of all tensors."""
    total = sum(tensor.numel() for tensor in tensors)
    made, start = [], 0
    for tensor in tensors:
        count, device = tensor.numel(), str(tensor.device)
        rows = bind(OPS["arange"], 0, 1, count=total, dtype=INDEX_DTYPE, device=device)
        columns = bind(OPS["arange"], start, 1, count=count, dtype=INDEX_DTYPE, device=device)
        hit = bind(OPS["eq"], bind(OPS["reshape"], rows, shape=(total, 1)), columns)
        made.append(
            bind(OPS["reshape"], bind(OPS["cast"], hit, dtype=tensor.dtype), shape=(total, *tensor.shape))
        )
        start += count
    return made


def _cut(rows: Tensor, tensors: Sequence[Tensor], dim: int) -> list[Tensor]:
    """Split a dimension over the elements of several tensors into one tensor for each, with its shape."""
    made, start = [], 0
    for tensor in tensors:
        stop = start + math.prod(tensor.shape)
        part = bind(OPS["slice"], rows, dim=dim, start=start, stop=stop, step=1)
        shape = (*rows.shape[:dim], *tensor.shape, *rows.shape[dim + 1 :])
        made.append(bind(OPS["reshape"], part, shape=shape))
        start = stop
    return made


def _at(func: Function, argnums: Any, args: Any, kwargs: Any, where: str) -> tuple[Function, tuple[Any, ...]]:
    """Return the function of only the chosen arguments, and these arguments."""
    places = chosen(where, argnums, len(args))

    def of_chosen(*given: Any) -> Any:
        whole = list(args)
        for place, value in zip(places, given, strict=True):
            whole[place] = value
        return func(*whole, **kwargs)

    return of_chosen, tuple(args[place] for place in places)


def _built(output: Any, primals: Any, blocks: list[list[Tensor]], single: bool) -> Any:
    """Return the blocks by output leaf and primal leaf as a tree like the output, of trees like the primals."""
    _, rebuild_output = tensors_of("jacobian", "the function's result", output)
    _, rebuild_primals = tensors_of("jacobian", "the arguments", primals)
    trees = [rebuild_primals(row) for row in blocks]
    return rebuild_output([tree[0] if single else tree for tree in trees])


def _check_output(where: str, output: Any) -> list[Tensor]:
    leaves, _ = tensors_of(where, "the function's result", output)
    for leaf in leaves:
        if leaf.dtype.kind != "float":
            raise DTypeError(
                mistake(where, "the dtype of the function's result", leaf.dtype.name, "a floating point type")
            )
    return leaves


def jacrev(
    func: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, *, chunk_size: int | None = None
) -> Function:
    """Return a function that computes the Jacobian of ``func`` in reverse mode, as ``torch.func.jacrev``.

    For an output of shape (*out) and an argument of shape (*in) the Jacobian has shape (*out, *in); for trees it is a
    tree like the output, of trees like the argument. Reverse mode suits outputs that are smaller than the argument.

    Args:
        func: a function of trees of tensors that returns a tree of tensors.
        argnums: the argument, or a tuple of arguments, to differentiate with respect to.
        has_aux: ``func`` returns a pair (output, aux), and the result is a pair (Jacobian, aux).
        chunk_size: the most rows that are computed at a time.

    >>> import weft as wf
    >>> wf.func.jacrev(lambda x: x * x)(wf.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        of_chosen, primals = _at(func, argnums, args, kwargs, "jacrev")
        output, pull, *aux = vjp(of_chosen, *primals, has_aux=has_aux)
        outputs = _check_output("jacrev", output)
        _, rebuild = tensors_of("jacrev", "the function's result", output)
        rows = vmap(lambda *units: pull(rebuild(list(units))), chunk_size=chunk_size)(*_units(outputs))
        columns = [_cut(block, outputs, 0) for block in tensors_of("jacrev", "the arguments", rows)[0]]
        blocks = [list(row) for row in zip(*columns, strict=True)]
        made = _built(output, primals, blocks, not isinstance(argnums, tuple | list))
        return (made, aux[0]) if has_aux else made

    return jacobian


def jacfwd(
    func: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False, *, randomness: str = "error",
    chunk_size: int | None = None,
) -> Function:  # fmt: skip
    """Return a function that computes the Jacobian of ``func`` in forward mode, as ``torch.func.jacfwd``.

    The shapes are those of ``jacrev``. Forward mode suits arguments that are smaller than the output.

    Args:
        func: a function of trees of tensors that returns a tree of tensors.
        argnums: the argument, or a tuple of arguments, to differentiate with respect to.
        has_aux: ``func`` returns a pair (output, aux), and the result is a pair (Jacobian, aux).
        randomness: the randomness of the ``vmap`` over columns.
        chunk_size: the most columns that are computed at a time.

    >>> import weft as wf
    >>> wf.func.jacfwd(lambda x: x * x)(wf.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        of_chosen, primals = _at(func, argnums, args, kwargs, "jacfwd")
        inputs, rebuild = tensors_of("jacfwd", "the arguments", primals)

        def push(*units: Tensor) -> Any:
            return jvp(of_chosen, primals, rebuild(list(units)), has_aux=has_aux)

        dims = (None, -1, None) if has_aux else (None, -1)
        output, columns, *aux = vmap(push, out_dims=dims, randomness=randomness, chunk_size=chunk_size)(
            *_units(inputs)
        )
        _check_output("jacfwd", output)
        blocks = [
            _cut(block, inputs, block.ndim - 1) for block in tensors_of("jacfwd", "the result", columns)[0]
        ]
        made = _built(output, primals, blocks, not isinstance(argnums, tuple | list))
        return (made, aux[0]) if has_aux else made

    return jacobian


def hessian(func: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return a function that computes the Hessian of ``func``, by ``jacfwd`` of ``jacrev``, as ``torch.func.hessian``.

    The result of ``func`` is a scalar. For an argument of shape (*in) the Hessian has shape (*in, *in); for trees of
    arguments it is a tree of trees.

    >>> import weft as wf
    >>> wf.func.hessian(lambda x: (x**3).sum())(wf.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
