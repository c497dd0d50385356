"""Runs derived kernels on the ``cpu`` device over NumPy arrays: what the LLVM generator's tests share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy

from weft import codegen, dtypes
from weft.devices.cpu import CpuDevice
from weft.dtypes import DType
from weft.kernels import KernelStep, Offset, Operand, Scalar

Array = numpy.ndarray[Any, Any]


@lru_cache(maxsize=None)
def cpu(threads: int = 2) -> CpuDevice:
    """A device that all tests share, so that a kernel is compiled once."""
    return CpuDevice(threads)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def operand(
    index: int, shape: Sequence[int], dtype: DType = dtypes.float32, strides: Sequence[int] | None = None
) -> Operand:
    """A value in a buffer of its own."""
    return Operand(
        index, dtype, tuple(shape), contiguous(shape) if strides is None else tuple(strides), slot=index
    )


def run(
    step: KernelStep,
    arrays: Sequence[Array],
    scalars: dict[int, int | float] | None = None,
    offsets: dict[int, int] | None = None,
    device: CpuDevice | None = None,
    report: tuple[str, str] | None = None,
) -> list[Array]:
    """Run a kernel over copies of the arrays, the step's values by number; gives them as they are afterwards."""
    device = device or cpu()
    spec = codegen.generate(step.kernel, device.profile)
    storages = [device.allocate(array.nbytes) for array in arrays]
    for storage, array in zip(storages, arrays, strict=True):
        device.write(storage, memoryview(numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8)))
    parameters: list[int | float] = []
    for argument in step.arguments:
        if isinstance(argument, Offset):
            parameters.append((offsets or {}).get(argument.index, 0))
        elif isinstance(argument, Scalar):
            parameters.append((scalars or {})[argument.index])
        else:
            parameters.append(argument)
    device.dispatch_kernel(spec, [storages[index] for index in step.buffers], parameters, report)
    return [
        numpy.frombuffer(device.read(storage, 0, storage.size), array.dtype).reshape(array.shape)
        for storage, array in zip(storages, arrays, strict=True)
    ]


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays have the same bytes, whatever the sign and payload of a NaN."""
    if a.dtype.kind == "f":
        a, b = (numpy.where(numpy.isnan(array), numpy.nan, array).astype(array.dtype) for array in (a, b))
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()
