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
from weft.devices.base import Device, Range, Span
from weft.dtypes import DType
from weft.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    UnsupportedError,
    WeftError,
    mistake,
)
from weft.kernels import Offset, Operand, Scalar, Step
from weft.ops import OPS, Interpreter, OpSpec, TensorType
from weft.ops.core import user_error
from weft.ops.geometry import Geometry, contiguous_strides
from weft.ops.targets import check_targets
from weft.target import KernelSpec
from weft.tensors.array import Array, is_aligned, layout_key, require_support
from weft.tensors.host import from_numpy, to_numpy
from weft.tensors.pieces import in_pieces, largest_binding

LARGEST_FLOAT32 = 3.4028235677973366e38
"""Above this a Python float rounds to float32 infinity."""


@dataclass(frozen=True, slots=True)
class PreparedStep:
    """A compiled kernel with its arguments: those known, and where in them what changes from call to call goes."""

    spec: KernelSpec
    buffers: tuple[int, ...]
    arguments: tuple[int | float, ...]
    offsets: tuple[tuple[int, int], ...]
    """(position, value) of the offsets of operands and targets; those of new outputs are 0."""
    scalars: tuple[tuple[int, int, DType], ...]
    """(position, operand, type) of Python scalars."""


@dataclass(frozen=True, slots=True)
class Made:
    """An array that a call makes: bytes, type, contiguous layout."""

    size: int
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    key: int

    @staticmethod
    def on(device: Device, dtype: DType, shape: tuple[int, ...]) -> Made:
        """What ``empty`` would make; ``DTypeError`` where the device lacks the type."""
        require_support(device, dtype)
        strides = contiguous_strides(shape)
        key = layout_key(dtype, shape, strides, 0, device)
        return Made(math.prod(shape) * device.itemsize(dtype), dtype, shape, strides, key)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything about an op call that its operands' geometry decides."""

    device: Device
    outputs: tuple[Made, ...]
    """None where the call is given its targets."""
    steps: tuple[PreparedStep, ...]
    temporaries: tuple[Made, ...]
    spans: tuple[bool, ...]
    """For each operand and output, whether it is bound by its whole buffer; empty where none is."""
    report: tuple[str, str] | None


