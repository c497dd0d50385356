"""Mistakes made from the table of cases: each argument of each function gets a wrong kind, rank, type or device.

Where the function takes the mistake as PyTorch does (a number for a tensor, a broadcast), nothing is asked. Where it
refuses, the answer is a ``WeftError`` that names the function, or the one that it is made of, and says what was expected.
"""

from __future__ import annotations

from typing import Any

import pytest

import weft as wf
from tests.conftest import ADAPTER
from tests.ops.arrays import Arg
from tests.ops.cases import FUNCTION_CASES
from weft import dtypes
from weft.errors import WeftError
from weft.ops import FUNCTIONS, OPS

PLACES = [
    (name, at)
    for name, cases in FUNCTION_CASES.items()
    for at, value in enumerate(cases[0].arguments)
    if isinstance(value, Arg)
]


def good(name: str, device: str) -> list[Any]:
    """Return the arguments of a function's first case."""
    case = FUNCTION_CASES[name][0]

    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(part) for part in value]
        if isinstance(value, Arg):
            kind = value.dtype or case.dtypes[0]
            return wf.tensor(value.make(kind), dtype=kind, device=device)
        return value

    return [one(value) for value in case.arguments]


def call(name: str, arguments: list[Any]) -> Any:
    return FUNCTIONS[name].function(*arguments, **FUNCTION_CASES[name][0].keywords)


MISTAKES: dict[str, Any] = {
    "text": lambda x, device: "text",
    "object": lambda x, device: object(),
    "rank": lambda x, device: x.reshape(*(1,) * 2, *x.shape) if x.ndim < 4 else x.reshape(-1),
    "size": lambda x, device: wf.zeros(*(n + 5 for n in x.shape), dtype=x.dtype, device=device),
    "type": lambda x, device: x.to(dtypes.bool_ if x.dtype.kind == "float" else dtypes.float32),
}
REFUSED = ("text", "object")
"""Mistakes that no function takes."""
EACH_ALONE = ("broadcast_tensors", "meshgrid")
"""Functions that give views of each tensor by itself, so that the tensors may be on several devices."""


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize(("name", "at"), PLACES, ids=[f"{name}-{at}" for name, at in PLACES])
def test_a_mistake_is_answered_by_its_name(name: str, at: int, mistake: str) -> None:
    arguments = good(name, "cpu")
    arguments[at] = MISTAKES[mistake](arguments[at], "cpu")
    try:
        call(name, arguments)
    except WeftError as error:
        text = str(error)
        where = text.partition(":")[0]  # the function itself, or the one that it is made of
        assert where in FUNCTIONS or where in OPS or where == FUNCTIONS[name].functional_name, text
        assert any(word in text for word in ("expected", "do not", "out of range", ";")), text
    else:
        assert mistake not in REFUSED, f"{name} took {mistake!r} for argument {at}"


def tensors(name: str) -> int:
    """Return the number of tensors of a function's first case, those in lists too."""
    parts = [p for v in FUNCTION_CASES[name][0].arguments for p in (v if isinstance(v, list) else [v])]
    return sum(isinstance(part, Arg) for part in parts)


def is_everywhere(name: str) -> bool:
    """Return whether the tensors of a function's first case have a type that all devices have."""
    return FUNCTION_CASES[name][0].dtypes[0] is not dtypes.float64


MIXED = [
    (name, at) for name, at in PLACES if tensors(name) > 1 and name not in EACH_ALONE and is_everywhere(name)
]


@pytest.mark.webgpu
@pytest.mark.parametrize(("name", "at"), MIXED, ids=[f"{name}-{at}" for name, at in MIXED])
def test_tensors_of_two_devices_are_named(name: str, at: int) -> None:
    arguments = good(name, "cpu")
    arguments[at] = arguments[at].to(ADAPTER)
    with pytest.raises(WeftError, match=r"on .*(cpu.*webgpu|webgpu.*cpu)"):
        call(name, arguments)
