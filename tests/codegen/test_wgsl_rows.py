"""Reductions as a GPU runs them: teams, rows in fours, rows held in registers, unrolled loops, two stages.

The kernels are written for real hardware and run on the test adapter; operations are lowered for it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy
import pytest

import weft as wf
from tests.codegen.test_wgsl_derived import operand, random
from tests.codegen.wgsl_run import arguments, dispatch, expected
from tests.conftest import ADAPTER
from weft import codegen, devices, dtypes
from weft.devices.base import Device
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr import call, cast
from weft.kernels import Builder, Kernel, KernelStep
from weft.ops.registry import sharing
from weft.target import BROWSER
from weft.tensors.eager import EAGER

pytestmark = pytest.mark.webgpu
Array = numpy.ndarray[Any, Any]


@pytest.fixture(scope="module")
def gpu() -> Device:
    return devices.open(ADAPTER)


@pytest.fixture
def hardware(gpu: Device) -> Iterator[Device]:
    """The test adapter, taken for hardware by lowerings and generators."""
    before = gpu.profile
    EAGER.prepared.clear()
    gpu.profile = replace(before, software=False)
    yield gpu
    gpu.profile = before
    EAGER.prepared.clear()


def centred(dtype: DType, shape: tuple[int, int], vector: int, team: int, held: int) -> KernelStep:
    """Each row less its mean over its largest, and its mean: two folds, an inner and an outer store."""
    builder = Builder("centred")
    x, y, means = operand(0, dtype, shape), operand(1, dtype, shape), operand(2, dtypes.float32, shape[:1])
    (i,), (r,) = builder.axes(shape[:1]), builder.reduce_axes(shape[1:])
    value = cast(builder.load(x, [i, r]), dtypes.float32)
    mean = builder.reduce("sum", value) / cast(builder.integer("count", shape[1]), dtypes.float32)
    largest = builder.reduce("max", call("abs", value - mean))
    builder.store(y, [i, r], (value - mean) / largest, inner=True)
    builder.store(means, [i], mean)
    return builder.finish(vector, team, held)


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float16, dtypes.bfloat16], ids=lambda d: d.name)
@pytest.mark.parametrize(
    ("length", "vector", "team", "held"),
    [
        (40, 4, 4, 0), (40, 4, 1, 0), (516, 4, 32, 0), (40, 4, 4, 3), (44, 4, 8, 2), (33, 1, 4, 9), (45, 1, 16, 3),
        (37, 1, 8, 0), (600, 1, 128, 0), (2048, 4, 256, 2), (7, 1, 0, 0), (4, 4, 4, 1), (1, 1, 4, 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_rows(gpu: Device, dtype: DType, rows: int, length: int, vector: int, team: int, held: int) -> None:
    """Rows fewer than a workgroup's teams, and rows that end inside it."""
    step = centred(dtype, (rows, length), vector, team, held)
    kernel = step.kernel
    assert isinstance(kernel, Kernel)
    x = random(dtype, rows * length)
    if length == 1:
        x = x + 1  # not less than its mean by 0 over 0
    arrays = [x, numpy.zeros_like(x), numpy.zeros(rows, "float32")]
    values = arguments(step)
    hardware = replace(gpu.profile, software=False)
    buffers = [(buffer.dtype, array) for buffer, array in zip(kernel.buffers, arrays, strict=True)]
    got = dispatch(gpu, codegen.generate(kernel, hardware), buffers, values)
    with numpy.errstate(all="ignore"):
        wanted = expected(kernel, arrays, values)
    tolerance = 1e-5 if dtype is dtypes.float32 else 2e-2
    for array, reference in zip(got, wanted, strict=True):
        numpy.testing.assert_allclose(
            array.astype(float), reference.astype(float), rtol=tolerance, atol=tolerance
        )


