"""Products of vectors and of batches, products with an addend, and norms and distances of vectors."""

from __future__ import annotations

from typing import Any

from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops.make.creation import to_dtype
from weft.ops.matmul.einsum import einsum
from weft.ops.matmul.linear import matmul, product_of, wide_option
from weft.ops.reduce.norms import checked_vector_norm, vector_norm_of
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.interpreters import bind
from weft.ops.registry.table import lookup


@function(out="matmul")
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the products of two batches of matrices, without broadcasting: (B, n, k) by (B, k, m) gives (B, n, m)."""
    return matmul(*_batches("bmm", input, mat2))


def _batches(where: str, input: Any, mat2: Any) -> tuple[Any, Any]:
    """Return two batches of matrices; ``ShapeError`` where they do not multiply."""
    a, b = arguments.tensor(where, "input", input, 3), arguments.tensor(where, "mat2", mat2, 3)
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise ShapeError(
            mistake(
                where,
                "mat2's shape",
                tuple(b.shape),
                f"({a.shape[0]}, {a.shape[2]}, m) for input {tuple(a.shape)}",
            )
        )
    return a, b


@function(out="matmul")
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product (n) of a matrix (n, k) and a vector (k)."""
    return matmul(arguments.tensor("mv", "input", input, 2), arguments.tensor("mv", "vec", vec, 1))


@function(out="matmul", autocast="widest")
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Return the inner product of two vectors of one size, a 0-d tensor."""
    a, b = arguments.tensor("dot", "input", input, 1), arguments.tensor("dot", "tensor", tensor, 1)
    if a.shape[0] != b.shape[0]:
        raise ShapeError(
            mistake("dot", "tensor's shape", tuple(b.shape), f"{tuple(a.shape)}, as the input's")
        )
    return matmul(a, b)


@function(out="mul")
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Return the outer product of two vectors: (n) and (m) give (n, m)."""
    a, b = arguments.tensor("outer", "input", input, 1), arguments.tensor("outer", "vec2", vec2, 1)
    return bind(lookup("mul"), bind(lookup("reshape"), a, shape=(a.shape[0], 1)), b)


def _scaled(value: Any, factor: Any) -> Any:
    return value if factor == 1 else bind(lookup("mul"), value, factor)


def _product_plus(where: str, input: Any, a: Any, b: Any, beta: Any, alpha: Any) -> Any:
    """Return ``beta * input + alpha * (a @ b)``; with ``beta`` 0 the input is not read, even if it holds NaN."""
    wide = wide_option(a, b, input)
    alpha = arguments.scalar_factor(where, "alpha", alpha, a, b)
    beta = arguments.scalar_factor(where, "beta", beta, a, b, input)
    product = product_of(a, b, **wide)
    shape = tuple(product.shape)
    if broadcast_shapes(where, tuple(input.shape), shape) != shape:
        raise ShapeError(
            mistake(where, "input's shape", tuple(input.shape), f"a shape that broadcasts to {shape}")
        )
    product = _scaled(product, alpha)
    if beta != 0:
        product = bind(
            lookup("add"), _scaled(to_dtype(input, product.dtype) if wide else input, beta), product
        )
    return to_dtype(product, a.dtype) if wide else product


@function(inplace=True, out="add", autocast="lower")
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * input + alpha * (mat1 @ mat2)``, the input broadcast to the product's shape."""
    arguments.tensor("addmm", "input", input)
    a, b = arguments.tensor("addmm", "mat1", mat1, 2), arguments.tensor("addmm", "mat2", mat2, 2)
    return _product_plus("addmm", input, a, b, beta, alpha)


@function(inplace=True, out="add", autocast="lower")
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * input + alpha * (mat @ vec)``, the input broadcast to the product's shape."""
    arguments.tensor("addmv", "input", input)
    a, b = arguments.tensor("addmv", "mat", mat, 2), arguments.tensor("addmv", "vec", vec, 1)
    return _product_plus("addmv", input, a, b, beta, alpha)


@function(inplace=True, out="add", autocast="lower")
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * input + alpha * bmm(batch1, batch2)``, the input broadcast to the product's shape."""
    arguments.tensor("baddbmm", "input", input)
    return _product_plus("baddbmm", input, *_batches("baddbmm", batch1, batch2), beta, alpha)


@function(top=False, method=False, functional=True, autocast="widest", wide=True)
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input1 @ weight[o] @ input2 + bias[o]``: (*, n) and (*, m) with weight (O, n, m) give (*, O)."""
    arguments.tensor("bilinear", "input1", input1)
    arguments.tensor("bilinear", "input2", input2)
    arguments.tensor("bilinear", "weight", weight, 3)
    first, second = tuple(input1.shape), tuple(input2.shape)
    expected = (*first[:-1], weight.shape[2])
    if not first or first[-1] != weight.shape[1] or second != expected:
        raise ShapeError(
            mistake("bilinear", "the inputs' shapes", f"{first} and {second}",
                    f"(*, {weight.shape[1]}) and (*, {weight.shape[2]}) for weight {tuple(weight.shape)}")
        )  # fmt: skip
    product = einsum("...i,oij,...j->...o", input1, weight, input2)
    return product if bias is None else bind(lookup("add"), product, bias)


def _order(where: str, p: Any) -> float:
    """Return the order of a norm as a float; ``ArgumentError`` unless it is a positive number."""
    if isinstance(p, bool) or not isinstance(p, int | float) or p <= 0:
        raise ArgumentError(mistake(where, "p", p, "a number above 0, or inf"))
    return float(p)


@function(functional=True, top=False, method=False, autocast="float32", wide=True)
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Divide vectors along a dimension by their p-norm, or by ``eps`` where that is larger.

    >>> import weft as wf
    >>> wf.nn.functional.normalize(wf.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    rank = len(arguments.tensor("normalize", "input", input).shape)
    dims = (arguments.dimension("normalize", dim, rank),)[:rank]
    size = checked_vector_norm("normalize", input, p, dims or None, True, None)
    return bind(lookup("div"), input, bind(lookup("maximum"), size, float(eps)))


def _pair(where: str, x1: Any, x2: Any) -> tuple[int, ...]:
    """Return the broadcast shape of two floating point tensors."""
    for name, value in (("x1", x1), ("x2", x2)):
        arguments.floating(where, name, arguments.tensor(where, name, value).dtype)
    return broadcast_shapes(where, tuple(x1.shape), tuple(x2.shape))


@function(functional=True, method=False, autocast="float32", wide=True)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors along ``dim``; norms below ``eps`` count as ``eps``.

    Inputs broadcast; the result lacks the dimension ``dim``.
    """
    shape = _pair("cosine_similarity", x1, x2)
    axis = arguments.dimension("cosine_similarity", dim, len(shape))
    expand, units = lookup("expand"), []
    for value in (x1, x2):
        full = value if tuple(value.shape) == shape else bind(expand, value, shape=shape)
        units.append(normalize(full, 2.0, axis, eps))
    dims = (axis,) if shape else ()
    return bind(lookup("sum"), bind(lookup("mul"), *units), dims=dims, keepdim=False)


@function(functional=True, method=False, autocast="float32", wide=True)
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Return the p-norm of ``x1 - x2 + eps`` along the last dimension."""
    shape = _pair("pairwise_distance", x1, x2)
    difference = bind(lookup("add"), bind(lookup("sub"), x1, x2), float(eps))
    return vector_norm_of(difference, _order("pairwise_distance", p), (len(shape) - 1,), bool(keepdim))
