"""Prepared calls of kernels: offsets and Python scalars are filled in, outputs allocated, kernels dispatched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.devices.base import DispatchArguments, Launch, Range, Span
from weft.dtypes import DType
from weft.kernels import as_parameter
from weft.ops import OpSpec
from weft.target import KernelSpec
from weft.tensors.prepared import Executor, Prepared


@dataclass(frozen=True, slots=True)
class PreparedStep:
    """A compiled kernel with its arguments: those known, and the positions of those that differ from call to call."""

    spec: KernelSpec
    buffers: tuple[int, ...]
    arguments: tuple[int | float, ...]
    offsets: tuple[tuple[int, int], ...]
    """(position, value) of the offsets of operands and targets; those of new outputs are 0."""
    scalars: tuple[tuple[int, int, DType], ...]
    """(position, operand, type) of Python scalars."""
    launch: Launch | None
    """The device's short way to dispatch the kernel, where there is one."""


@dataclass(frozen=True, slots=True)
class PreparedKernels(Prepared):
    """A prepared call that dispatches kernels on its operands and outputs, none of which exceeds a binding."""

    steps: tuple[PreparedStep, ...]
    spans: tuple[bool, ...]
    """For each operand and output, whether it is bound by its whole buffer; empty where none is."""
    report: tuple[str, str] | None

    def carry_out(
        self, executor: Executor, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
    ) -> tuple[Any, ...]:  # fmt: skip
        """See ``Prepared``."""
        device = self.device
        outputs = into
        if outputs is None:
            outputs = tuple([output.allocate(device) for output in self.outputs])
        values: list[Any] = [*operands, *outputs]
        if self.temporaries:
            values += [temporary.allocate(device) for temporary in self.temporaries]
        calls: list[DispatchArguments] = []
        for step in self.steps:
            arguments = list(step.arguments)
            for position, index in step.offsets:
                arguments[position] = values[index].offset
            for position, index, dtype in step.scalars:
                arguments[position] = as_parameter(values[index], dtype)
            ranges: list[Range] = [values[index].storage for index in step.buffers]
            if self.spans:
                self._bind_buffers(step, values, arguments, ranges)
            calls.append((step.spec, ranges, arguments, self.report))
        if calls:
            executor.dispatch(device, calls)
        if into is not None:
            executor.count_writes(into)
        return outputs

    def _bind_buffers(
        self, step: PreparedStep, values: Sequence[Any], arguments: list[Any], ranges: list[Range]
    ) -> None:
        """Bind values that share a buffer by the whole buffer, and count their offsets from its beginning."""
        spans = self.spans
        for position, index in step.offsets:
            if spans[index]:
                value = values[index]
                arguments[position] += value.storage.offset // self.device.itemsize(value.dtype)
        for position, index in enumerate(step.buffers):
            if index < len(spans) and spans[index]:
                buffer = values[index].storage.buffer
                ranges[position] = Span(buffer, 0, buffer.size)