class Eager:
    """Executes each op as it comes."""

    capacity = 16384
    executes = True

    def __init__(self) -> None:
        self._prepared: OrderedDict[Any, Prepared] = OrderedDict()
        self._views: dict[Any, tuple[tuple[int, ...], tuple[int, ...], int, int] | None] = {}

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
        if op.dense:
            operands = tuple([self._dense(operand) for operand in operands])
        slots: tuple[tuple[int, bool], ...] | None = None
        own: tuple[int, ...] = ()
        sharing = into is not None and _share(operands, into)
        if into is not None and sharing and self._needs_scratch(op, operands, into):
            made = self.process(op, operands, attributes, None, below)
            check_targets(op, [TensorType(one.shape, one.dtype) for one in made], into)
            for source, target in zip(made, into, strict=True):
                self._copy_into(source, target)
            return into
        if into is not None and sharing:
            slots = self._slots(operands, into)
            own = _overwritten(op, operands, into) if op.overwrites else ()
        key = (
            op,
            tuple([o.key if type(o) is Array else type(o) for o in operands]),
            tuple(attributes.items()) if attributes else (),
            None if into is None else tuple([target.key for target in into]),
            slots,
            own,
            # by name it may be another device than before: one that was opened anew after it was lost
            devices.open(attributes["device"]) if "device" in attributes else None,
        )
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = self._prepare(op, operands, attributes, into, slots, own)
            self._prepared[key] = prepared
            if len(self._prepared) > self.capacity:
                self._prepared.popitem(last=False)
        if prepared.device.oversized:
            found = self._in_pieces(prepared, op, operands, attributes, into)
            if found is not None:
                return found
        return self._run(prepared, operands, into)

    def _in_pieces(
        self, prepared: Prepared, op: OpSpec, operands: Any, attributes: Any, into: Any
    ) -> tuple[Any, ...] | None:
        """Where a tensor is larger than what a kernel of the device can bind."""
        device = prepared.device
        made = [one.size for one in prepared.outputs]
        scratch = [one.size for one in prepared.temporaries]
        return in_pieces(
            self, op, operands, attributes, into, device,
            lambda: tuple([_empty(device, one) for one in prepared.outputs]), made, scratch,
        )  # fmt: skip

    def _run(
        self, prepared: Prepared, operands: tuple[Any, ...], into: tuple[Any, ...] | None
    ) -> tuple[Any, ...]:
        device = prepared.device
        outputs = into
        if outputs is None:
            outputs = tuple([_empty(device, made) for made in prepared.outputs])
        values: list[Any] = [*operands, *outputs]
        if prepared.temporaries:
            values += [_empty(device, made) for made in prepared.temporaries]
        for step in prepared.steps:
            arguments = list(step.arguments)
            for position, index in step.offsets:
                arguments[position] = values[index].offset
            for position, index, dtype in step.scalars:
                arguments[position] = _scalar(values[index], dtype)
            ranges: list[Range] = [values[index].storage for index in step.buffers]
            if prepared.spans:
                _bind_whole(prepared, step, values, arguments, ranges)
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
        storage = source.storage
        storage.buffer  # noqa: B018  (raises where it was disposed)
        key = (op, source.key, tuple(attributes.items()))
        try:
            found = self._views[key]
        except KeyError:
            found = self._found_view(op, source, attributes, key)
        if found is not None:
            shape, strides, moved, layout = found
            known = layout if moved & 15 == 0 else None  # such a move keeps the alignment
            return Array(storage, source.dtype, shape, strides, source.offset + moved, known)
        (dense,) = self.process(OPS["copy"], (source,), {}, None, ())
        return self._view(op, dense, attributes)

    def _found_view(self, op: OpSpec, source: Array, attributes: dict[str, Any], key: Any) -> Any:
        """A view's geometry, its offset counted from the source's; ``None`` where strides cannot express it."""
        assert op.view is not None
        geometry = op.view(source.geometry, **attributes)
        found = None
        if geometry is not None:
            made = source.viewed(geometry)
            found = (made.shape, made.strides, made.offset - source.offset, made.key)
        if len(self._views) >= self.capacity:
            self._views.clear()
        self._views[key] = found
        return found

    def _dense(self, operand: Any) -> Any:
        if type(operand) is not Array or (operand.offset == 0 and operand.geometry.is_contiguous):
            return operand
        return self.process(OPS["copy"], (operand,), {}, None, ())[0]

    def _copy_into(self, source: Array, target: Array) -> tuple[Array, ...]:
        return self.process(OPS["cast"], (source,), {"dtype": target.dtype}, (target,), ())

    def _needs_scratch(self, op: OpSpec, operands: Sequence[Any], into: Sequence[Array]) -> bool:
        """Whether writing straight into the targets could spoil an operand before it is read."""
        reading: dict[int, list[Array]] = {}
        own = _overwritten(op, operands, into) if op.overwrites else ()
        for at, operand in enumerate(operands):
            if type(operand) is Array and at not in own:
                reading.setdefault(id(operand.storage), []).append(operand)
        for target in into:
            for operand in reading.get(id(target.storage), ()):
                same = op.elementwise and operand.key == target.key and operand.offset == target.offset
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
        return tuple([(first.get(buffer, index), buffer in mixed) for index, buffer in enumerate(buffers)])

    def _prepare(
        self,
        op: OpSpec,
        operands: Sequence[Any],
        attributes: dict[str, Any],
        into: Sequence[Array] | None,
        slots: tuple[tuple[int, bool], ...] | None,
        own: tuple[int, ...] = (),
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
            check_targets(op, outputs, into)
            outputs = tuple(TensorType(target.shape, target.dtype) for target in into)
        for output in outputs:
            require_support(device, output.dtype)
        if slots is None:
            slots = tuple((index, False) for index in range(len(operands) + len(outputs)))
        made = [
            Operand(i, o.dtype, o.shape, o.strides, slots[i][0], is_aligned(o.dtype, o.offset))
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
                    i,
                    output.dtype,
                    output.shape,
                    geometry.strides,
                    slots[i][0],
                    is_aligned(output.dtype, geometry.offset),
                )
            )
        for at in own:
            made[at] = targets[op.overwrites.index(at)]
        report = (op.name, op.reports) if op.reports else None
        spans = tuple(span for _, span in slots) if any(span for _, span in slots) else ()
        fresh = tuple(Made.on(device, o.dtype, o.shape) for o in outputs) if into is None else ()
        if all(math.prod(output.shape) == 0 for output in outputs):
            return Prepared(device, fresh, (), (), spans, report)
        if op.lower is None:
            raise UnsupportedError(f"{op.name}: has no kernels")
        program = op.lower(made, targets, attributes, device.profile)
        last = len(operands) + (len(outputs) if into is not None else 0)
        steps = tuple(_prepared_step(step, device, last) for step in program.steps)
        temporaries = tuple(Made.on(device, dtype, (count,)) for dtype, count in program.temporaries)
        limit = largest_binding(device)
        if limit is not None and any(one.size > limit for one in (*fresh, *temporaries)):
            device.oversized = True
        return Prepared(device, fresh, steps, temporaries, spans, report)

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


def _prepared_step(step: Step, device: Device, given: int) -> PreparedStep:
    """A step's kernel and arguments; values from ``given`` on are made by the call and lie at offset 0."""
    spec = generate(step.kernel, device.profile)
    arguments = [0 if isinstance(argument, Offset | Scalar) else argument for argument in step.arguments]
    offsets, scalars = [], []
    for position, argument in enumerate(step.arguments):
        if isinstance(argument, Scalar):
            scalars.append((position, argument.index, spec.parameters[position].dtype))
        elif isinstance(argument, Offset) and argument.index < given:
            offsets.append((position, argument.index))
    return PreparedStep(spec, step.buffers, tuple(arguments), tuple(offsets), tuple(scalars))


def _empty(device: Device, made: Made) -> Array:
    return Array(device.allocate(made.size), made.dtype, made.shape, made.strides, 0, made.key)


def _bind_whole(
    prepared: Prepared, step: PreparedStep, values: Sequence[Any], arguments: list[Any], ranges: list[Range]
) -> None:
    """Bind by its whole buffer what shares one, and count its offset from there."""
    spans = prepared.spans
    for position, index in step.offsets:
        if spans[index]:
            value = values[index]
            arguments[position] += value.storage.offset // prepared.device.itemsize(value.dtype)
    for position, index in enumerate(step.buffers):
        if index < len(spans) and spans[index]:
            buffer = values[index].storage.buffer
            ranges[position] = Span(buffer, 0, buffer.size)


def _overwritten(op: OpSpec, operands: Sequence[Any], into: Sequence[Array]) -> tuple[int, ...]:
    """The operands of those that the op may overwrite that are the targets themselves, element for element."""
    return tuple(
        at
        for at, target in zip(op.overwrites, into, strict=False)
        if operands[at].storage is target.storage and operands[at].geometry == target.geometry
    )


def _share(operands: Sequence[Any], into: Sequence[Array]) -> bool:
    """Whether two of the operands and targets lie in one buffer."""
    arrays = [value for value in (*operands, *into) if type(value) is Array]
    return len({id(array.storage.buffer) for array in arrays}) < len(arrays)


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
