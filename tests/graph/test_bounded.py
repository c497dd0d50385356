"""Kernels of graphs from files: no index leaves its value, and graphs that were traced stay as they are."""

from __future__ import annotations

import numpy
import pytest

import weft as wf
from weft.compiler.execute import executor_for
from weft.dtypes import float32, int64
from weft.errors import UnsupportedError
from weft.expr import call, const, load, variable, where
from weft.expr.node import INDEX
from weft.graph import Graph, Node, State, Var
from weft.graph.lower.lowered import KernelCall, Lowered, LoweredValue
from weft.graph.pipeline import lower_graph
from weft.graph.plan.bounded import _range, bounded
from weft.kernels import Axis, Buffer, Kernel, Part, Store
from weft.ops import TensorType

AT = variable("i", INDEX)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (AT, (0, 9)),
        (AT * 3 - 2, (-2, 25)),
        (const(4, INDEX) - AT, (-5, 4)),
        (call("idiv", AT - 4, 3), (-1, 1)),
        (call("irem", AT, 4), (0, 3)),
        (call("irem", AT - 4, 3), (-2, 2)),
        (where(AT < 3, AT, 20), (0, 20)),
        (call("minimum", AT, 5), (0, 5)),
        (-AT * AT, (-81, 0)),
        (load("table", AT, int64), None),
    ],
)
def test_ranges_hold_every_value(index, expected) -> None:
    assert _range(index, {AT: (0, 9)}) == expected
    if expected is not None:
        values = numpy.arange(10)
        found = wf.expr.evaluate(index, {"i": values})
        assert expected[0] <= found.min() and found.max() <= expected[1]


def _lowered(read, written, count=10, vector=1) -> Lowered:
    part = Part((Axis(AT, const(count, INDEX)),), (Store("y", written, load("x", read, float32)),))
    kernel = Kernel("k", (Buffer("x", float32), Buffer("y", float32, "read_write")), (), (part,), vector)
    made = KernelCall(kernel, ("x", "y"), (1,), ops=("k",))
    return Lowered((LoweredValue("x", float32, 10), LoweredValue("y", float32, 10)), (made,), ("x",), (), ())


def _store(lowered: Lowered):
    return lowered.calls[0].kernel.parts[0].stores[0]


def test_proved_indices_do_not_change() -> None:
    lowered = _lowered(call("irem", AT + 3, 10), AT)
    assert bounded(lowered) == lowered


@pytest.mark.parametrize(
    ("read", "written"), [(AT + 1, AT), (AT, AT - 1), (load("x", AT, int64), AT), (AT, AT * 2)]
)
def test_unproved_indices_are_clamped(read, written) -> None:
    store = _store(bounded(_lowered(read, written)))
    for index in (store.index, store.value.args[0]):
        found = _range(index, {AT: (0, 9)})
        assert found is None or (found[0] >= 0 and found[1] < 10)
        assert found is not None or index.function == "maximum"


def test_kernels_that_take_runs_only_are_refused() -> None:
    with pytest.raises(
        UnsupportedError, match=r"k: an index is .*, expected an index into a value of 10 elements"
    ):
        bounded(_lowered(AT, AT, count=16, vector=4))


def _graph(*types: TensorType) -> Graph:
    """A step of SGD with momentum over a parameter, a gradient and a buffer of these types."""
    number = TensorType((), wf.float64)
    variables = [Var(at, value, "cpu") for at, value in enumerate((number, number, number, *types))]
    made = [Var(10, types[0], "cpu"), Var(11, types[2], "cpu")]
    options = {"weight_decay": 0.0, "maximize": False, "dampening": 0.0, "nesterov": False}
    node = Node("sgd_momentum_step", tuple(variables), tuple(made), tuple(options.items()))
    states = (State(variables[3], made[0]), State(variables[5], made[1]))
    return Graph((*variables[:3], variables[4]), states, (node,), ())


def test_memory_beside_a_state_is_left_alone() -> None:
    """A buffer of one element for a parameter of a hundred elements, which a file could declare but no trace makes."""
    device = wf.devices.open("cpu")
    large, small = TensorType((100,), float32), TensorType((1,), float32)
    parameter, momentum, beside = device.allocate_together([400, 4, 400])
    device.write(beside, memoryview(numpy.full(100, 7, "float32")).cast("B"))
    for storage, count in ((parameter, 100), (momentum, 1)):
        device.write(storage, memoryview(numpy.zeros(count, "float32")).cast("B"))
    graph = _graph(large, large, small)
    numbers = [device.allocate(8) for _ in range(3)]
    for number in numbers:
        device.write(number, memoryview(numpy.ones(1, "float64")).cast("B"))
    gradient = device.allocate(400)
    device.write(gradient, memoryview(numpy.ones(100, "float32")).cast("B"))
    executor = executor_for("step", graph, device, [parameter, momentum], foreign=True)
    executor.run([*numbers, gradient], [parameter, momentum])
    assert numpy.frombuffer(device.read(beside, 0, 400), "float32").tolist() == [7.0] * 100


def test_traced_graphs_are_held_only_where_data_or_edges_decide() -> None:
    w = wf.randn(4, 4, device="cpu")

    def program(x, at):
        y = wf.nn.functional.pad((x @ w).softmax(1), (1, 1))
        return y.unfold(1, 2, 2).sum(), y.transpose(0, 1).cumsum(0), w[at]

    graph = wf.jit(program).graph(wf.randn(3, 4, device="cpu"), wf.arange(2, device="cpu"))
    lowered = lower_graph(graph, wf.devices.open("cpu").profile)
    changed = [a.ops for a, b in zip(lowered.calls, bounded(lowered).calls, strict=True) if a != b]
    assert [value for value in changed if "index" not in value and "pad" not in value] == [], changed
