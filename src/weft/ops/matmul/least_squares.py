"""Least squares: ``linalg.lstsq``, by LAPACK on the host, and its gradient."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from weft import dtypes
from weft.errors import ArgumentError, DTypeError, ShapeError, UnsupportedError, mistake
from weft.ops.matmul.decompositions import MATRICES, PINV, check_finite, check_matrices, total, transposed
from weft.ops.matmul.linear import matmul
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.hosted import bind_host
from weft.ops.registry.interpreters import bind
from weft.ops.registry.spec import Gradient, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.views.movement import narrow, reshape

DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


class LeastSquares(NamedTuple):
    """The results of ``linalg.lstsq``."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


def _infer(A: TensorType, B: TensorType, *, rcond: float) -> tuple[TensorType, ...]:
    check_matrices("least_squares", "A", A)
    *batch, _, columns = A.shape
    return (
        TensorType((*batch, columns, B.shape[-1]), A.dtype),
        TensorType(tuple(batch), dtypes.int64),
        TensorType((*batch, min(A.shape[-2:])), A.dtype),
    )


def _reference(A: Any, B: Any, *, rcond: float) -> tuple[Any, ...]:
    """Solve each pair of matrices by LAPACK's ``gelsd``, NumPy's only driver."""
    import numpy

    check_finite("least_squares", A)
    check_finite("least_squares", B)
    *batch, rows, columns = A.shape
    solution = numpy.zeros((*batch, columns, B.shape[-1]), A.dtype)
    rank = numpy.zeros(tuple(batch), "int64")
    values = numpy.zeros((*batch, min(rows, columns)), A.dtype)
    if rows and columns:
        for at in numpy.ndindex(*batch):
            solution[at], _, rank[at], values[at] = numpy.linalg.lstsq(A[at], B[at], rcond)
    return solution, rank, values


def _gradient(context: Gradient, grad: Any, *_: Any) -> list[Any]:
    """Return the gradients -W X^T + R (P W)^T + P^T X (G - A^T W)^T of A and W = P^T G of B.

    P is A's pseudo-inverse, X = P B the solution, R = B - A X the residual, and G the gradient of X.
    """
    a, b, x = context.input(0), context.input(1), context.output(0)
    p = bind(PINV, a)
    w = matmul(transposed(p), grad)
    if not context.needs[0]:
        return [None, w]
    residual = bind(lookup("sub"), b, matmul(a, x))
    beyond = bind(lookup("sub"), grad, matmul(transposed(a), w))
    terms = [
        matmul(residual, transposed(matmul(p, w))),
        matmul(matmul(transposed(p), x), transposed(beyond)),
        bind(lookup("neg"), matmul(w, transposed(x))),
    ]
    return [total(terms), w]


LEAST_SQUARES = declare(
    "least_squares", rules=MATRICES, host=True,
    infer=_infer, reference=_reference, gradient=_gradient, saves=(0, 1), saves_output=True,
    doc="The solutions of least norm of least squares, the ranks and the singular values, by LAPACK on the host.",
)  # fmt: skip


