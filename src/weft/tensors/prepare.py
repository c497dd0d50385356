"""Preparation of a call from the layouts of its operands: output types, compiled kernels, arguments, bindings.

The eager interpreter keeps the prepared call; a later call fills in offsets and Python scalars.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from weft import devices, dtypes
from weft.codegen import generate
from weft.devices.base import Device
from weft.devices.counts import counted_parameters
from weft.devices.pool import ADDRESSES
from weft.errors import (
    ArgumentTypeError,
    DeviceError,
    DTypeError,
    IndexOutOfRangeError,
    UnsupportedError,
    WeftError,
    mistake,
)
from weft.kernels import KernelStep, Offset, Operand, Scalar
from weft.ops import OpSpec, TensorType
from weft.ops.registry.functions import user_error
from weft.ops.registry.geometry import Geometry
from weft.ops.registry.kinds import is_tensor
from weft.ops.registry.spec import KernelRequest
from weft.ops.registry.targets import check_targets
from weft.tensors.array import Array, is_aligned, require_support
from weft.tensors.dispatching import PreparedKernels, PreparedStep
from weft.tensors.prepared import NewArray, Prepared
from weft.tensors.running import run_function
from weft.tensors.splitting.interpreter import PreparedSplit, Splitting


def needs_scratch(op: OpSpec, operands: Sequence[Any], into: Sequence[Array]) -> bool:
    """Return whether a write straight into the targets could change an operand before it is read."""
    reading: dict[int, list[Array]] = {}
    in_place = operands_in_place(op, operands, into) if op.overwrites else ()
    for at, operand in enumerate(operands):
        if type(operand) is Array and at not in in_place:
            reading.setdefault(id(operand.storage), []).append(operand)
    for target in into:
        for operand in reading.get(id(target.storage), ()):
            same = op.elementwise and operand.key == target.key and operand.offset == target.offset
            if not same and operand.geometry.overlaps(target.geometry):
                return True
    return False


def slots_of(operands: Sequence[Any], into: Sequence[Array]) -> tuple[tuple[int, bool], ...]:
    """Return the binding of each operand and target, and whether it is bound by its whole buffer.

    Values in the same buffer share a binding; it spans the buffer where they lie in different storages.
    """
    values = [*operands, *into]
    buffers = [id(value.storage.buffer) if type(value) is Array else 0 for value in values]
    first: dict[int, int] = {}
    mixed: set[int] = set()
    for index, (value, buffer) in enumerate(zip(values, buffers, strict=True)):
        if buffer and values[first.setdefault(buffer, index)].storage is not value.storage:
            mixed.add(buffer)
    return tuple([(first.get(buffer, index), buffer in mixed) for index, buffer in enumerate(buffers)])


def infer_types(
    op: OpSpec, operands: Sequence[Any], attributes: dict[str, Any]
) -> tuple[list[TensorType], tuple[TensorType, ...]]:
    """Return the types of the operands of a call and of its outputs."""
    check_attributes(op, attributes)
    types = [
        TensorType(o.shape, o.dtype) if type(o) is Array else TensorType((), dtypes.of_scalar(o), True)
        for o in operands
    ]
    try:
        return types, op.infer(*types, **attributes)
    except WeftError as error:
        raise user_error(error, op) from None


def prepare(
    op: OpSpec,
    operands: Sequence[Any],
    attributes: dict[str, Any],
    into: Sequence[Array] | None,
    slots: tuple[tuple[int, bool], ...] | None,
    in_place: tuple[int, ...] = (),
) -> Prepared:
    """Prepare a call.

    Args:
        op: The op.
        operands: Arrays and Python scalars.
        attributes: The op's attributes.
        into: The targets, ``None`` for new outputs.
        slots: The bindings of operands and targets (``slots_of``) where some share a buffer.
        in_place: The operands that are the targets themselves (``operands_in_place``).
    """
    device = device_of(op, operands, attributes, into)
    types, outputs = infer_types(op, operands, attributes)
    if into is not None:
        check_targets(op, outputs, into)
        outputs = tuple(TensorType(target.shape, target.dtype) for target in into)
    for output in outputs:
        require_support(device, output.dtype)
    if slots is None:
        slots = tuple((index, False) for index in range(len(operands) + len(outputs)))
    described, targets = _described(op, operands, types, outputs, into, slots, in_place)
    new = tuple(NewArray.on(device, o.dtype, o.shape) for o in outputs) if into is None else ()
    for array in new:
        if array.size > ADDRESSES:
            device.allocate(array.size)  # raises that there are not so many bytes; kernels cannot count them
    if all(math.prod(output.shape) == 0 for output in outputs):
        return _kernels(op, device, new, (), (), slots, types, outputs)
    if op.lower is None:
        raise UnsupportedError(f"{op.name}: has no kernels")
    program = op.lower(KernelRequest(described, targets, attributes, device.profile))
    temporaries = tuple(NewArray.on(device, dtype, (count,)) for dtype, count in program.temporaries)
    limit = device.largest_binding
    sizes = [value.storage.size for value in (*operands, *(into or ())) if type(value) is Array]
    if any(size > limit for size in (*sizes, *[array.size for array in (*new, *temporaries)])):
        interpreter = Splitting(limit, max((array.size for array in temporaries), default=0))
        return PreparedSplit(device, new, temporaries, tuple(types), tuple(outputs), None, interpreter)
    last = len(operands) + (len(outputs) if into is not None else 0)
    steps = tuple(_prepared_step(step, device, last) for step in program.steps)
    return _kernels(op, device, new, temporaries, steps, slots, types, outputs)


def _described(
    op: OpSpec, operands: Sequence[Any], types: Sequence[TensorType], outputs: Sequence[TensorType],
    into: Sequence[Array] | None, slots: tuple[tuple[int, bool], ...], in_place: tuple[int, ...],
) -> tuple[list[Operand], list[Operand]]:  # fmt: skip
    """Return the operands and targets of a call as lowering sees them: type, strides, binding, alignment."""
    described = [
        Operand(
            at, value.dtype, value.shape, value.strides, slots[at][0], is_aligned(value.dtype, value.offset)
        )
        if type(value) is Array
        else Operand(at, types[at].dtype, scalar=True)
        for at, value in enumerate(operands)
    ]
    targets = []
    for at, output in enumerate(outputs, len(operands)):
        target = None if into is None else into[at - len(operands)]
        geometry = Geometry.contiguous(output.shape) if target is None else target.geometry
        aligned = is_aligned(output.dtype, geometry.offset)
        targets.append(Operand(at, output.dtype, output.shape, geometry.strides, slots[at][0], aligned))
    for at in in_place:
        described[at] = targets[op.overwrites.index(at)]
    return described, targets


def _kernels(
    op: OpSpec, device: Device, new: tuple[NewArray, ...], temporaries: tuple[NewArray, ...],
    steps: tuple[PreparedStep, ...], slots: tuple[tuple[int, bool], ...], types: Sequence[TensorType],
    outputs: Sequence[TensorType],
) -> PreparedKernels:  # fmt: skip
    """Return the prepared call of kernels, with its ``run`` where all of them have launches."""
    spans = tuple(span for _, span in slots) if any(span for _, span in slots) else ()
    run = None
    if steps and not spans and all(step.launch is not None for step in steps):
        run = _run_of(device, op, len(types), new, temporaries, steps, len(outputs))
    report = (op.info.get("public", op.name), op.reports) if op.reports else None
    return PreparedKernels(device, new, temporaries, tuple(types), tuple(outputs), run, steps, spans, report)


def _run_of(
    device: Device, op: OpSpec, operands: int, new: Sequence[NewArray], temporaries: Sequence[NewArray],
    steps: Sequence[PreparedStep], outputs: int,
) -> Callable[..., tuple[Array, ...]]:  # fmt: skip
    """Return a prepared call as one function."""
    parts = tuple(
        (
            step.buffers,
            tuple([index for _, index in step.offsets]),
            tuple([(index, "float" if dtype.kind == "float" else "int") for _, index, dtype in step.scalars]),
        )
        for step in steps
    )
    numbers = [dtype for step in steps for _, _, dtype in step.scalars]
    launches = [step.launch for step in steps if step.launch is not None]
    made = [(array.dtype, array.shape, array.strides, array.key) for array in new]
    where, index_name = op.info.get("public", op.name), op.reports or "index"

    def reported(index: int) -> IndexOutOfRangeError:
        return IndexOutOfRangeError(f"{where}: {index_name} {index} is out of range")

    structure = (operands, outputs, len(temporaries), not new, parts)
    sizes = [array.size for array in (*new, *temporaries)]
    return run_function(structure, device, launches, sizes, made, numbers, reported)


def check_attributes(op: OpSpec, attributes: dict[str, Any]) -> None:
    """Raise ``ArgumentTypeError`` for an attribute with a tensor or a NumPy number: attributes are keys of calls."""
    for name, value in attributes.items():
        for part in value if isinstance(value, tuple) else (value,):
            if is_tensor(part) or type(part).__module__ == "numpy":
                raise ArgumentTypeError(mistake(op.name, name, f"a {type(part).__name__}", "plain data"))


def device_of(
    op: OpSpec, operands: Sequence[Any], attributes: dict[str, Any], into: Sequence[Array] | None
) -> Device:
    """Return the device of a call: that of its operands, or the device that an attribute names."""
    device: Device | None = None
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
        if device is None:
            device = value.device
        elif value.device is not device:
            raise DeviceError(
                mistake(op.name, "operands", f"on {device.name} and {value.device.name}", "on one device",
                        "move one with .to(device)")
            )  # fmt: skip
    return device or devices.open(attributes["device"])


def _prepared_step(step: KernelStep, device: Device, given: int) -> PreparedStep:
    """Return a compiled kernel with its arguments; values from number ``given`` on are new and lie at offset 0."""
    spec = generate(step.kernel, device.profile)
    arguments = [0 if isinstance(argument, Offset | Scalar) else argument for argument in step.arguments]
    offsets, scalars = [], []
    for position, argument in enumerate(step.arguments):
        if isinstance(argument, Scalar):
            scalars.append((position, argument.index, spec.parameters[position].dtype))
        elif isinstance(argument, Offset) and argument.index < given:
            offsets.append((position, argument.index))
    usual = tuple(arguments)
    changing = [*(position for position, _ in offsets), *(position for position, _, _ in scalars)]
    launch = (
        None if counted_parameters(spec).intersection(changing) else device.launcher(spec, usual, changing)
    )
    return PreparedStep(spec, step.buffers, usual, tuple(offsets), tuple(scalars), launch)


def operands_in_place(op: OpSpec, operands: Sequence[Any], into: Sequence[Array]) -> tuple[int, ...]:
    """Return the operands that the op may overwrite and that are the targets themselves, element for element."""
    return tuple(
        at
        for at, target in zip(op.overwrites, into, strict=False)
        if operands[at].storage is target.storage and operands[at].geometry == target.geometry
    )


def shares_buffer(operands: Sequence[Any], into: Sequence[Array]) -> bool:
    """Return whether two of the operands and targets lie in one buffer."""
    arrays = [value for value in (*operands, *into) if type(value) is Array]
    return len({id(array.storage.buffer) for array in arrays}) < len(arrays)
