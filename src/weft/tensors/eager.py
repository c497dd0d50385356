"""The eager interpreter: types from the op, kernels from its lowering, bytes and dispatches from the device.

All that depends on the operands' layouts alone is prepared once and kept: the outputs' types, the compiled kernels and
their packed arguments. A later call fills in offsets and Python scalars, allocates, and dispatches. Calls on tensors
larger than a binding have layouts of their own, whose prepared calls are ``splitting``'s.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from weft import devices
from weft.devices.base import Device, DispatchArguments
from weft.ops import OPS, Interpreter, OpSpec, TensorType
from weft.ops.registry.interpreters import interpreting
from weft.ops.registry.targets import check_targets
from weft.tensors.array import Array, require_support
from weft.tensors.host import from_numpy, to_numpy
from weft.tensors.prepare import (
    check_attributes,
    device_of,
    infer_types,
    needs_scratch,
    operands_in_place,
    prepare,
    shares_buffer,
    slots_of,
)
from weft.tensors.prepared import Prepared


class Eager:
    """The interpreter that executes each op at once."""

    capacity = 8192
    executes = True

    def __init__(self) -> None:
        self.prepared: OrderedDict[Any, Prepared] = OrderedDict()
        self.writes: dict[Any, Prepared] = {}
        """Prepared calls that write into one target, by the short keys of ``autograd.direct``."""
        self.views: dict[Any, Any] = {}

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op on arrays and Python scalars; ``into`` arrays are overwritten and returned."""
        if into is None and op.plain:
            key = (op, tuple(attributes.items()), *[o.key if type(o) is Array else type(o) for o in operands])
            if "device" not in attributes:
                known = self.prepared.get(key) or self._prepare(key, op, operands, attributes)
                return self.run_prepared(known, op, operands, attributes, None)
            made = self._process(op, operands, attributes, None, below)
            self._note_named(key, op, operands, attributes)
            return made
        if op.view is not None and into is None:
            return (self._view(op, operands[0], attributes),)
        return self._process(op, operands, attributes, into, below)

    def _process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op that has targets, is a view, or is not ``plain``: by the way that its kind takes."""
        if op.name == "transfer":
            return (self._transfer(operands[0], attributes["device"]),)
        if op.view is not None:
            viewed = self._view(op, operands[0], attributes)
            return (viewed,) if into is None else self._copy_into(viewed, into[0])
        if op.host:
            return self._on_host(op, operands, attributes, into)
        if op.run is not None and op.lower is None:
            return self.run_composed(op, operands, attributes, into)
        if op.dense:
            operands = tuple([self.dense(operand) for operand in operands])
        if into is not None and shares_buffer(operands, into) and needs_scratch(op, operands, into):
            made = self.process(op, operands, attributes, None, below)
            return self._into_targets(op, made, into)
        slots, in_place = _binding(op, operands, into)
        key = _full_key(op, operands, attributes, into, slots, in_place)
        prepared = self.prepared.get(key)
        if prepared is None:
            prepared = self._prepare(key, op, operands, attributes, into, slots, in_place)
        return self.run_prepared(prepared, op, operands, attributes, into)

    def prepared_write(
        self, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], into: tuple[Any, ...]
    ) -> Prepared | None:
        """Return the prepared call that writes straight into the targets, ``None`` where there is no such call."""
        if not op.plain or shares_buffer(operands, into) and needs_scratch(op, operands, into):
            return None
        return self.prepared.get(_full_key(op, operands, attributes, into, *_binding(op, operands, into)))

    def _note_named(
        self, key: Any, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any]
    ) -> None:
        """Keep a call by the name of its device too, if it has a function ``run``."""
        known = self.prepared.get(_full_key(op, operands, attributes, None, None, ()))
        if known is not None and known.run is not None:
            self.prepared[key] = known

    def _prepare(
        self, key: Any, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any],
        into: tuple[Any, ...] | None = None, slots: tuple[tuple[int, bool], ...] | None = None,
        in_place: tuple[int, ...] = (),
    ) -> Prepared:  # fmt: skip
        """Prepare a call, and keep it by its key."""
        prepared = prepare(op, operands, attributes, into, slots, in_place)
        self.prepared[key] = prepared
        if len(self.prepared) > self.capacity:
            self.prepared.popitem(last=False)
        return prepared

    def run_prepared(
        self, prepared: Prepared, op: OpSpec, operands: Sequence[Any], attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Run a prepared call: by its function ``run``, if it has one and the device is ``direct``."""
        if prepared.run is not None and prepared.device.direct:
            try:
                if into is None:
                    return prepared.run(*operands)
                outputs = prepared.run(*operands, *into)
                self.count_writes(into)
                return outputs
            except TypeError:  # a storage was disposed, which carry_out reports
                pass
        return prepared.carry_out(self, op, tuple(operands), attributes, into)

    def forget(self) -> None:
        """Discard all prepared calls, after a change of how kernels are chosen."""
        self.prepared.clear()
        self.writes.clear()

    def run_composed(
        self, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], into: tuple[Any, ...] | None
    ) -> tuple[Any, ...]:
        """Run an op as the ops that it is made of."""
        assert op.run is not None
        with interpreting(self):
            made = op.run(*operands, **attributes)
        return self._into_targets(op, made, into)

    def _on_host(
        self, op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], into: tuple[Any, ...] | None
    ) -> tuple[Any, ...]:
        """Run an op in NumPy: read the operands, and write the results to the operands' device."""
        device = device_of(op, operands, attributes, into)
        _, types = infer_types(op, operands, attributes)
        values = [to_numpy(value, self) if type(value) is Array else value for value in operands]
        results = op.reference(*values, **attributes)
        made = tuple(
            [from_numpy(value, type_.dtype, device) for value, type_ in zip(results, types, strict=True)]
        )
        return self._into_targets(op, made, into)

    def _into_targets(
        self, op: OpSpec, made: tuple[Any, ...], into: tuple[Any, ...] | None
    ) -> tuple[Any, ...]:
        """Return the results, or the targets after a copy of the results into them."""
        if into is None:
            return made
        check_targets(op, [TensorType(value.shape, value.dtype) for value in made], into)
        for source, target in zip(made, into, strict=True):
            self._copy_into(source, target)
        return into

    def dispatch(self, device: Device, calls: list[DispatchArguments]) -> None:
        """Dispatch the kernels of an op, or of several, all or none."""
        if len(calls) == 1:
            device.dispatch_kernel(*calls[0])
        else:
            device.dispatch_kernels(calls)

    def count_writes(self, written: Sequence[Array]) -> None:
        """Note that arrays were overwritten."""
        for target in written:
            target.storage.version += 1

    def gathering(self) -> Gathering:
        """Return an interpreter that dispatches all its ops together when it is finished."""
        return Gathering(self)

    def _transfer(self, source: Array, name: str) -> Array:
        """Copy an array to another device through host memory."""
        target = devices.open(name)
        require_support(target, source.dtype)
        return from_numpy(to_numpy(source, self), source.dtype, target)

    def _view(self, op: OpSpec, source: Array, attributes: dict[str, Any]) -> Array:
        storage = source.storage
        storage.buffer  # noqa: B018  (raises where it was disposed)
        key = (op, source.key, tuple(attributes.items()))
        try:
            relative = self.views[key]
        except KeyError:
            relative = self._relative_geometry(op, source, attributes, key)
        if relative is not None:
            shape, strides, moved, layout = relative
            known = layout if moved & 15 == 0 else None  # such a move keeps the alignment
            return Array(storage, source.dtype, shape, strides, source.offset + moved, known)
        (dense,) = self.process(OPS["copy"], (source,), {}, None, ())
        return self._view(op, dense, attributes)

    def _relative_geometry(self, op: OpSpec, source: Array, attributes: dict[str, Any], key: Any) -> Any:
        """Return and keep a view's geometry, relative to the source's offset; ``None`` where no strides express it."""
        assert op.view is not None
        check_attributes(op, attributes)
        geometry = op.view(source.geometry, **attributes)
        relative = None
        if geometry is not None:
            view = source.viewed(geometry)
            relative = (view.shape, view.strides, view.offset - source.offset, view.key)
        if len(self.views) >= self.capacity:
            self.views.clear()
        self.views[key] = relative
        return relative

    def dense(self, operand: Any) -> Any:
        """Return a contiguous array at offset 0 of its storage: the operand itself, or a copy; scalars unchanged."""
        if type(operand) is not Array or (operand.offset == 0 and operand.geometry.is_contiguous):
            return operand
        return self.process(OPS["copy"], (operand,), {}, None, ())[0]

    def _copy_into(self, source: Array, target: Array) -> tuple[Array, ...]:
        return self.process(OPS["cast"], (source,), {"dtype": target.dtype}, (target,), ())


