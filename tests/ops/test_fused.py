"""Fused ops of eager mode have the results of the ops that they stand for, which other interpreters are given instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.devices import Device
from weft.errors import ShapeError
from weft.ops import OPS

F, TF = wf.nn.functional, torch.nn.functional


def fused() -> list[str]:
    return [name for name, op in OPS.items() if op.fused]


def nodes(value: Any) -> list[str]:
    """Return the names of the recorded ops of a value's history."""
    found, left = [], [value.grad_fn]
    while left:
        node = left.pop()
        found.append(node.name)
        left += [edge.node for edge in node.edges if edge is not None and hasattr(edge.node, "edges")]
    return found


def test_which_ops_are_fused() -> None:
    assert set(fused()) >= {"linear", "cross_entropy_loss", "lstm_gates", "gru_gates", "unbind", "split"}


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (0, 4), (2, 1, 3, 4)])
def test_linear_is_pytorchs_with_gradients(shape: tuple[int, ...], device: Device) -> None:
    draw = np.random.default_rng(0).standard_normal
    arrays = [draw(size).astype(np.float32) for size in (shape, (5, 4), (5,))]
    own = [wf.tensor(array, device=device.name, requires_grad=True) for array in arrays]
    other = [torch.tensor(array, requires_grad=True) for array in arrays]
    made, expected = F.linear(*own), TF.linear(*other)
    assert nodes(made) == ["linear"]
    np.testing.assert_allclose(made.detach().cpu().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    (made * made).sum().backward()
    (expected * expected).sum().backward()
    for mine, theirs in zip(own, other, strict=True):
        np.testing.assert_allclose(mine.grad.cpu().numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "gates"), [("LSTMCell", "lstm_gates"), ("GRUCell", "gru_gates")])
def test_a_step_of_a_cell_is_three_calls_with_pytorchs_gradients(
    name: str, gates: str, device: Device
) -> None:
    theirs, ours = getattr(torch.nn, name)(3, 5), getattr(wf.nn, name)(3, 5).to(device.name)
    ours.load_state_dict(theirs.state_dict())
    draw = np.random.default_rng(0).standard_normal
    arrays = [draw(size).astype(np.float32) for size in ((2, 3), (2, 5), (2, 5))]
    own = [wf.tensor(array, device=device.name, requires_grad=True) for array in arrays]
    other = [torch.tensor(array, requires_grad=True) for array in arrays]
    pair = name == "LSTMCell"
    made, expected = (cell(x, (h, c) if pair else h) for cell, (x, h, c) in ((ours, own), (theirs, other)))
    made, expected = (value if pair else (value,) for value in (made, expected))
    assert sorted(nodes(made[-1])) == sorted([gates, "linear", "linear"])
    for mine, value in zip(made, expected, strict=True):
        np.testing.assert_allclose(mine.detach().cpu().numpy(), value.detach().numpy(), rtol=1e-5, atol=1e-6)
    made[-1].sum().backward()  # of an LSTM, c alone
    expected[-1].sum().backward()
    used = 3 if pair else 2
    for mine, leaf in zip(
        [*own[:used], *ours.parameters()], [*other[:used], *theirs.parameters()], strict=True
    ):
        np.testing.assert_allclose(mine.grad.cpu().numpy(), leaf.grad.numpy(), rtol=1e-4, atol=1e-5)


APART = {
    "unbind": lambda x: x.unbind(0), "unbind of the last": lambda x: x.unbind(-1), "split": lambda x: x.split(2),
    "split of sizes": lambda x: x.split([1, 0, 3, 1], 1), "chunk": lambda x: x.chunk(3, 1), "rows": lambda x: tuple(x),
}  # fmt: skip


@pytest.mark.parametrize("used", ["all", "some"])
@pytest.mark.parametrize("way", APART)
def test_views_of_a_split_have_one_node_and_pytorchs_gradients(way: str, used: str, device: Device) -> None:
    array = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    x, y = wf.tensor(array, device=device.name, requires_grad=True), torch.tensor(array, requires_grad=True)
    mine, theirs = APART[way](x), APART[way](y)
    assert [tuple(part.shape) for part in mine] == [tuple(part.shape) for part in theirs]
    assert len({part.grad_fn for part in mine}) == 1
    chosen = slice(None) if used == "all" else slice(0, None, 2)
    totals = [
        sum((part * part * part).sum() * at for at, part in enumerate(parts[chosen], 1))
        for parts in (mine, theirs)
    ]
    (first,) = wf.autograd.grad(totals[0], x, create_graph=True)
    (expected,) = torch.autograd.grad(totals[1], y, create_graph=True)
    np.testing.assert_allclose(first.detach().cpu().numpy(), expected.detach().numpy(), rtol=1e-5)
    second = wf.autograd.grad((first * first).sum(), x)[0]
    np.testing.assert_allclose(
        second.cpu().numpy(), torch.autograd.grad((expected * expected).sum(), y)[0].numpy(), rtol=1e-5
    )


