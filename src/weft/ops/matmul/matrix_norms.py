"""Norms of matrices, and ``norm`` and ``linalg.norm``, which are norms of vectors or of matrices by their arguments."""

from __future__ import annotations

import math
from typing import Any

from weft.dtypes import DType
from weft.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError, mistake
from weft.ops.make.creation import to_dtype
from weft.ops.matmul.decompositions import singular_values
from weft.ops.reduce.norms import checked_vector_norm, vector_norm, vector_norm_of
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Dims, Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rounding import NARROW, rounded_once
from weft.ops.registry.table import lookup

ORDERS = ("fro", 1, -1, math.inf, -math.inf)
"""Orders of norms of matrices by their elements."""
SINGULAR = ("nuc", 2, -2)
"""Orders of norms of matrices by their singular values."""


def _matrix_norm(name: str, value: Any, ord: Any, dims: tuple[int, int], keepdim: bool) -> Any:
    if ord not in (*ORDERS, *SINGULAR):
        raise ArgumentError(mistake(name, "ord", repr(ord), "'fro', 'nuc', 1, -1, 2, -2, inf or -inf"))
    if ord == "fro":
        return vector_norm(value, 2, dims, keepdim)
    if ord in SINGULAR:
        return _with_dimensions(_singular_norm(name, value, ord, dims), dims, keepdim)
    summed, compared = dims if abs(ord) == 1 else dims[::-1]
    totals = vector_norm_of(value, 1, (summed,), True)
    extreme = lookup("amax" if ord > 0 else "amin")
    result = bind(extreme, totals, dims=(compared,), keepdim=True)
    if keepdim:
        return result
    shape = tuple(size for at, size in enumerate(result.shape) if at not in dims)
    return bind(lookup("reshape"), result, shape=shape)


def _singular_norm(name: str, value: Any, ord: Any, dims: tuple[int, int]) -> Any:
    """Return the sum (``"nuc"``), the largest (2) or the smallest (-2) of the singular values."""
    rank = len(value.shape)
    order = (*(at for at in range(rank) if at not in dims), *dims)
    values = singular_values(name, bind(lookup("permute"), value, order=order))
    last = (rank - 2,)
    if ord == "nuc":
        return bind(lookup("sum"), values, dims=last, keepdim=False)
    if values.shape[-1]:
        return bind(lookup("amax" if ord == 2 else "amin"), values, dims=last, keepdim=False)
    if ord == -2:
        raise IndexOutOfRangeError(
            mistake(
                name, "A", f"of shape {tuple(value.shape)}", "matrices that are not empty for the order -2"
            )
        )
    return bind(lookup("sum"), values, dims=last, keepdim=False)


def _with_dimensions(result: Any, dims: tuple[int, int], keepdim: bool) -> Any:
    """Insert the two reduced dimensions with size 1 where ``keepdim`` is set."""
    if not keepdim:
        return result
    rest = iter(result.shape)
    shape = tuple(1 if at in dims else next(rest) for at in range(len(result.shape) + 2))
    return bind(lookup("reshape"), result, shape=shape)


def _refuse_narrow(name: str, A: Any, ord: Any) -> None:
    """Raise ``DTypeError`` for singular values of 16-bit matrices, which PyTorch does not compute either."""
    if ord in SINGULAR and arguments.tensor(name, "A", A).dtype in NARROW:
        raise DTypeError(
            mistake(name, "A's dtype", A.dtype.name, f"float32 or float64 for the order {ord!r}",
                    "low precision is not supported, as in PyTorch; convert it with to(weft.float32)")
        )  # fmt: skip


def _matrix_dims(name: str, dim: Any, rank: int) -> tuple[int, int]:
    """Return the two dimensions of the matrices as non-negative numbers."""
    if rank < 2:
        raise ShapeError(mistake(name, "the input", f"{rank}-dimensional", "at least 2-dimensional"))
    if not isinstance(dim, tuple | list) or len(dim) != 2:
        raise ArgumentError(mistake(name, "dim", dim, "two dimensions"))
    first, second = (arguments.dimension(name, axis, rank) for axis in dim)
    if first == second:
        raise ArgumentError(mistake(name, "dim", tuple(dim), "two different dimensions"))
    return first, second


