"""Each argument of each function replaced by what it is not: PyTorch's result or a WeftError, and the process as before.

The replacements are values that programs pass by accident. After all of them the device computes and counts its memory as
it did before.
"""

from __future__ import annotations

import gc
import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from tests.ops.arrays import Arg, assert_equal, from_torch, from_weft, to_torch, to_weft
from tests.ops.cases import FUNCTION_CASES, Case, tried
from tests.ops.test_functions import results_of
from weft import devices
from weft.dtypes import DType
from weft.errors import WeftError
from weft.ops import FUNCTIONS

REPLACEMENTS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "0-d tensor": (lambda: wf.tensor(1), lambda: torch.tensor(1)),
    "NumPy int": (lambda: np.int64(1), lambda: np.int64(1)),
    "NumPy float": (lambda: np.float32(0.5), lambda: np.float32(0.5)),
    "0-d array": (lambda: np.array(2), lambda: None),
    "None": (lambda: None, lambda: None),
    "text": (lambda: "text", lambda: "text"),
    "huge": (lambda: 10**30, lambda: 10**30),
    "2**62": (lambda: 2**62, lambda: 2**62),
    "NaN": (lambda: float("nan"), lambda: float("nan")),
    "nested": (lambda: [[1, 2], [3]], lambda: [[1, 2], [3]]),
    "NumPy array": (lambda: np.ones(3), lambda: None),
}
"""The replacements of an argument, in weft and in PyTorch."""
COMPARED = ("0-d tensor", "NumPy int", "NumPy float", "NaN")
"""Replacements that PyTorch may take as equal to the argument."""


def made(case: Case, form: Callable[[Any], Any]) -> list[Any]:
    """Return the case's arguments, with each array converted by ``form``."""

    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(part) for part in value]
        return form(value.make(value.dtype or case.dtypes[0])) if isinstance(value, Arg) else value

    return [one(value) for value in case.arguments]


def calls(name: str, case: Case) -> Iterator[tuple[str, int | str]]:
    """Return the arguments of a function: those of its case by position, the others by name."""
    parameters = list(inspect.signature(FUNCTIONS[name].function).parameters.values())
    positional = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    for place in range(len(case.arguments)):
        yield positional[min(place, len(positional) - 1)], place
    for parameter in parameters:
        by_name = parameter.kind is not parameter.VAR_POSITIONAL
        if by_name and parameter.name not in positional[: len(case.arguments)]:
            yield parameter.name, parameter.name


def outcome(function: Callable[..., Any], arguments: list[Any], case: Case, at: int | str, value: Any) -> Any:
    """Return the function's result with an argument replaced."""
    keywords = dict(case.keywords)
    if isinstance(at, str):
        keywords[at] = value
    else:
        arguments = [value if place == at else given for place, given in enumerate(arguments)]
    return function(*arguments, **keywords)


def compare(mine: Any, theirs: Any, words: str, scale: float) -> None:
    for own, other in zip(results_of(mine), results_of(theirs), strict=True):
        if isinstance(other, torch.Tensor):
            assert_equal(from_weft(own), from_torch(other), words, max(scale, 4.0))
        else:
            assert own == other, words


def attempt(name: str, case: Case, arguments: list[Any], others: list[Any], at: int | str, kind: str) -> str:
    """Return what is wrong with the outcome of a replacement, or an empty text."""
    here, there = REPLACEMENTS[kind]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice about deprecated arguments
            mine = outcome(FUNCTIONS[name].function, arguments, case, at, here())
    except WeftError:
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if not all(type(size) is int for own in results_of(mine) for size in getattr(own, "shape", ())):
        return "a size is no int"
    if kind not in COMPARED:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = outcome(case.torch, others, case, at, there())
    except Exception:  # PyTorch, or the case's way to call it, does not take it
        return ""
    try:
        compare(mine, theirs, kind, case.scale)
    except Exception as error:
        return " ".join(str(error).split())
    return ""


OF_TENSORS = ("None", "text", "huge", "nested", "NumPy array")
"""Replacements of an argument that takes tensors: numbers and 0-d tensors there are cases of other tests."""


def kinds_for(name: str, argument: str) -> list[str]:
    """Return the replacements of an argument."""
    front = FUNCTIONS[name].front
    own = [each for each in (*front.arguments, front.several) if each is not None and each.name == argument]
    return [kind for kind in REPLACEMENTS if "Tensor" not in own[0].kinds or kind in OF_TENSORS]


def memory() -> tuple[int, int]:
    """Return the bytes and storages that are in use."""
    stats = wf.devices.open("cpu").memory_stats()
    assert type(stats.in_use) is type(stats.peak) is type(stats.pooled) is int
    return stats.in_use, stats.storages


ROWS = [
    (name, dtype) for name, (case, *_) in FUNCTION_CASES.items() for dtype in tried(case, devices.open("cpu"))
]


@pytest.mark.parametrize(("name", "dtype"), ROWS, ids=[f"{name}-{dtype.name}" for name, dtype in ROWS])
def test_replaced_arguments_give_pytorchs_result_or_a_weft_error(name: str, dtype: DType) -> None:
    case = replace(FUNCTION_CASES[name][0], dtypes=(dtype,))
    gc.collect(0)
    before = memory()
    wrong = []
    ours, theirs = made(case, lambda array: to_weft(array, "cpu")), made(case, to_torch)
    for argument, at in calls(name, case):
        for kind in kinds_for(name, argument):
            if name.endswith("_"):  # what is written in place is made anew
                ours, theirs = made(case, lambda array: to_weft(array, "cpu")), made(case, to_torch)
            words = attempt(name, case, ours, theirs, at, kind)
            if words:
                wrong.append(f"{name}: {argument} replaced by {kind}: {words}"[:250])
    assert not wrong, "\n" + "\n".join(wrong)
    assert (wf.ones(3) + 1).tolist() == [2, 2, 2]
    ours.clear()
    if memory() != before:  # tensors in cycles
        gc.collect()
    assert memory() == before
