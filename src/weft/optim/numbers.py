"""Arithmetic for formulas that are written once: of the host's numbers, and of traced tensors in a compiled step."""

from __future__ import annotations

import math
from typing import Any, Protocol

from weft.dtypes import DType
from weft.ops import FUNCTIONS, OPS, bind
from weft.tensors.tensor import Tensor


class Numbers(Protocol):
    """What a formula needs beside operators."""

    def real(self, value: Any) -> Any:
        """A whole number, or whether something holds, as a number with a fraction."""

    def cos(self, value: Any) -> Any:
        """The cosine."""

    def log(self, value: Any, of_zero: float) -> Any:
        """The natural logarithm, and ``of_zero`` of 0."""

    def least(self, value: Any, other: int) -> Any:
        """The smaller of two whole numbers."""

    def choose(self, condition: Any, value: Any, other: Any) -> Any:
        """``value`` where the condition holds, else ``other``."""


class _Host:
    def real(self, value: Any) -> Any:
        return float(value)

    def cos(self, value: Any) -> Any:
        return math.cos(value)

    def log(self, value: Any, of_zero: float) -> Any:
        return math.log(value) if value else of_zero

    def least(self, value: Any, other: int) -> Any:
        return min(value, other)

    def choose(self, condition: Any, value: Any, other: Any) -> Any:
        return value if condition else other


class Traced:
    """Tensors of no dimensions; fractions are of the type of the rates."""

    def __init__(self, dtype: DType, device: str) -> None:
        self.dtype, self.device = dtype, device

    def real(self, value: Any) -> Any:
        """See ``Numbers``."""
        return value.to(dtype=self.dtype) if isinstance(value, Tensor) else float(value)

    def cos(self, value: Any) -> Any:
        """See ``Numbers``."""
        return value.cos() if isinstance(value, Tensor) else math.cos(value)

    def log(self, value: Any, of_zero: float) -> Any:
        """See ``Numbers``."""
        if not isinstance(value, Tensor):
            return HOST.log(value, of_zero)
        return self.choose(value == 0, of_zero, value.log())

    def least(self, value: Any, other: int) -> Any:
        """See ``Numbers``."""
        return value.clamp(max=other)

    def choose(self, condition: Any, value: Any, other: Any) -> Any:
        """See ``Numbers``."""
        return FUNCTIONS["where"].function(condition, self._same(value), self._same(other))

    def _same(self, value: Any) -> Any:
        """A number as a tensor of the rates' type, which ``where`` would take for one of 32 bits."""
        if isinstance(value, Tensor):
            return value
        return bind(OPS["full"], value, shape=(), dtype=self.dtype, device=self.device)


HOST: Numbers = _Host()
"""Python's floats."""
