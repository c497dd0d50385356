"""Lazy layers against PyTorch's: before the first call, at it, after it, and their state dicts."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import ArgumentError, ShapeError, StateError, UnsupportedError

LAYERS: dict[str, tuple[tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    "LazyLinear": ((5,), {}, (2, 3)),
    "LazyConv1d": ((4, 3), {"padding": 1, "groups": 2}, (2, 4, 6)),
    "LazyConv2d": ((4, 3), {"bias": False}, (3, 5, 5)),
    "LazyConv3d": ((2, 2), {"stride": 2}, (1, 3, 4, 4, 4)),
    "LazyBatchNorm1d": ((), {}, (4, 3)),
    "LazyBatchNorm2d": ((), {"affine": False}, (2, 3, 4, 4)),
    "LazyBatchNorm3d": ((), {"track_running_stats": False, "momentum": None}, (2, 3, 2, 2, 2)),
}


def pair(name: str, device: str) -> tuple[Any, Any, np.ndarray]:
    """A layer here and in PyTorch, and an input."""
    arguments, options, shape = LAYERS[name]
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    ours = getattr(wf.nn, name)(*arguments, **options, device=device)
    return ours, getattr(torch.nn, name)(*arguments, **options), values


@pytest.mark.parametrize("name", LAYERS)
def test_a_lazy_layer_becomes_an_ordinary_one(device: Any, name: str) -> None:
    ours, theirs, values = pair(name, device.name)
    assert repr(ours) == repr(theirs)
    assert {key: repr(value).partition(",")[0].strip(")") for key, value in ours.state_dict().items()} == {
        key: repr(value).strip(")") for key, value in theirs.state_dict().items()
    }
    assert ours.has_uninitialized_params() == theirs.has_uninitialized_params()
    optimizer = None
    if list(ours.parameters()):
        optimizer = wf.optim.SGD(ours.parameters(), lr=0.1)
    theirs(torch.tensor(values))
    x = wf.tensor(values, device=device.name)
    ours(x)
    assert type(ours) is getattr(wf.nn, name.removeprefix("Lazy"))
    assert type(theirs) is getattr(torch.nn, name.removeprefix("Lazy"))
    assert repr(ours) == repr(theirs)
    for parameter in ours.parameters():
        assert type(parameter) is wf.nn.Parameter
        assert parameter.requires_grad
        assert str(parameter.device) == device.name
    ours.load_state_dict(theirs.state_dict())
    out, expected = ours(x), theirs(torch.tensor(values))
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    if optimizer is not None:
        before = [parameter.detach().clone() for parameter in ours.parameters()]
        (out * out * out).sum().backward()
        optimizer.step()
        assert not any((old == new).all().item() for old, new in zip(before, ours.parameters(), strict=True))


@pytest.mark.parametrize("name", LAYERS)
def test_drawn_values_are_those_of_the_ordinary_layer(name: str) -> None:
    ours, _, values = pair(name, "cpu")
    wf.manual_seed(3)
    ours(wf.tensor(values, device="cpu"))
    arguments, options, shape = LAYERS[name]
    size = shape[-1] if name == "LazyLinear" else shape[0] if len(shape) == 3 and "2d" in name else shape[1]
    wf.manual_seed(3)
    direct = getattr(wf.nn, name.removeprefix("Lazy"))(size, *arguments, **options, device="cpu")
    for key, value in direct.state_dict().items():
        if "running" not in key and "batches" not in key:
            assert ours.state_dict()[key].tolist() == value.tolist(), key


@pytest.mark.parametrize("name", LAYERS)
def test_state_dicts_give_shapes(device: Any, name: str) -> None:
    ours, theirs, values = pair(name, device.name)
    x = wf.tensor(values, device=device.name)
    theirs(torch.tensor(values))
    assert not ours.load_state_dict(theirs.state_dict()).missing_keys
    assert not ours.has_uninitialized_params()
    assert type(ours).__name__ == name
    theirs.eval()
    out, expected = ours.eval()(x), theirs(torch.tensor(values))
    assert repr(ours) == repr(theirs)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_copies_pickles_and_conversions_of_uninitialized_layers() -> None:
    model = wf.nn.Sequential(wf.nn.LazyLinear(4, device="cpu"), wf.nn.LazyBatchNorm1d(device="cpu"))
    x = wf.ones(2, 3, device="cpu", dtype=wf.float64)
    for other in (copy.deepcopy(model), copy.copy(model[0]), pickle.loads(pickle.dumps(model))):
        assert "<UninitializedParameter>" in repr(next(other.parameters()))
    double = copy.deepcopy(model).double()
    assert double(x).dtype is wf.float64
    assert model[0].has_uninitialized_params()
    assert model[0].weight.dtype is wf.float32
    assert model[0].load_state_dict(wf.nn.LazyLinear(4, device="cpu").state_dict()).missing_keys == []


def test_mistakes(tmp_path: Any) -> None:
    path = tmp_path / "state.safetensors"
    lazy = wf.nn.LazyLinear(4, device="cpu")
    x = wf.ones(2, 3, device="cpu")
    for use in (
        lambda: lazy.weight.shape,
        lambda: lazy.weight + 1,
        lambda: lazy.weight.detach().tolist(),
        lambda: wf.nn.init.ones_(lazy.weight),
        lambda: wf.save(lazy.state_dict(), str(path)),
    ):
        with pytest.raises(ArgumentError, match="call the module once with an input"):
            use()
    with pytest.raises(UnsupportedError, match="call the module once outside of the function"):
        wf.jit(lambda x: wf.nn.LazyLinear(4, device="cpu")(x))(x)
    with pytest.raises((UnsupportedError, ArgumentError), match="call the module once"):
        wf.jit(lazy)(x)
    with pytest.raises((UnsupportedError, ArgumentError), match="call the module once"):
        wf.jit(lambda x: lazy(x))(x)
    with pytest.raises(UnsupportedError, match="call the module once outside of the function"):
        wf.func.vmap(lambda x: lazy(x))(x)
    with pytest.raises(StateError, match="weight is uninitialized in the state dict"):
        wf.nn.Linear(3, 4, device="cpu").load_state_dict(lazy.state_dict())
    with pytest.raises(ArgumentError, match="a Tensor"):
        lazy([1.0])
    with pytest.raises(ShapeError, match="LazyConv2d: the input is 2-dimensional"):
        wf.nn.LazyConv2d(4, 3, device="cpu")(x)
    with pytest.raises(ArgumentError, match="a multiple of groups"):
        wf.nn.LazyConv2d(4, 3, groups=2, device="cpu")(wf.ones(1, 3, 5, 5, device="cpu"))
    with pytest.raises(ArgumentError, match="a multiple of groups"):
        wf.nn.LazyConv2d(5, 3, groups=2)
    assert lazy.has_uninitialized_params()
    assert not path.exists()
    lazy.load_state_dict({"weight": wf.ones(4, 3)}, strict=False)
    with pytest.raises(StateError, match="loaded whole or not at all"):
        lazy(x)
