"""Memory shared with NumPy and PyTorch: DLPack both ways, ``from_numpy``, pickles, copies."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.dlpack import from_dlpack

import weft as wf
from weft import dtypes, errors

NAMES = [dtype.name for dtype in dtypes.ALL]


def torch_tensor(name: str) -> torch.Tensor:
    return torch.arange(6).reshape(2, 3).to(getattr(torch, name))


@pytest.mark.cpu
@pytest.mark.parametrize("name", NAMES)
def test_dlpack_shares_memory_with_torch_both_ways(name: str) -> None:
    theirs = torch_tensor(name)
    ours = wf.from_dlpack(theirs)
    assert ours.dtype is dtypes.named(name)
    assert ours.shape == (2, 3)
    ours[0, 0] = 1
    assert theirs[0, 0].item() == 1
    back = from_dlpack(ours)
    assert back.dtype is theirs.dtype
    back[1, 2] = 0
    assert ours[1, 2].item() == theirs[1, 2].item() == 0
    view = wf.from_dlpack(theirs.t()[1:])
    assert view.stride() == theirs.t()[1:].stride()
    assert view.tolist() == theirs.t()[1:].tolist()
    assert from_dlpack(ours.t()[1:]).tolist() == theirs.t()[1:].tolist()


@pytest.mark.cpu
@pytest.mark.parametrize("name", [name for name in NAMES if name != "bfloat16"])
def test_dlpack_shares_memory_with_numpy(name: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(name)
    ours = wf.from_dlpack(array)
    ours[1, 1] = 0
    assert array[1, 1] == 0
    seen = np.from_dlpack(ours[:, 1:])
    assert seen.dtype == array.dtype
    seen[0, 0] = 1
    assert array[0, 1] == 1


@pytest.mark.cpu
def test_shared_memory_outlives_either_side() -> None:
    ours = wf.from_dlpack(torch.arange(1000.0))
    theirs = from_dlpack(wf.arange(1000.0, device="cpu"))
    both = np.from_dlpack(wf.arange(1000.0, device="cpu").reshape(10, 100))
    gc.collect()
    junk = [np.full(1000, -1.0, "float32") for _ in range(50)]
    assert ours.tolist() == theirs.tolist() == both.reshape(-1).tolist() == list(range(1000))
    del junk


def test_dlpack_is_for_host_memory(device: Any) -> None:
    x = wf.ones(2, device=device.name)
    if device.name == "cpu":
        assert x.__dlpack_device__() == (1, 0)
        with pytest.raises(errors.GradError, match="detach"):
            wf.ones(2, device="cpu", requires_grad=True).__dlpack__()
        return
    for call in (x.__dlpack__, x.__dlpack_device__, lambda: wf.from_dlpack(x)):
        with pytest.raises(
            errors.DeviceError, match=r"__dlpack__: the tensor is on webgpu.*expected on cpu.*\.to\('cpu'\)"
        ):
            call()


@pytest.mark.cpu
def test_what_dlpack_refuses() -> None:
    with pytest.raises(
        errors.ArgumentTypeError, match="from_dlpack: ext_tensor is list, expected an object with __dlpack__"
    ):
        wf.from_dlpack([1.0])
    with pytest.raises(errors.DTypeError, match="complex64"):
        wf.from_dlpack(np.zeros(2, "complex64"))


@pytest.mark.cpu
def test_from_numpy_shares_strided_arrays() -> None:
    base = np.arange(24, dtype="float32").reshape(4, 6)
    for array in (base, base[1::2, ::3], base.T, base[2], base[:, 1:2], base[:0], np.array(3.0, "float32")):
        ours = wf.from_numpy(array)
        assert ours.shape == array.shape
        np.testing.assert_array_equal(ours.numpy(), array)
        ours.add_(100)
        np.testing.assert_array_equal(ours.numpy(), array)
    assert base[1, 0] > 100
    ours = wf.from_numpy(base)
    base[0, 0] = 7
    assert ours[0, 0].item() == 7
    ours.numpy()[0, 1] = 8
    assert base[0, 1] == 8
    assert np.shares_memory(np.asarray(ours), base)
    assert not np.shares_memory(np.array(ours), base)
    assert not np.shares_memory(wf.tensor(base).numpy(), base)


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.arange(6.0)[::-1], "strides of .*0 or more"),
        (np.broadcast_to(np.arange(3.0), (2, 3)), "read-only"),
        (np.zeros(20, "int8")[1:17].view("float64"), "aligned"),
        (np.zeros((3, 2), "int8").reshape(-1)[:4].view("uint16"), "uint16"),
        (np.zeros(3, ">f4"), "byte order"),
        ([1.0], "list, expected a numpy.ndarray"),
    ],
)
def test_what_from_numpy_refuses(array: Any, words: str) -> None:
    with pytest.raises(errors.WeftError, match=words):
        wf.from_numpy(array)


@pytest.mark.parametrize("name", NAMES)
def test_pickles_and_deep_copies(device: Any, name: str) -> None:
    dtype = dtypes.named(name)
    if not device.supports(dtype):
        return
    x = wf.tensor(np.arange(6).reshape(2, 3) % 2, dtype=dtype, device=device.name)[:, ::2]
    for made in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
        assert (made.dtype, made.shape, made.device, made.tolist()) == (
            x.dtype,
            x.shape,
            x.device,
            x.tolist(),
        )
        assert type(made) is type(x)
        assert not made.requires_grad
    assert copy.copy(x)._data.alias is x._data.alias
    assert copy.deepcopy(x)._data.alias is not x._data.alias


def test_pickles_keep_requires_grad_and_modules(device: Any) -> None:
    layer = wf.nn.Linear(3, 2).to(device.name)
    loaded = pickle.loads(pickle.dumps(layer))
    assert type(loaded.weight) is type(layer.weight)
    assert loaded.weight.requires_grad
    x = wf.ones(1, 3, device=device.name)
    assert loaded(x).tolist() == layer(x).tolist()
    loaded.weight.detach().zero_()
    assert layer.weight.abs().sum().item() > 0


CASTS = torch.tensor([0.0, -0.0, 1.9, -1.9, 127.0, 128.0, -129.0, 255.0, 256.0, 300.0, -300.0, 1e3, 65000.0])


@pytest.mark.parametrize(
    "target", ["int16", "int8", "uint8", "int32", "int64", "bool", "float16", "bfloat16"]
)
@pytest.mark.parametrize("source", ["float32", "float16", "bfloat16", "int32", "int64"])
def test_casts_are_torchs(device: Any, source: str, target: str) -> None:
    given = CASTS.to(getattr(torch, source))
    expected = given.to(getattr(torch, target))
    ours = wf.from_dlpack(given).to(device.name).to(dtypes.named(target))
    assert ours.dtype is dtypes.named(target)
    assert ours.tolist() == expected.tolist()
    assert wf.zeros(1, device=device.name).type_as(ours).dtype is ours.dtype


def test_evenly_spaced_numbers(device: Any) -> None:
    for start, end, steps in ((0, 1, 7), (-3, 5, 1), (2, 9, 50), (0.1, 0.7, 13), (5, -5, 11), (0, 10, 0)):
        got = wf.linspace(start, end, steps, device=device.name)
        np.testing.assert_allclose(
            got.numpy(), torch.linspace(start, end, steps).numpy(), rtol=1e-6, atol=1e-7
        )
        whole = wf.linspace(start, end, steps, dtype=wf.int64, device=device.name)
        assert whole.dtype is wf.int64
        if isinstance(start, int):
            assert whole.tolist() == torch.linspace(start, end, steps, dtype=torch.int64).tolist()
    got = wf.logspace(-1, 2, 5, device=device.name)
    np.testing.assert_allclose(got.numpy(), torch.logspace(-1, 2, 5).numpy(), rtol=1e-5)
    np.testing.assert_allclose(
        wf.logspace(0, 3, 4, base=2, device=device.name).numpy(), [1, 2, 4, 8], rtol=1e-6
    )
    with pytest.raises(errors.ArgumentError, match="linspace: steps is -1"):
        wf.linspace(0, 1, -1)


@pytest.mark.parametrize(("row", "col", "offset"), [(3, 3, 0), (2, 4, 1), (4, 2, -1), (0, 3, 0)])
def test_triangle_indices(device: Any, row: int, col: int, offset: int) -> None:
    for name in ("tril_indices", "triu_indices"):
        got = getattr(wf, name)(row, col, offset, device=device.name)
        assert got.tolist() == getattr(torch, name)(row, col, offset).tolist()
        assert got.dtype is wf.int64


def test_transposes(device: Any) -> None:
    x = wf.arange(6, device=device.name).reshape(2, 3)
    assert x.T.tolist() == x.H.tolist() == x.mT.tolist() == x.mH.tolist() == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(errors.ShapeError, match="H: the tensor is 3-dimensional, expected a matrix"):
        _ = x[None].H