def test_writes_through_a_part_reach_the_whole_and_its_history(device: Device) -> None:
    array = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    leaf, other = (
        wf.tensor(array, device=device.name, requires_grad=True),
        torch.tensor(array, requires_grad=True),
    )
    x, y = leaf * 2, other * 2
    x.unbind(0)[1].mul_(3)
    y[1].mul_(3)  # PyTorch refuses writes through one of several views
    assert np.array_equal(x.detach().cpu().numpy(), y.detach().numpy())
    (x * x).sum().backward(), (y * y).sum().backward()
    np.testing.assert_allclose(leaf.grad.cpu().numpy(), other.grad.numpy(), rtol=1e-5)


def test_linear_of_strided_operands(device: Device) -> None:
    x = wf.arange(24, dtype=wf.float32, device=device.name).reshape(4, 6)
    weight, bias = wf.ones(4, 5, device=device.name), wf.arange(10, dtype=wf.float32, device=device.name)[::2]
    expected = x.cpu().numpy().T @ np.ones((4, 5), np.float32) + np.arange(0, 10, 2)
    np.testing.assert_allclose(F.linear(x.t(), weight.t(), bias).cpu().numpy(), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 2, 2)])
def test_cross_entropy_is_pytorchs_with_gradients(
    reduction: str, shape: tuple[int, ...], device: Device
) -> None:
    generator = np.random.default_rng(1)
    logits = generator.standard_normal(shape).astype(np.float32)
    classes = generator.integers(0, shape[1], (shape[0], *shape[2:]))
    classes.reshape(-1)[::3] = -100
    x, y = wf.tensor(logits, device=device.name, requires_grad=True), wf.tensor(classes, device=device.name)
    other = torch.tensor(logits, requires_grad=True)
    loss = F.cross_entropy(x, y, reduction=reduction)
    expected = TF.cross_entropy(other, torch.tensor(classes), reduction=reduction)
    assert nodes(loss) == ["cross_entropy_loss"]
    assert abs(loss.item() - expected.item()) < 1e-5
    (first,) = wf.autograd.grad(loss, x, create_graph=True)
    (theirs,) = torch.autograd.grad(expected, other, create_graph=True)
    np.testing.assert_allclose(first.detach().cpu().numpy(), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    second = wf.autograd.grad((first * first).sum(), x)[0]
    expected_second = torch.autograd.grad((theirs * theirs).sum(), other)[0]
    np.testing.assert_allclose(second.cpu().numpy(), expected_second.numpy(), rtol=1e-4, atol=1e-6)


def test_a_loss_without_targets_that_count_is_nan_as_pytorchs(device: Device) -> None:
    x = wf.ones(2, 3, device=device.name)
    ignored = wf.tensor([-100, -100], device=device.name)
    assert np.isnan(F.cross_entropy(x, ignored).item())
    assert F.cross_entropy(x, ignored, reduction="sum").item() == 0


def test_a_class_out_of_range_is_named(device: Device) -> None:
    with pytest.raises(IndexError, match="cross_entropy: target 3 is out of range"):
        F.cross_entropy(wf.ones(2, 3, device=device.name), wf.tensor([0, 3], device=device.name)).item()


def test_a_bias_of_another_size_is_an_error(device: Device) -> None:
    with pytest.raises(ShapeError):
        F.linear(
            wf.ones(2, 3, device=device.name),
            wf.ones(4, 3, device=device.name),
            wf.ones(3, device=device.name),
        )


def test_other_interpreters_see_the_ops_that_they_know(device: Device) -> None:
    x, weight = wf.ones(2, 3, device=device.name), wf.ones(4, 3, device=device.name)
    bias, classes = wf.ones(4, device=device.name), wf.tensor([0, 1], device=device.name)

    def loss(x: Any) -> Any:
        return F.cross_entropy(F.linear(x, weight, bias), classes)

    eager = loss(x).item()
    text = wf.explain(loss, x)
    assert not any(f"{name}(" in str(text) for name in fused())
    assert abs(wf.jit(loss)(x).item() - eager) < 1e-6
    assert abs(wf.func.vmap(loss)(wf.stack([x, x * 2]))[0].item() - eager) < 1e-6
    value, tangent = wf.func.jvp(loss, (x,), (wf.ones_like(x),))
    assert abs(value.item() - eager) < 1e-6 and abs(tangent.item()) < 1e-5
