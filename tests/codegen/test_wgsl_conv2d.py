"""The WGSL convolution and its gradients against PyTorch in float64: strides, padding, dilation, groups, types."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codegen.wgsl_run import dispatch
from tests.conftest import ADAPTER
from weft import codegen, devices, dtypes
from weft.devices.base import Device
from weft.dtypes import DType
from weft.errors import KernelError
from weft.kernels import Library
from weft.target import BROWSER

pytestmark = pytest.mark.webgpu
Pair = tuple[int, int]
OFFSETS = {"x": 1, "w": 2, "y": 3}


@pytest.fixture(scope="module")
def gpu() -> Device:
    return devices.open(ADAPTER)


def check(
    device: Device, n: int, c: int, size: Pair, o: int, kernel: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0),
    dilation: Pair = (1, 1), groups: int = 1, dtype: DType = dtypes.float32, tile: str | None = None,
) -> None:  # fmt: skip
    """The three kinds on the same tensors; what lies before each result stays as it was."""
    torch.manual_seed(n + c + o)
    x = torch.randn(n, c, *size, dtype=torch.float64).to(getattr(torch, dtype.name)).double().requires_grad_()
    w = (
        torch.randn(o, c // groups, *kernel, dtype=torch.float64)
        .to(getattr(torch, dtype.name))
        .double()
        .requires_grad_()
    )
    y = torch.nn.functional.conv2d(x, w, None, stride, padding, dilation, groups)
    grad = torch.randn_like(y).to(getattr(torch, dtype.name)).double()
    y.backward(grad)
    assert x.grad is not None and w.grad is not None
    parameters = [n, c, *size, o, *kernel, *y.shape[2:], *stride, *padding, *dilation, groups, 1, 2, 3]

    def kept(name: str, tensor: torch.Tensor) -> Any:
        flat = tensor.detach().numpy().reshape(-1)
        return numpy.concatenate([numpy.full(OFFSETS[name], 7.0), flat]).astype(dtype.numpy)

    cases = {
        "forward": (kept("x", x), kept("w", w), kept("y", y)),
        "input": (kept("y", grad), kept("w", w), kept("x", x.grad)),
        "weight": (kept("y", grad), kept("x", x), kept("w", w.grad)),
    }
    for kind, (first, second, want) in cases.items():
        options: tuple[tuple[str, int | str | bool], ...] = (
            ("kind", kind),
            *((("tile", tile),) if tile else ()),
        )
        blank = numpy.where(
            numpy.arange(want.size) < OFFSETS[{"forward": "y", "input": "x", "weight": "w"}[kind]], 7, 99
        )
        buffers = [(dtype, first), (dtype, second), (dtype, blank.astype(dtype.numpy))]
        got = dispatch(device, Library("conv2d", (dtype,) * 3, options), buffers, parameters)[2]
        tolerance = (2e-2 if dtype.bits == 16 else 1e-4) * max(
            1.0, float(numpy.abs(want.astype("float64")).max())
        )
        numpy.testing.assert_allclose(
            got.astype("float64"), want.astype("float64"), atol=tolerance, rtol=0, err_msg=kind
        )


@pytest.mark.parametrize("tile", ["software", "small", "medium", "large"])
def test_known_geometries(gpu: Device, tile: str) -> None:
    check(gpu, 2, 3, (7, 9), 4, (3, 3), padding=(1, 1), tile=tile)
    check(gpu, 2, 4, (8, 7), 6, (3, 2), (2, 1), (0, 1), (1, 2), groups=2, tile=tile)
    check(gpu, 1, 6, (9, 9), 6, (5, 3), (3, 2), (2, 0), (2, 1), groups=6, tile=tile)
    check(gpu, 3, 1, (1, 5), 2, (1, 1), (2, 2), tile=tile)


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=lambda d: d.name)
def test_16_bit_floats(gpu: Device, dtype: DType) -> None:
    check(gpu, 2, 4, (6, 6), 5, (3, 3), padding=(1, 1), dtype=dtype)


@settings(max_examples=15)
@given(data=st.data())
def test_any_geometry(data: st.DataObject) -> None:
    def pair(low: int, high: int) -> Pair:
        return data.draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    groups = data.draw(st.integers(1, 3))
    kernel, stride, padding, dilation = pair(1, 3), pair(1, 3), pair(0, 2), pair(1, 2)
    least = [max(1, (each - 1) * d + 1 - 2 * p) for each, d, p in zip(kernel, dilation, padding, strict=True)]
    size = (least[0] + data.draw(st.integers(0, 6)), least[1] + data.draw(st.integers(0, 6)))
    channels, outputs = groups * data.draw(st.integers(1, 3)), groups * data.draw(st.integers(1, 3))
    check(
        devices.open(ADAPTER),
        data.draw(st.integers(1, 3)),
        channels,
        size,
        outputs,
        kernel,
        stride,
        padding,
        dilation,
        groups,
    )


def test_one_type_stands_for_all_buffers() -> None:
    one = codegen.generate(Library("conv2d", (dtypes.float32,), (("kind", "input"),)), BROWSER)
    assert (
        one.source
        == codegen.generate(Library("conv2d", (dtypes.float32,) * 3, (("kind", "input"),)), BROWSER).source
    )
    assert [binding.name for binding in one.inputs + one.outputs] == ["y_data", "w_data", "x_data"]


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(KernelError, match="kind is 'sideways', expected one of forward, input, weight"):
        codegen.generate(Library("conv2d", (dtypes.float32,), (("kind", "sideways"),)), BROWSER)
