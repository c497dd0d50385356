"""Where a call works: the device of its tensors, or of those that the function names."""

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
    given = [one for one in inputs if isinstance(one, Tensor)]
    found = given[0] if given else next(_reached(fn), None)
    return "cpu" if found is None else str(found.device)


def device_of_call(fn: Callable[..., Any], inputs: Sequence[Any]) -> Device:
    """Where Python numbers go: to the tensors of the call, else to those that the function reaches first."""
    given = [one for one in inputs if isinstance(one, Tensor)]
    found = given[0] if given else next(_reached(fn), None)
    return devices.default() if found is None else devices.open(str(found.device))


def _reached(fn: Callable[..., Any]) -> Iterator[Tensor]:
    """The tensors that a function names directly: in itself, its object, its closure, its globals."""
    plain = inspect.unwrap(fn)
    values = [fn, getattr(fn, "__self__", None)]
    values += [cell.cell_contents for cell in getattr(plain, "__closure__", None) or () if _is_filled(cell)]
    code, scope = getattr(plain, "__code__", None), getattr(plain, "__globals__", {})
    values += [scope[name] for name in getattr(code, "co_names", ()) if name in scope]
    for value in values:
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
