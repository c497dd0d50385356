"""What a function reaches: the variables that it names, and where a call of it works."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from weft import devices
from weft.devices.base import Device
from weft.nn.module import Module
from weft.tensors.tensor import Tensor


def device_name_of_call(fn: Callable[..., Any], inputs: Sequence[Any]) -> str:
    """As ``device_of_call``, but ``cpu`` where nothing says another: no device is opened."""
    given = [source for source in inputs if isinstance(source, Tensor)]
    found = given[0] if given else next(_reached(fn), None)
    return "cpu" if found is None else str(found.device)


def device_of_call(fn: Callable[..., Any], inputs: Sequence[Any]) -> Device:
    """Where Python numbers go: to the tensors of the call, else to those that the function reaches first."""
    given = [source for source in inputs if isinstance(source, Tensor)]
    found = given[0] if given else next(_reached(fn), None)
    return devices.default() if found is None else devices.open(str(found.device))


def variables(fn: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """The values that a function names directly, by their names: those of its closure, then its globals."""
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
    """The tensors that a function names directly: in itself, its object, its closure, its globals."""
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