def _operands(A: Any, B: Any) -> tuple[Any, Any, bool]:
    """Return A and B as matrices of one batch shape, and whether B held vectors."""
    a, b = arguments.tensor("lstsq", "A", A), arguments.tensor("lstsq", "B", B)
    check_matrices("lstsq", "A", a)
    if b.dtype is not a.dtype:
        raise DTypeError(mistake("lstsq", "B's dtype", b.dtype.name, f"{a.dtype.name}, as A's"))
    missing = len(a.shape) - len(b.shape)
    if missing not in (0, 1):
        raise ShapeError(
            mistake("lstsq", "B", f"{len(b.shape)}-dimensional", "as many dimensions as A, or one fewer")
        )
    vectors = missing == 1
    if vectors:
        b = reshape(b, *b.shape, 1)
    if a.shape[-2] != b.shape[-2]:
        raise ShapeError(
            mistake(
                "lstsq", "B", f"of {b.shape[-2]} rows", f"{a.shape[-2]} rows, as A of shape {tuple(a.shape)}"
            )
        )
    batch = broadcast_shapes("lstsq", tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    a, b = (bind(lookup("expand"), value, shape=(*batch, *value.shape[-2:])) for value in (a, b))
    return a, b, vectors


def _tolerance(rcond: float | None, driver: str, a: Any) -> float:
    """Return the fraction of the largest singular value up to which singular values count as 0."""
    import numpy

    eps = float(numpy.finfo(a.dtype.numpy).eps)
    largest: int = max(a.shape[-2:])
    if rcond is None or driver == "gels":
        return eps * largest
    if math.isnan(rcond):
        raise ArgumentError(mistake("lstsq", "rcond", rcond, "a number"))
    if rcond >= 1:  # LAPACK's drivers treat these differently
        raise UnsupportedError(mistake("lstsq", "rcond", rcond, "less than 1"))
    return eps if rcond < 0 else float(rcond)


def _refuse_large_tolerance(rcond: float, rank: Any, values: Any) -> None:
    """Raise ``UnsupportedError`` where ``gelsy`` would give another solution than ``gelsd``.

    ``gelsy`` truncates a QR decomposition with pivoting, ``gelsd`` the singular values. The two agree where the
    truncated singular values are 0 up to rounding, and differ where a large ``rcond`` truncates others as well.
    """
    import numpy

    spectrum: Any = values.detach().numpy()
    eps = float(numpy.finfo(spectrum.dtype).eps)
    rounding = 16 * eps * spectrum[..., :1]
    if spectrum.size and ((spectrum > rounding).sum(-1) > rank.numpy()).any():
        raise UnsupportedError(
            mistake("lstsq", "rcond", rcond, "a number so small that only rounding errors count as 0",
                    "pass driver='gelsd', which truncates singular values; weft does not implement 'gelsy' for this")
        )  # fmt: skip


@function(top=False, method=False, out=True, autocast="float32")
def lstsq(
    A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the matrix X of least norm that minimizes the norm of ``A @ X - B``, as ``torch.linalg.lstsq``.

    A (*, m, n) and B (*, m, k), or (*, m), give ``(solution, residuals, rank, singular_values)``: the solution
    (*, n, k); the sums of squares (*, k) of ``A @ X - B`` where m > n, the ranks are full and the driver is not
    ``"gelsy"``; the ranks, except for ``"gels"``; and the singular values for ``"gelsd"`` and ``"gelss"``. Results
    that a driver does not give are empty. Singular values up to ``rcond`` times the largest one count as 0. The
    default driver is ``"gelsy"``. NumPy's LAPACK computes the solution on the host, always by ``gelsd``, so that it
    cannot be traced.

    Raises:
        LinAlgError: for elements that are not finite.
        UnsupportedError: where the driver is ``"gelsy"`` and ``rcond`` is so large that the solution of ``"gelsy"``
            would differ from that of ``"gelsd"``.

    >>> import weft as wf
    >>> wf.linalg.lstsq(wf.tensor([[2.0, 0.0], [0.0, 4.0]]), wf.tensor([[2.0], [8.0]])).solution.tolist()
    [[1.0], [2.0]]
    """
    chosen = "gelsy" if driver is None else driver
    if chosen not in DRIVERS:
        raise ArgumentError(mistake("lstsq", "driver", repr(driver), f"one of {', '.join(DRIVERS)}"))
    batch = arguments.tensor("lstsq", "A", A).shape[:-2]
    a, b, vectors = _operands(A, B)
    x, rank, values = bind_host("lstsq", LEAST_SQUARES, a, b, rcond=_tolerance(rcond, chosen, a))
    if chosen == "gelsy" and rcond is not None:
        _refuse_large_tolerance(rcond, rank, values)
    rows, columns = a.shape[-2:]
    full = rows > columns and chosen != "gelsy" and bool((rank == columns).all())
    if full:
        misfit = bind(lookup("sub"), matmul(a, x), b)
        residuals = bind(
            lookup("sum"), bind(lookup("square"), misfit), dims=(len(misfit.shape) - 2,), keepdim=False
        )
    else:
        residuals = _empty_like(x)
    rank = _empty_like(rank) if chosen == "gels" else _unbroadcast_batch(rank, batch)
    given = chosen in ("gelsd", "gelss")
    values = (_unbroadcast_batch(values, batch) if given else _empty_like(values)).detach()
    solution = reshape(x, *x.shape[:-1]) if vectors else x
    return LeastSquares(solution, residuals, rank, values)


def _empty_like(x: Any) -> Any:
    """Return an empty vector of the tensor's type."""
    return bind(lookup("copy"), narrow(reshape(x, math.prod(x.shape)), 0, 0, 0))


def _unbroadcast_batch(x: Any, batch: tuple[int, ...]) -> Any:
    """Return the results for the batch of A, without its repetitions over the batch of B."""
    for at, size in enumerate(batch):
        if size != x.shape[at]:
            x = narrow(x, at, 0, 1)
    return bind(lookup("copy"), x)
