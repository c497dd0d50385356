"""``x[mask]`` in a traced function, where the number of selected elements is not known.

A graph has static shapes, so a selection by a mask is no tensor. A selection that is written back to the same places
has a static form: ``x[mask] *= s`` and ``x[mask] = y[mask]`` are ``where``. A ``Selection`` stands for the selected
elements until it is written. It computes on whole tensors in which the other elements are 1, so that these elements
neither raise errors nor become infinite.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NoReturn

from weft.errors import UnsupportedError
from weft.ops.registry.interpreters import bind, interpreter_stack
from weft.ops.registry.table import lookup


def is_traced() -> bool:
    """Return whether ops are recorded, so that no value can be read."""
    return not interpreter_stack()[0].executes


def refuse(where: str) -> NoReturn:
    """Raise ``UnsupportedError`` for a result whose shape depends on values, in a traced function."""
    raise UnsupportedError(
        f"{where}: the shape of the result depends on the values of a tensor, which a traced function does not know, "
        f"expected static shapes; compute on the whole tensor and choose with weft.where(mask, a, b), multiply by the "
        f"mask, or call this outside of the jitted function"
    )


def read_number(where: str, tensor: Any) -> int:
    """Return the integer in a tensor of one element, on which a shape depends; raise in a traced function."""
    if is_traced():
        refuse(where)
    return int(tensor.item())


class Selection:
    """The elements of ``whole`` where ``mask`` is true, in a traced function. It supports arithmetic with numbers."""

    __slots__ = ("mask", "spread", "whole")
    __array_ufunc__ = None

    def __init__(self, whole: Any, mask: Any, spread: Any) -> None:
        filler = bind(lookup("full"), 1, shape=(), dtype=whole.dtype, device=str(whole.device))
        self.mask, self.spread = mask, spread
        self.whole = bind(lookup("where"), spread, whole, filler)

    def _with(self, whole: Any) -> Selection:
        made = object.__new__(Selection)
        made.mask, made.spread, made.whole = self.mask, self.spread, whole
        return made

    def _other(self, value: Any) -> Any:
        if isinstance(value, Selection):
            return value.whole if value.mask is self.mask else refuse("x[mask] with values of another mask")
        if isinstance(value, bool | int | float):
            return value
        return (
            value if tuple(getattr(value, "shape", (0,))) in ((), (1,)) else refuse("x[mask] with a tensor")
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse(f"x[mask].{name}")

    def __getitem__(self, index: Any) -> Any:
        refuse("x[mask][...]")

    def __len__(self) -> int:
        refuse("len(x[mask])")

    def __iter__(self) -> Any:
        refuse("iter(x[mask])")

    def __bool__(self) -> bool:
        refuse("bool(x[mask])")

    def __neg__(self) -> Selection:
        return self._with(-self.whole)

    def __abs__(self) -> Selection:
        return self._with(abs(self.whole))

    def __repr__(self) -> str:
        return "<x[mask] of a traced tensor>"


def _binary(
    function: Callable[[Any, Any], Any], turned: bool = False
) -> Callable[[Selection, Any], Selection]:
    def compute(self: Selection, other: Any) -> Selection:
        value = self._other(other)
        return self._with(function(value, self.whole) if turned else function(self.whole, value))

    return compute


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(Selection, f"__{_name}__", _binary(getattr(operator, f"__{_name}__")))
    setattr(Selection, f"__r{_name}__", _binary(getattr(operator, f"__{_name}__"), True))
    setattr(Selection, f"__i{_name}__", _binary(getattr(operator, f"__i{_name}__")))
