"""Masks in jitted functions: shape-preserving uses compile as ``where``, other uses raise an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from weft.errors import DTypeError, UnsupportedError

VALUES = numpy.array([[-2.0, 0.5, 3.0], [1.0, -1.0, 0.0]], "float32")


def written(change: Callable[[Any, Any], None]) -> Callable[[Any], Any]:
    def program(x):
        y = x.clone()
        change(y, y < 0.75)
        return y

    return program


def assign(target: Any, mask: Any, value: Any) -> None:
    target[mask] = value


def times(y: Any, mask: Any) -> None:
    y[mask] *= 3.0


def several(y: Any, mask: Any) -> None:
    y[mask] = 1 - (-y[mask]) / 4 + abs(y[mask]) ** 2


def of_another(y: Any, mask: Any) -> None:
    other = y * 10
    y[mask] = other[mask] + y[mask]


def rows(y: Any, mask: Any) -> None:
    chosen = mask[:, 0]
    y[chosen] += 5


STATIC: dict[str, Callable[[Any, Any], None]] = {
    "a number": lambda y, mask: assign(y, mask, 7.0),
    "a 0-d tensor": lambda y, mask: assign(y, mask, y.sum()),
    "in place": times, "an expression": several, "of another tensor": of_another, "rows": rows,
    "a power": lambda y, mask: assign(y, mask, 2.0 ** y[mask]),
}  # fmt: skip


@pytest.mark.parametrize("name", STATIC)
def test_shape_preserving_masks_are_compiled(device: Any, name: str) -> None:
    program = written(STATIC[name])
    f = wf.jit(program)
    found = f(wf.tensor(VALUES, device=device.name))
    numpy.testing.assert_allclose(found.numpy(), program(torch.tensor(VALUES)).numpy(), rtol=1e-6)
    assert f.compilations == 1


def test_unselected_elements_get_no_gradient(device: Any) -> None:
    """The reciprocal of an element that is not selected is infinite: its gradient is 0, and no NaN."""

    def loss(x):
        mask = x.detach() != 0
        y = x * 1
        y[mask] = 1 / y[mask]
        return y.sum()

    x = wf.tensor(VALUES, device=device.name)
    found = wf.jit(wf.func.grad(loss))(x)
    given = torch.tensor(VALUES, requires_grad=True)
    loss(given).backward()
    numpy.testing.assert_allclose(found.numpy(), given.grad.numpy(), rtol=1e-6)


DYNAMIC: dict[str, tuple[Callable[[Any], Any], str]] = {
    "x[mask]": (lambda x: x[x > 0], r"x\[mask\]"),
    "a sum": (lambda x: x[x > 0].sum(), r"x\[mask\]\.sum"),
    "an argument": (lambda x: x * x[x > 0], r"x\[mask\]"),
    "two indices": (lambda x: x[0, x[0] > 0], r"x\[mask\]"),
    "other values": (lambda x: assign(x * 1, x > 0, x[0]), r"x\[mask\] = values"),
    "another mask": (lambda x: assign(x * 1, x > 0, x[x < 0]), r"x\[mask\] = values of another mask"),
    "nonzero": (lambda x: x.nonzero(), "nonzero"),
    "nonzero as a tuple": (lambda x: wf.nonzero(x, as_tuple=True), "nonzero"),
    "argwhere": (lambda x: wf.argwhere(x), "nonzero"),
    "where": (lambda x: wf.where(x > 0), "nonzero"),
    "masked_select": (lambda x: wf.masked_select(x, x > 0), "masked_select"),
    "masked_scatter": (lambda x: x.masked_scatter(x > 0, x), "masked_scatter"),
    "bincount": (lambda x: wf.bincount(x.long().reshape(-1)), "bincount"),
    "one_hot": (lambda x: wf.nn.functional.one_hot(x.long()), "one_hot without num_classes"),
    "repeat_interleave": (lambda x: wf.repeat_interleave(x[0], x[0].long()), "repeat_interleave"),
}  # fmt: skip


@pytest.mark.parametrize("name", DYNAMIC)
def test_shapes_that_depend_on_values_are_refused_by_name(name: str) -> None:
    function, message = DYNAMIC[name]
    with pytest.raises((UnsupportedError, TypeError), match=rf"{message}.*"):
        wf.jit(function)(wf.tensor(VALUES, device="cpu"))
    if name != "an argument":
        with pytest.raises(
            UnsupportedError, match=r"depends on the values.*weft\.where.*\(at test_jit_masks\.py:\d+\)"
        ):
            wf.jit(function)(wf.tensor(VALUES, device="cpu"))


def test_types_are_checked_as_in_eager_code() -> None:
    x = wf.tensor([1, 2, 3], device="cpu")

    def halves(x):
        y = x.clone()
        y[y > 1] = y[y > 1] / 2
        return y

    def in_place(x):
        y, mask = x.clone(), x > 1
        y[mask] = y[mask] / 2
        return y

    for run in (in_place, wf.jit(in_place)):
        with pytest.raises(DTypeError, match="value's dtype is float32"):
            run(x)
    with pytest.raises(UnsupportedError, match="another mask"):
        wf.jit(halves)(x)
