"""``vmap``: map a function of one sample over many samples, as ``torch.func.vmap``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, IndexOutOfRangeError, mistake
from weft.func.batching import RANDOMNESS, Batching, check_size
from weft.func.trees import spread, tensors_of
from weft.ops import OPS, bind
from weft.tensors.tensor import Tensor
from weft.utils.tree import flatten, paths

Function = Callable[..., Any]


def vmap(
    func: Function,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Function:
    """Return a function that maps ``func``, a function of one sample, over a dimension of its arguments.

    Each op runs once on all samples, by the op's batching rule. Keyword arguments are mapped over dimension 0.

    Args:
        func: a function of one sample, which returns a tree of tensors.
        in_dims: the dimension of the samples in the positional arguments: an int for all arguments, or a tuple with an
            entry for each argument, which may be a tree like the argument. ``None`` marks a value that all samples
            share.
        out_dims: the dimension of the samples in the results: an int, or a tree like the result.
        randomness: ``"error"``, ``"different"`` (each sample draws other numbers) or ``"same"`` (one draw for all).
        chunk_size: the most samples that are computed at a time.

    Raises:
        UnsupportedError: when called, for an op without a batching rule, or for random numbers with ``"error"``.
        ArgumentError: the dimensions do not fit the arguments.
        ShapeError: the sizes of the mapped dimensions differ.

    >>> import weft as wf
    >>> wf.func.vmap(lambda x, y: (x * y).sum())(wf.ones(2, 3), wf.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    tensor([ 6., 15.])
    >>> wf.func.vmap(wf.func.grad(lambda x, w: (x * w).sum() ** 2, argnums=1), in_dims=(0, None))(wf.eye(2), wf.ones(2))
    tensor([[2., 0.],
            [0., 2.]])
    """
    if randomness not in RANDOMNESS:
        raise ArgumentError(mistake("vmap", "randomness", repr(randomness), "'error', 'different' or 'same'"))
    if chunk_size is not None and (not isinstance(chunk_size, int) or chunk_size < 1):
        raise ArgumentError(mistake("vmap", "chunk_size", repr(chunk_size), "None or an int of 1 or more"))

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, rebuild, dims, size = _arguments(in_dims, args, kwargs)
        if chunk_size is None or chunk_size >= size:
            return _map(func, leaves, rebuild, dims, size, out_dims, randomness)
        pieces = []
        for start in range(0, size, chunk_size):
            stop = min(start + chunk_size, size)
            part = [leaf if dim is None else bind(OPS["slice"], leaf, dim=dim, start=start, stop=stop, step=1)
                    for leaf, dim in zip(leaves, dims, strict=True)]  # fmt: skip
            pieces.append(_map(func, part, rebuild, dims, stop - start, out_dims, randomness))
        return _chained(pieces, out_dims)

    return mapped


def _arguments(in_dims: Any, args: Any, kwargs: Any) -> tuple[list[Any], Any, list[int | None], int]:
    """Return the leaves of the arguments, a function that rebuilds them, the mapped dimensions, and their size."""
    if not args and not kwargs:
        raise ArgumentError("vmap: no arguments are given, expected at least one argument to map over")
    if isinstance(in_dims, list):
        in_dims = tuple(in_dims)
    if isinstance(in_dims, tuple) and len(in_dims) != len(args):
        given = f"{in_dims!r} with {len(in_dims)} entries"
        raise ArgumentError(mistake("vmap", "in_dims", given, f"one entry for each of {len(args)} arguments"))
    leaves, rebuild = flatten((args, kwargs))
    dims: list[int | None] = [*spread("vmap", "in_dims", in_dims, args), *[0] * len(flatten(kwargs)[0])]
    names = [name for place, argument in enumerate(args) for name, _ in paths(argument, f"argument {place}")]
    names += [name for key, argument in kwargs.items() for name, _ in paths(argument, key)]
    sizes: dict[str, int] = {}
    for at, (leaf, dim, name) in enumerate(zip(leaves, dims, names, strict=True)):
        if dim is None:
            continue
        if not isinstance(leaf, Tensor):
            raise ArgumentTypeError(
                mistake("vmap", name, f"of type {type(leaf).__name__} with in_dims {dim}", "a tensor",
                        "pass in_dims None for a value that all samples share")
            )  # fmt: skip
        dims[at] = _dimension("in_dims", name, dim, leaf.ndim)
        sizes[name] = leaf.shape[dims[at] or 0]
    if not sizes:
        raise ArgumentError(
            mistake("vmap", "in_dims", repr(in_dims), "at least one dimension that is not None")
        )
    return leaves, rebuild, dims, check_size("vmap", sizes)


def _dimension(argument: str, name: str, dim: int, rank: int) -> int:
    if not -rank <= dim < rank:
        raise IndexOutOfRangeError(
            mistake("vmap", f"{argument} of {name}", dim, f"a dimension of a tensor of {rank}")
        )
    return dim % rank


def _map(
    func: Function, leaves: list[Any], rebuild: Any, dims: list[int | None], size: int, out_dims: Any,
    randomness: str,
) -> Any:  # fmt: skip
    level = Batching("vmap", size, randomness)
    given = [leaf if dim is None else level.mapped(leaf, dim) for leaf, dim in zip(leaves, dims, strict=True)]
    with level.entered():
        args, kwargs = rebuild(given)
        result = func(*args, **kwargs)
        outputs, rebuild_result = tensors_of("vmap", "the function's result", result)
        joined = []
        goals = spread("vmap", "out_dims", out_dims, result)
    for place, (output, dim) in enumerate(zip(outputs, goals, strict=True)):
        if dim is None:
            if level.to_level(output)._data.batched:
                raise ArgumentError(
                    mistake(
                        "vmap",
                        f"out_dims of result {place}",
                        None,
                        "an int, since it differs between samples",
                    )
                )
            joined.append(level.below(output))
            continue
        joined.append(level.joined(output, _dimension("out_dims", f"result {place}", dim, output.ndim + 1)))
    return rebuild_result(joined)


def _chained(pieces: list[Any], out_dims: Any) -> Any:
    """Concatenate the results of chunks along the dimensions of their samples."""
    goals = spread("vmap", "out_dims", out_dims, pieces[0])
    columns = zip(*(flatten(piece)[0] for piece in pieces), strict=True)
    _, rebuild = flatten(pieces[0])
    return rebuild([column[0] if dim is None else bind(OPS["cat"], *column, dim=dim % column[0].ndim)
                    for column, dim in zip(columns, goals, strict=True)])  # fmt: skip