SHAPES = [(64, 1024), (7, 64), (5, 36), (3, 130), (1000, 40), (4096, 96), (2, 70000), (3, 1023), (6, 20, 44)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_operations_lowered_for_hardware(hardware: Device, shape: tuple[int, ...]) -> None:
    """Sums, extremes and softmax over every dimension, in one and two stages, against NumPy in float64."""
    x = numpy.random.default_rng(0).standard_normal(shape).astype("float32")
    given, wide = wf.tensor(x, device=ADAPTER), x.astype("float64")
    numpy.testing.assert_allclose(wf.sum(given).numpy(), wide.sum(), rtol=1e-4, atol=1e-3)
    for dim in range(len(shape)):
        numpy.testing.assert_allclose(wf.sum(given, dim).numpy(), wide.sum(dim), rtol=1e-4, atol=1e-3)
        numpy.testing.assert_array_equal(wf.amax(given, dim).numpy(), x.max(dim))
        numpy.testing.assert_array_equal(wf.argmin(given, dim).numpy(), x.argmin(dim))
        powers = numpy.exp(wide - wide.max(dim, keepdims=True))
        got = wf.softmax(given, dim).numpy()
        numpy.testing.assert_allclose(got, powers / powers.sum(dim, keepdims=True), rtol=1e-5, atol=1e-9)


def test_same_bits_each_time_and_nan_wins(hardware: Device) -> None:
    x = numpy.random.default_rng(1).standard_normal((33, 4096)).astype("float32")
    given = wf.tensor(x, device=ADAPTER)
    for fold in (lambda v: wf.sum(v), lambda v: wf.sum(v, 0), lambda v: wf.softmax(v, 1)):
        assert len({fold(given).numpy().tobytes() for _ in range(3)}) == 1
    x[3, 77] = numpy.nan
    found = wf.amax(wf.tensor(x, device=ADAPTER), 1).numpy()
    assert numpy.isnan(found[3]) and numpy.isnan(found).sum() == 1


def test_choices(gpu: Device) -> None:
    hardware = replace(gpu.profile, software=False)
    assert sharing.team(hardware, 10, 8) == 0 and sharing.team(hardware, 10, 64) == 4
    assert sharing.team(hardware, 10, 1 << 20) == sharing.TEAM
    assert sharing.held(replace(gpu.profile, software=True), 4096, 4) == (0, 0)
    for length in (32, 100, 1023, 4096, 16384):
        vector = 4 if length % 4 == 0 else 1
        team, held = sharing.held(
            replace(hardware, limits={"max-compute-invocations-per-workgroup": 1024}), length, vector
        )
        assert team & (team - 1) == 0 and (held - 1) * team * vector < length <= held * team * vector
    cut = sharing.pieces(hardware, 1, (1 << 24,), True)
    assert cut is not None and cut.exact and cut.count * cut.length == 1 << 24
    assert sharing.pieces(hardware, 1 << 20, (1 << 10,), True) is None


def test_mistakes_are_named() -> None:
    for vector, team, held, message in (
        (4, 3, 0, "cooperative is 3, expected a power of two"), (1, 512, 1, "a team of 512 is over"),
        (1, 0, 2, "held is 2, expected 0 but for"),
    ):  # fmt: skip
        with pytest.raises(KernelError, match=message):
            codegen.generate(centred(dtypes.float32, (4, 8), vector, team, held).kernel, BROWSER)


@pytest.mark.parametrize("exchanged", [False, True])
@pytest.mark.parametrize(
    ("length", "vector", "team", "held"), [(40, 4, 4, 0), (600, 1, 16, 0), (44, 4, 8, 2), (2048, 4, 16, 32)]
)
def test_rows_with_and_without_subgroups(
    gpu: Device, length: int, vector: int, team: int, held: int, exchanged: bool
) -> None:
    """Exchange within subgroups gives what trees in workgroup memory give, in one order each time."""
    if exchanged and not gpu.profile.subgroup:
        pytest.skip("the adapter has no subgroups")
    step = centred(dtypes.float32, (70, length), vector, team, held)
    kernel = step.kernel
    assert isinstance(kernel, Kernel)
    x, values = random(dtypes.float32, 70 * length), arguments(step)
    arrays = [x, numpy.zeros_like(x), numpy.zeros(70, "float32")]
    size = gpu.profile.subgroup if exchanged else 0
    spec = codegen.generate(kernel, replace(gpu.profile, software=False, subgroup=size))
    assert ("subgroupShuffleXor" in spec.source) == exchanged
    buffers = [(buffer.dtype, array) for buffer, array in zip(kernel.buffers, arrays, strict=True)]
    runs = [dispatch(gpu, spec, buffers, values) for _ in range(2)]
    for first, second, wanted in zip(*runs, expected(kernel, arrays, values), strict=True):
        assert first.tobytes() == second.tobytes()
        numpy.testing.assert_allclose(first, wanted, rtol=1e-5, atol=1e-5)


def test_browsers_and_software_have_no_exchange() -> None:
    step = centred(dtypes.float32, (70, 64), 4, 4, 0)
    for profile in (
        replace(BROWSER, subgroup=32),
        replace(BROWSER, dialect="wgsl-native", subgroup=32, software=True),
    ):
        assert "subgroup" not in codegen.generate(step.kernel, profile).source
