"""``finfo`` and ``iinfo``: the range and the precision of data types."""

from __future__ import annotations

from typing import Any

import numpy

from weft import dtypes
from weft.dtypes import DType
from weft.errors import DTypeError, mistake
from weft.ops.registry.arguments import data_type
from weft.ops.registry.lazy_fronts import Checked


class finfo(Checked):
    """Range and precision of a floating point type, float32 unless given.

    ``bits``, ``eps``, ``max``, ``min``, ``tiny`` and ``smallest_normal``, ``resolution``, ``dtype``. Raises
    ``DTypeError`` for other types.

    >>> import weft as wf
    >>> wf.finfo(wf.float16).max, wf.finfo(wf.float32).eps
    (65504.0, 1.1920928955078125e-07)
    """

    def __init__(self, type: DType = dtypes.float32) -> None:
        kind = data_type("finfo", type)
        if kind.kind != "float":
            raise DTypeError(mistake("finfo", "type", kind.name, "a floating point type", "use iinfo"))
        limits = _numpy_finfo(kind)
        self.dtype: str = kind.name
        self.bits: int = kind.bits
        self.eps, self.max, self.min = float(limits.eps), float(limits.max), float(limits.min)
        self.tiny = self.smallest_normal = float(limits.tiny)
        self.resolution = float(limits.resolution)

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny", "dtype")
        return f"finfo({', '.join(f'{name}={getattr(self, name)}' for name in names)})"


def _numpy_finfo(kind: DType) -> Any:
    if kind is dtypes.bfloat16:
        import ml_dtypes  # here, since it is loaded for bfloat16 alone

        narrow: Any = ml_dtypes.finfo
        return narrow(kind.numpy)
    return numpy.finfo(kind.numpy)


class iinfo(Checked):
    """Range of an integer type: ``bits``, ``max``, ``min``, ``dtype``. Raises ``DTypeError`` for other types.

    >>> import weft as wf
    >>> wf.iinfo(wf.int8).min
    -128
    """

    def __init__(self, type: DType) -> None:
        kind = data_type("iinfo", type)
        if not kind.is_integer:
            raise DTypeError(mistake("iinfo", "type", kind.name, "an integer type", "use finfo"))
        signed = kind.kind == "int"
        self.dtype: str = kind.name
        self.bits: int = kind.bits
        self.max: int = 2 ** (kind.bits - signed) - 1
        self.min: int = -(2 ** (kind.bits - 1)) if signed else 0

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
