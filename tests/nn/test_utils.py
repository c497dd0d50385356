"""Clipping and vectors of parameters, collections, initialisation by matrices, assigned states: against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch

import weft as wf
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, GradError, IndexOutOfRangeError, ShapeError
from weft.nn import init, utils

SHAPES = [(3, 4), (5,), (), (2, 3)]


def with_gradients(device: str, scale: float = 1.0) -> tuple[list[Any], list[Any]]:
    draw = numpy.random.default_rng(0)
    ours, theirs = [], []
    for shape in SHAPES:
        value = (scale * draw.standard_normal(shape)).astype("float32")
        ours.append(wf.nn.Parameter(wf.zeros(*shape, device=device)))
        theirs.append(torch.nn.Parameter(torch.zeros(shape)))
        ours[-1].grad, theirs[-1].grad = wf.tensor(value, device=device), torch.tensor(value)
    ours.append(wf.nn.Parameter(wf.zeros(2, device=device)))  # without a gradient
    theirs.append(torch.nn.Parameter(torch.zeros(2)))
    return ours, theirs


def same(ours: list[Any], theirs: list[Any]) -> None:
    for mine, other in zip(ours[:-1], theirs[:-1], strict=True):
        numpy.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-5, atol=1e-7)
    assert ours[-1].grad is None


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, float("inf")])
@pytest.mark.parametrize("most", [0.5, 1000.0])
def test_clip_grad_norm_is_pytorchs(order: float, most: float, device: Device) -> None:
    ours, theirs = with_gradients(device.name)
    total = utils.clip_grad_norm_(ours, most, order)
    expected = torch.nn.utils.clip_grad_norm_(theirs, most, order)
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    same(ours, theirs)


def test_clip_grad_value_is_pytorchs(device: Device) -> None:
    ours, theirs = with_gradients(device.name)
    ours[1].grad[0], theirs[1].grad[0] = float("nan"), float("nan")
    utils.clip_grad_value_(ours, 0.4)
    torch.nn.utils.clip_grad_value_(theirs, 0.4)
    same(ours, theirs)


def test_a_norm_that_is_not_finite() -> None:
    ours, _ = with_gradients("cpu", float("inf"))
    with pytest.raises(GradError, match="the total norm is inf, expected finite"):
        utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    assert utils.clip_grad_norm_([ours[-1]], 1.0).item() == 0
    with pytest.raises(ArgumentError, match="norm_type is 0, expected above 0"):
        utils.clip_grad_norm_(ours, 1.0, 0)


def test_vectors_of_parameters(device: Device) -> None:
    ours, theirs = with_gradients(device.name)
    values = numpy.arange(26, dtype="float32")
    utils.vector_to_parameters(wf.tensor(values, device=device.name), ours)
    torch.nn.utils.vector_to_parameters(torch.tensor(values), theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.tolist() == other.tolist()
    vector = utils.parameters_to_vector(ours)
    assert vector.tolist() == values.tolist()
    (vector * vector).sum().backward()
    assert ours[-1].grad.tolist() == [48.0, 50.0]
    with pytest.raises(ShapeError, match=r"vec is \(3,\), expected a tensor of shape \(26,\)"):
        utils.vector_to_parameters(wf.zeros(3), ours)


def test_module_dict() -> None:
    made = []
    for lib in (wf, torch):
        modules = lib.nn.ModuleDict({"b": lib.nn.ReLU(), "a": lib.nn.Linear(2, 3)})
        modules["c"] = lib.nn.Identity()
        modules.update([("d", lib.nn.Tanh())])
        del modules["b"]
        popped = type(modules.pop("d")).__name__
        made.append(
            (list(modules), len(modules), "a" in modules, popped, list(modules.state_dict()), repr(modules))
        )
    assert made[0] == made[1]
    with pytest.raises(ArgumentTypeError, match="ModuleDict: module is a int"):
        wf.nn.ModuleDict({"a": 3})


def test_lists_and_dicts_of_parameters() -> None:
    made = []
    for lib, options in ((wf, {"device": "cpu"}), (torch, {})):
        listed = lib.nn.ParameterList([lib.ones(2, 3, **options), lib.nn.Parameter(lib.ones(4, **options))])
        listed += [lib.zeros(1, **options)]
        listed[0] = lib.zeros(3, 2, **options)
        named = lib.nn.ParameterDict({"w": lib.ones(2, **options), "n": 3})
        named["v"] = lib.ones(5, **options)
        named.pop("w")
        both = lib.nn.Module()
        both.listed, both.named = listed, named
        shapes = [(name, tuple(parameter.shape)) for name, parameter in both.named_parameters()]
        made.append(
            (
                len(listed),
                [tuple(value.shape) for value in listed[1:]],
                list(named),
                named["n"],
                shapes,
                list(both.state_dict()),
                repr(both).replace("weft.", "").replace("torch.", "").replace("FloatTensor", "float32"),
            )
        )
    assert made[0] == made[1]
    with pytest.raises(IndexOutOfRangeError, match="ParameterList: index is 5"):
        wf.nn.ParameterList()[5]


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (8, 2, 3)])
def test_orthogonal(shape: tuple[int, ...], device: Device) -> None:
    wf.manual_seed(0)
    values = init.orthogonal_(wf.empty(*shape, device=device.name), 2.0).numpy().reshape(shape[0], -1)
    product = values @ values.T if shape[0] <= values.shape[1] else values.T @ values
    numpy.testing.assert_allclose(product, 4 * numpy.eye(len(product)), atol=1e-5)


def test_trunc_normal_and_the_fixed_ones(device: Device) -> None:
    wf.manual_seed(0)
    values = init.trunc_normal_(wf.empty(100, 200, device=device.name), 0.5, 2.0, -1.0, 2.0).numpy()
    expected = torch.nn.init.trunc_normal_(torch.empty(100, 200), 0.5, 2.0, -1.0, 2.0).numpy()
    assert -1 <= values.min() < -0.99
    assert 1.99 < values.max() <= 2
    assert values.mean() == pytest.approx(expected.mean(), abs=0.03)
    assert values.std() == pytest.approx(expected.std(), abs=0.03)
    assert (
        init.eye_(wf.empty(2, 3, device=device.name)).tolist()
        == torch.nn.init.eye_(torch.empty(2, 3)).tolist()
    )
    for shape, groups in (((4, 3, 3), 1), ((4, 2, 3, 4), 2), ((2, 5, 1, 3, 3), 1)):
        ours = init.dirac_(wf.empty(*shape, device=device.name), groups)
        assert ours.tolist() == torch.nn.init.dirac_(torch.empty(shape), groups).tolist()


def test_an_assigned_state_keeps_its_tensors() -> None:
    layer = wf.nn.Linear(2, 3, device="cpu")
    layer.bias.requires_grad_(False)
    state = {"weight": wf.ones(3, 2, dtype=wf.float16, device="cpu"), "bias": wf.zeros(3, device="cpu")}
    layer.load_state_dict(state, assign=True)
    assert isinstance(layer.weight, wf.nn.Parameter)
    assert layer.weight.dtype is wf.float16
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad
    state["bias"].fill_(2.0)
    assert layer.bias.tolist() == [2.0, 2.0, 2.0]  # the same memory