def _value(name: str, A: Any, dtype: DType | None) -> Any:
    """Return the operand of a norm, cast to ``dtype`` where that is given."""
    x = arguments.tensor(name, "A", A)
    value = x if dtype is None else to_dtype(x, arguments.data_type(name, dtype))
    arguments.floating(name, "A", value.dtype)
    return value


@function(top=False, method=False, out=True, autocast="float32")
def matrix_norm(
    A: Tensor,
    ord: float | str = "fro",
    dim: Dims = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """Return the norm of matrices, as ``torch.linalg.matrix_norm``.

    Orders by elements: ``"fro"``; the largest sum of absolute values of a row (inf) or a column (1); the smallest of a
    row (-inf) or a column (-1). Orders by singular values: their sum (``"nuc"``), the largest (2), the smallest (-2).
    LAPACK computes singular values on the host, so that they cannot be traced.

    Raises:
        DTypeError: for singular values of types other than float32 and float64.

    >>> import weft as wf
    >>> wf.linalg.matrix_norm(wf.tensor([[3.0, 0.0], [0.0, 4.0]]), "nuc")
    tensor(7.)
    """
    _refuse_narrow("matrix_norm", A, ord)
    return _norm_of_matrices(A, ord, dim, keepdim, dtype=dtype)


@rounded_once
def _norm_of_matrices(A: Any, ord: Any, dim: Any, keepdim: bool, *, dtype: DType | None) -> Any:
    value = _value("matrix_norm", A, dtype)
    return _matrix_norm(
        "matrix_norm", value, ord, _matrix_dims("matrix_norm", dim, len(value.shape)), keepdim
    )


@function(name="linalg_norm", top=False, method=False, out=True, autocast="float32")
def linalg_norm(
    A: Tensor,
    ord: float | str | None = None,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """Return the norm of vectors, or of matrices, as ``torch.linalg.norm``.

    The norm is of matrices where ``dim`` names two dimensions, and where ``ord`` is given for a matrix.

    >>> import weft as wf
    >>> wf.linalg.norm(wf.tensor([3.0, 4.0]))
    tensor(5.)
    """
    if _is_of_matrices("linalg_norm", A, ord, dim):
        _refuse_narrow("linalg_norm", A, ord)
    return _norm(A, ord, dim, keepdim, dtype=dtype)


def _is_of_matrices(name: str, A: Any, ord: Any, dim: Any) -> bool:
    """Return whether the arguments ask for a norm of matrices."""
    rank = len(arguments.tensor(name, "A", A).shape)
    if dim is None:
        return isinstance(ord, str) or (ord is not None and rank == 2)
    return isinstance(ord, str) or (ord is not None and isinstance(dim, tuple | list) and len(dim) == 2)


@rounded_once
def _norm(A: Any, ord: Any, dim: Any, keepdim: bool, *, dtype: DType | None) -> Any:
    value = _value("linalg_norm", A, dtype)
    rank = len(value.shape)
    if ord is None:
        return vector_norm(value, 2, dim, keepdim)
    of_matrices = _is_of_matrices("linalg_norm", value, ord, dim)
    if dim is None:
        if rank not in (1, 2) or (isinstance(ord, str) and rank != 2):
            raise ShapeError(
                mistake(
                    "linalg_norm", "A", f"{rank}-dimensional", "1- or 2-dimensional with ord and without dim"
                )
            )
        dim = tuple(range(rank))
    if of_matrices:
        return _matrix_norm("linalg_norm", value, ord, _matrix_dims("linalg_norm", dim, rank), keepdim)
    return vector_norm(value, ord, dim, keepdim)


@function(out=True, autocast="float32")
def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """Return the vector norm of order ``p`` over dimensions, as ``torch.norm``; ``"fro"`` and None are the order 2.

    The order ``"nuc"`` is the sum of the singular values of matrices, which lie along two dimensions.

    >>> import weft as wf
    >>> wf.norm(wf.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    if p == "nuc":
        x = arguments.tensor("norm", "input", input)
        _refuse_narrow("norm", x, p)
        value = _value("norm", x, dtype)
        rank = len(value.shape)
        dims = _matrix_dims("norm", tuple(range(rank)) if dim is None else dim, rank)
        return _matrix_norm("norm", value, p, dims, keepdim)
    order = 2.0 if p in ("fro", None) else p
    return _norm_of_vectors("norm", input, order, dim, keepdim, dtype=dtype)


_norm_of_vectors = rounded_once(checked_vector_norm)
