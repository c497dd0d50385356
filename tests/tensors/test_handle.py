"""The handle itself: attributes, views of memory, conversion, Python's protocols, copies, disposal."""

from __future__ import annotations

import copy
import gc
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeviceError,
    DTypeError,
    GradError,
    IndexOutOfRangeError,
    ShapeError,
)


def test_attributes_equal_torch(device: Any) -> None:
    x, theirs = wf.zeros(2, 3, 4, device=device.name), torch.zeros(2, 3, 4)
    for view in (
        lambda t: t,
        lambda t: t[1:, ::2],
        lambda t: t.permute(2, 0, 1),
        lambda t: t[:, 0].expand(5, 2, 4),
        lambda t: t[0, 1, 2],
    ):
        ours, expected = view(x), view(theirs)
        assert ours.shape == tuple(expected.shape)
        assert ours.stride() == expected.stride()
        assert ours.storage_offset() == expected.storage_offset()
        assert ours.is_contiguous() == expected.is_contiguous()
        assert (ours.ndim, ours.dim(), ours.numel()) == (expected.ndim, expected.dim(), expected.numel())
        assert ours.size() == tuple(expected.size())
    assert (x.size(-1), x.stride(0), x.stride(-2), x.element_size()) == (4, 12, 4, 4)
    for name in ("size", "stride"):
        with pytest.raises(IndexOutOfRangeError, match=f"{name}: dim is 3, expected in"):
            getattr(x, name)(3)
        with pytest.raises(ArgumentTypeError, match=f"{name}: dim is 'a', expected an int"):
            getattr(x, name)("a")
    assert x.T.shape == (4, 3, 2)
    assert x.mT.shape == (2, 4, 3)


def test_views_share_memory_and_copies_do_not(device: Any) -> None:
    x = wf.zeros(4, 3, device=device.name)
    before = device.memory_stats().storages
    views = [
        x.t(),
        x[1],
        x[:, 1:],
        x.reshape(12),
        x.unsqueeze(0),
        x.detach(),
        x.expand(2, 4, 3),
        x.contiguous(),
        x.to(wf.float32),
    ]
    assert device.memory_stats().storages == before
    x.fill_(3)
    assert all(view.flatten()[0].item() == 3.0 for view in views)
    copies = [x.clone(), x.t().contiguous(), x.t().reshape(12), x.to(wf.float16), x.to(copy=True)]
    x.fill_(5)
    assert all(copied.flatten()[0].item() == 3.0 for copied in copies)


def test_python_protocols(device: Any) -> None:
    x = wf.tensor([[1.0, 2.0], [3.0, 4.0]], device=device.name)
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    assert 3.0 in x
    assert 9.0 not in x
    number = wf.tensor(2.5, device=device.name)
    assert (float(number), int(number), bool(number), f"{number:.2f}", number.item()) == (
        2.5,
        2,
        True,
        "2.50",
        2.5,
    )
    assert [10, 20, 30][wf.tensor(1, device=device.name)] == 20
    assert range(wf.tensor(3, device=device.name)) == range(3)
    assert len({x, x}) == 1
    assert isinstance(wf.tensor(True, device=device.name).item(), bool)
    np.testing.assert_array_equal(np.asarray(x), [[1, 2], [3, 4]])
    assert np.array(x, dtype="float64").dtype == np.float64
    for call, error in (
        (lambda: len(number), TypeError),
        (lambda: list(number), TypeError),
        (lambda: [1][number], TypeError),
    ):
        with pytest.raises(error):
            call()
    with pytest.raises(ArgumentError, match="no single truth value"):
        bool(x == x)


def test_numpy_scalars_and_arrays_as_operands(device: Any) -> None:
    x = wf.tensor([1.0, 2.0], device=device.name)
    assert (x * np.float32(2)).tolist() == [2.0, 4.0]
    assert (np.float64(3) + x).tolist() == [4.0, 5.0]
    assert (x + np.int64(1)).dtype is wf.float32
    made = x * np.array([3.0, 4.0])  # float64 is float32 here, as in weft.tensor
    assert isinstance(made, wf.Tensor) and made.dtype is wf.float32 and made.tolist() == [3.0, 8.0]
    assert (np.array([[3], [4]]) - x).tolist() == [[2.0, 1.0], [3.0, 2.0]]
    assert (np.array(3.0) * x).tolist() == [3.0, 6.0]
    assert (x == np.array([1.0, 3.0])).tolist() == [True, False]
    x *= np.array([2.0, 2.0])
    assert x.tolist() == [2.0, 4.0]
    with pytest.raises(TypeError):
        x + np.array(["a", "b"])
    with pytest.raises(TypeError):
        x + "1"


def test_reflected_operators(device: Any) -> None:
    x, theirs = wf.tensor([2.0, 4.0], device=device.name), torch.tensor([2.0, 4.0])
    for call in (
        lambda t: 1 - t,
        lambda t: 8 / t,
        lambda t: 2**t,
        lambda t: 3 * t + 1,
        lambda t: -t,
        lambda t: abs(-t),
        lambda t: t < 3,
    ):
        assert call(x).tolist() == call(theirs).tolist()
    y = x
    y += 1
    y *= 2
    y -= x * 0
    y /= 2
    assert y is x
    assert x.tolist() == [3.0, 5.0]


