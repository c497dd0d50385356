"""Padding by elements of the input, and its gradient: ends that meet, one-sided padding, both devices."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import weft as wf


def _check(device: str, mode: str, shape: tuple[int, ...], pads: tuple[int, ...]) -> None:
    value = numpy.random.default_rng(sum(pads)).standard_normal(shape).astype("f")
    ours = wf.tensor(value, device=device).requires_grad_()
    theirs = torch.tensor(value, requires_grad=True)
    found = wf.nn.functional.pad(ours, pads, mode=mode)
    expected = torch.nn.functional.pad(theirs, pads, mode=mode)
    numpy.testing.assert_array_equal(found.detach().numpy(), expected.detach().numpy())
    seed = numpy.random.default_rng(0).standard_normal(tuple(expected.shape)).astype("f")
    found.backward(wf.tensor(seed, device=device))
    expected.backward(torch.tensor(seed))
    numpy.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_padding(mode: str, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=2))
    pads: list[int] = []
    for size in reversed(sizes):
        most = {"reflect": size - 1, "circular": size, "replicate": 7}[mode]
        pads += [data.draw(st.integers(0, most)) for _ in range(2)]
    _check("cpu", mode, (2, 3, *sizes), tuple(pads))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize(
    ("shape", "pads"),
    [
        ((2, 3, 5, 6), (2, 2, 1, 3)),
        ((2, 3, 3, 4), (3, 3, 2, 2)),
        ((2, 3, 4), (0, 2)),
        ((3, 2, 2), (1, 1)),
        ((2, 3, 20), (19, 2)),
    ],
    ids=str,
)
def test_on_each_device(device: Any, mode: str, shape: tuple[int, ...], pads: tuple[int, ...]) -> None:
    """Ends that read places far apart, adjacent places and the same places."""
    _check(device.name, mode, shape, pads)


def test_gradients_in_16_bits_are_rounded_once() -> None:
    """The gradient of a place that three others repeat is the float32 sum of four ones and small parts, rounded."""
    x = wf.tensor(numpy.zeros((1, 1, 2), "f"), device="cpu").to(wf.float16).requires_grad_()
    seed = numpy.array([[[1.0, 0.0004, 0.0004, 0.0004, 0.0]]], "f")
    wf.nn.functional.pad(x, (3, 0), mode="replicate").backward(wf.tensor(seed, device="cpu").to(wf.float16))
    exact = seed.astype("float16").astype("float64")[0, 0, :4].sum()
    assert float(x.grad[0, 0, 0]) == float(numpy.float16(exact))
