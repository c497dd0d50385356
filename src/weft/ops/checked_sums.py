"""int64 sums on targets that keep int64 in 32 bits: a total that does not fit is reported, and is no wrong number.

The sum in 32 bits is the total modulo 2**32. A second sum in float32 is the total but for its rounding, so the two are
less than 2**31 apart unless the first has wrapped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from weft import dtypes
from weft.expr import call, cast, const
from weft.kernels import Builder, Operand, Program, coalesce
from weft.ops.geometry import contiguous_strides
from weft.target import TargetProfile

_LARGEST = {"bool": 1, "int8": 128, "uint8": 255}
"""The largest size of a number of the short types."""
_WRAP = 2**31


def may_wrap(source: Operand, dims: Sequence[int], target: Operand, profile: TargetProfile) -> bool:
    """Return whether an int64 sum over dimensions of the source may leave the bits that the target has for it."""
    count = math.prod(source.shape[d] for d in dims)
    is_short = target.dtype is dtypes.int64 and profile.storage(dtypes.int64).bits == 32
    return is_short and count > 1 and count * _LARGEST.get(source.dtype.name, _WRAP) >= _WRAP


def checked_sum(program: Program, target: Operand, fold: Callable[[Operand, int], Program]) -> Program:
    """Return the program of a sum, followed by a sum in float32 and a check of the first by the second.

    ``fold`` gives the program that sums into an operand, with the number of its first temporary.
    """
    free = 2 + len(program.temporaries)
    shape = target.shape
    about = Operand(free, dtypes.float32, shape, contiguous_strides(shape), -2 - free)
    more = fold(about, free + 1)
    sizes, (own, wide) = coalesce(shape, [target.strides, about.strides])
    builder = Builder("sum_check")
    points = builder.axes(sizes)
    total = builder.load(target, points, own)
    off = builder.load(about, points, wide) - cast(total, dtypes.float32)
    builder.check(call("abs", off) < const(float(_WRAP), dtypes.float32), total)
    builder.store(target, points, total, own)
    temporaries = (*program.temporaries, (dtypes.float32, math.prod(shape)), *more.temporaries)
    return Program((*program.steps, *more.steps, builder.finish()), temporaries)