def test_to_another_type_and_device(device: Any) -> None:
    x = wf.tensor([1.7, -2.2], device=device.name)
    assert x.to(wf.int32).tolist() == [1, -2]
    assert x.to("cpu", wf.float64).dtype is wf.float64
    assert x.to(wf.zeros(1, dtype=wf.int8, device="cpu")).dtype is wf.int8
    assert x.to("cpu").to(device.name).tolist() == x.tolist()
    assert x.half().dtype is wf.float16
    assert x.bool().tolist() == [True, True]
    assert x.long().tolist() == [1, -2]
    assert x.cpu().device == "cpu"
    assert x.to(wf.float32) is x
    wide = wf.tensor([1.0], dtype=wf.float64, device="cpu")
    assert wide.to(device.name, wf.float32).tolist() == [1.0]  # cast first: the device may lack float64
    with pytest.raises(DeviceError):
        x.to("cuda:0")
    with pytest.raises(ArgumentTypeError, match="to: argument is 3"):
        x.to(3)


def test_copies_between_devices_and_types(device: Any) -> None:
    x = wf.zeros(2, 3, device=device.name)
    x.copy_(wf.tensor([1, 2, 3], device="cpu"))
    assert x.tolist() == [[1.0, 2.0, 3.0]] * 2
    host = wf.zeros(3, 2, dtype=wf.int32, device="cpu")
    host.t().copy_(x)
    assert host.tolist() == [[1, 1], [2, 2], [3, 3]]


def test_deepcopy(device: Any) -> None:
    x = wf.tensor([1.0, 2.0], device=device.name, requires_grad=True)
    (x * x).sum().backward()
    twin = copy.deepcopy([x, x])
    assert twin[0] is twin[1]
    assert twin[0].requires_grad
    assert twin[0].is_leaf
    assert twin[0].grad.tolist() == [2.0, 4.0]
    with wf.no_grad():
        x.add_(1)
    assert twin[0].tolist() == [1.0, 2.0]
    with pytest.raises(GradError, match="deepcopy"):
        copy.deepcopy(x * 2)


def test_data_is_the_same_memory(device: Any) -> None:
    x = wf.ones(3, device=device.name, requires_grad=True)
    x.data.mul_(3)
    assert x.tolist() == [3.0] * 3
    x.data = wf.zeros(3, device=device.name)
    assert x.tolist() == [0.0] * 3
    x.data = wf.ones(2, 2, device=device.name, dtype=wf.float16)
    (x * x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    view = wf.zeros(4, device=device.name)[1:]
    with pytest.raises(ShapeError, match="data"):
        view.data = wf.zeros(4, device=device.name)
    with pytest.raises(DTypeError, match="data"):
        x.data = wf.zeros(2, 2, device=device.name, dtype=wf.int32)


def test_devices_are_strings(device: Any) -> None:
    x = wf.zeros(1, device=device.name)
    assert x.device == device.name
    assert x.device.type == device.name.partition(":")[0]
    assert wf.zeros_like(x).device == x.device


def test_a_name_that_means_another_device_makes_tensors_there(monkeypatch: pytest.MonkeyPatch) -> None:
    first = wf.devices.open("cpu")
    with monkeypatch.context() as patch:
        patch.setattr(wf.devices, "_devices", {})
        second = wf.devices.open("cpu")
        before = second.memory_stats().in_use
        kept = [wf.zeros(1237, device="cpu"), wf.zeros(1237, device="cpu")]
        assert second.memory_stats().in_use == before + 2 * 4 * 1237
    gc.collect()
    before = first.memory_stats().in_use
    kept.append(wf.zeros(1237, device="cpu"))
    assert first.memory_stats().in_use == before + 4 * 1237


def test_dispose_frees_at_once(device: Any) -> None:
    gc.collect()  # of earlier tests, which would else be counted here
    before = device.memory_stats().in_use
    x = wf.zeros(1000, device=device.name)
    assert device.memory_stats().in_use == before + 4000
    x.dispose()
    assert device.memory_stats().in_use == before
    del x
    assert device.memory_stats().in_use == before


def test_offsets_beyond_alignment(device: Any) -> None:
    """Views that start anywhere in their storage, in types of every width."""
    for dtype in (wf.float32, wf.float16, wf.uint8, wf.bool):
        host = (np.arange(61) % 3).astype(dtype.numpy)
        x = wf.tensor(host, dtype=dtype, device=device.name)
        for start in range(1, 9):
            np.testing.assert_array_equal(x[start:].clone().numpy(), host[start:])
            y = wf.zeros(61, dtype=dtype, device=device.name)
            y[start : start + 20].copy_(x[start : start + 20])
            expected = np.zeros_like(host)
            expected[start : start + 20] = host[start : start + 20]
            np.testing.assert_array_equal(y.numpy(), expected)
