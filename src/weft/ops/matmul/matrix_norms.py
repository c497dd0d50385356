"""Norms of matrices and the norm of ``linalg``, which is one of vectors or of matrices by its order."""

from __future__ import annotations

import math
from typing import Any

from weft.dtypes import DType
from weft.errors import ArgumentError, ShapeError, UnsupportedError, mistake
from weft.ops.make.creation import to_dtype
from weft.ops.reduce.statistics import vector_norm
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Dims, Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup

ORDERS = ("fro", 1, -1, math.inf, -math.inf)
"""Orders of norms of matrices; those by singular values ("nuc", 2, -2) are not in weft."""


def _matrix_norm(name: str, value: Any, ord: Any, dims: tuple[int, int], keepdim: bool) -> Any:
    if ord in ("nuc", 2, -2):
        raise UnsupportedError(
            mistake(name, "ord", repr(ord), "one that needs no singular values: 'fro', 1, -1, inf, -inf")
        )
    if ord not in ORDERS:
        raise ArgumentError(mistake(name, "ord", repr(ord), "'fro', 1, -1, inf or -inf"))
    if ord == "fro":
        return vector_norm(value, 2, dims, keepdim)
    summed, best = dims if abs(ord) == 1 else dims[::-1]
    totals = bind(lookup("sum"), bind(lookup("abs"), value), dims=(summed,), keepdim=True)
    fold = lookup("amax" if ord > 0 else "amin")
    found = bind(fold, totals, dims=(best,), keepdim=True)
    if keepdim:
        return found
    shape = tuple(size for at, size in enumerate(found.shape) if at not in dims)
    return bind(lookup("reshape"), found, shape=shape)


def _two(name: str, dim: Any, rank: int) -> tuple[int, int]:
    if not isinstance(dim, tuple | list) or len(dim) != 2:
        raise ArgumentError(mistake(name, "dim", dim, "two dimensions"))
    if rank < 2:
        raise ShapeError(mistake(name, "the input", f"{rank}-dimensional", "at least 2-dimensional"))
    first, second = (arguments.dimension(name, each, rank) for each in dim)
    if first == second:
        raise ArgumentError(mistake(name, "dim", tuple(dim), "two different dimensions"))
    return first, second


def _value(name: str, A: Any, dtype: DType | None) -> Any:
    x = arguments.tensor(name, "A", A)
    value = x if dtype is None else to_dtype(x, arguments.data_type(name, dtype))
    arguments.floating(name, "A", value.dtype)
    return value


@function(top=False, method=False, out=True, autocast="float32", wide=True)
def matrix_norm(
    A: Tensor,
    ord: float | str = "fro",
    dim: Dims = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The norm of matrices: ``"fro"``, or the largest (inf, of rows; 1, of columns) or smallest sum of sizes.

    ``UnsupportedError`` for the orders that need singular values: ``"nuc"``, 2 and -2.
    """
    value = _value("matrix_norm", A, dtype)
    return _matrix_norm("matrix_norm", value, ord, _two("matrix_norm", dim, len(value.shape)), keepdim)


@function(name="linalg_norm", top=False, method=False, out=True, autocast="float32", wide=True)
def linalg_norm(
    A: Tensor,
    ord: float | str | None = None,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The norm of vectors, or of matrices where ``dim`` names two dimensions or ``ord`` is given for a matrix."""
    value = _value("linalg_norm", A, dtype)
    rank = len(value.shape)
    if ord is None:
        return vector_norm(value, 2, dim, keepdim)
    if dim is None:
        if rank not in (1, 2) or (isinstance(ord, str) and rank != 2):
            raise ShapeError(
                mistake(
                    "linalg_norm", "A", f"{rank}-dimensional", "1- or 2-dimensional with ord and without dim"
                )
            )
        dim = tuple(range(rank))
    several = isinstance(dim, tuple | list) and len(dim) == 2
    if several or isinstance(ord, str):
        return _matrix_norm("linalg_norm", value, ord, _two("linalg_norm", dim, rank), keepdim)
    return vector_norm(value, ord, dim, keepdim)
