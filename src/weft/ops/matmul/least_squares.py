"""Least squares: ``linalg.lstsq``, which LAPACK solves on the host, and its gradient."""

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
    """What ``linalg.lstsq`` gives."""

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
    """Least squares of each pair of matrices by LAPACK's ``gelsd``, the only driver of NumPy."""
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
    """W = P^T G of B, and -W X^T + R (P W)^T + P^T X (G - A^T W)^T of A.

    X = P B with the pseudo-inverse P of A, R = B - A X is the residual, and G the gradient of X.
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
    """Matrices of one batch, and whether B was of vectors."""
    a, b = arguments.tensor("lstsq", "A", A), arguments.tensor("lstsq", "B", B)
    check_matrices("lstsq", "A", a)
    if b.dtype is not a.dtype:
        raise DTypeError(mistake("lstsq", "B's dtype", b.dtype.name, f"{a.dtype.name}, as A's"))
    more = len(a.shape) - len(b.shape)
    if more not in (0, 1):
        raise ShapeError(
            mistake("lstsq", "B", f"{len(b.shape)}-dimensional", "as many dimensions as A, or one fewer")
        )
    vectors = more == 1
    if vectors:
        b = reshape(b, *b.shape, 1)
    if a.shape[-2] != b.shape[-2]:
        raise ShapeError(
            mistake(
                "lstsq", "B", f"of {b.shape[-2]} rows", f"{a.shape[-2]} rows, as A of shape {tuple(a.shape)}"
            )
        )
    batch = broadcast_shapes("lstsq", tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    a, b = (bind(lookup("expand"), each, shape=(*batch, *each.shape[-2:])) for each in (a, b))
    return a, b, vectors


def _cut(rcond: float | None, driver: str, a: Any) -> float:
    """The share of the largest singular value up to which others count as 0."""
    import numpy

    eps = float(numpy.finfo(a.dtype.numpy).eps)
    largest: int = max(a.shape[-2:])
    if rcond is None or driver == "gels":
        return eps * largest
    if math.isnan(rcond):
        raise ArgumentError(mistake("lstsq", "rcond", rcond, "a number"))
    if rcond >= 1:  # LAPACK's drivers mean different things by it
        raise UnsupportedError(mistake("lstsq", "rcond", rcond, "less than 1"))
    return eps if rcond < 0 else float(rcond)


def _refuse_other_cuts(rcond: float, rank: Any, values: Any) -> None:
    """``UnsupportedError`` where ``gelsy`` would drop other parts of a matrix than ``gelsd``.

    The parts that ``gelsy`` drops are of a QR decomposition with pivoting. They are those of the smallest singular
    values where these are 0 but for rounding, and not where a large ``rcond`` counts others as 0.
    """
    import numpy

    found: Any = values.detach().numpy()
    eps = float(numpy.finfo(found.dtype).eps)
    rounding = 16 * eps * found[..., :1]
    if found.size and ((found > rounding).sum(-1) > rank.numpy()).any():
        raise UnsupportedError(
            mistake("lstsq", "rcond", rcond, "one that counts singular values as 0 only where they are rounding",
                    "pass driver='gelsd', which is defined by singular values; 'gelsy' is not in weft for this")
        )  # fmt: skip


@function(top=False, method=False, out=True, autocast="float32")
def lstsq(
    A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The matrix X of least norm that makes the norm of ``A @ X - B`` least, as ``torch.linalg.lstsq``.

    A (*, m, n) and B (*, m, k), or (*, m), give ``(solution, residuals, rank, singular_values)``: the solution
    (*, n, k); the sums of squares (*, k) of ``A @ X - B`` where m > n, the ranks are full and the driver is not
    ``"gelsy"``; the ranks, except of ``"gels"``; and the singular values of ``"gelsd"`` and ``"gelss"``. What is not
    given is empty. Singular values up to ``rcond`` times the largest one count as 0. Without a driver it is
    ``"gelsy"``. NumPy's LAPACK computes it on the host, always by ``gelsd``, so that it cannot be traced.

    Raises: ``LinAlgError`` for elements that are not finite; ``UnsupportedError`` where the driver is ``"gelsy"`` and
    ``rcond`` is so large that its solution would be another than that of ``"gelsd"``.

    >>> import weft as wf
    >>> wf.linalg.lstsq(wf.tensor([[2.0, 0.0], [0.0, 4.0]]), wf.tensor([[2.0], [8.0]])).solution.tolist()
    [[1.0], [2.0]]
    """
    chosen = "gelsy" if driver is None else driver
    if chosen not in DRIVERS:
        raise ArgumentError(mistake("lstsq", "driver", repr(driver), f"one of {', '.join(DRIVERS)}"))
    own = arguments.tensor("lstsq", "A", A).shape[:-2]
    a, b, vectors = _operands(A, B)
    x, rank, values = bind_host("lstsq", LEAST_SQUARES, a, b, rcond=_cut(rcond, chosen, a))
    if chosen == "gelsy" and rcond is not None:
        _refuse_other_cuts(rcond, rank, values)
    rows, columns = a.shape[-2:]
    full = rows > columns and chosen != "gelsy" and bool((rank == columns).all())
    if full:
        off = bind(lookup("sub"), matmul(a, x), b)
        residuals = bind(
            lookup("sum"), bind(lookup("square"), off), dims=(len(off.shape) - 2,), keepdim=False
        )
    else:
        residuals = _nothing(x)
    rank = _nothing(rank) if chosen == "gels" else _of_batch(rank, own)
    given = chosen in ("gelsd", "gelss")
    values = (_of_batch(values, own) if given else _nothing(values)).detach()
    solution = reshape(x, *x.shape[:-1]) if vectors else x
    return LeastSquares(solution, residuals, rank, values)


def _nothing(x: Any) -> Any:
    """An empty vector of the tensor's type."""
    return bind(lookup("copy"), narrow(reshape(x, math.prod(x.shape)), 0, 0, 0))


def _of_batch(x: Any, batch: tuple[int, ...]) -> Any:
    """Results for the matrices of A, without the repetitions for those of B."""
    for at, size in enumerate(batch):
        if size != x.shape[at]:
            x = narrow(x, at, 0, 1)
    return bind(lookup("copy"), x)
