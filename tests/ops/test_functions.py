"""Each public function against PyTorch (values, dtypes, shapes, gradients) and its gradients against finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from tests.ops.arrays import LAYOUTS, Arg, Placed, assert_equal, from_torch, from_weft, to_weft
from tests.ops.cases import FUNCTION_CASES, Case
from weft import dtypes
from weft.dtypes import DType
from weft.ops import FUNCTIONS

Row = tuple[str, int, DType]
ROWS: list[Row] = [
    (name, at, dtype)
    for name, cases in FUNCTION_CASES.items()
    for at, case in enumerate(cases)
    for dtype in case.dtypes
]
IDS = [f"{name}-{at}-{dtype.name}" for name, at, dtype in ROWS]


def placed(case: Case, dtype: DType, layout: str) -> list[Any]:
    """Return the arguments with each ``Arg``, in lists too, as a placed array."""
    count = iter(range(100))

    def converted(value: Any) -> Any:
        if isinstance(value, list):
            return [converted(part) for part in value]
        return LAYOUTS[layout](value.make(dtype, str(next(count)))) if isinstance(value, Arg) else value

    return [converted(value) for value in case.arguments]


def leaves(values: Sequence[Any]) -> list[Any]:
    """Return all arguments, with lists flattened."""
    return [part for value in values for part in (value if isinstance(value, list) else [value])]


def flags(case: Case, dtype: DType) -> list[bool]:
    """Return, for each flat argument, whether its gradient is wanted."""
    wanted = []
    for value in leaves(case.arguments):
        own = (value.dtype or dtype) if isinstance(value, Arg) else None
        wanted.append(case.gradient and own is not None and own.kind == "float" and value.differentiable)
    return wanted


def rebuilt(case: Case, flat: Sequence[Any]) -> list[Any]:
    """Return flat values in the nesting of the arguments."""
    rest = iter(flat)
    return [
        [next(rest) for _ in value] if isinstance(value, list) else next(rest) for value in case.arguments
    ]


def call_torch(case: Case, arguments: Sequence[Any]) -> Any:
    with warnings.catch_warnings():  # PyTorch's advice about its own functions
        warnings.simplefilter("ignore")
        return case.torch(*arguments, **case.keywords)


def outputs(results: Any) -> list[Any]:
    """Return the results of a function as a list."""
    return list(results) if isinstance(results, tuple | list) else [results]


def results_of(given: Any) -> list[Any]:
    """Return the tensors of a result: of a tensor, of a tuple, or none of a plain value."""
    return list(given) if isinstance(given, tuple | list) else [given]


def same_dtype(theirs: torch.Tensor, ours: Any) -> None:
    assert str(theirs.dtype).removeprefix("torch.") == ours.dtype.name, (
        f"dtype {ours.dtype}, PyTorch {theirs.dtype}"
    )


@pytest.mark.parametrize(("name", "at", "dtype"), ROWS, ids=IDS)
def test_function_equals_torch(device: Any, name: str, at: int, dtype: DType) -> None:
    case = FUNCTION_CASES[name][at]
    if not device.supports(dtype):
        with pytest.raises(wf.errors.DTypeError, match="float64 is not available on device"):
            wf.zeros(1, dtype=dtype, device=device.name)
        return
    for layout in ("dense", "stepped", "reversed") if at == 0 and dtype is dtypes.float32 else ("dense",):
        check(name, case, dtype, layout, device.name)


def check(name: str, case: Case, dtype: DType, layout: str, device: str) -> None:
    wanted = flags(case, dtype)
    flat = leaves(placed(case, dtype, layout))
    ours: list[Any] = []
    theirs: list[Any] = []
    for value, needs in zip(flat, wanted, strict=True):
        ours.append(value.on(device, needs) if isinstance(value, Placed) else (None, value))
        theirs.append(value.in_torch(needs) if isinstance(value, Placed) else (None, value))
    got = FUNCTIONS[name].function(*rebuilt(case, [view for _, view in ours]), **case.keywords)
    expected = call_torch(case, rebuilt(case, [view for _, view in theirs]))
    if not isinstance(expected, torch.Tensor | tuple | list):  # a Python value
        assert type(got) is type(expected)
        assert got == expected
        return
    pairs = list(zip(results_of(got), results_of(expected), strict=True))
    for mine, own in pairs:
        same_dtype(own, mine)
        assert_equal(from_weft(mine), from_torch(own), f"{name} {layout}", case.scale)
        assert mine.requires_grad == own.requires_grad
    pairs = [(mine, own) for mine, own in pairs if own.requires_grad]
    if not pairs or not case.torch_gradient:
        return
    draw = np.random.default_rng(1)
    seeds = [draw.uniform(0.5, 1.5, tuple(own.shape)).astype(from_torch(own).dtype) for _, own in pairs]
    torch.autograd.backward(
        [own for _, own in pairs],
        [
            torch.tensor(seed.astype("float64")).to(own.dtype)
            for seed, (_, own) in zip(seeds, pairs, strict=True)
        ],
    )
    wf.autograd.backward([mine for mine, _ in pairs], [to_weft(seed, device) for seed in seeds])
    for position, ((mine, _), (own, _)) in enumerate(zip(ours, theirs, strict=True)):
        if wanted[position]:
            assert mine.grad.dtype is mine.dtype
            scale = 4 * max(case.scale, 2)
            assert_equal(
                from_weft(mine.grad), from_torch(own.grad), f"{name} {layout}: gradient {position}", scale
            )


def elements(case: Case) -> int:
    return sum(
        int(np.prod(leaf.shape, dtype=int)) for leaf in leaves(case.arguments) if isinstance(leaf, Arg)
    )


def can_check(case: Case) -> bool:
    """Return whether finite differences can be taken: few elements, all float64."""
    fixed = [
        leaf.dtype for leaf in leaves(case.arguments) if isinstance(leaf, Arg) and leaf.dtype is not None
    ]
    return (
        any(flags(case, dtypes.float64))
        and elements(case) <= 150
        and all(dtype.kind != "float" for dtype in fixed)
    )


CHECKED = [(n, i) for n, cases in FUNCTION_CASES.items() for i, case in enumerate(cases) if can_check(case)]


@pytest.mark.cpu
@pytest.mark.parametrize(("name", "at"), CHECKED, ids=[f"{n}-{i}" for n, i in CHECKED])
def test_gradients_equal_differences(name: str, at: int) -> None:
    case = FUNCTION_CASES[name][at]
    wanted = flags(case, dtypes.float64)
    flat = [
        to_weft(value.array, "cpu", needs) if isinstance(value, Placed) else value
        for value, needs in zip(leaves(placed(case, dtypes.float64, "dense")), wanted, strict=True)
    ]

    def called(*values: Any) -> Any:
        result = FUNCTIONS[name].function(*rebuilt(case, values), **case.keywords)
        floats = [part for part in results_of(result) if part.dtype.kind == "float"]
        return tuple(floats) if isinstance(result, tuple | list) else floats[0]

    assert wf.autograd.gradcheck(called, flat)
    if case.second and elements(case) <= 60:
        assert wf.autograd.gradgradcheck(called, flat)