class Gathering(Eager):
    """An interpreter that keeps the dispatches of all ops until ``finish`` starts them together.

    The writes in place of several ops then happen all or none. Nothing may be read on the host before ``finish``.
    """

    def __init__(self, eager: Eager) -> None:
        self.prepared, self.views = eager.prepared, eager.views
        self._calls: list[tuple[Device, DispatchArguments]] = []
        self._written: list[Array] = []

    def run_prepared(
        self, prepared: Prepared, op: OpSpec, operands: Sequence[Any], attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
    ) -> tuple[Any, ...]:  # fmt: skip
        """Allocate the outputs of a prepared call now; its dispatches are kept."""
        return prepared.carry_out(self, op, tuple(operands), attributes, into)

    def dispatch(self, device: Device, calls: list[DispatchArguments]) -> None:
        """Keep the dispatches."""
        self._calls += [(device, call) for call in calls]

    def count_writes(self, written: Sequence[Array]) -> None:
        """Keep the arrays that are overwritten."""
        self._written += written

    def finish(self, executor: Eager | None = None, written: tuple[Array, ...] = ()) -> None:
        """Start the kept dispatches, all or none for each device, or hand them to ``executor``."""
        by_device: dict[Device, list[DispatchArguments]] = {}
        for device, call in self._calls:
            by_device.setdefault(device, []).append(call)
        below = EAGER if executor is None else executor
        for device, calls in by_device.items():
            below.dispatch(device, calls)
        below.count_writes((*self._written, *written))


def _binding(
    op: OpSpec, operands: tuple[Any, ...], into: tuple[Any, ...] | None
) -> tuple[tuple[tuple[int, bool], ...] | None, tuple[int, ...]]:
    """Return the bindings of operands and targets that share memory, and the operands that are targets themselves."""
    if into is None or not shares_buffer(operands, into):
        return None, ()
    return slots_of(operands, into), operands_in_place(op, operands, into) if op.overwrites else ()


def _full_key(
    op: OpSpec, operands: tuple[Any, ...], attributes: dict[str, Any], into: tuple[Any, ...] | None,
    slots: tuple[tuple[int, bool], ...] | None, in_place: tuple[int, ...],
) -> Any:  # fmt: skip
    return (
        op,
        tuple([o.key if type(o) is Array else type(o) for o in operands]),
        tuple(attributes.items()) if attributes else (),
        None if into is None else tuple([target.key for target in into]),
        slots,
        in_place,
        # a name may mean another device than before: one that was opened again after a loss
        devices.open(attributes["device"]) if "device" in attributes else None,
    )


EAGER = Eager()
"""The interpreter at the bottom of the default stack."""
