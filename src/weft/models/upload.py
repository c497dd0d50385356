"""``Upload``: a tensor on a device that is filled by runs of rows, so that the host never holds a large one twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from weft import devices
from weft.dtypes import DType
from weft.tensors.array import empty, require_support
from weft.tensors.tensor import Tensor

RUN = 1 << 22
"""Elements of a run of rows that is converted at a time."""


def runs(rows: int, columns: int, multiple: int = 16) -> Iterator[tuple[int, int]]:
    """Yield start and stop of runs of ``rows``, each a multiple of ``multiple`` but for the last.

    >>> list(runs(40, RUN // 20))
    [(0, 16), (16, 32), (32, 40)]
    """
    length = max(RUN // max(columns, 1) // multiple, 1) * multiple
    for start in range(0, rows, length):
        yield start, min(start + length, rows)


class Upload:
    """A tensor of ``shape`` on a device; ``append`` fills it from the front, ``tensor`` is the result."""

    def __init__(self, shape: Sequence[int], dtype: DType, device: str) -> None:
        self._device = devices.open(device)
        require_support(self._device, dtype)
        self._array = empty(self._device, dtype, tuple(shape))
        self._stored = self._device.profile.storage(dtype).numpy
        self._filled, self._size = 0, math.prod(shape) * np.dtype(self._stored).itemsize

    def append(self, values: Any) -> None:
        """Write the next elements, converted to the tensor's type."""
        with np.errstate(all="ignore"):
            packed = np.ascontiguousarray(values.astype(self._stored, copy=False))
        if packed.nbytes:
            data = packed.reshape(-1).view(np.uint8).data
            self._device.write(self._array.storage, data, self._filled)
            self._filled += packed.nbytes

    @property
    def tensor(self) -> Tensor:
        """The tensor, once all of it is written."""
        assert self._filled == self._size, (self._filled, self._size)
        return Tensor.wrap(self._array)
