"""``Prepared``: a call as data, with all that the layouts of its operands decide; the eager interpreter keeps it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from weft.devices.base import Device, DispatchArguments
from weft.dtypes import DType
from weft.ops import Interpreter, OpSpec, TensorType
from weft.ops.registry.geometry import contiguous_strides
from weft.tensors.array import Array, layout_key, require_support
from weft.tensors.described import Size


class Executor(Interpreter, Protocol):
    """The eager interpreter, as a prepared call uses it."""

    def run_composed(
        self, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], into: tuple[Any, ...] | None
    ) -> tuple[Any, ...]:
        """Run an op as the ops that it is made of."""

    def dispatch(self, device: Device, calls: list[DispatchArguments]) -> None:
        """Dispatch the kernels of an op, all or none."""

    def count_writes(self, written: Sequence[Array]) -> None:
        """Note that arrays were overwritten."""

    def gathering(self) -> Gathering:
        """Return an interpreter that keeps dispatches until it is told to finish."""


class Gathering(Executor, Protocol):
    """An executor that runs all its ops together at the end."""

    def finish(self, executor: Any = None, written: tuple[Array, ...] = ()) -> None:
        """Hand all dispatches to ``executor``, and count the writes."""


@dataclass(frozen=True, slots=True)
class NewArray:
    """An array that a call makes: bytes, type, contiguous layout."""

    size: int
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    key: int

    @staticmethod
    def on(device: Device, dtype: DType, shape: tuple[int, ...]) -> NewArray:
        """Return the description of what ``empty`` makes; ``DTypeError`` where the device lacks the type."""
        require_support(device, dtype)
        strides, size = contiguous_strides(shape), math.prod(shape) * device.itemsize(dtype)
        key = layout_key(dtype, shape, strides, 0, device, size)
        return NewArray(size, dtype, Size(shape), strides, key)

    def allocate(self, device: Device) -> Array:
        """Return a new array with undefined contents."""
        return Array(device.allocate(self.size), self.dtype, self.shape, self.strides, 0, self.key)


@dataclass(frozen=True, slots=True)
class Prepared(ABC):
    """A prepared call: all that its op, its attributes and the layouts of its operands decide."""

    device: Device
    outputs: tuple[NewArray, ...]
    """Empty where the call is given its targets."""
    temporaries: tuple[NewArray, ...]
    types: tuple[TensorType, ...]
    """Types of the operands."""
    output_types: tuple[TensorType, ...]
    run: Callable[..., tuple[Array, ...]] | None
    """The call as one function for devices that are ``direct``, where all kernels have launches (``running``)."""

    @abstractmethod
    def carry_out(
        self, executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Run the call on operands of these layouts; return its outputs, or the targets ``into`` it wrote."""
