"""``out=``, in-place forms, ``alpha``, operators and mistakes of the pointwise functions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
import weft.nn.functional as F
from weft import errors as e
from weft.ops import FUNCTIONS

GIVEN = np.array([[0.5, -1.5, 2.0], [3.0, -0.25, 0.75]], "float32")
WITH_OUT = (
    "exp",
    "abs",
    "add",
    "sub",
    "mul",
    "div",
    "pow",
    "clamp",
    "lerp",
    "where",
    "floor_divide",
    "atan2",
    "round",
)


def pair(device: Any, requires_grad: bool = False) -> tuple[Any, torch.Tensor]:
    x = wf.tensor(GIVEN, device=device.name)
    return (x.requires_grad_() if requires_grad else x), torch.tensor(GIVEN, requires_grad=requires_grad)


def arguments(name: str, x: Any) -> tuple[Any, ...]:
    more: dict[str, tuple[Any, ...]] = {
        "add": (x,), "sub": (2.0,), "mul": (x,), "div": (x,), "pow": (2,), "clamp": (-1.0, 1.0), "lerp": (x + 1, 0.25),
        "floor_divide": (0.5,), "atan2": (x,),
    }  # fmt: skip
    return (x > 0, x, -x) if name == "where" else (x, *more.get(name, ()))


@pytest.mark.parametrize("name", WITH_OUT)
def test_out_takes_the_result(device: Any, name: str) -> None:
    x, t = pair(device)
    base = wf.zeros(2, 7, device=device.name)
    target = base[:, 1::2]
    result = FUNCTIONS[name].function(*arguments(name, x), out=target)
    assert result is target
    np.testing.assert_allclose(target.numpy(), getattr(torch, name)(*arguments(name, t)).numpy(), rtol=1e-6)
    assert not base[:, 0::2].numpy().any()


def test_out_must_fit_and_has_no_history(device: Any) -> None:
    x, _ = pair(device, requires_grad=True)
    plain = x.detach()
    with pytest.raises(e.GradError, match="exp: an operand is a tensor that requires grad"):
        wf.exp(x, out=wf.zeros(2, 3, device=device.name))
    with pytest.raises(e.GradError, match="out is a tensor that requires grad"):
        wf.exp(plain, out=wf.zeros(2, 3, device=device.name, requires_grad=True))
    with wf.no_grad():
        assert wf.exp(x, out=wf.zeros(2, 3, device=device.name)).shape == (2, 3)
    with pytest.raises(e.ShapeError, match=r"\(3, 2\).*\(2, 3\)"):
        wf.exp(plain, out=wf.zeros(3, 2, device=device.name))
    with pytest.raises(e.DTypeError, match="float32"):
        wf.exp(plain, out=wf.zeros(2, 3, dtype=wf.int32, device=device.name))
    with pytest.raises(e.ArgumentTypeError, match="out is a ndarray"):
        wf.exp(plain, out=GIVEN)


INPLACE: dict[str, Callable[[Any], Any]] = {
    "add_ alpha": lambda x: x.add_(x * 2, alpha=3),
    "sub_ alpha": lambda x: x.sub_(1.5, alpha=2),
    "clamp_": lambda x: x.clamp_(-1, 1),
    "clamp_ max": lambda x: x.clamp_(max=0.5),
    "masked_fill_": lambda x: x.masked_fill_(x > 0, 9.0),
    "lerp_": lambda x: x.lerp_(x * 0, 0.25),
    "addcmul_": lambda x: x.addcmul_(x.detach().clone(), x.detach().clone(), value=0.5),
    "div_ mode": lambda x: x.div_(0.4, rounding_mode="floor"),
    "pow_": lambda x: x.pow_(2),
    "round_": lambda x: x.round_(decimals=1),
    "nan_to_num_": lambda x: x.nan_to_num_(),
    "mod": lambda x: operator.imod(x, 0.4),
    "power": lambda x: operator.ipow(x, 3),
    "exp2_": lambda x: x.exp2_(),
    "atan2_": lambda x: x.atan2_(x * 2),
}


@pytest.mark.parametrize("name", INPLACE)
def test_inplace_forms_and_their_gradients(device: Any, name: str) -> None:
    x, t = pair(device, requires_grad=True)
    mine, theirs = x * 1, t * 1
    result = INPLACE[name](mine)
    INPLACE[name](theirs)
    assert result is mine
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=2e-6, atol=1e-7)
    mine.sum().backward()
    theirs.sum().backward()
    assert t.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=4e-6, atol=1e-6)


ACTIVATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "relu": lambda f, x: f.relu(x, inplace=True), "elu": lambda f, x: f.elu(x, 0.5, True),
    "leaky_relu": lambda f, x: f.leaky_relu(x, inplace=True), "hardtanh": lambda f, x: f.hardtanh(x, -0.5, 0.6, True),
    "silu": lambda f, x: f.silu(x, True), "threshold": lambda f, x: f.threshold(x, 0.1, 7.0, inplace=True),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_in_place(device: Any, name: str) -> None:
    x, t = pair(device)
    assert ACTIVATIONS[name](F, x) is x
    np.testing.assert_allclose(x.numpy(), ACTIVATIONS[name](torch.nn.functional, t).numpy(), rtol=2e-6)


INTEGERS: dict[str, Callable[[Any], Any]] = {
    "shift left": lambda i: i << 2, "shift right": lambda i: i >> 1, "into shift": lambda i: operator.ilshift(i, 1),
    "xor": lambda i: i ^ 5, "invert": lambda i: ~i, "floor": lambda i: i // 3, "modulo": lambda i: i % 3, "into floor": lambda i: operator.ifloordiv(i, 3),
    "reflected floor": lambda i: 17 // (i.abs() + 1), "reflected modulo": lambda i: 17 % (i.abs() + 1),
    "power": lambda i: i**3, "positive": lambda i: +i, "far left": lambda i: i << 70, "far right": lambda i: i >> 70,
    "and": lambda i: operator.iand(i, 6), "reflected shift": lambda i: 1 << (i.abs() % 5),
}  # fmt: skip


@pytest.mark.parametrize("name", INTEGERS)
def test_integer_operators(device: Any, name: str) -> None:
    values = np.array([7, -8, 0, 3, -1, 12])
    got = INTEGERS[name](wf.tensor(values, device=device.name))
    expected = INTEGERS[name](torch.tensor(values))
    assert got.dtype is wf.int64
    assert got.tolist() == expected.tolist()


MISTAKES: dict[str, tuple[Callable[[Any, Any], Any], type[Exception], str]] = {
    "alpha": (lambda x, i: wf.add(i, i, alpha=0.5), e.ArgumentTypeError, "add: alpha is 0.5"),
    "alpha type": (lambda x, i: x.sub(x, alpha="2"), e.ArgumentTypeError, "sub: alpha is '2'"),
    "rounding mode": (lambda x, i: x.div(2, rounding_mode="up"), e.ArgumentError, "div: rounding_mode is 'up'"),
    "clamp nothing": (lambda x, i: x.clamp(), e.ArgumentError, "clamp: min and max is both None|clamp: min and max"),
    "negative power": (lambda x, i: i**-1, e.ArgumentError, "pow: exponent is -1"),
    "mask type": (lambda x, i: x.masked_fill(i, 1.0), e.DTypeError, "masked_fill: mask's dtype is int64"),
    "fill value": (lambda x, i: i.masked_fill(i > 0, 1.5), e.DTypeError, "masked_fill: value"),
    "where condition": (lambda x, i: wf.where(i, x, x), e.DTypeError, "where: condition's dtype is int64"),
    "shift float": (lambda x, i: x << 1, e.DTypeError, "bitwise_left_shift: operands have dtype float32"),
    "sub bool": (lambda x, i: (x > 0) - (x > 0), e.DTypeError, "sub: operands have dtype bool"),
    "gelu": (lambda x, i: F.gelu(x, approximate="fast"), e.ArgumentError, "gelu: approximate is 'fast'"),
    "glu odd": (lambda x, i: F.glu(x, 1), e.ShapeError, "glu: input's shape"),
    "prelu": (lambda x, i: F.prelu(x, x[0, :2]), e.ShapeError, "prelu: weight's shape"),
    "topk": (lambda x, i: x.topk(4), e.ArgumentError, r"topk: k is 4, expected in \[0, 3\]"),
    "kthvalue": (lambda x, i: x.kthvalue(0), e.ArgumentError, r"kthvalue: k is 0"),
    "sort dim": (lambda x, i: x.sort(2), IndexError, "sort: dim is 2"),
    "cumsum dim": (lambda x, i: x.cumsum(-3), IndexError, "cumsum: dim is -3"),
    "empty max": (lambda x, i: x[:0].max(0), e.ArgumentError, "max: input"),
    "int var": (lambda x, i: i.var(), e.DTypeError, "var: input's dtype is int64"),
    "both corrections": (lambda x, i: x.var(1, True, correction=0), e.ArgumentTypeError, "var: unbiased and correction"),
    "norm order": (lambda x, i: x.norm("nuclear"), e.ArgumentTypeError, "norm: the order is 'nuclear'"),
    "search types": (lambda x, i: wf.searchsorted(x[0], i), e.DTypeError, "searchsorted: values' dtype is int64"),
    "logcumsumexp": (lambda x, i: i.logcumsumexp(0), e.DTypeError, "logcumsumexp: input's dtype is int64"),
    "inplace type": (lambda x, i: i.add_(0.5), e.DTypeError, "add: .*float32.*int64"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(device: Any, name: str) -> None:
    call, error, words = MISTAKES[name]
    x, _ = pair(device)
    i = wf.tensor([1, 2, 3], device=device.name)
    with pytest.raises(error, match=words) as raised:
        call(x, i)
    assert isinstance(raised.value, e.WeftError)
    assert i.tolist() == [1, 2, 3]
    assert x.tolist() == GIVEN.tolist()


@pytest.mark.parametrize("name", ["var", "cumsum", "cumprod", "sort", "logsumexp", "max", "logcumsumexp"])
def test_long_rows_are_accurate_and_repeatable(device: Any, name: str) -> None:
    """Rows of several blocks are accurate, and two runs give the same bits."""
    given = (
        np.random.default_rng(5).uniform(0.9995, 1.0005, 70_001) + (1000 if name == "var" else 0)
    ).astype("float32")
    x = wf.tensor(given, device=device.name)
    first, second = (FUNCTIONS[name].function(x, 0) for _ in range(2))
    first, second = (result[0] if isinstance(result, tuple) else result for result in (first, second))
    assert first.numpy().tobytes() == second.numpy().tobytes()
    expected = getattr(torch, name)(torch.tensor(given).double(), 0)
    expected = expected if isinstance(expected, torch.Tensor) else expected[0]
    np.testing.assert_allclose(
        first.numpy(), expected.numpy(), rtol={"var": 2e-3, "cumprod": 1e-3}.get(name, 2e-5)
    )
