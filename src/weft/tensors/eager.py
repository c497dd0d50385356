"""The eager interpreter: types from the op, kernels from its lowering, bytes and dispatches from the device.

What depends only on the operands' geometry is prepared once and kept: the outputs' types, the compiled kernels and
their packed arguments. A later call fills in offsets and Python scalars, allocates, and dispatches.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft import devices, dtypes
from weft.codegen import generate
from weft.devices.base import Device, Range, Span, Storage
from weft.dtypes import DType
from weft.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    ShapeError,
    UnsupportedError,
    WeftError,
    mistake,
)
from weft.kernels import Offset, Operand, Scalar
from weft.ops import OPS, Interpreter, OpSpec, TensorType
from weft.ops.core import user_error
from weft.ops.geometry import Geometry
from weft.target import KernelSpec
from weft.tensors.array import Array, empty, require_support
from weft.tensors.host import from_numpy, to_numpy

LARGEST_FLOAT32 = 3.4028235677973366e38
"""Above this a Python float rounds to float32 infinity."""


@dataclass(frozen=True)
class PreparedStep:
    """A compiled kernel with its arguments; ``fills`` are (position, value, is offset, dtype) set at each call."""

    spec: KernelSpec
    buffers: tuple[int, ...]
    arguments: tuple[Any, ...]
    fills: tuple[tuple[int, int, bool, DType], ...]


@dataclass(frozen=True)
class Prepared:
    """Everything about an op call that its operands' geometry decides."""

    device: Device
    outputs: tuple[TensorType, ...]
    steps: tuple[PreparedStep, ...]
    temporaries: tuple[tuple[DType, int], ...]
    spans: tuple[bool, ...]
    """For each operand and output, whether it is bound by its whole buffer."""
    report: tuple[str, str] | None


