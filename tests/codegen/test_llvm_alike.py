"""Parts that differ in buffers and sizes alone are one function of the ``cpu``'s kernels."""

from __future__ import annotations

import numpy
import pytest

import weft as wf
from weft import dtypes
from weft.codegen import generate
from weft.expr import const, load, variable
from weft.expr.node import INDEX
from weft.kernels import Axis, Buffer, Kernel, Part, Store
from weft.target import CPU

pytestmark = pytest.mark.cpu


def grown(number: int, size: int, by: float) -> Part:
    """``y = x + by`` over buffers of this number, with an axis of its own."""
    axis = variable(f"i{number}_0", INDEX)
    value = load(f"x{number}", axis, dtypes.float32) + const(by, dtypes.float32)
    return Part((Axis(axis, const(size, INDEX)),), (Store(f"y{number}", axis, value),))


def kernel(*parts: Part) -> Kernel:
    """The parts as one kernel."""
    count = range(len(parts))
    reads = [Buffer(f"x{number}", dtypes.float32, "read") for number in count]
    writes = [Buffer(f"y{number}", dtypes.float32, "read_write") for number in count]
    return Kernel("grown", (*reads, *writes), (), parts)


def functions(source: str) -> int:
    """How many functions parts have."""
    return source.count("define internal void @part")


def test_parts_alike_are_one_function() -> None:
    alike = [grown(number, 100 + number, 1.0) for number in range(12)]
    assert functions(generate(kernel(*alike), CPU).source) == 1
    assert functions(generate(kernel(*alike, grown(12, 7, 2.0)), CPU).source) == 2
    assert functions(generate(kernel(alike[0]), CPU).source) == 1


def test_a_step_over_many_sizes_is_right() -> None:
    """Adam over parameters of many sizes, compiled and eager."""
    found = []
    for compiled in (False, True):
        rng = numpy.random.default_rng(0)
        given = [rng.standard_normal(size).astype("float32") for size in (1, 3, 64, 1000, 70_001)]
        parameters = [wf.nn.Parameter(wf.tensor(value, device="cpu")) for value in given]
        optimizer = wf.optim.Adam(parameters, lr=0.1)

        def step(parameters=parameters, optimizer=optimizer) -> wf.Tensor:
            optimizer.zero_grad()
            loss = sum((parameter * parameter).sum() for parameter in parameters)
            loss.backward()
            optimizer.step()
            return loss

        run = wf.jit(step) if compiled else step
        for _ in range(3):
            run()
        found.append([parameter.detach().numpy() for parameter in parameters])
    for eager, jitted in zip(*found, strict=True):
        numpy.testing.assert_allclose(eager, jitted, rtol=1e-5, atol=1e-6)
