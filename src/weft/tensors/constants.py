"""Numbers and layouts that PyTorch keeps in its top namespace."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weft.dtypes import DType as dtype

__all__ = [
    "channels_last", "channels_last_3d", "contiguous_format", "dtype", "e", "inf", "layout", "memory_format", "nan",
    "newaxis", "pi", "preserve_format", "strided",
]  # fmt: skip

e = math.e
inf = math.inf
nan = math.nan
newaxis = None
pi = math.pi


@dataclass(frozen=True)
class memory_format:
    """An order of dimensions in memory. weft stores rows contiguously: ``to`` and ``contiguous`` refuse others."""

    name: str

    def __repr__(self) -> str:
        return f"weft.{self.name}"


@dataclass(frozen=True)
class layout:
    """A memory layout of tensors; ``weft.strided`` is the only one."""

    name: str

    def __repr__(self) -> str:
        return f"weft.{self.name}"


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
strided = layout("strided")
