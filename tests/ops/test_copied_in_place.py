"""In-place forms that copy a composite's result into the tensor: values and gradients as PyTorch's, mistakes first."""

from __future__ import annotations

from typing import Any

import pytest

import weft as wf
from tests.ops.arrays import assert_equal, from_torch, from_weft
from tests.ops.cases import FUNCTION_CASES, Case
from tests.ops.test_functions import call_torch, leaves, placed, rebuilt
from weft import dtypes
from weft.errors import DTypeError, ShapeError
from weft.ops import FUNCTIONS

SECOND = ("polygamma",)
"""Functions whose tensor is the second argument. The arguments of their methods differ, and they have other tests."""
NAMES = [
    name
    for name, spec in FUNCTIONS.items()
    if spec.inplace and spec.op is None and spec.plan is None and name not in SECOND
]


def test_the_forms_are_found() -> None:
    assert {"tril", "triu", "addmm", "cumsum", "renorm"} <= set(NAMES)


def fitting(name: str) -> Case:
    """Return the function's first case whose result has the shape of its first operand."""
    for case in FUNCTION_CASES[name]:
        given = rebuilt(case, [value.in_torch()[1] if hasattr(value, "view") else value
                               for value in leaves(placed(case, dtypes.float32, "dense"))])  # fmt: skip
        if call_torch(case, given).shape == given[0].shape:
            return case
    raise AssertionError(f"{name} has no case whose result fits its operand")


def differs(value: Any) -> bool:
    """Return whether an operand has a gradient: indices have none."""
    return bool(value.array.dtype.kind == "f")


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_those_of_torch(device: Any, name: str) -> None:
    case = fitting(name)
    flat = leaves(placed(case, dtypes.float32, "dense"))
    found = []
    for side in ("weft", "torch"):
        pairs = [
            (value.on(device.name, differs(value)) if side == "weft" else value.in_torch(differs(value)))
            if hasattr(value, "view")
            else (None, value)
            for value in flat
        ]
        target, *rest = rebuilt(case, [view for _, view in pairs])
        written = target * 1
        assert getattr(written, f"{name}_")(*rest, **case.keywords) is written
        (written * written).sum().backward()
        grads = [base.grad for base, _ in pairs if base is not None]
        convert: Any = from_weft if side == "weft" else from_torch
        found.append([None if each is None else convert(each) for each in (written, *grads)])
    for mine, own in zip(*found, strict=True):
        if mine is None:  # what does not count has no gradient here, and one of 0 in PyTorch
            assert own is None or not own.any()
        else:
            assert_equal(mine, own, f"{name}_", 64)


def test_mistakes_change_nothing(device: Any) -> None:
    x = wf.ones(3, device=device.name)
    with pytest.raises(ShapeError, match=r"addr_: the tensor written to is of shape \(3,\)"):
        x.addr_(x, x)
    count = wf.ones(2, 2, dtype=wf.int32, device=device.name)
    with pytest.raises(DTypeError, match="addmm_"):
        count.addmm_(wf.ones(2, 2, device=device.name), wf.ones(2, 2, device=device.name))
    assert x.tolist() == [1, 1, 1]
    assert count.tolist() == [[1, 1], [1, 1]]
