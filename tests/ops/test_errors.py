"""Mistakes: each raises its class, which is also PyTorch's or Python's, names what was given and expected, and changes nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import weft as wf
from weft import errors as e
from weft.nn import functional as F


@dataclass(frozen=True)
class Mistake:
    """A call that must fail on tensors x (3, 4), y (2, 5), i (3, int64) of a device, and the error."""

    call: Callable[[Any, Any, Any], Any]
    error: type[Exception]
    also: type[Exception]
    words: str


def device_of(x: Any) -> str:
    return str(x.device)


MISTAKES: dict[str, Mistake] = {
    # shapes
    "broadcast": Mistake(lambda x, y, i: x + y, e.ShapeError, RuntimeError, r"add: shapes \(3, 4\) and \(2, 5\) do not broadcast"),
    "in-place shape": Mistake(lambda x, y, i: x[0].add_(x), e.ShapeError, RuntimeError, r"add: .*\(4,\).*\(3, 4\)"),
    "matmul": Mistake(lambda x, y, i: x @ y, e.ShapeError, RuntimeError, r"matmul: .*\(3, 4\).*\(2, 5\).*4 columns meet 2 rows"),
    "matmul 0-d": Mistake(lambda x, y, i: x @ x.sum(), e.ShapeError, RuntimeError, r"matmul: other is 0-dimensional.*use \*"),
    "mm": Mistake(lambda x, y, i: wf.mm(x, x[0]), e.ShapeError, RuntimeError, "mm: mat2 is 1-dimensional.*expected 2"),
    "linear": Mistake(lambda x, y, i: F.linear(x, y), e.ShapeError, RuntimeError, r"linear: input's shape is \(3, 4\).*\(\*, 5\)"),
    "reshape": Mistake(lambda x, y, i: x.reshape(5, -1), e.ShapeError, RuntimeError, r"reshape: shape is \(5, -1\), expected 12 elements"),
    "reshape twice -1": Mistake(lambda x, y, i: x.reshape(-1, -1), e.ShapeError, RuntimeError, "at most one -1"),
    "view": Mistake(lambda x, y, i: x.t().view(12), e.ShapeError, RuntimeError, "view: .*use reshape, which copies"),
    "expand": Mistake(lambda x, y, i: x.expand(2, 5, 4), e.ShapeError, RuntimeError, r"expand: sizes is \(2, 5, 4\).*\(3, 4\)"),
    "permute": Mistake(lambda x, y, i: x.permute(0, 0), e.ShapeError, RuntimeError, r"permute: dims is \(0, 0\)"),
    "t": Mistake(lambda x, y, i: x[None].t(), e.ShapeError, RuntimeError, "t: input is 3-dimensional"),
    "cat": Mistake(lambda x, y, i: wf.cat([x, y]), e.ShapeError, RuntimeError, r"cat: shape of tensor 1 is \(2, 5\), expected \(3, 4\)"),
    "cat 0-d": Mistake(lambda x, y, i: wf.cat([x.sum()]), e.ShapeError, RuntimeError, "cat: .*use stack"),
    "stack": Mistake(lambda x, y, i: wf.stack([x, y]), e.ShapeError, RuntimeError, "stack: shapes .*expected equal shapes"),
    "gather rank": Mistake(lambda x, y, i: x.gather(0, i), e.ShapeError, RuntimeError, "gather: index is 1-dimensional, expected 2"),
    "gather size": Mistake(lambda x, y, i: x[:2].gather(1, i.expand(5, 3)), e.ShapeError, RuntimeError, "gather: index's size at dimension 0 is 5, expected at most 2"),
    "conv2d channels": Mistake(lambda x, y, i: F.conv2d(x[None, None], x[None, :1, None].expand(1, 3, 1, 4)), e.ShapeError, RuntimeError, "conv2d: input's channels is 1, expected 3"),
    "conv2d kernel": Mistake(lambda x, y, i: F.conv2d(x[None, None], wf.ones(1, 1, 7, 7, device=device_of(x))), e.ShapeError, RuntimeError, "conv2d: kernel"),
    "conv2d rank": Mistake(lambda x, y, i: F.conv2d(x, x[None, None]), e.ShapeError, RuntimeError, "conv2d: input is 2-dimensional"),
    "max_pool2d": Mistake(lambda x, y, i: F.max_pool2d(x[None], 2, padding=2), e.ShapeError, RuntimeError, "max_pool2d: padding"),
    "cross_entropy": Mistake(lambda x, y, i: F.cross_entropy(x, i[:2]), e.ShapeError, RuntimeError, r"target's shape is \(2,\), expected \(3,\)"),
    "mse_loss": Mistake(lambda x, y, i: F.mse_loss(x, y), e.ShapeError, RuntimeError, "mse_loss: target's shape"),
    "negative size": Mistake(lambda x, y, i: wf.zeros(2, -1, device=device_of(x)), e.ShapeError, RuntimeError, "zeros: size"),
    "item": Mistake(lambda x, y, i: x.item(), e.ShapeError, RuntimeError, r"item: the tensor is of shape \(3, 4\), expected one element"),
    "narrow step": Mistake(lambda x, y, i: x[::-1], e.ShapeError, RuntimeError, "step is -1, expected a positive step"),
    # dimensions and host indices
    "sum dim": Mistake(lambda x, y, i: x.sum(2), e.IndexOutOfRangeError, IndexError, r"sum: dim is 2, expected in \[-2, 1\]"),
    "sum dims twice": Mistake(lambda x, y, i: x.sum((0, -2)), e.ShapeError, RuntimeError, "sum: dim is .*distinct"),
    "select": Mistake(lambda x, y, i: x[3], e.IndexOutOfRangeError, IndexError, "index 3 is out of range for dimension 0 with size 3"),
    "too many": Mistake(lambda x, y, i: x[0, 0, 0], e.IndexOutOfRangeError, IndexError, "too many indices: 3"),
    "narrow": Mistake(lambda x, y, i: x.narrow(1, 3, 2), e.IndexOutOfRangeError, IndexError, "narrow: start 3 with length 2"),
    "transpose": Mistake(lambda x, y, i: x.transpose(0, 5), e.IndexOutOfRangeError, IndexError, "transpose: dim1 is 5"),
    # dtypes
    "nan in integers": Mistake(lambda x, y, i: i.fill_(float("nan")), e.NumberRangeError, ValueError, "fill_: value is nan, expected a finite number for int64"),
    "beyond 64 bits": Mistake(lambda x, y, i: i + 2**70, e.ArgumentError, ValueError, r"the number \d+ is given for .*64 bits"),
    "matmul dtypes": Mistake(lambda x, y, i: x @ x.t().half(), e.DTypeError, TypeError, "matmul: other's dtype is float16, expected float32"),
    "mean of integers": Mistake(lambda x, y, i: i.mean(), e.DTypeError, TypeError, "mean: input's dtype is int64, expected a floating point type"),
    "softmax of integers": Mistake(lambda x, y, i: wf.softmax(i, 0), e.DTypeError, TypeError, "softmax: input's dtype is int64"),
    "gather index": Mistake(lambda x, y, i: x.gather(0, x), e.DTypeError, TypeError, "gather: index's dtype is float32, expected an integer type"),
    "in-place category": Mistake(lambda x, y, i: i.add_(1.5), e.DTypeError, TypeError, "add: result type is float32, expected one that fits.*int64"),
    "bool arithmetic": Mistake(lambda x, y, i: -(x > 0), e.DTypeError, TypeError, "neg: .*bool, expected"),
    "and of floats": Mistake(lambda x, y, i: x & x, e.DTypeError, TypeError, "bitwise_and: .*float32, expected"),
    "dtype object": Mistake(lambda x, y, i: x.sum(dtype=np.float32), e.ArgumentTypeError, TypeError, "sum: dtype is .*weft.float32"),
    "string": Mistake(lambda x, y, i: wf.tensor("abc", device=device_of(x)), e.ArgumentTypeError, TypeError, "tensor: data"),
    "complex": Mistake(lambda x, y, i: wf.tensor([1j], device=device_of(x)), e.WeftError, Exception, "complex"),
    # arguments
    "not a tensor": Mistake(lambda x, y, i: wf.exp(3.0), e.ArgumentTypeError, TypeError, r"exp: .*float.*weft.tensor"),
    "list operand": Mistake(lambda x, y, i: wf.add(x, [1, 2]), e.ArgumentTypeError, TypeError, r"add: other is \[1, 2\], expected a Tensor or a number"),
    "sum of a list": Mistake(lambda x, y, i: wf.sum([1.0]), e.ArgumentTypeError, TypeError, "sum: input is list, expected a Tensor"),
    "reduction": Mistake(lambda x, y, i: F.mse_loss(x, x, reduction="max"), e.ArgumentError, ValueError, "mse_loss: reduction is 'max', expected"),
    "dim type": Mistake(lambda x, y, i: x.sum(1.0), e.ArgumentTypeError, TypeError, "sum: dim is 1.0, expected an int"),
    "empty cat": Mistake(lambda x, y, i: wf.cat([]), e.ArgumentTypeError, TypeError, r"cat: tensors is \[\]"),
    "cat of numbers": Mistake(lambda x, y, i: wf.cat([x, 1.0]), e.ArgumentTypeError, TypeError, r"cat: tensors\[1\] is float"),
    "empty amax": Mistake(lambda x, y, i: x[:0].amax(0), e.ArgumentError, ValueError, r"amax: input is of shape \(0, 4\)"),
    "empty argmax": Mistake(lambda x, y, i: x[:0].argmax(), e.ArgumentError, ValueError, "argmax: input"),
    "ragged": Mistake(lambda x, y, i: wf.tensor([[1, 2], [3]], device=device_of(x)), e.ArgumentError, ValueError, "tensor: data is a list of uneven"),
    "smoothing": Mistake(lambda x, y, i: F.cross_entropy(x, i, label_smoothing=1.5), e.ArgumentError, ValueError, "label_smoothing is 1.5"),
    "truth": Mistake(lambda x, y, i: bool(x), e.ArgumentError, ValueError, r"bool: a tensor of shape \(3, 4\)"),
    "grad numpy": Mistake(lambda x, y, i: (x.detach().requires_grad_() * 2).numpy(), e.GradError, RuntimeError, r"numpy: .*detach\(\)"),
    "copy from a number": Mistake(lambda x, y, i: x.copy_(3.0), e.ArgumentTypeError, TypeError, "copy_: src is float, expected a Tensor"),
    "copy shape": Mistake(lambda x, y, i: x.copy_(y), e.ShapeError, RuntimeError, r"\(2, 5\).*\(3, 4\)|\(3, 4\).*\(2, 5\)"),
    "arange step": Mistake(lambda x, y, i: wf.arange(0, 5, 0, device=device_of(x)), e.ArgumentError, ValueError, "arange: step is 0"),
    "arange direction": Mistake(lambda x, y, i: wf.arange(0, 5, -1, device=device_of(x)), e.ArgumentError, ValueError, "arange: step is -1"),
    "unknown option": Mistake(lambda x, y, i: wf.zeros(2, colour=1), e.ArgumentTypeError, TypeError, "zeros: arguments"),
    "unknown device": Mistake(lambda x, y, i: x.to("cuda"), e.DeviceError, RuntimeError, "cuda"),
    "new tensor": Mistake(lambda x, y, i: wf.Tensor("text"), e.ArgumentTypeError, TypeError, "tensor: data is a str"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_and_change_nothing(device: Any, name: str) -> None:
    mistake = MISTAKES[name]
    x = wf.tensor(np.arange(12, dtype="float32").reshape(3, 4), device=device.name)
    y = wf.ones(2, 5, device=device.name)
    i = wf.tensor([0, 1, 2], device=device.name)
    gc.collect()
    before = device.memory_stats()
    versions = [tensor._data.version for tensor in (x, y, i)]
    with pytest.raises(mistake.error, match=mistake.words) as raised:
        mistake.call(x, y, i)
    assert isinstance(raised.value, e.WeftError)
    assert isinstance(raised.value, mistake.also)
    del raised
    after = device.memory_stats()
    assert (after.storages, after.in_use) == (before.storages, before.in_use)
    assert versions == [tensor._data.version for tensor in (x, y, i)]
    assert x.tolist() == np.arange(12.0).reshape(3, 4).tolist()
    assert y.tolist() == [[1.0] * 5] * 2
    assert i.tolist() == [0, 1, 2]


def test_float64_on_a_device_without_it(device: Any) -> None:
    if device.supports(wf.float64):
        assert wf.zeros(1, dtype=wf.float64, device=device.name).dtype is wf.float64
        return
    x = wf.ones(2, device=device.name)
    for call in (
        lambda: x.double(),
        lambda: wf.zeros(1, dtype=wf.float64, device=device.name),
        lambda: wf.tensor([1.0], dtype=wf.float64, device=device.name),
        lambda: x.sum(dtype=wf.float64),
        lambda: wf.rand(2, dtype=wf.float64, device=device.name),
        lambda: wf.tensor([1.0], dtype=wf.float64, device="cpu").to(device.name),
    ):
        with pytest.raises(e.DTypeError, match="float64 is not available on device"):
            call()
    assert wf.tensor(np.array([1.5]), device=device.name).dtype is wf.float32


@pytest.mark.webgpu
def test_operands_on_two_devices(device: Any) -> None:
    if device.name == "cpu":
        return
    x, y = wf.ones(2, device=device.name), wf.ones(2, device="cpu")
    for call in (
        lambda: x + y,
        lambda: x @ y,
        lambda: wf.cat([x, y]),
        lambda: x.add_(y),
        lambda: F.mse_loss(y, x),
    ):
        with pytest.raises(
            e.DeviceError,
            match=r"on (cpu|webgpu.*) and (cpu|webgpu.*), expected on one device.*\.to\(device\)",
        ):
            call()
    assert x.tolist() == [1.0, 1.0]
    assert isinstance(e.DeviceError(""), RuntimeError)


INDEXED: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "gather": (lambda x, bad: x.gather(0, bad.reshape(1, 1)), "gather: index"),
    "scatter_add": (lambda x, bad: x.scatter_add(0, bad.reshape(1, 1), x[:1, :1]), "scatter: index"),
    "embedding": (lambda x, bad: F.embedding(bad, x), "embedding: input"),
    "cross_entropy": (lambda x, bad: F.cross_entropy(x[:1], bad.reshape(1)), "cross_entropy: target"),
}


@pytest.mark.parametrize("name", INDEXED)
@pytest.mark.parametrize("bad", [4, -1, 2**31 - 1])
def test_indices_out_of_range(device: Any, name: str, bad: int) -> None:
    call, words = INDEXED[name]
    x = wf.tensor(np.arange(16, dtype="float32").reshape(4, 4), device=device.name)
    index = wf.tensor(bad, device=device.name)
    with pytest.raises(e.IndexOutOfRangeError, match=f"{words} {bad} is out of range") as raised:
        call(x, index).tolist()
    assert isinstance(raised.value, IndexError)
    # the device works afterwards, and says it once
    device.synchronize()
    assert call(x, wf.tensor(2, device=device.name)) is not None
    assert (x + 1).tolist()[0] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("use", ["read", "add", "view", "write", "backward", "copy"])
def test_disposed_tensors(device: Any, use: str) -> None:
    gc.collect()
    before = device.memory_stats().storages
    use_after_dispose(device, use)
    assert device.memory_stats().storages == before


def use_after_dispose(device: Any, use: str) -> None:
    x = wf.ones(4, device=device.name, requires_grad=use == "backward")
    y = x * x
    view = x.detach()[1:]
    assert view.tolist() == [1.0, 1.0, 1.0]
    x.dispose()
    x.dispose()  # a second time does nothing
    other = wf.zeros(4, device=device.name)
    calls: dict[str, Callable[[], Any]] = {
        "read": lambda: x.detach().numpy(), "add": lambda: other + x, "view": lambda: view[1:], "write": lambda: view.add_(1),
        "backward": lambda: y.sum().backward(), "copy": lambda: other.copy_(x),
    }  # fmt: skip
    with pytest.raises(e.DisposedError, match="disposed; create the tensor anew") as raised:
        calls[use]()
    assert isinstance(raised.value, RuntimeError)
    del raised
    assert other.tolist() == [0.0] * 4
    assert y.detach().tolist() == [1.0] * 4


def test_an_index_error_names_the_first_and_spoils_nothing_else(device: Any) -> None:
    table = wf.ones(3, 2, device=device.name)
    kept = wf.zeros(2, device=device.name)
    with pytest.raises(IndexError, match="embedding: input 7 is out of range"):
        bad = F.embedding(wf.tensor([0, 7, 1], device=device.name), table)
        kept.add_(1)
        bad.sum().item()
    device.synchronize()
    assert kept.tolist() in ([0.0, 0.0], [1.0, 1.0])
    assert F.embedding(wf.tensor([2], device=device.name), table).tolist() == [[1.0, 1.0]]
