"""The CPU's attention: the same bits on one thread and two, over memory that held NaN, with a BLAS and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codegen.llvm_run import Array, contiguous, cpu
from weft import codegen, dtypes
from weft.devices.cpu import CpuDevice
from weft.dtypes import DType
from weft.errors import KernelError
from weft.kernels import KernelProgram, Library, Offset, Operand
from weft.kernels.library import attentions
from weft.ops import OPS
from weft.ops.attention import kernels as attention_kernels
from weft.ops.registry.spec import KernelRequest
from weft.target import CPU, TargetProfile


def execute(
    device: CpuDevice, profile: TargetProfile, program: KernelProgram, arrays: Sequence[Array], outputs: int
) -> list[Array]:
    """Run a program; gives its outputs, the last of the arrays."""
    storages = [device.allocate(array.nbytes) for array in arrays]
    for storage, array in zip(storages, arrays, strict=True):
        device.write(storage, memoryview(array.reshape(-1)).cast("B"))
    for dtype, count in program.temporaries:
        storages.append(device.allocate(dtype.itemsize * count))
        device.write(storages[-1], memoryview(numpy.full(count, numpy.nan, dtype.numpy)).cast("B"))
    for step in program.steps:
        spec = codegen.generate(step.kernel, profile)  # type: ignore[arg-type]
        parameters = [0 if isinstance(each, Offset) else each for each in step.arguments]
        device.dispatch_kernel(spec, [storages[index] for index in step.buffers], parameters)  # type: ignore[arg-type]
    found = []
    for storage, array in zip(
        storages[-outputs - len(program.temporaries) :], arrays[-outputs:], strict=False
    ):
        found.append(
            numpy.frombuffer(device.read(storage, 0, array.nbytes), array.dtype).reshape(array.shape)
        )
    return found


def check(
    sizes: tuple[int, ...],
    causal: bool = False,
    mask: str = "",
    dtype: DType = dtypes.float32,
    blas: bool = True,
) -> None:
    """Forward and backward for (batch, heads, shared, length, keys, size, value size)."""
    batch, heads, shared, length, keys, size, value = sizes
    draw = numpy.random.default_rng(sum(sizes))
    shapes = ((batch, length, heads, size), (batch, keys, shared, size), (batch, keys, shared, value))
    given = [draw.standard_normal(shape).astype(dtype.numpy) for shape in shapes]
    if mask:
        seen = draw.random((1, heads, length, keys)) > 0.3
        given.append(
            seen
            if mask == "bool"
            else numpy.where(seen, draw.random(seen.shape), -numpy.inf).astype(dtype.numpy)
        )
    grad = draw.standard_normal((batch, length, heads, value)).astype(dtype.numpy)
    options: dict[str, Any] = {"causal": causal, "scale": 0.4}
    out, sums = OPS["attention"].reference(*given, **options)
    own = [grad, out, sums, *given]
    cases = (
        (attention_kernels.lower, given, [out, sums]),
        (attention_kernels.lower_backward, own, list(OPS["attention_backward"].reference(*own, **options))),
    )
    profile = cpu().profile if blas else replace(cpu().profile, features=cpu().profile.features - {"blas"})
    for lower, inputs, expected in cases:
        arrays = [*inputs, *(numpy.full_like(array, numpy.nan) for array in expected)]
        operands = [
            Operand(at, dtypes.from_numpy(array.dtype), array.shape, contiguous(array.shape), at)
            for at, array in enumerate(arrays)
        ]
        count = len(inputs)
        program = lower(KernelRequest(operands[:count], operands[count:], options, profile))
        runs = [execute(cpu(threads), profile, program, arrays, len(expected)) for threads in (1, 2)]
        for first, second, wanted in zip(*runs, expected, strict=True):
            assert first.tobytes() == second.tobytes()
            scale = (2e-5 if dtype.bits == 32 else 1e-12) * max(
                1.0, float(abs(wanted[numpy.isfinite(wanted)]).max(initial=0))
            )
            numpy.testing.assert_allclose(first, wanted, rtol=0, atol=scale)


ROWS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "several tiles": ((1, 2, 1, 300, 1100, 8, 12), {}),
    "several tiles, causal": ((2, 1, 1, 600, 700, 8, 8), {"causal": True}),
    "more keys than queries see": ((1, 1, 1, 3, 40, 4, 4), {"causal": True}),
    "many heads": ((3, 8, 4, 20, 17, 16, 16), {"mask": "bool"}),
    "one query": ((2, 4, 2, 1, 600, 8, 8), {"mask": "add"}),
    "float64": ((1, 2, 1, 150, 90, 6, 5), {"mask": "add", "dtype": dtypes.float64}),
    "no blas": ((1, 2, 1, 140, 70, 6, 5), {"causal": True, "blas": False}),
}


@pytest.mark.parametrize("name", ROWS)
def test_tiles_jobs_and_pieces(name: str) -> None:
    sizes, options = ROWS[name]
    check(sizes, **options)


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_any_size(data: st.DataObject) -> None:
    draw = data.draw
    shared = draw(st.integers(1, 3))
    sizes = (
        draw(st.integers(1, 3)),
        shared * draw(st.integers(1, 3)),
        shared,
        *(draw(st.integers(1, 40)) for _ in range(4)),
    )
    check(sizes, draw(st.booleans()), draw(st.sampled_from(["", "bool", "add"])))


def test_types_that_the_blas_has_not() -> None:
    names = len(attentions.FORMS["forward"].inputs) + len(attentions.FORMS["forward"].outputs) + 1
    options = (("causal", False), ("form", "forward"), ("mask", ""), ("unit", False))
    with pytest.raises(KernelError, match="the cpu kernel takes all float32 or all float64"):
        codegen.generate(Library("attention", (dtypes.float16,) * names, options), CPU)
