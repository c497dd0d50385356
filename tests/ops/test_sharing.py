"""Which results of every function share memory with an operand, and which are contiguous, as in PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from tests.ops.arrays import from_torch, from_weft
from tests.ops.cases import FUNCTION_CASES, Case, tried
from tests.ops.test_functions import call_torch, leaves, placed, rebuilt
from weft.ops import FUNCTIONS

ROWS = [(name, at) for name, cases in FUNCTION_CASES.items() for at in range(len(cases))]
IDS = [f"{name}-{at}" for name, at in ROWS]
LAYOUTS = ("dense", "reversed")
DENSE = ("as_strided", "take_along_dim", "view")
"""Functions that take dense tensors alone, here or in PyTorch."""


def tensors_of(given: Any, kind: type) -> list[Any]:
    """Return the tensors of a result, in nested tuples too."""
    if isinstance(given, kind):
        return [given]
    parts = given if isinstance(given, tuple | list) else []
    return [tensor for part in parts for tensor in tensors_of(part, kind)]


class Called:
    """The results of a function with its tensor arguments, in weft or in PyTorch."""

    def __init__(
        self, case: Case, dtype: Any, layout: str, device: str | None, call: Callable[..., Any]
    ) -> None:
        flat = leaves(placed(case, dtype, layout))
        made = [self._made(value, device) if hasattr(value, "view") else value for value in flat]
        self.kind: Any = torch.Tensor if device is None else wf.Tensor
        self.operands = [value for value in made if isinstance(value, self.kind)]
        self.results = tensors_of(call(*rebuilt(case, made)), self.kind)

    @staticmethod
    def _made(value: Any, device: str | None) -> Any:
        return value.in_torch()[1] if device is None else value.on(device)[1]

    def values(self, tensor: Any) -> bytes:
        array = from_torch(tensor) if self.kind is torch.Tensor else from_weft(tensor)
        return np.ascontiguousarray(array).tobytes()

    def writes_show(self, written: Any, read: Any) -> bool | None:
        """Return whether a write into a tensor changes another; ``None`` where it cannot be written to."""
        before = self.values(read)
        module: Any = torch if self.kind is torch.Tensor else wf
        other = ~written if written.dtype == module.bool else written + 1
        try:
            written.copy_(module.where(other == written, other * 0 + 7, other))
        except RuntimeError as error:
            if "single memory location" not in str(error):
                raise
            return None
        return self.values(read) != before


def layouts(name: str) -> Sequence[str]:
    """Return the layouts of operands that a function takes."""
    return LAYOUTS[:1] if name in DENSE else LAYOUTS


def called(name: str, at: int, dtype: Any, layout: str, device: str) -> tuple[Called, Called]:
    """Return the same call in weft and in PyTorch."""
    case = FUNCTION_CASES[name][at]
    wf.manual_seed(0)
    torch.manual_seed(0)
    ours = Called(
        case, dtype, layout, device, lambda *given: FUNCTIONS[name].function(*given, **case.keywords)
    )
    theirs = Called(case, dtype, layout, None, lambda *given: call_torch(case, given))
    assert len(ours.results) == len(theirs.results)
    return ours, theirs


@pytest.mark.parametrize(("name", "at"), ROWS, ids=IDS)
def test_results_share_memory_where_those_of_torch_do(device: Any, name: str, at: int) -> None:
    for dtype, layout in itertools.product(tried(FUNCTION_CASES[name][at], device), layouts(name)):
        ours, theirs = called(name, at, dtype, layout, device.name)
        for result in range(len(ours.results)):
            for operand in range(len(ours.operands)):
                found, expected = (
                    [
                        side.writes_show(side.operands[operand], side.results[result]),
                        side.writes_show(side.results[result], side.operands[operand]),
                    ]
                    for side in (ours, theirs)
                )
                if (
                    found[1] is None
                ):  # weft refuses writes to windows that overlap, PyTorch only to expanded tensors
                    expected[1] = None
                what = (
                    f"{name}({layout}, {dtype.name}): of writes to operand {operand} and to result {result}"
                )
                assert found == expected, f"{what} are seen in the other: {found}, PyTorch's: {expected}"


@pytest.mark.parametrize(("name", "at"), ROWS, ids=IDS)
def test_results_are_contiguous_where_those_of_torch_are(device: Any, name: str, at: int) -> None:
    for dtype, layout in itertools.product(tried(FUNCTION_CASES[name][at], device), layouts(name)):
        ours, theirs = called(name, at, dtype, layout, device.name)
        for mine, own in zip(ours.results, theirs.results, strict=True):
            if own.is_contiguous():
                assert mine.is_contiguous(), (
                    f"{name}({layout}, {dtype.name}): strides {mine.stride()} of {tuple(mine.shape)}"
                )


CONVERSIONS: dict[str, Callable[[Any, Any], Any]] = {
    "to its own type": lambda m, x: x.to(m.float32),
    "to another type": lambda m, x: x.to(m.float16),
    "to, copied": lambda m, x: x.to(m.float32, copy=True),
    "float": lambda m, x: x.float(),
    "int": lambda m, x: x.int(),
    "detach": lambda m, x: x.detach(),
    "data": lambda m, x: x.data,
    "mT": lambda m, x: x.mT,
    "index": lambda m, x: x[1:, None, 0],
    "index by tensor": lambda m, x: x[:, m.tensor([1, 0])],
    "index by list": lambda m, x: x[[1, 0]],
    "index by mask": lambda m, x: x[x > -100],
    "index by mask and slice": lambda m, x: x[:, m.tensor([True, False, True])],
    "index by tensors apart": lambda m, x: x[None][m.tensor([0, 0]), :, m.tensor([1, 2])],
    "index in the middle": lambda m, x: x[..., None][:, m.tensor([[1, 0], [2, 2]])],
    "as_tensor": lambda m, x: m.as_tensor(x),
}


@pytest.fixture
def default_device(device: Any) -> Iterator[Any]:
    """Make the device under test the default device."""
    wf.set_default_device(device.name)
    yield device
    wf.set_default_device(None)


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions_and_indices_share_and_lie_as_those_of_torch(default_device: Any, name: str) -> None:
    found = []
    for module in (wf, torch):
        x = module.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
        result = CONVERSIONS[name](module, x)
        before = np.array(result.numpy())
        x += 1
        found.append(
            (not np.array_equal(before, result.numpy()), result.is_contiguous(), tuple(result.shape))
        )
    assert found[0] == found[1], "weft's and PyTorch's: shared, contiguous, shape"
