"""Vector norms: the sum of |x|^p over dimensions, and its p-th root.

Every p-norm of weft is made here: norms of vectors and matrices, distances, the total norm of gradients. The root is a
step of its own, so that the power sums of several tensors can be added before it.
"""

from __future__ import annotations

import math
from typing import Any

from weft.dtypes import DType
from weft.errors import ArgumentTypeError, mistake
from weft.ops.make.creation import to_dtype
from weft.ops.pointwise.expressions import pointwise
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Dims, Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.spec import OpSpec
from weft.ops.registry.table import lookup

# The derivative of each is 0 at 0, as that of PyTorch's norms.
ROOT = pointwise("norm_root", "sqrt(x)", "x", "A square root.", kinds="f",
                 derivative="where(out == 0, 0.0, g / (2.0 * where(out == 0, 1.0, out)))")  # fmt: skip
POWER = pointwise(
    "norm_power", "pow(abs(x), p)", "x p", "|x| to the power of p.", kinds="f",
    derivative=("where(x == 0, 0.0, g * (p * copysign(pow(where(x == 0, 1.0, abs(x)), p - 1.0), x)))", ""),
)  # fmt: skip
POWER_ROOT = pointwise(
    "norm_power_root", "pow(x, q)", "x q", "x to the power of q.", kinds="f",
    derivative=("where(x == 0, 0.0, g * (q * pow(where(x == 0, 1.0, x), q - 1.0)))", ""),
)  # fmt: skip
IS_NONZERO = pointwise(
    "is_nonzero",
    "where(x == 0, x * 0.0, 1.0)",
    "x",
    "1 where x is not 0, in its own type.",
    kinds="f",
    derivative="",
)


def power_sum(x: Any, p: float, dims: tuple[int, ...], keepdim: bool = False) -> Any:
    """Return the sum of |x|^p over ``dims``: the number of nonzero elements for 0, the extreme of |x| for inf and -inf.

    ``power_root`` of it is the norm.
    """
    if math.isinf(p):
        extreme = lookup("amax" if p > 0 else "amin")
        return bind(extreme, bind(lookup("abs"), x), dims=dims, keepdim=keepdim, equal_nan=True)
    special: dict[float, OpSpec] = {0: IS_NONZERO, 1: lookup("abs"), 2: lookup("square")}
    terms = bind(special[p], x) if p in special else bind(POWER, x, float(p))
    return bind(lookup("sum"), terms, dims=dims, keepdim=keepdim)


def joined_power_sums(sums: Any, p: float) -> Any:
    """Return the ``power_sum`` of several tensors together, of the vector of the tensors' own power sums."""
    return power_sum(sums, p if math.isinf(p) else 1, (0,))


def power_root(total: Any, p: float) -> Any:
    """Return the norm of order ``p`` whose ``power_sum`` is ``total``."""
    if p in (0, 1) or math.isinf(p):
        return total
    return bind(ROOT, total) if p == 2 else bind(POWER_ROOT, total, 1.0 / p)


def vector_norm_of(x: Any, p: float, dims: tuple[int, ...], keepdim: bool = False) -> Any:
    """Return the norm of order ``p`` over ``dims`` of a floating point tensor; its gradient at a zero vector is 0."""
    return power_root(power_sum(x, p, dims, keepdim), p)


def checked_vector_norm(name: str, input: Any, ord: Any, dim: Any, keepdim: bool, dtype: DType | None) -> Any:
    """Return the norm of order ``ord`` over dimensions, with arguments as the public function ``name`` takes them.

    Raises:
        ArgumentTypeError: The order is no number, or the input no tensor.
        DTypeError: The input is not floating point.
    """
    x = arguments.tensor(name, "input", input)
    if isinstance(ord, bool) or not isinstance(ord, int | float):
        raise ArgumentTypeError(mistake(name, "the order", repr(ord), "a number, inf and -inf included"))
    value = x if dtype is None else to_dtype(x, arguments.data_type(name, dtype))
    arguments.floating(name, "input", value.dtype)
    return vector_norm_of(value, ord, arguments.dimensions(name, dim, len(x.shape)), bool(keepdim))


@function(top=False, method=False, out=True, autocast="float32", wide=True)
def vector_norm(
    x: Tensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """``sum(|x| ** ord) ** (1 / ord)`` over dimensions, as ``torch.linalg.vector_norm``.

    The order inf gives the largest and -inf the smallest |x|; 0 gives the number of elements that are not 0.

    >>> import weft as wf
    >>> wf.linalg.vector_norm(wf.tensor([3.0, -4.0])), wf.linalg.vector_norm(wf.tensor([3.0, -4.0]), 1)
    (tensor(5.), tensor(7.))
    """
    return checked_vector_norm("vector_norm", x, ord, dim, keepdim, dtype)
