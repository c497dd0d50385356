"""``CompiledProgram``: the compiled form of a jitted function's signature: its graph, guards and executor."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from weft import devices, dtypes
from weft.compiler.debug import checking
from weft.compiler.execute import Executor, Interpreter, OpByOp, executor_for
from weft.compiler.guards import Guards
from weft.compiler.trace import Recording
from weft.devices.base import Device, Storage
from weft.errors import ArgumentError, UnsupportedError
from weft.graph import Graph, State, Var
from weft.ops import OPS
from weft.ops.registry.geometry import contiguous_strides
from weft.plan import Plan
from weft.tensors.array import Array, layout_key
from weft.tensors.eager import EAGER
from weft.tensors.tensor import Tensor


class Number:
    """A Python number as an input: a storage that is written when the number differs from the previous call."""

    def __init__(self, device: Device, var: Var) -> None:
        self.device = device
        self.storage = device.allocate(device.itemsize(var.type.dtype))
        self._form = _form(var.type.dtype, device)
        self._bytes = b""

    def put(self, value: int | float) -> Storage:
        """Return the storage with the number in it; ``ArgumentError`` for an integer that the device cannot hold."""
        try:
            packed = struct.pack(self._form, value)
        except (struct.error, OverflowError):
            bits = 8 * struct.calcsize(self._form)
            raise ArgumentError(
                f"jit: the number {value} is given, expected a number of {bits} bits on {self.device.name}"
            ) from None
        if packed != self._bytes:
            self.device.write(self.storage, memoryview(packed))
            self._bytes = packed
        return self.storage


def number_type(value: int | float, device: Device) -> dtypes.DType:
    """Return the widest type of a number on a device."""
    if isinstance(value, int):
        return dtypes.int64
    return dtypes.float64 if device.supports(dtypes.float64) else dtypes.float32


def _form(dtype: dtypes.DType, device: Device) -> str:
    wide = device.itemsize(dtype) == 8
    if dtype.kind == "int":
        return "<q" if wide else "<i"
    return "<d" if wide else "<f"


class ProgramOutput:
    """The type and layout of a result, from which a run's storage becomes a tensor."""

    __slots__ = ("dtype", "key", "shape", "strides")

    def __init__(self, var: Var, device: Device) -> None:
        self.dtype, self.shape = var.type.dtype, var.type.shape
        self.strides = contiguous_strides(self.shape)
        size = math.prod(self.shape) * device.itemsize(self.dtype)
        self.key = layout_key(self.dtype, self.shape, self.strides, 0, device, size)

    def wrap(self, storage: Storage) -> Tensor:
        """Return a tensor on a storage that a run has returned."""
        return Tensor.wrap(Array(storage, self.dtype, self.shape, self.strides, 0, self.key))

    def wrap_donated(self, storage: Storage) -> Tensor:
        """Return a tensor on the storage of a donated argument, which may be larger than the result."""
        return Tensor.wrap(Array(storage, self.dtype, self.shape, self.strides, 0))