class Eager:
    """Executes each op as it comes."""

    capacity = 16384
    executes = True

    def __init__(self) -> None:
        self._prepared: OrderedDict[Any, Prepared] = OrderedDict()

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op on arrays and Python scalars; ``into`` arrays are overwritten and returned."""
        if op.name == "transfer":
            return (self._transfer(operands[0], attributes["device"]),)
        if op.view is not None:
            viewed = self._view(op, operands[0], attributes)
            return (viewed,) if into is None else self._copy_into(viewed, into[0])
        if into is not None and self._needs_scratch(op, operands, into):
            made = self.process(op, operands, attributes, None, below)
            _check_targets(op, [TensorType(one.shape, one.dtype) for one in made], into)
            for source, target in zip(made, into, strict=True):
                self._copy_into(source, target)
            return into
        slots = self._slots(operands, into) if into is not None else None
        key = (
            op,
            tuple(o.key if type(o) is Array else type(o) for o in operands),
            tuple(attributes.items()),
            None if into is None else tuple(target.key for target in into),
            slots,
        )
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = self._prepare(op, operands, attributes, into, slots)
            self._prepared[key] = prepared
            if len(self._prepared) > self.capacity:
                self._prepared.popitem(last=False)
        return self._run(prepared, operands, into)

    def _run(
        self, prepared: Prepared, operands: tuple[Any, ...], into: tuple[Any, ...] | None
    ) -> tuple[Any, ...]:
        device = prepared.device
        outputs = into or tuple(empty(device, t.dtype, t.shape) for t in prepared.outputs)
        values: list[Any] = [*operands, *outputs]
        values += [empty(device, dtype, (count,)) for dtype, count in prepared.temporaries]
        for step in prepared.steps:
            arguments = list(step.arguments)
            for position, index, is_offset, dtype in step.fills:
                value = values[index]
                if is_offset:
                    start = value.offset
                    if index < len(prepared.spans) and prepared.spans[index]:
                        start += value.storage.offset // device.itemsize(value.dtype)
                    arguments[position] = start
                else:
                    arguments[position] = _scalar(value, dtype)
            ranges: list[Range] = []
            for index in step.buffers:
                storage: Storage = values[index].storage
                if index < len(prepared.spans) and prepared.spans[index]:
                    ranges.append(Span(storage.buffer, 0, storage.buffer.size))
                else:
                    ranges.append(storage)
            device.dispatch_kernel(step.spec, ranges, arguments, prepared.report)
        if into is not None:
            for target in into:
                target.storage.version += 1
        return outputs

    def _transfer(self, source: Array, name: str) -> Array:
        """Through host memory: read where the array is, write where it goes."""
        target = devices.open(name)
        require_support(target, source.dtype)
        return from_numpy(to_numpy(source, self), source.dtype, target)

    def _view(self, op: OpSpec, source: Array, attributes: dict[str, Any]) -> Array:
        assert op.view is not None
        source.storage.buffer  # noqa: B018  (raises where it was disposed)
        geometry = op.view(source.geometry, **attributes)
        if geometry is not None:
            return source.viewed(geometry)
        (dense,) = self.process(OPS["copy"], (source,), {}, None, ())
        return self._view(op, dense, attributes)

    def _copy_into(self, source: Array, target: Array) -> tuple[Array, ...]:
        return self.process(OPS["cast"], (source,), {"dtype": target.dtype}, (target,), ())

    def _needs_scratch(self, op: OpSpec, operands: Sequence[Any], into: Sequence[Array]) -> bool:
        """Whether writing straight into the targets could spoil an operand before it is read."""
        reading: dict[int, list[Array]] = {}
        for operand in operands:
            if type(operand) is Array:
                reading.setdefault(id(operand.storage), []).append(operand)
        for target in into:
            for operand in reading.get(id(target.storage), ()):
                same = op.elementwise and operand.geometry == target.geometry
                if not same and operand.geometry.overlaps(target.geometry):
                    return True
        return False

    def _slots(self, operands: Sequence[Any], into: Sequence[Array]) -> tuple[tuple[int, bool], ...]:
        """For each operand and target its binding, shared by all that lie in one buffer, and whether it spans that."""
        values = [*operands, *into]
        buffers = [id(value.storage.buffer) if type(value) is Array else 0 for value in values]
        first: dict[int, int] = {}
        mixed: set[int] = set()
        for index, (value, buffer) in enumerate(zip(values, buffers, strict=True)):
            if buffer and values[first.setdefault(buffer, index)].storage is not value.storage:
                mixed.add(buffer)
        return tuple((first.get(buffer, index), buffer in mixed) for index, buffer in enumerate(buffers))

    def _prepare(
        self,
        op: OpSpec,
        operands: Sequence[Any],
        attributes: dict[str, Any],
        into: Sequence[Array] | None,
        slots: tuple[tuple[int, bool], ...] | None,
    ) -> Prepared:
        device = self._device(op, operands, attributes, into)
        types = [
            TensorType(o.shape, o.dtype) if type(o) is Array else TensorType((), dtypes.of_scalar(o), True)
            for o in operands
        ]
        try:
            outputs = op.infer(*types, **attributes)
        except WeftError as error:
            raise user_error(error, op) from None
        if into is not None:
            _check_targets(op, outputs, into)
            outputs = tuple(TensorType(target.shape, target.dtype) for target in into)
        for output in outputs:
            require_support(device, output.dtype)
        if slots is None:
            slots = tuple((index, False) for index in range(len(operands) + len(outputs)))
        made = [
            Operand(i, o.dtype, o.shape, o.strides, slots[i][0], o.offset & 3 == 0)
            if type(o) is Array
            else Operand(i, types[i].dtype, scalar=True)
            for i, o in enumerate(operands)
        ]
        targets = []
        for i, output in enumerate(outputs, len(operands)):
            given = None if into is None else into[i - len(operands)]
            geometry = Geometry.contiguous(output.shape) if given is None else given.geometry
            targets.append(
                Operand(
                    i, output.dtype, output.shape, geometry.strides, slots[i][0], geometry.offset & 3 == 0
                )
            )
        report = (op.name, op.reports) if op.reports else None
        spans = tuple(span for _, span in slots)
        if all(math.prod(output.shape) == 0 for output in outputs):
            return Prepared(device, outputs, (), (), spans, report)
        if op.lower is None:
            raise UnsupportedError(f"{op.name}: has no kernels")
        program = op.lower(made, targets, attributes, device.profile)
        steps = []
        for step in program.steps:
            spec = generate(step.kernel, device.profile)
            fills = tuple(
                (position, argument.index, isinstance(argument, Offset), spec.parameters[position].dtype)
                for position, argument in enumerate(step.arguments)
                if isinstance(argument, Offset | Scalar)
            )
            steps.append(PreparedStep(spec, step.buffers, step.arguments, fills))
        return Prepared(device, outputs, tuple(steps), program.temporaries, spans, report)

    def _device(
        self, op: OpSpec, operands: Sequence[Any], attributes: dict[str, Any], into: Sequence[Array] | None
    ) -> Device:
        found: Device | None = None
        for value in (*operands, *(into or ())):
            if type(value) is not Array:
                if not isinstance(value, bool | int | float):
                    if hasattr(value, "alias"):
                        raise UnsupportedError(
                            f"{op.name}: an operand was made inside a trace and has no value, expected a computed "
                            f"tensor; return it from the traced function instead of keeping it"
                        )
                    raise DTypeError(
                        f"{op.name}: an operand is a {type(value).__name__}, expected a tensor or a number"
                    )
                continue
            if found is None:
                found = value.device
            elif value.device is not found:
                raise DeviceError(
                    mistake(op.name, "operands", f"on {found.name} and {value.device.name}", "on one device",
                            "move one with .to(device)")
                )  # fmt: skip
        return found or devices.open(attributes["device"])


def _check_targets(op: OpSpec, outputs: Sequence[TensorType], into: Sequence[Array]) -> None:
    """The targets of an in-place op take its outputs: shape, type category, and no element twice."""
    order = {"bool": 0, "uint": 1, "int": 1, "float": 2}
    for output, target in zip(outputs, into, strict=True):
        if output.shape != target.shape:
            raise ShapeError(
                mistake(
                    op.name,
                    "the tensor written to",
                    f"of shape {target.shape}",
                    f"the result's shape {output.shape}",
                )
            )
        if order[output.dtype.kind] > order[target.dtype.kind] and op.name not in ("cast", "copy"):
            raise DTypeError(
                mistake(
                    op.name,
                    "result type",
                    output.dtype.name,
                    f"one that fits the written tensor's {target.dtype.name}",
                )
            )
        if target.geometry.overlaps_itself:
            raise ShapeError(
                f"{op.name}: more than one element of the written-to tensor refers to a single memory location; "
                f"clone() the expanded tensor first"
            )


def _scalar(value: Any, dtype: DType) -> int | float:
    """A Python number as a kernel parameter; ``ArgumentError`` where the type cannot hold it."""
    if dtype.kind == "float":
        number = float(value)
        if dtype is dtypes.float32 and abs(number) > LARGEST_FLOAT32 and not math.isinf(number):
            return math.copysign(math.inf, number)
        return number
    if isinstance(value, float) and not math.isfinite(value):
        raise ArgumentError(
            f"the number {value} is given for elements of type {dtype.name}, expected a finite one"
        )
    whole = int(value)
    if not -(2**63) <= whole < 2**63:
        raise ArgumentError(
            f"the number {value} is given for elements of type {dtype.name}, expected one of 64 bits"
        )
    return whole & 0xFFFFFFFF if dtype.kind == "uint" else whole


EAGER = Eager()
"""The one that the default stack has at its bottom."""
