"""Products and distances of vectors and matrices as composites of simpler functions: ``cross``, ``kron``, ``cdist``."""

from __future__ import annotations

import math
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, mistake
from weft.ops.make.creation import to_dtype
from weft.ops.matmul.linear import matmul, swap_last
from weft.ops.matmul.linear_algebra import outer
from weft.ops.reduce.norms import power_root, power_sum, vector_norm
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup
from weft.ops.views.functions import diagonal
from weft.ops.views.movement import reshape
from weft.ops.views.rearrangement import roll


@function()
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal; int64 for integers."""
    x = arguments.tensor("trace", "input", input, 2)
    return bind(lookup("sum"), diagonal(x), dims=(0,), keepdim=False)


def _crossed(name: str, a: Any, b: Any, dim: int) -> Any:
    """Return the cross product along a dimension: ``a[1] b[2] - a[2] b[1]`` and its two cyclic permutations."""
    shape = broadcast_shapes(name, tuple(a.shape), tuple(b.shape))
    a, b = (
        value if tuple(value.shape) == shape else bind(lookup("expand"), value, shape=shape)
        for value in (a, b)
    )
    place = arguments.dimension(name, dim, len(shape))
    if not shape or shape[place] != 3:
        raise ShapeError(mistake(name, "the inputs' shape", shape, f"a size of 3 at dimension {dim}"))
    mul = lookup("mul")
    first = bind(mul, roll(a, -1, place), roll(b, -2, place))
    return bind(lookup("sub"), first, bind(mul, roll(a, -2, place), roll(b, -1, place)))


def _same_rank(name: str, input: Any, other: Any) -> None:
    ranks = [len(arguments.tensor(name, key, v).shape) for key, v in (("input", input), ("other", other))]
    if ranks[0] != ranks[1]:
        raise ShapeError(
            mistake(name, "other", f"{ranks[1]}-dimensional", f"{ranks[0]}-dimensional, as the input")
        )


@function(out="sub", wide=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross product of vectors of 3 elements along ``dim``, by default the first dimension of size 3."""
    _same_rank("cross", input, other)
    if dim is None:
        dim = next((axis for axis, size in enumerate(input.shape) if size == 3), None)
        if dim is None:
            raise ShapeError(mistake("cross", "input's shape", tuple(input.shape), "a dimension of size 3"))
    return _crossed("cross", input, other, dim)


@function(name="linalg_cross", top=False, method=False, out="sub", wide=True)
def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross product of vectors of 3 elements along ``dim``, broadcast."""
    _same_rank("cross", input, other)
    return _crossed("cross", input, other, dim)


@function(out=True)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: each element of ``input`` times all of ``other``, as blocks."""
    a, b = arguments.tensor("kron", "input", input), arguments.tensor("kron", "other", other)
    rank = max(len(a.shape), len(b.shape))
    first, second = ((1,) * (rank - len(value.shape)) + tuple(value.shape) for value in (a, b))
    outer_parts = reshape(a, *(part for size in first for part in (size, 1)))
    inner_parts = reshape(b, *(part for size in second for part in (1, size)))
    blocks = bind(lookup("mul"), outer_parts, inner_parts)
    return reshape(blocks, *(n * m for n, m in zip(first, second, strict=True)))


