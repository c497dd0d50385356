"""``set_default_dtype``: new tensors, promotion of Python numbers, layers and compiled functions, beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import weft as wf
from tests.ops.arrays import from_torch, from_weft
from weft.devices import Device
from weft.errors import DTypeError

NAMES = ("float16", "bfloat16", "float32", "float64")
CASES: dict[str, Callable[[Any], Any]] = {
    "zeros": lambda m: m.zeros(2), "ones": lambda m: m.ones(2), "full": lambda m: m.full((2,), 0.5),
    "full of integers": lambda m: m.full((2,), 3), "arange": lambda m: m.arange(0.0, 2.0, 0.5),
    "arange of integers": lambda m: m.arange(3), "linspace": lambda m: m.linspace(0, 1, 5), "eye": lambda m: m.eye(2),
    "tensor": lambda m: m.tensor([0.5, 1.5]), "tensor of integers": lambda m: m.tensor([1, 2]),
    "zeros_like": lambda m: m.zeros_like(m.ones(2, dtype=m.float32)), "integers and a number": lambda m: m.arange(3) * 0.5,
    "integers over integers": lambda m: m.arange(3) / 2, "square root": lambda m: m.arange(3).sqrt(),
    "bool and a number": lambda m: m.tensor([True, False]) + 0.5, "float32 and a number": lambda m: m.ones(2, dtype=m.float32) * 0.1,
    "0-d integer and a number": lambda m: m.tensor(3) * 0.5, "where": lambda m: m.where(m.tensor([True, False]), 0.5, 1.0),
    "a third": lambda m: m.arange(1, 3) / 3, "logsumexp": lambda m: m.arange(3).logsumexp(0),
    "result_type": lambda m: m.zeros((), dtype=m.result_type(m.tensor([1]), 1.0)),
    "default": lambda m: m.zeros((), dtype=m.get_default_dtype()),
}  # fmt: skip
DRAWN: dict[str, Callable[[Any], Any]] = {
    "rand": lambda m: m.rand(2), "randn": lambda m: m.randn(2), "normal": lambda m: m.normal(0.0, 1.0, (2,)),
    "linear": lambda m: m.nn.Linear(2, 3).weight, "norm": lambda m: m.nn.LayerNorm(2).weight,
    "embedding": lambda m: m.nn.Embedding(2, 3).weight,
}  # fmt: skip


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """float32 again, in both libraries."""
    yield
    wf.set_default_dtype(wf.float32)
    torch.set_default_dtype(torch.float32)


def set_default(name: str) -> None:
    """The default type of both libraries."""
    wf.set_default_dtype(getattr(wf, name))
    torch.set_default_dtype(getattr(torch, name))


def skip_float64(name: str, device: Device) -> None:
    """``webgpu`` has no float64."""
    if name == "float64" and not device.supports(wf.float64):
        pytest.skip("the device has no float64")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES)
def test_types_and_values_are_pytorchs(case: str, name: str, device: Device) -> None:
    skip_float64(name, device)
    with wf.device(device.name):
        CASES[case](wf)  # with float32: what is kept for calls must not decide
        set_default(name)
        mine, theirs = CASES[case](wf), CASES[case](torch)
    assert mine.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert from_weft(mine).reshape(-1).tolist() == pytest.approx(
        from_torch(theirs).reshape(-1).tolist(), rel=1e-2 if "16" in name else 1e-6
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", DRAWN)
def test_drawn_numbers_and_layers_are_of_the_default_type(case: str, name: str, device: Device) -> None:
    skip_float64(name, device)
    set_default(name)
    with wf.device(device.name):
        assert DRAWN[case](wf).dtype.name == name
    assert str(DRAWN[case](torch).dtype) == f"torch.{name}"


def test_compiled_functions_follow_the_default_type(device: Device) -> None:
    halved = wf.jit(lambda n: n / 2 + wf.zeros(3))
    with wf.device(device.name):
        n = wf.arange(3)
        for name in ("float32", "float16", "float32"):
            set_default(name)
            assert halved(n).dtype.name == name
    assert halved.compilations == 2


@pytest.mark.webgpu
def test_a_device_without_the_type_says_so_where_a_tensor_is_made() -> None:
    from tests.conftest import ADAPTER

    wf.set_default_dtype(wf.float64)
    for make in (lambda: wf.zeros(2, device=ADAPTER), lambda: wf.arange(3, device=ADAPTER) / 2):
        with pytest.raises(DTypeError, match="float64"):
            make()
