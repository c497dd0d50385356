"""``gradcheck`` finds wrong gradients, first and second, and accepts right ones; strided, broadcast, promoted inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.autograd import gradcheck, gradgradcheck
from weft.errors import DTypeError, GradError
from weft.ops import OPS, OpSpec, bind

pytestmark = pytest.mark.cpu


def double(*shape: int, seed: int = 0, requires_grad: bool = True) -> Any:
    values = np.random.default_rng(seed).uniform(0.5, 2.0, shape)
    return wf.tensor(values, dtype=wf.float64, device="cpu", requires_grad=requires_grad)


def altered(name: str, gradient: Callable[..., Any]) -> OpSpec:
    """A copy of an op with another gradient."""
    known = OPS[name]
    return OpSpec(
        f"{name}_altered",
        infer=known.infer,
        reference=known.reference,
        lower=known.lower,
        gradient=gradient,
        saves=(0,),
    )


def test_a_wrong_gradient_is_found() -> None:
    wrong = altered("exp", lambda context, grad: [grad * context.input(0).exp() * 1.01])
    x = double(3)
    with pytest.raises(
        GradError, match=r"(?s)output 0 with respect to input 0 differs.*numerical.*analytical"
    ):
        gradcheck(lambda x: bind(wrong, x), (x,))
    assert not gradcheck(lambda x: bind(wrong, x), (x,), raise_exception=False)


def test_a_missing_second_gradient_is_found() -> None:
    def once(context: Any, grad: Any) -> Any:
        return [grad * context.input(0).exp().detach()]

    x = double(3)
    assert gradcheck(lambda x: bind(altered("exp", once), x), (x,))
    with pytest.raises(GradError):
        gradgradcheck(lambda x: bind(altered("exp", once), x), (x,))


def test_inputs_are_checked_and_left_as_they_were() -> None:
    with pytest.raises(DTypeError, match="float32, expected float64"):
        gradcheck(wf.exp, (wf.ones(2, device="cpu", requires_grad=True),))
    with pytest.raises(GradError, match="requires grad"):
        gradcheck(wf.exp, (double(2, requires_grad=False),))
    x = double(2, 3)
    before = x.tolist()
    assert gradcheck(wf.exp, (x,))
    assert x.tolist() == before
    assert x.grad is None


CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "broadcast": (lambda x, y: x * y + y / x, (double(2, 1, 3), double(4, 1, seed=1))),
    "promoted number": (lambda x: 2 * x + x / 3 - 1.5 * x**2, (double(3),)),
    "strided": (lambda x: (x.t()[::2] * x[:, 1:2].t()).sum(1), (double(3, 4),)),
    "overlapping views": (lambda x: x[1:] * x[:-1], (double(5),)),
    "expanded": (lambda x: x.expand(4, 3).reshape(2, 6) @ x.expand(6, 3), (double(1, 3),)),
    "write through a view": (lambda x, y: _written(x, y), (double(3, 4), double(4, seed=2))),
    "in place": (lambda x: (x * 1.5).mul_(x).add_(x).exp_(), (double(3),)),
    "setitem": (lambda x, y: _set(x, y), (double(3, 3), double(3, seed=2))),
    "where": (lambda x, y: bind(OPS["where"], x > 1.2, x * y, y * y), (double(6), double(6, seed=4))),
    "cat and slices": (lambda x, y: wf.cat([x[:1], y, x], 0)[1:4] ** 3, (double(2, 2), double(1, 2, seed=3))),
    "conv2d": (
        lambda x, w, b: wf.nn.functional.conv2d(x, w, b, stride=(2, 1), padding=1, groups=2),
        (double(1, 2, 4, 3), double(2, 1, 2, 2, seed=1), double(2, seed=2)),
    ),
    "matmul over batches": (lambda x, y: x @ y, (double(2, 1, 2, 3), double(2, 3, 2, seed=1))),
    "dropout": (lambda x: _dropped(x), (double(8),)),
}


def _written(x: Any, y: Any) -> Any:
    z = x * 1.0
    z[1:, ::2].mul_(y[::2])
    return z * x


def _set(x: Any, y: Any) -> Any:
    z = x * 2.0
    z[1] = y * y
    z[:, 0] = 3.0
    return z * z


def _dropped(x: Any) -> Any:
    wf.manual_seed(3)
    return wf.nn.functional.dropout(x, 0.5)


@pytest.mark.parametrize("name", CALLS)
def test_gradients_of_compositions(name: str) -> None:
    call, inputs = CALLS[name]
    assert gradcheck(call, inputs)
    assert gradgradcheck(call, inputs)


def test_strided_leaves() -> None:
    base = np.random.default_rng(0).uniform(0.5, 2.0, (4, 6))
    leaf = wf.tensor(base, dtype=wf.float64, device="cpu")[::2, 1::2].detach().requires_grad_()
    assert not leaf.is_contiguous()
    assert gradcheck(lambda x: x * x.sum(0), (leaf,))
