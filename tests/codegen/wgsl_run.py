"""Runs kernels on a device over NumPy arrays, and the same derived kernels in NumPy: what WGSL tests compare.

The NumPy side evaluates a kernel's expressions over whole index grids, with no code of the generators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from weft import codegen
from weft.devices.base import Device, Storage
from weft.dtypes import DType
from weft.expr import Expr, evaluate
from weft.kernels import Kernel, KernelStep, Library, Offset, Part, Scalar
from weft.target import KernelSpec

Array = numpy.ndarray[Any, Any]

COMBINES: dict[str, Any] = {
    "sum": (numpy.sum, 0), "prod": (numpy.prod, 1), "max": (numpy.max, None), "largest": (numpy.max, None), "min": (numpy.min, None),
    "any": (numpy.any, False), "all": (numpy.all, True), "argmax": (numpy.argmax, 0), "argmin": (numpy.argmin, 0),
}  # fmt: skip


def put(device: Device, dtype: DType, array: Array) -> Storage:
    """A storage with the array's elements as the device keeps them."""
    kept = numpy.ascontiguousarray(array.astype(device.profile.storage(dtype).numpy, copy=False))
    storage = device.allocate(kept.nbytes)
    if kept.nbytes:
        device.write(storage, memoryview(kept.view(numpy.uint8).reshape(-1)))
    return storage


def get(device: Device, dtype: DType, storage: Storage, count: int) -> Array:
    """The first ``count`` elements of a storage."""
    kept = device.profile.storage(dtype)
    data = device.read(storage, 0, count * kept.itemsize)
    return numpy.frombuffer(bytes(data), kept.numpy).astype(dtype.numpy)


def dispatch(
    device: Device,
    kernel: Kernel | Library | KernelSpec,
    buffers: Sequence[tuple[DType, Array]],
    parameters: Sequence[int | float],
    report: tuple[str, str] = ("kernel", "index"),
) -> list[Array]:
    """Run a kernel over copies of the arrays; gives all arrays as they are afterwards."""
    spec = codegen.generate(kernel, device.profile)
    storages = [put(device, dtype, array) for dtype, array in buffers]
    device.dispatch_kernel(spec, storages, parameters, report if spec.reports else None)
    results = [
        get(device, dtype, storage, array.size)
        for (dtype, array), storage in zip(buffers, storages, strict=True)
    ]
    for storage in storages:
        storage.dispose()
    return results


def arguments(
    step: KernelStep,
    offsets: Mapping[int, int] | None = None,
    scalars: Mapping[int, int | float] | None = None,
) -> list[int | float]:
    """The step's parameter values: offsets of values (0 where not given) and Python scalars filled in."""
    filled: list[int | float] = []
    for argument in step.arguments:
        if isinstance(argument, Offset):
            filled.append((offsets or {}).get(argument.index, 0))
        elif isinstance(argument, Scalar):
            filled.append((scalars or {})[argument.index])
        else:
            filled.append(argument)
    return filled


def expected(kernel: Kernel, arrays: Sequence[Array], values: Sequence[int | float]) -> list[Array]:
    """What the kernel leaves in the arrays, by NumPy; sums and products are folded in float64."""
    memory = {buffer.name: array.copy() for buffer, array in zip(kernel.buffers, arrays, strict=True)}
    parameters = {parameter.name: value for parameter, value in zip(kernel.parameters, values, strict=True)}
    for part in kernel.parts:
        run_part(part, memory, dict(parameters))
    return [memory[buffer.name] for buffer in kernel.buffers]


def run_part(part: Part, memory: dict[str, Array], values: dict[str, Any]) -> None:
    """One part over its whole index space; no two of its points store to one element."""
    outer = [int(evaluate(axis.size, values)) for axis in part.axes]
    inner = [int(evaluate(axis.size, values)) for axis in part.reduce_axes]
    rank = len(outer) + len(inner)
    for number, (axis, size) in enumerate(
        zip((*part.axes, *part.reduce_axes), (*outer, *inner), strict=True)
    ):
        values[axis.variable.data] = numpy.arange(size).reshape(
            [-1 if each == number else 1 for each in range(rank)]
        )

    def over(root: Expr, shape: list[int]) -> Array:
        found = evaluate(root, values, lambda name, index: memory[name][index])
        return numpy.broadcast_to(found, shape)

    for reduction in part.reductions:
        terms = over(reduction.value, [*outer, *inner]).reshape([*outer, int(numpy.prod(inner))])
        folded = _fold(reduction.combine, terms).astype(reduction.result.dtype.numpy)
        values[reduction.result.data] = folded.reshape([*outer, *[1] * len(inner)])
    writes = []
    for store in part.stores:
        shape = [*outer, *(inner if store.inner else [1] * len(inner))]
        writes.append((store.buffer, over(store.index, shape), over(store.value, shape)))
    for buffer, index, value in writes:
        assert numpy.unique(index).size == index.size, f"elements of {buffer} are stored more than once"
        with numpy.errstate(all="ignore"):
            memory[buffer][index] = value.astype(memory[buffer].dtype)


def _fold(combine: str, terms: Array) -> Array:
    """The combine over the last axis; over none of it, its identity."""
    function, identity = COMBINES[combine]
    floating = terms.dtype.kind == "f"
    if terms.shape[-1] == 0:
        if identity is None:
            limits: Any = numpy.finfo(terms.dtype) if floating else numpy.iinfo(terms.dtype)
            ends = (-numpy.inf, numpy.inf) if floating else (limits.min, limits.max)
            identity = ends[combine == "min"]
        return numpy.full(terms.shape[:-1], identity)
    return numpy.asarray(function(terms.astype(numpy.float64) if floating else terms, axis=-1))
