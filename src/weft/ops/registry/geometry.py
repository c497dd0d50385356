"""The strided layout of a tensor in its storage: shape, strides and offset, in elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from weft.errors import ShapeError


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the row-major strides of a shape, in elements, as PyTorch gives them (a size of 0 counts as 1).

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True)
class Geometry:
    """A strided view of a storage: element ``(i, j, …)`` lies at ``offset + i * strides[0] + j * strides[1] …``."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @staticmethod
    def contiguous(shape: Sequence[int], offset: int = 0) -> Geometry:
        """Return the row-major geometry of a shape."""
        return Geometry(tuple(shape), contiguous_strides(shape), offset)

    @property
    def numel(self) -> int:
        """The number of elements of the view."""
        return math.prod(self.shape)

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        expected = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != expected and self.numel:
                return False
            expected *= size
        return True

    @property
    def extent(self) -> tuple[int, int]:
        """The range of storage elements that the view touches: its first element, and the end behind its last."""
        if self.numel == 0:
            return self.offset, self.offset
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return self.offset, self.offset + last + 1

    @property
    def overlaps_itself(self) -> bool:
        """Whether two indices may name the same element: by a stride of 0, or by interleaved strides."""
        dims = sorted((st, size) for size, st in zip(self.shape, self.strides, strict=True) if size > 1)
        reach = 0
        for stride, size in dims:
            if stride <= reach:
                return True
            reach += stride * (size - 1)
        return False

    def overlaps(self, other: Geometry) -> bool:
        """Return whether two views of a storage may share elements: whether their extents overlap."""
        first, past = self.extent
        other_first, other_past = other.extent
        return first < other_past and other_first < past

    def permute(self, order: Sequence[int]) -> Geometry:
        """Return the view with its dimensions in another order."""
        return Geometry(
            tuple(self.shape[d] for d in order), tuple(self.strides[d] for d in order), self.offset
        )

    def expand(self, shape: Sequence[int]) -> Geometry:
        """Return the view with leading dimensions added and dimensions of size 1 repeated, by strides of 0."""
        missing = len(shape) - len(self.shape)
        strides = tuple(
            0 if d < missing or (self.shape[d - missing] == 1 and size != 1) else self.strides[d - missing]
            for d, size in enumerate(shape)
        )
        return Geometry(tuple(shape), strides, self.offset)

    def slice(self, dim: int, start: int, stop: int, step: int) -> Geometry:
        """Return every ``step``-th element from ``start`` up to ``stop`` along a dimension; all are normalised."""
        size = max(0, -(-(stop - start) // step))
        shape, strides = list(self.shape), list(self.strides)
        offset = self.offset + start * strides[dim] if size else self.offset
        shape[dim] = size
        strides[dim] *= step
        return Geometry(tuple(shape), tuple(strides), offset)

    def reshape(self, shape: Sequence[int]) -> Geometry | None:
        """Return the same elements in the same order under another shape; ``None`` where this takes a copy."""
        if self.numel == 0 or self.is_contiguous:
            return Geometry(tuple(shape), contiguous_strides(shape), self.offset)
        old = [(size, st) for size, st in zip(self.shape, self.strides, strict=True) if size != 1]
        strides = [0] * len(shape)
        position = len(old) - 1
        axis = len(shape) - 1
        while position >= 0:
            # a chunk: old dimensions that are contiguous among themselves
            chunk, step = old[position][0], old[position][1]
            while position > 0 and old[position - 1][1] == old[position][0] * old[position][1]:
                position -= 1
                chunk *= old[position][0]
            position -= 1
            while axis >= 0 and (chunk > 1 or shape[axis] == 1):
                if chunk % shape[axis]:
                    return None
                strides[axis] = step
                step *= shape[axis]
                chunk //= shape[axis]
                axis -= 1
            if chunk != 1:
                return None
        while (
            axis >= 0
        ):  # leading sizes of 1 get the stride that a contiguous tensor has there, as in PyTorch
            strides[axis] = strides[axis + 1] * shape[axis + 1] if axis + 1 < len(shape) else 1
            axis -= 1
        return Geometry(tuple(shape), tuple(strides), self.offset)


def broadcast_shapes(where: str, *shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the common shape by NumPy's broadcasting rule; ``ShapeError`` where two sizes do not agree.

    >>> broadcast_shapes("add", (3, 1), (4,))
    (3, 4)
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, rank - len(shape)):
            if size != 1 and result[axis] != 1 and result[axis] != size:
                given = " and ".join(str(tuple(shape)) for shape in shapes)
                raise ShapeError(
                    f"{where}: shapes {given} do not broadcast: sizes {result[axis]} and {size} "
                    f"at dimension {axis - rank}, expected equal sizes or 1"
                )
            if size != 1:
                result[axis] = size
    return tuple(result)