@function(out=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Inner products along the last dimensions: (*a, k) and (*b, k) give (*a, *b); a 0-d tensor is a factor."""
    a, b = arguments.tensor("inner", "input", input), arguments.tensor("inner", "other", other)
    first, second = tuple(a.shape), tuple(b.shape)
    if not first or not second:
        return bind(lookup("mul"), a, b)
    if first[-1] != second[-1]:
        raise ShapeError(
            mistake("inner", "other's shape", second, f"a shape that ends in {first[-1]}, as the input's")
        )
    rows = [reshape(v, math.prod(v.shape[:-1]), v.shape[-1]) for v in (a, b)]
    return reshape(matmul(rows[0], swap_last(rows[1])), *first[:-1], *second[:-1])


@function(inplace=True, out="add", wide=True)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``; with ``beta`` 0 the input is not read."""
    shape = tuple(arguments.tensor("addr", "input", input).shape)
    product = outer(vec1, vec2)
    if broadcast_shapes("addr", shape, tuple(product.shape)) != tuple(product.shape):
        raise ShapeError(
            mistake("addr", "input's shape", shape, f"a shape that broadcasts to {product.shape}")
        )
    for name, factor in (("alpha", alpha), ("beta", beta)):
        if isinstance(factor, float) and input.dtype.is_integer and product.dtype.is_integer:
            raise ArgumentTypeError(mistake("addr", name, repr(factor), "an int for integer operands"))
    scaled = product if alpha == 1 else bind(lookup("mul"), product, alpha)
    if beta == 0:
        return scaled
    return bind(lookup("add"), input if beta == 1 else bind(lookup("mul"), input, beta), scaled)


@function(autocast="float32", wide=True)
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of ``input - other`` over all elements, a 0-d tensor; p may be 0 and inf."""
    for name, value in (("input", input), ("other", other)):
        arguments.floating("dist", name, arguments.tensor("dist", name, value).dtype)
    return vector_norm(bind(lookup("sub"), input, other), p)


MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)
"""The modes of ``cdist``: Euclidean distances by a matrix product from ``PRODUCT_FROM`` rows on, always, or never."""
PRODUCT_FROM = 25


@function(method=False, autocast="float32", wide=True)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """The p-norm distances between the rows of two batches of matrices: (*, n, k) and (*, m, k) give (*, n, m).

    With more than 25 rows, Euclidean distances come from a matrix product. This is faster, and less exact for rows
    that are nearly equal; ``compute_mode="donot_use_mm_for_euclid_dist"`` prevents it.

    >>> import weft as wf
    >>> wf.cdist(wf.zeros(1, 2), wf.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    for name, value in (("x1", x1), ("x2", x2)):
        arguments.floating("cdist", name, arguments.tensor("cdist", name, value).dtype)
        if len(value.shape) < 2:
            raise ShapeError(
                mistake("cdist", name, f"{len(value.shape)}-dimensional", "at least 2-dimensional")
            )
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            mistake("cdist", "x2's shape", tuple(x2.shape), f"a shape that ends in {x1.shape[-1]}, as x1's")
        )
    mode = MODES[0] if compute_mode is None else compute_mode
    if mode not in MODES:
        raise ArgumentError(mistake("cdist", "compute_mode", repr(mode), " or ".join(map(repr, MODES))))
    if p < 0:
        raise ArgumentError(mistake("cdist", "p", p, "0 or more"))
    large = max(x1.shape[-2], x2.shape[-2]) > PRODUCT_FROM
    if p == 2 and (mode == MODES[1] or (large and mode == MODES[0])):
        return _by_product(x1, x2)
    first, second = tuple(x1.shape), tuple(x2.shape)
    differences = bind(
        lookup("sub"),
        reshape(x1, *first[:-1], 1, first[-1]),
        reshape(x2, *second[:-2], 1, *second[-2:]),
    )
    return vector_norm(differences, p, -1)


def _by_product(x1: Any, x2: Any) -> Any:
    """Return Euclidean distances as sqrt(|x|^2 + |y|^2 - 2 x y), the radicand clamped to 0."""

    def squares(value: Any) -> Any:
        return power_sum(value, 2, (len(value.shape) - 1,), True)

    products = matmul(x1, swap_last(x2))
    total = bind(lookup("add"), squares(x1), swap_last(squares(x2)))
    radicand = bind(lookup("sub"), total, bind(lookup("mul"), products, 2.0))
    return power_root(bind(lookup("clamp_min"), radicand, 0.0), 2)


@function(inplace=True, out=True, wide=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Each slice along ``dim`` scaled down to the p-norm ``maxnorm`` where its p-norm is larger."""
    rank = len(arguments.tensor("renorm", "input", input).shape)
    arguments.floating("renorm", "input", input.dtype)
    if rank < 2:
        raise ShapeError(mistake("renorm", "input", f"{rank}-dimensional", "at least 2-dimensional"))
    if not p > 0:
        raise ArgumentError(mistake("renorm", "p", p, "a number above 0"))
    if not maxnorm >= 0:
        raise ArgumentError(mistake("renorm", "maxnorm", maxnorm, "0 or more"))
    place = arguments.dimension("renorm", dim, rank)
    size = vector_norm(input, p, tuple(d for d in range(rank) if d != place), True)
    factor = bind(lookup("div"), float(maxnorm), bind(lookup("add"), size, 1e-7))
    larger = bind(lookup("gt"), size, float(maxnorm))
    return bind(lookup("mul"), input, to_dtype(bind(lookup("where"), larger, factor, 1.0), input.dtype))
