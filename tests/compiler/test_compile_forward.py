"""``compile_forward``, and ``trace`` of types alone: forward passes without a training around them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy
import pytest

import weft as wf
from weft import nn
from weft.compiler import trace
from weft.devices import Device
from weft.errors import ArgumentTypeError, DisposedError, ShapeError

Type = wf.ops.TensorType


def test_a_module_runs_in_evaluation_mode(device: Device) -> None:
    model = nn.Sequential(
        nn.Linear(4, 8, device=device.name), nn.Dropout(0.5), nn.BatchNorm1d(8, device=device.name)
    )
    before = model[2].running_mean.tolist()
    forward = wf.compile_forward(model, {"input": (None, 4)})
    x = numpy.random.default_rng(0).standard_normal((3, 4)).astype("float32")
    found = forward(input=x)
    assert model.training and model[1].training and model[2].running_mean.tolist() == before
    expected = model.eval()(wf.tensor(x, device=device.name)).detach()
    numpy.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert not found.requires_grad
    forward(input=x[:1])
    model.train()
    forward(input=x)
    assert forward.compilations == 2


def test_a_function_gives_trees(device: Device) -> None:
    weight = wf.ones(3, 2, device=device.name)

    def heads(x: wf.Tensor, scale: wf.Tensor) -> dict[str, Any]:
        return {"sum": (x @ weight).sum(), "parts": [wf.capture("x", x) * scale]}

    forward = wf.compile_forward(heads, {"x": (2, 3), "scale": ()})
    assert forward.compilations == 1  # here, and not at the first call
    found = forward(x=numpy.ones((2, 3)), scale=2.0)
    assert found["sum"].item() == 12 and found["parts"][0].tolist() == [[2.0] * 3] * 2
    _, captures = forward.with_captures(x=numpy.ones((2, 3)), scale=2.0)
    assert captures["x"].tolist() == [[1.0] * 3] * 2
    assert found["sum"].device == device.name


def test_types_of_inputs(device: Device) -> None:
    inputs = {"mask": ((None,), wf.bool), "bytes": ((None,), wf.uint8), "half": ((None,), wf.float16)}
    forward = wf.compile_forward(
        lambda mask, bytes, half: mask.to(half.dtype) * half + bytes.to(half.dtype), inputs
    )
    found = forward(
        mask=wf.tensor([True, False], device=wf.get_default_device()),
        bytes=numpy.array([3, 4], "uint8"),
        half=[0.5, 2.0],
    )
    assert found.tolist() == [3.5, 4.0] and found.dtype is wf.float16
    assert forward(mask=[True], bytes=numpy.uint8([1]), half=numpy.float32([1.5])).tolist() == [2.5]
    move = wf.compile_forward(nn.Linear(2, 1, device=device.name), {"input": (None, 2)})
    rows = wf.ones(5, 4, device=device.name)[1:4, ::2]  # a layout of its own
    assert move(input=rows).tolist() == move(input=[[1.0, 1.0]] * 3).tolist()


def test_mistakes() -> None:
    with pytest.raises(
        ArgumentTypeError, match="compile_forward: model is a int, expected a module or a function"
    ):
        wf.compile_forward(3, {})  # type: ignore[arg-type]
    with pytest.raises(
        ShapeError, match=r"linear: input's shape is \(2, 3\).*\(at test_compile_forward.py:\d+\)"
    ):
        wf.compile_forward(nn.Linear(4, 2, device="cpu"), {"input": (2, 3)})
    forward = wf.compile_forward(nn.Linear(4, 2, device="cpu"), {"input": (None, 4)})
    with pytest.raises(
        ArgumentTypeError, match=r"Linear: the inputs is x, expected input: float32\[None, 4\]"
    ):
        forward(x=numpy.ones((1, 4)))
    forward.close()
    with pytest.raises(DisposedError, match=r"Linear: is called after close\(\)"):
        forward(input=numpy.ones((1, 4)))


def test_types_are_traced_without_memory() -> None:
    graph = trace(
        lambda x, y: (x @ y).relu().sum(), Type((1 << 30, 4), wf.float32), Type((4, 8), wf.float32)
    ).graph
    assert [node.op for node in graph.nodes] == ["matmul", "relu", "sum"]
    assert [var.type for var in graph.inputs] == [Type((1 << 30, 4), wf.float32), Type((4, 8), wf.float32)]
    assert graph.nodes[0].outputs[0].type == Type((1 << 30, 8), wf.float32)


def test_types_are_traced_on_the_device_of_the_model(device: Device) -> None:
    model = nn.Linear(4, 2, device=device.name)
    graph = trace(lambda x: model(x), Type((3, 4), wf.float32)).graph
    assert {var.device for var in graph.inputs} == {device.name} and len(graph.states) == 2
    assert trace(lambda x, y: x + y, Type((2,), wf.float32), wf.ones(2, device=device.name)).graph.nodes


def test_tracing_types_opens_no_device() -> None:
    program = (
        "import weft as wf\n"
        "T = wf.ops.TensorType\n"
        "graph = wf.compiler.trace(lambda x: x.softmax(-1).sum(), T((2, 3), wf.float32)).graph\n"
        "from weft import devices\n"
        "print(len(graph.nodes), len(devices._devices))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "0"]
