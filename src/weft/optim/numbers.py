"""Arithmetic for formulas that are written once, for the host's numbers and for traced tensors in a compiled step."""

from __future__ import annotations

import math
from typing import Any, Protocol

from weft.dtypes import DType
from weft.ops import FUNCTIONS, OPS, bind
from weft.tensors.tensor import Tensor


class Numbers(Protocol):
    """The functions of formulas, beside operators."""

    def real(self, value: Any) -> Any:
        """Convert an integer or a bool to floating point."""

    def cos(self, value: Any) -> Any:
        """Return the cosine."""

    def log(self, value: Any, of_zero: float) -> Any:
        """Return the natural logarithm, or ``of_zero`` for 0."""

    def least(self, value: Any, other: int) -> Any:
        """Return the smaller of two integers."""

    def choose(self, condition: Any, value: Any, other: Any) -> Any:
        """Return ``value`` where the condition holds, else ``other``."""


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
    """Arithmetic of 0-d tensors; floating point has the type of the rates."""

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
        return FUNCTIONS["where"].function(condition, self._tensor(value), self._tensor(other))

    def _tensor(self, value: Any) -> Any:
        """Return a number as a tensor of the rates' type: ``where`` makes Python numbers float32."""
        if isinstance(value, Tensor):
            return value
        return bind(OPS["full"], value, shape=(), dtype=self.dtype, device=self.device)


HOST: Numbers = _Host()
"""Arithmetic of Python's floats."""
