"""Python numbers given to jitted functions: eager's types and values, for every operator and data type."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy
import pytest

import weft as wf
from weft import dtypes
from weft.errors import UnsupportedError, WeftError

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "rsub": lambda x, k: k - x, "mul": operator.mul,
    "truediv": operator.truediv, "rtruediv": lambda x, k: k / x, "floordiv": operator.floordiv,
    "mod": operator.mod, "pow": operator.pow, "lt": operator.lt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne,
    "maximum": lambda x, k: x.clamp(min=2) * k, "where": lambda x, k: wf.where(x > 1, x, k),
    "masked_fill": lambda x, k: x.masked_fill(x > 1, k), "of numbers": lambda x, k: x * (k * 2 - k + 1),
    "quotient of numbers": lambda x, k: x + k / 2, "sum": lambda x, k: x.sum() * k, "in place": lambda x, k: x.clone().add_(k),
    "fill": lambda x, k: x.clone().fill_(k),
}  # fmt: skip


def outcome(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except WeftError as error:
        return error


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("number", [3, 2.5])
@pytest.mark.parametrize("shape", [(), (2,)], ids=str)
def test_results_are_those_of_eager(device: Any, name: str, number: Any, shape: tuple[int, ...]) -> None:
    function = OPERATORS[name]
    for dtype in dtypes.ALL:
        if not device.supports(dtype) or dtype is dtypes.bool_:
            continue
        x = wf.full(shape, 5, dtype=dtype, device=device.name)
        expected, found = outcome(function, x, number), outcome(wf.jit(function), x, number)
        if isinstance(expected, WeftError):
            assert isinstance(found, type(expected)), (dtype, expected, found)
            continue
        assert not isinstance(found, WeftError), (dtype, found)
        assert found.dtype is expected.dtype, (dtype, found.dtype, expected.dtype)
        a, b = (value.to(dtype=wf.float32).numpy().astype("float64") for value in (found, expected))
        numpy.testing.assert_allclose(a, b, rtol=1e-6, err_msg=str(dtype))


def test_a_number_is_rounded_once(device: Any) -> None:
    """As in eager code: the number comes into a product of float16 in the type that this is computed in."""
    number = 1.0 + 2.0**-12
    for shape in ((), (3,)):
        x = wf.full(shape, 1.5, dtype=wf.float16, device=device.name)
        y = wf.full(shape, -1.5, dtype=wf.float16, device=device.name)
        function = lambda a, b, k: wf.addcmul(b, a, a * 0 + k)  # noqa: E731
        assert wf.jit(function)(x, y, number).tolist() == function(x, y, number).tolist()


def test_results_that_are_numbers_are_tensors_of_their_type(device: Any) -> None:
    f = wf.jit(lambda x, k: (k, k * 2, k / 2, k > 1, x + k))
    x = wf.zeros(1, device=device.name)
    whole, real = f(x, 3), f(x, 0.1)
    assert [tensor.dtype for tensor in whole] == [wf.int64, wf.int64, wf.float32, wf.bool, wf.float32]
    assert [tensor.dtype for tensor in real] == [wf.float32, wf.float32, wf.float32, wf.bool, wf.float32]
    assert [tensor.item() for tensor in whole[:4]] == [3, 6, 1.5, True]
    assert real[0].item() == numpy.float32(0.1)


def test_numbers_of_loops_and_branches(device: Any) -> None:
    f = wf.jit(lambda c, xs, k: wf.compiler.scan(lambda carry, x: (carry * k + x, carry * k), c, xs))
    c, xs = wf.zeros((), device=device.name), wf.ones(3, device=device.name)
    final, outputs = f(c, xs, 0.5)
    assert final.dtype is wf.float32 and outputs.dtype is wf.float32
    assert final.item() == 1.75 and outputs.tolist() == [0.0, 0.5, 0.75]


def test_numbers_flow_into_gradients_and_optimizers(device: Any) -> None:
    w = wf.nn.Parameter(wf.ones(2, device=device.name))

    @wf.jit
    def step(x, rate):
        (grad,) = wf.autograd.grad((w * x * rate).sum(), w)
        with wf.no_grad():
            w.sub_(rate * grad)
        return grad

    for rate in (0.5, 0.25):
        assert step(wf.ones(2, device=device.name), rate).tolist() == [rate] * 2
    assert w.tolist() == [1 - 0.25 - 0.0625] * 2 and step.compilations == 1


USES: dict[str, Callable[..., Any]] = {
    "a key": lambda x, k: x * {2: 5.0}.get(k, 9.0),
    "a derived key": lambda x, k: x * {3: 5.0}.get(k + 1, 9.0),
    "a member of a set": lambda x, k: x * (k in {2, 3}),
    "a member of a tuple": lambda x, k: x * (k in (2, 3)),
    "a condition": lambda x, k: x if k > 1 else -x,
    "a size": lambda x, k: wf.zeros(k) + x,
    "a count": lambda x, k: [x for _ in range(k)],
    "an index of a list": lambda x, k: [x, -x, x, x * 2][k],
    "a function of math": lambda x, k: x * math.sqrt(k),
}


@pytest.mark.parametrize("use", USES)
def test_plain_uses_of_a_number_are_refused(use: str) -> None:
    """Each of these needs the value while the function is traced: the cure is a variable, which is guarded."""
    x, function = wf.ones((), device="cpu"), USES[use]
    with pytest.raises(
        UnsupportedError, match=r"the argument k is a number given to a jitted function.*close over"
    ):
        wf.jit(function)(x, 2)
    k = 2

    @wf.jit
    def closed(x):
        return function(x, k)

    for k in (2, 3):
        found, expected = closed(x), function(x, k)
        for actual, wanted in zip(
            *(value if isinstance(value, list) else [value] for value in (found, expected)), strict=True
        ):
            assert actual.tolist() == wanted.tolist()
    assert closed.compilations == 2
