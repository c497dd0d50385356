"""The variables that a function names, and the device of a call of the function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from weft import devices
from weft.devices.base import Device
from weft.nn.module import Module
from weft.tensors.tensor import Tensor


def device_name_of_call(fn: Callable[..., Any], inputs: Sequence[Any]) -> str:
    """Return the device name of ``device_of_call`` without opening a device; ``cpu`` where no tensor is found."""
    given = [source for source in inputs if isinstance(source, Tensor)]
    found = given[0] if given else next(_reached(fn), None)
    return "cpu" if found is None else str(found.device)


def device_of_call(fn: Callable[..., Any], inputs: Sequence[Any]) -> Device:
    """Return the device of a call: of the tensors among its inputs, else of the first tensor that ``fn`` names."""
    given = [source for source in inputs if isinstance(source, Tensor)]
    found = given[0] if given else next(_reached(fn), None)
    return devices.default() if found is None else devices.open(str(found.device))


def variables(fn: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Yield the variables that a function names directly as (name, value): those of its closure, then its globals."""
    plain = inspect.unwrap(fn)
    code, scope = getattr(plain, "__code__", None), getattr(plain, "__globals__", {})
    cells = getattr(plain, "__closure__", None) or ()
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        if _is_filled(cell):
            yield name, cell.cell_contents
    for name in getattr(code, "co_names", ()):
        if name in scope:
            yield name, scope[name]


def _reached(fn: Callable[..., Any]) -> Iterator[Tensor]:
    """Yield the tensors that a function reaches directly: in its object, its closure and its globals."""
    for value in (fn, getattr(fn, "__self__", None), *(value for _, value in variables(fn))):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Module):
            yield from value.parameters()


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
