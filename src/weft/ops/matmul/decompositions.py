"""Singular value decompositions and pseudo-inverses of matrices, by LAPACK on the host, and their gradients.

Matrices lie along the last two dimensions; the dimensions before these are a batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from weft import dtypes
from weft.errors import DTypeError, LinAlgError, ShapeError, mistake
from weft.ops.matmul.linear import matmul
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.binders import add, div, mul, sub
from weft.ops.registry.functions import function
from weft.ops.registry.hosted import bind_host
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import Gradient, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.views.functions import diag_embed
from weft.ops.views.movement import narrow

FULL = (dtypes.float32, dtypes.float64)
"""The types that LAPACK computes in."""
MATRICES = Rules("leading", precision="float32")
"""Ops on matrices along the last two dimensions."""


class SVD(NamedTuple):
    """The factors of ``U @ diag(S) @ Vh``."""

    U: Any
    S: Any
    Vh: Any


def check_matrices(where: str, argument: str, value: Any) -> None:
    """Raise unless a tensor, or its type, is a batch of float32 or float64 matrices."""
    arguments.floating(where, argument, value.dtype)
    if value.dtype not in FULL:
        raise DTypeError(
            mistake(where, f"{argument}'s dtype", value.dtype.name, "float32 or float64",
                    "low precision is not supported, as in PyTorch; convert it with to(weft.float32)")
        )  # fmt: skip
    if len(value.shape) < 2:
        raise ShapeError(
            mistake(where, argument, f"{len(value.shape)}-dimensional", "at least 2-dimensional")
        )


def transposed(x: Any) -> Any:
    """Transpose the matrices."""
    rank = len(x.shape)
    return bind(lookup("permute"), x, order=(*range(rank - 2), rank - 1, rank - 2))


def _row(x: Any) -> Any:
    """View vectors as matrices of one row."""
    return bind(lookup("reshape"), x, shape=(*x.shape[:-1], 1, x.shape[-1]))


def _column(x: Any) -> Any:
    """View vectors as matrices of one column."""
    return bind(lookup("reshape"), x, shape=(*x.shape, 1))


def total(terms: list[Any]) -> Any:
    """Return the sum of tensors; ``None`` for an empty list."""
    result = None
    for term in terms:
        result = term if result is None else add(result, term)
    return result


# The singular value decomposition


def _infer_svd(A: TensorType, *, full_matrices: bool) -> tuple[TensorType, ...]:
    check_matrices("svd", "A", A)
    *batch, rows, columns = A.shape
    values = min(rows, columns)
    left, right = (rows, columns) if full_matrices else (values, values)
    shapes = ((*batch, rows, left), (*batch, values), (*batch, right, columns))
    return tuple(TensorType(shape, A.dtype) for shape in shapes)


def _reference_svd(A: Any, *, full_matrices: bool) -> tuple[Any, ...]:
    import numpy

    check_finite("svd", A)
    try:
        return tuple(numpy.linalg.svd(A, full_matrices=full_matrices))
    except numpy.linalg.LinAlgError as error:
        raise LinAlgError(f"svd: {error}, expected a matrix for which it converges") from None


def check_finite(where: str, A: Any) -> None:
    """Raise ``LinAlgError`` where an array has infinite or NaN elements: such matrices have no decomposition."""
    import numpy

    if not numpy.isfinite(A).all():
        raise LinAlgError(f"{where}: the matrix has non-finite elements, expected finite ones")


def _gradient_svd(context: Gradient, grad_u: Any, grad_s: Any, grad_vh: Any) -> list[Any]:
    """Return the gradient of A for the thin factors.

    Columns of full factors beyond the singular values count as constants. With E[i, j] = s[j]^2 - s[i]^2 and
    skew(X) = X - X^T, the inner matrix is (skew(U^T gU) / E) S + S (skew(V^T gV) / E) + diag(gS).
    """
    (u, s, vh), (rows, columns) = _thin(context), context.types[0].shape[-2:]
    count = s.shape[-1]
    terms, inner = [], []
    if grad_s is not None:
        terms.append(matmul(mul(u, _row(grad_s)), vh))
    gaps = None
    if grad_u is not None or grad_vh is not None:
        square = mul(s, s)
        ones = bind(lookup("full"), 1, shape=tuple(s.shape), dtype=s.dtype, device=str(s.device))
        gaps = add(sub(_row(square), _column(square)), diag_embed(ones))
    if grad_u is not None:
        grad_u = narrow(grad_u, -1, 0, count)
        product = matmul(transposed(u), grad_u)
        skew = sub(product, transposed(product))
        inner.append(mul(div(skew, gaps), _row(s)))
        if rows > count:
            outside = div(sub(grad_u, matmul(u, product)), _row(s))
            terms.append(matmul(outside, vh))
    if grad_vh is not None:
        grad_vh = narrow(grad_vh, -2, 0, count)
        product = matmul(vh, transposed(grad_vh))
        skew = sub(product, transposed(product))
        inner.append(mul(_column(s), div(skew, gaps)))
        if columns > count:
            outside = sub(grad_vh, matmul(transposed(product), vh))
            terms.append(matmul(u, div(outside, _column(s))))
    if inner:
        terms.append(matmul(matmul(u, total(inner)), vh))
    return [total(terms)]


def _thin(context: Gradient) -> tuple[Any, Any, Any]:
    """Return the thin factors of a call: as many columns of U and rows of Vh as there are singular values."""
    u, s, vh = (context.output(at) for at in range(3))
    return narrow(u, -1, 0, s.shape[-1]), s, narrow(vh, -2, 0, s.shape[-1])


SVD_OP = declare(
    "svd", rules=MATRICES, host=True,
    infer=_infer_svd, reference=_reference_svd, gradient=_gradient_svd, saves_output=True,
    info={"materializes": False}, doc="The singular value decomposition of matrices, by LAPACK on the host.",
)  # fmt: skip


def singular_values(where: str, A: Any) -> Any:
    """Return the singular values of matrices in descending order, for the public function named ``where``."""
    check_matrices(where, "A", A)
    return bind_host(where, SVD_OP, A, full_matrices=False)[1]


@function(name="linalg_svd", top=False, method=False, out=True, autocast="float32")
def linalg_svd(A: Tensor, full_matrices: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Return the singular value decomposition ``(U, S, Vh)`` of matrices, as ``torch.linalg.svd``.

    A is ``U @ diag(S) @ Vh``. A (*, m, n) gives U (*, m, m), S (*, min(m, n)) in descending order and Vh (*, n, n).
    Without ``full_matrices`` U has min(m, n) columns and Vh as many rows. NumPy's LAPACK computes the decomposition on
    the host, so that it cannot be traced. Gradients of U and Vh are infinite or NaN where two singular values are
    equal, or where a singular value of a matrix that is not square is 0.

    Raises:
        LinAlgError: for elements that are not finite.
        DTypeError: for types other than float32 and float64.

    >>> import weft as wf
    >>> wf.linalg.svd(wf.tensor([[0.0, 2.0], [1.0, 0.0]])).S
    tensor([2., 1.])
    """
    arguments.tensor("linalg_svd", "A", A)
    check_matrices("linalg_svd", "A", A)
    return SVD(*bind_host("linalg_svd", SVD_OP, A, full_matrices=bool(full_matrices)))


