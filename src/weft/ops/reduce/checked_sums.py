"""The overflow check of int64 reductions on targets that keep int64 in 32 bits: a total that does not fit is reported.

The check covers sums, products, scans and matrix products. A fold in 32 bits gives the total modulo 2**32. A second
fold in float32 gives the total up to rounding, so the two differ by less than 2**31 unless the first has wrapped. Where
large numbers of both signs cancel, whose last 31 bits float32 cannot hold, a total that fits may be reported as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from weft import dtypes
from weft.dtypes import DType
from weft.expr import call, cast, const
from weft.kernels import Builder, KernelProgram, Operand, coalesce
from weft.ops.registry.geometry import contiguous_strides
from weft.target import TargetProfile

_WRAP = 2**31


def may_wrap(
    fold: str, source: Operand, dims: Sequence[int], target: Operand, profile: TargetProfile
) -> bool:
    """Return whether an int64 sum or product over dimensions may leave the bits that the target has for it."""
    count = math.prod(source.shape[d] for d in dims)
    if not is_short(target, profile) or count <= 1:
        return False
    largest = _largest(source.dtype)
    if fold == "prod":
        return largest > 1 and count * math.log2(largest) >= math.log2(_WRAP)
    return count * largest >= _WRAP


def _largest(dtype: DType) -> int:
    """Return a bound of the magnitude of a type's numbers: that of integers of 8 and 16 bits, else 2**31."""
    if dtype.kind == "bool":
        return 1
    if dtype.bits >= 32 or dtype.kind == "float":
        return _WRAP
    largest: int = 2 ** (dtype.bits - 1) if dtype.kind == "int" else 2**dtype.bits - 1
    return largest


def is_short(target: Operand, profile: TargetProfile) -> bool:
    """Return whether an int64 operand is kept in 32 bits."""
    return target.dtype is dtypes.int64 and profile.storage(dtypes.int64).bits == 32


def checked_total(
    program: KernelProgram, target: Operand, first: int, fold: Callable[[Operand, int], KernelProgram]
) -> KernelProgram:
    """Return the program of a fold, followed by the fold in float32 and a check of the first by the second.

    ``first`` is the number of the program's first temporary. ``fold`` gives the program that folds into an operand,
    with the number of its first temporary.
    """
    free = first + len(program.temporaries)
    shape = target.shape
    about = Operand(free, dtypes.float32, shape, contiguous_strides(shape), -2 - free)
    more = fold(about, free + 1)
    sizes, (own, wide) = coalesce(shape, [target.strides, about.strides])
    builder = Builder("total_check")
    points = builder.axes(sizes)
    total = builder.load(target, points, own)
    off = builder.load(about, points, wide) - cast(total, dtypes.float32)
    near = call("abs", off) < const(float(_WRAP), dtypes.float32)
    builder.check(near | call("isnan", off), total)  # infinity by 0 in a product, which is 0
    builder.store(target, points, total, own)
    temporaries = (*program.temporaries, (dtypes.float32, math.prod(shape)), *more.temporaries)
    return KernelProgram((*program.steps, *more.steps, builder.finish()), temporaries)