class CompiledProgram:
    """A compiled call. ``donated`` are the positions of the inputs whose memory the results may reuse."""

    def __init__(
        self, name: str, recording: Recording, device: Device, inputs: Sequence[Any], donated: frozenset[int],
        description: list[tuple[str, str]], capturing: bool,
    ) -> None:  # fmt: skip
        self.name, self.device, self.description = name, device, description
        self._capturing = capturing
        self.recorded = recording.graph
        self.guards = Guards(recording.notes, recording.grads, recording.generators, recording.states)
        self._fill, self._results = recording.fill, recording.results
        self._effects = recording.notes.effects
        self._captures, self._new_grads = recording.captures, recording.new_grads
        self._single = self._is_single(recording)
        self._donated = tuple(sorted(donated))
        self.graph, self._taken, self._sources = _donate(recording.graph, self._donated)
        self._positions = [at for at in range(len(recording.graph.inputs)) if at not in self._taken]
        self._numbers = {
            at: Number(device, recording.graph.inputs[at])
            for at, source in enumerate(inputs)
            if not isinstance(source, Tensor)
        }
        self._changed = [at for at, state in enumerate(recording.graph.states) if state.changed]
        self._outputs = [
            ProgramOutput(var, device) for var in recording.graph.outputs if isinstance(var, Var)
        ]
        self._executor: Executor | None = None
        self._plain = not self._donated and not self._numbers

    def _is_single(self, recording: Recording) -> bool:
        """Return whether the result is a single tensor, without captures and gradients."""
        marker = object()
        if recording.results != 1 or self._capturing or recording.new_grads:
            return False
        return recording.fill([marker]) is marker

    def compile(self, foreign: bool = False, known: Plan | None = None) -> None:
        """Create the executor, so that the program can run.

        Args:
            foreign: whether the graph comes from a file.
            known: the plan of the graph, where an earlier process has made it.
        """
        if known is not None:
            self._executor = self.device.prepare(known)
        else:
            self._executor = executor_for(self.name, self.graph, self.device, self.guards.storages, foreign)

    @property
    def planned(self) -> bool:
        """Whether the program replays a plan; otherwise it runs operation by operation."""
        return not isinstance(self._executor, OpByOp)

    @property
    def plan(self) -> Plan:
        """The plan of the program; ``UnsupportedError`` where the program runs operation by operation."""
        executor: Any = self._executor
        assert executor is not None, "the program is compiled"
        if isinstance(executor, OpByOp):
            raise UnsupportedError(
                f"{self.name}: runs operation by operation on {self.device.name}, expected a plan: {executor.reason}; "
                f"split the tensor, or use the cpu device"
            )
        found: Plan = executor.plan
        return found

    def run(self, inputs: list[Any], originals: list[Any], call: Callable[[], str]) -> Any:
        """Run one call and return its result.

        Args:
            inputs: the tensors and numbers of the arguments in order, tensors in row-major order.
            originals: the same tensors and numbers as given, before tensors were made contiguous.
            call: gives the name of the call for errors.
        """
        given = self._given(inputs)
        if self._donated:
            return self._run_donating(given, originals, call)
        made = self._execute(given)
        if self._single:
            return self._outputs[0].wrap(made[0])
        return self._hand_out(
            [output.wrap(storage) for output, storage in zip(self._outputs, made, strict=True)]
        )

    def _given(self, inputs: list[Any]) -> list[Storage]:
        """Return the storages of a call's tensors and numbers."""
        if self._plain:
            given = [source._data.storage for source in inputs]
        else:
            numbers = self._numbers
            given = [
                numbers[at].put(source) if at in numbers else source._data.storage
                for at, source in enumerate(inputs)
            ]
        guards = self.guards
        if self._changed and not guards.storage_ids.isdisjoint(map(id, given)):
            self._refuse_donated_states(given, guards.storages)
            given = self._apart(inputs, given, guards.storages)
        return given

    def _execute(self, given: list[Storage], further: Sequence[Storage] = ()) -> list[Storage]:
        """Run the executor over the states, followed by ``further`` states; return new storages of the outputs."""
        executor = self._executor if checking.get() is None else Interpreter(self.graph)
        assert executor is not None
        storages = self.guards.storages
        made = executor.run(given, [*storages, *further] if further else storages)
        for at in self._changed:
            storages[at].version += 1
        for effect in self._effects:
            effect()
        return made

    def _apart(self, inputs: list[Any], given: list[Storage], storages: list[Storage]) -> list[Storage]:
        """Copy inputs that share a state's storage, since the program may write the state before it reads them."""
        held = set(map(id, storages))
        return [
            EAGER.process(OPS["copy"], (source._data,), {}, None, ())[0].storage
            if id(storage) in held
            else storage
            for source, storage in zip(inputs, given, strict=True)
        ]

    def _refuse_donated_states(self, given: list[Storage], storages: list[Storage]) -> None:
        held = set(map(id, storages))
        for at in self._donated:
            if id(given[at]) in held:
                raise ArgumentError(
                    f"{self.name}: a donated argument is also state of the function (a parameter, a buffer), "
                    f"expected memory that nothing else uses; do not donate it"
                )

    def _run_donating(self, given: list[Storage], originals: list[Any], call: Callable[[], str]) -> Any:
        if any(sum(given[at] is value for value in given) > 1 for at in self._donated):
            raise ArgumentError(
                f"{self.name}: a donated argument is given twice, expected memory that nothing else uses; "
                f"clone() one of them"
            )
        made = iter(self._execute([given[at] for at in self._positions], [given[at] for at in self._taken]))
        fate = f"donated to {call()}; use the result of that call, or do not donate the tensor"
        reused = {at: given[at].donate(fate) for at in self._donated}
        for at in self._donated:
            if not originals[at]._data.storage.disposed:  # the program got a copy
                originals[at]._data.storage.donate(fate)
        results = [
            output.wrap(next(made)) if source is None else output.wrap_donated(reused[source])
            for output, source in zip(self._outputs, self._sources, strict=True)
        ]
        return self._hand_out(results)

    def _hand_out(self, tensors: list[Tensor]) -> Any:
        """Set the gradients of the leaves, and return the result, with the captures where asked for."""
        captures = dict(zip(self._captures, tensors[self._results :], strict=False))
        grads = iter(tensors[self._results + len(self._captures) :])
        for leaf, present in self._new_grads:
            self.guards.set_grad(leaf, next(grads) if present else None)
        result = self._fill(tensors[: self._results])
        return (result, captures) if self._capturing else result


def _donate(graph: Graph, donated: tuple[int, ...]) -> tuple[Graph, tuple[int, ...], list[int | None]]:
    """Return the graph with donated inputs as states, each with an output of its type as final value.

    Also return which inputs became states, and for each output the input whose memory it reuses.
    """
    taken: list[int] = []
    sources: list[int | None] = [None] * len(graph.outputs)
    for at in donated:
        given = graph.inputs[at]
        for position, output in enumerate(graph.outputs):
            if isinstance(output, Var) and output.type == given.type and sources[position] is None:
                sources[position] = at
                taken.append(at)
                break
    finals = {
        source: graph.outputs[position] for position, source in enumerate(sources) if source is not None
    }
    states = [State(graph.inputs[at], final) for at in taken if isinstance(final := finals[at], Var)]
    rest = tuple(output for output, source in zip(graph.outputs, sources, strict=True) if source is None)
    inputs = tuple(var for at, var in enumerate(graph.inputs) if at not in taken)
    return Graph(inputs, (*graph.states, *states), graph.nodes, rest), tuple(taken), sources


def device_of(graph: Graph, otherwise: Device) -> Device:
    """Return the device of a graph's values; ``otherwise`` for a graph without values."""
    for var in (*graph.inputs, *(state.initial for state in graph.states), *graph.outputs):
        if isinstance(var, Var):
            return devices.open(var.device)
    return otherwise


def is_dense(value: Any) -> bool:
    """Return whether a tensor is contiguous from the start of its storage; numbers count as contiguous."""
    if not isinstance(value, Tensor):
        return True
    data: Array = value._data
    return data.offset == 0 and data.strides == contiguous_strides(data.shape)


def dense(value: Any) -> Any:
    """Return a tensor that is contiguous from the start of its storage: the tensor itself, or a copy."""
    if is_dense(value):
        return value
    (copied,) = EAGER.process(OPS["copy"], (value._data,), {}, None, ())
    return Tensor.wrap(copied)
