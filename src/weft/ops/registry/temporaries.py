"""Temporaries of kernel programs, which are numbered after the operands and outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable

from weft.dtypes import DType
from weft.kernels import KernelProgram, KernelStep, Operand
from weft.ops.registry.geometry import Geometry, contiguous_strides
from weft.ops.registry.spec import KernelRequest


def temporary(index: int, dtype: DType, shape: tuple[int, ...]) -> Operand:
    """Return a contiguous temporary of this number, in a buffer of its own."""
    return Operand(index, dtype, shape, contiguous_strides(shape), -2 - index)


def is_dense(operand: Operand) -> bool:
    """Return whether the operand's elements lie in row-major order without gaps."""
    return Geometry(operand.shape, operand.strides).is_contiguous


class Scratch:
    """An allocator of temporaries, numbered from ``first`` on; ``taken`` are their types and numbers of elements."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.taken: list[tuple[DType, int]] = []

    @classmethod
    def of(cls, request: KernelRequest) -> Scratch:
        """Return an allocator of temporaries that follow the operands and outputs of a request."""
        return cls(len(request.operands) + len(request.outputs))

    @property
    def free(self) -> int:
        """The number of the next temporary."""
        return self.first + len(self.taken)

    def take(self, dtype: DType, shape: tuple[int, ...]) -> Operand:
        """Return a new contiguous temporary."""
        operand = temporary(self.free, dtype, shape)
        self.taken.append((dtype, math.prod(shape)))
        return operand

    def program(self, steps: Iterable[KernelStep]) -> KernelProgram:
        """Return the program of steps that use these temporaries."""
        return KernelProgram(tuple(steps), tuple(self.taken))