@function(top=False, method=False, out=True, autocast="float32")
def svdvals(A: Tensor) -> Tensor:
    """Return the singular values (*, min(m, n)) of matrices (*, m, n) in descending order, as ``torch.linalg.svdvals``.

    >>> import weft as wf
    >>> wf.linalg.svdvals(wf.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor([4., 3.])
    """
    return singular_values("svdvals", arguments.tensor("svdvals", "A", A))


# The pseudo-inverse


def _infer_pinv(A: TensorType) -> tuple[TensorType, ...]:
    check_matrices("pinv", "A", A)
    return (TensorType((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype),)


def _reference_pinv(A: Any) -> tuple[Any, ...]:
    import numpy

    check_finite("pinv", A)
    tolerance = numpy.finfo(A.dtype).eps * max(A.shape[-2:])
    return (numpy.linalg.pinv(A.astype("float64"), tolerance).astype(A.dtype),)


def _gradient_pinv(context: Gradient, grad: Any) -> list[Any]:
    """Return -P^T G P^T + (I - A P) G^T P P^T + P^T P G^T (I - P A): P is A's pseudo-inverse, G its gradient."""
    a, p = context.input(0), context.output()
    pt, gt = transposed(p), transposed(grad)
    first = matmul(matmul(pt, grad), pt)
    left = matmul(gt, matmul(p, pt))
    right = matmul(matmul(pt, p), gt)
    rest = add(sub(left, matmul(a, matmul(p, left))), sub(right, matmul(matmul(right, p), a)))
    return [sub(rest, first)]


PINV = declare(
    "pinv", rules=MATRICES, host=True,
    infer=_infer_pinv, reference=_reference_pinv, gradient=_gradient_pinv, saves=(0,), saves_output=True,
    doc="The pseudo-inverse of matrices, by LAPACK on the host.",
)  # fmt: skip
