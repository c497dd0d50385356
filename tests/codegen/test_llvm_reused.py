"""Values that an output buffer holds between two passes over a row: where they may, where not, and the results."""

from __future__ import annotations

import numpy
import pytest

from tests.codegen.llvm_run import cpu, operand, run, same_bits
from weft import dtypes
from weft.codegen.folds import passes
from weft.codegen.llvm.reused import reused_values
from weft.dtypes import DType
from weft.expr import call
from weft.kernels import Builder, Kernel, KernelStep


def softmax(
    shape: tuple[int, int], axis: int = 1, into: int = 1, dtype: DType = dtypes.float32
) -> KernelStep:
    """Operand 0's softmax along an axis, in operand ``into``; operand 2 is the total."""
    builder = Builder("softmax")
    points, places = builder.axes(shape[1 - axis : 2 - axis]), builder.reduce_axes(shape[axis : axis + 1])
    indices = (points + places) if axis == 1 else (places + points)
    value = builder.load(operand(0, shape, dtype), indices)
    power = call("exp", value - builder.reduce("max", value))
    total = builder.reduce("sum", power)
    builder.store(operand(into, shape, dtype), indices, power / total, inner=True)
    builder.store(operand(2, shape[1 - axis : 2 - axis]), points, total)
    return builder.finish()


def reused_count(step: KernelStep) -> int:
    assert isinstance(step.kernel, Kernel)
    (part,) = step.kernel.parts
    return len(reused_values(step.kernel, part, passes(part.reductions)))


def test_what_waits() -> None:
    assert reused_count(softmax((4, 40))) == 1
    assert reused_count(softmax((4, 40), into=0)) == 0  # a later pass reads the buffer
    assert reused_count(softmax((4, 40), dtype=dtypes.float16)) == 0  # it would be rounded
    builder = Builder("centred")
    (i,), (r,) = builder.axes((4,)), builder.reduce_axes((40,))
    value = builder.load(operand(0, (4, 40)), [i, r])
    centred = value - builder.reduce("sum", value)
    variance = builder.reduce("sum", centred * centred)
    builder.store(operand(1, (4, 40)), [i, r], centred * variance, inner=True)
    assert reused_count(builder.finish()) == 0  # a subtraction is as cheap as a load


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 10), (33, 16), (7, 333), (300, 70), (1003, 100), (999, 256), (130, 257)]
)
def test_softmax_along_an_axis(shape: tuple[int, int], axis: int) -> None:
    array = numpy.random.default_rng(0).normal(0, 4, shape).astype(numpy.float32)
    given = [array, numpy.full_like(array, numpy.nan), numpy.zeros(shape[1 - axis], numpy.float32)]
    results = [run(softmax(shape, axis), given, device=cpu(threads)) for threads in (1, 2)]
    assert same_bits(results[0][1], results[1][1])
    wide = array.astype(numpy.float64)
    power = numpy.exp(wide - wide.max(axis, keepdims=True))
    total = power.sum(axis, keepdims=True)
    numpy.testing.assert_allclose(results[0][1], power / total, rtol=3e-6)
    numpy.testing.assert_allclose(results[0][2], total.reshape(-1), rtol=3e-6)


def test_two_outputs_keep_two_values() -> None:
    """Each output keeps what is dear to compute: here one of a first pass and one of a second."""
    shape = (6, 45)
    builder = Builder("two")
    (i,), (r,) = builder.axes(shape[:1]), builder.reduce_axes(shape[1:])
    x = builder.load(operand(0, shape), [i, r])
    first = call("exp", x)
    total = builder.reduce("sum", first)
    second = call("sin", first / total)
    other = builder.reduce("sum", second)
    builder.store(operand(1, shape), [i, r], first * other, inner=True)
    builder.store(operand(2, shape), [i, r], second * total, inner=True)
    step = builder.finish()
    assert reused_count(step) == 2
    array = numpy.random.default_rng(1).normal(size=shape).astype(numpy.float32)
    _, one, two = run(step, [array, numpy.zeros_like(array), numpy.zeros_like(array)])
    power = numpy.exp(array.astype(numpy.float64))
    sines = numpy.sin(power / power.sum(1, keepdims=True))
    numpy.testing.assert_allclose(one, power * sines.sum(1, keepdims=True), rtol=1e-5)
    numpy.testing.assert_allclose(two, sines * power.sum(1, keepdims=True), rtol=1e-5)
