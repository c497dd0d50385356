"""The first few of each row on the CPU: rising and falling rows, equal elements, NaN, around the sizes that it takes."""

from __future__ import annotations

import numpy
import pytest

import weft as wf
from tests.codegen.llvm_run import contiguous, cpu
from weft import dtypes
from weft.kernels import KernelProgram, Library, Operand
from weft.ops import OPS
from weft.ops.reduce import order_statistics
from weft.ops.registry.spec import KernelRequest


def _lowered(n: int, count: int) -> KernelProgram:
    shapes = ((3, n), (3, count), (3, count))
    types = (dtypes.float32, dtypes.float32, dtypes.int64)
    values = [
        Operand(i, dtype, shape, contiguous(shape), i)
        for i, (dtype, shape) in enumerate(zip(types, shapes, strict=True))
    ]
    attributes = {"dim": 1, "descending": True, "count": count}
    lower = OPS["topk"].lower
    assert lower is not None
    return lower(KernelRequest(values[:1], values[1:], attributes, cpu().profile))


@pytest.mark.parametrize(
    ("n", "count", "selects"),
    [
        (128, order_statistics.SELECTED, True),
        (128, order_statistics.SELECTED + 1, False),
        (40, 10, True),
        (39, 10, False),
    ],
)
def test_where_rows_are_read_once(n: int, count: int, selects: bool) -> None:
    names = [step.kernel.name for step in _lowered(n, count).steps if isinstance(step.kernel, Library)]
    assert names == ["topk" if selects else "sort"]


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("count", [1, 2, 16])
def test_against_a_stable_sort(count: int, largest: bool) -> None:
    draw = numpy.random.default_rng(0)
    rows = [
        numpy.arange(500.0), numpy.arange(500.0)[::-1], draw.integers(0, 4, 500), numpy.zeros(500),
        numpy.where(draw.random(500) < 0.01, numpy.nan, draw.standard_normal(500)),
        numpy.where(draw.random(500) < 0.5, -0.0, 0.0),
        *draw.standard_normal((60, 500)),
    ]  # fmt: skip
    values = numpy.stack(rows).astype("f")
    x = wf.tensor(values, device="cpu")
    found, places = wf.topk(x, count, largest=largest)
    ordered, order = wf.sort(x, descending=largest)
    numpy.testing.assert_array_equal(found.numpy(), ordered[:, :count].numpy())
    numpy.testing.assert_array_equal(places.numpy(), order[:, :count].numpy())


def test_the_gradient_goes_to_the_places() -> None:
    x = wf.tensor(
        numpy.random.default_rng(0).standard_normal((4, 100)).astype("f"), device="cpu"
    ).requires_grad_()
    values, places = x.topk(3)
    (values * wf.tensor([1.0, 2.0, 3.0], device="cpu")).sum().backward()
    expected = numpy.zeros((4, 100), "f")
    numpy.put_along_axis(expected, places.numpy(), numpy.array([[1.0, 2.0, 3.0]], "f").repeat(4, 0), 1)
    numpy.testing.assert_array_equal(x.grad.numpy(), expected)
