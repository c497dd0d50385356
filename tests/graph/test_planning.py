"""Plans of small programs with special cases: swapped states, outputs that are inputs, values without elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import weft as wf
from weft.compiler import trace
from weft.expr import variable
from weft.expr.node import INDEX
from weft.graph.lower.lowered import KernelCall, Lowered, LoweredValue, Result
from weft.graph.lower.ordering import ordered
from weft.graph.lower.updates import copy_call
from weft.graph.pipeline import lower_graph
from weft.graph.plan.planning import Planning
from weft.graph.rewriting.affine import Affine, Cut, affine, divide
from weft.ops import TensorType
from weft.target import CPU

X, Y = numpy.arange(6.0, dtype="float32").reshape(2, 3), numpy.full((2, 3), 7, "float32")


def swap(a: Any, b: Any) -> None:
    kept = a.clone()
    a.copy_(b)
    b.copy_(kept)


def read_after(a: Any, b: Any) -> Any:
    before = a * 2
    a.add_(b)
    return before, a * 3


PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "states that swap": swap,
    "a state read after its update": read_after,
    "an output that is a state": lambda a, b: a,
    "the same output twice": lambda a, b: (lambda value: (value, value))(a + b),
    "an output that is a view": lambda a, b: (a + b).t(),
    "a value and a view of it": lambda a, b: (lambda value: (value, value[1]))(a + b),
    "values without elements": lambda a, b: (a[:0] + 1, a[:, :0].sum(1)),
    "transposed over itself": lambda a, b: ((a + b).t().reshape(2, 3) + 1) * 2,
    "a state that becomes another": lambda a, b: b.copy_(a * 1) if a is not b else None,
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_small_programs(device, name: str) -> None:
    def results(compiled: bool) -> list[numpy.ndarray]:
        a, b = wf.tensor(X, device=device.name), wf.tensor(Y, device=device.name)

        def run() -> Any:
            return PROGRAMS[name](a, b)

        found = (wf.jit(run) if compiled else run)()
        found = found if isinstance(found, tuple) else () if found is None else (found,)
        return [value.numpy().copy() for value in (*found, a, b)]

    for actual, wanted in zip(results(True), results(False), strict=True):
        numpy.testing.assert_array_equal(actual, wanted)


def test_an_output_that_is_an_input_has_memory_of_its_own(device) -> None:
    x = wf.tensor(X, device=device.name)
    first, second = wf.jit(lambda x: (x, x))(x)
    x.add_(1)
    first.add_(10)
    numpy.testing.assert_array_equal(second.numpy(), X)
    numpy.testing.assert_array_equal(first.numpy(), X + 10)


def over(function: Callable[..., Any]) -> dict[str, str]:
    """Return the in-place pairs of the plan of a function of a 64 x 64 matrix."""
    planning = Planning(lower_graph(trace(function, wf.ones(64, 64, device="cpu")).graph, CPU), CPU)
    planning.plan()
    return planning.overwrites


def test_in_place_kernels_read_only_the_index_that_they_write() -> None:
    def along(x: Any) -> Any:
        return x.cumsum(1).exp().cumsum(1)

    def across(x: Any) -> Any:
        y = x.cumsum(1)
        return (y + y.t()).cumsum(1)

    assert not over(across)
    assert len(over(along)) == 1


def test_indices_are_divided() -> None:
    i, j = variable("i", INDEX), variable("j", INDEX)
    index = affine(i * 4 + j + 8)
    assert index == Affine(((i, 4), (j, 1)), 8)
    assert divide(index, 4, {i: 3, j: 4}) == (Affine(((i, 1),), 2), Affine(((j, 1),), 0))
    assert divide(index, 4, {i: 3, j: 5}) is None  # j crosses the stride, and does not fall into pieces
    assert divide(affine(j), 4, {j: 8}) == Cut(j, 4)


def test_a_call_that_frees_memory_comes_early() -> None:
    values = [
        LoweredValue(name, wf.float32, size)
        for name, size in (("x", 8), ("big", 512), ("small", 4), ("y", 512), ("z", 4))
    ]

    def call(new: str, *old: str) -> KernelCall:
        made = copy_call(values[1], values[3])
        return KernelCall(made.kernel, (*old, new), (len(old),), ops=(new,))

    calls = (call("big", "x"), call("y", "x"), call("small", "big"), call("z", "small", "y"))
    lowered = Lowered(tuple(values), calls, ("x",), (), (Result("z", TensorType((4,), wf.float32)),))
    assert [call.ops[0] for call in ordered(lowered, CPU).calls] == ["big", "small", "y", "z"]
