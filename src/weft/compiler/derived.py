"""``DerivedProgram``: a compiled call whose results have a history, with a second compiled graph for the gradients.

The tape gets one node for the whole call. The node holds the saved tensors that ``graph.grad.partition`` chose: values
that the forward graph computes for it, and references to arguments, parameters and results. A referenced tensor may not
be written in place before ``backward``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Any

from weft.autograd.mode import is_enabled
from weft.autograd.node import Edge, GradientNode, Saved, kept
from weft.autograd.operands import edge_of
from weft.compiler.debug import checking
from weft.compiler.execute import Executor, Interpreter, executor_for
from weft.compiler.program import CompiledProgram, ProgramOutput, dense
from weft.compiler.trace import Recording
from weft.devices.base import Device, Storage
from weft.errors import GradError
from weft.graph import Graph, Var
from weft.graph.grad.absent import without
from weft.graph.grad.partition import Split, split
from weft.ops import OPS, TensorType
from weft.tensors.tensor import Tensor


class DerivedProgram(CompiledProgram):
    """The program of a recording with gradients, made by ``compile``."""

    def __init__(
        self, name: str, recording: Recording, device: Device, inputs: Sequence[Any],
        description: list[tuple[str, str]], capturing: bool,
    ) -> None:  # fmt: skip
        derived = recording.derived
        assert derived is not None
        self.derived = derived
        gradients = 0 if derived.spent else len(derived.inputs) + len(derived.outside)
        self._visible = len(recording.graph.outputs) - gradients
        numbers = {at for at, source in enumerate(inputs) if not isinstance(source, Tensor)}
        seeds = 0 if derived.spent else len(derived.results)
        self.split: Split = split(recording.graph, seeds, self._visible, numbers)
        forward = replace(recording, graph=self.split.forward)
        super().__init__(name, forward, device, inputs, frozenset(), description, capturing)
        self._single = False
        self.types = tuple(
            TensorType(output.shape, output.dtype)
            for output in map(self._outputs.__getitem__, derived.results)
        )
        self._saved = [ProgramOutput(var, device) for var in self.split.saved]
        self._homes = _sources(self.split, numbers)
        self._gradients = [
            ProgramOutput(var, device) for var in self.split.backward.outputs if isinstance(var, Var)
        ]
        known = {id(tensor): at for at, tensor in enumerate(self.guards.tensors)}
        self._outside = [known[id(value)] for value in derived.outside]
        self._backward: dict[tuple[bool, ...], _Backward] = {}
        self._lock = threading.Lock()

    def run(self, inputs: list[Any], originals: list[Any], call: Callable[[], str]) -> Any:
        """See ``CompiledProgram``."""
        given = self._given(inputs)
        made = self._execute(given)
        tensors = [
            output.wrap(storage)
            for output, storage in zip(self._outputs[: self._visible], made, strict=False)
        ]
        outside = map(self.guards.tensors.__getitem__, self._outside)
        edges = [*(edge_of(originals[at]) for at in self.derived.inputs), *map(edge_of, outside)]
        node = ProgramNode(self, edges)
        node.keep(self._values(given, made))
        for number, at in enumerate(self.derived.results):
            tensors[at]._edge = Edge(node, number)
        return self._hand_out(tensors)

    def _values(self, given: list[Storage], made: list[Storage]) -> list[Saved]:
        """Return the saved tensors of a call, in the order of the backward graph's inputs."""
        homes = {"input": given, "state": self.guards.storages, "made": made}
        values = []
        for (home, at), output in zip(self._homes, self._saved, strict=True):
            data = output.wrap(homes[home][at])._data
            values.append(Saved(data, data.version, None, home == "made"))
        return values

    def backward(self, saved: Sequence[Storage], seeds: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the gradients (``None`` where there is none) from saved tensors and the gradients of the results."""
        there = tuple([seed is not None for seed in seeds])
        with self._lock:
            found = self._backward.get(there)
            if found is None:
                found = self._backward[there] = _Backward(
                    f"the gradients of {self.name}", self.split.backward, there, self.device
                )
        given = [dense(seed)._data.storage for seed in seeds if seed is not None]
        made = found.executor().run([*saved, *given], ())
        gradients: list[Tensor | None] = [None] * len(self._gradients)
        for at, storage in zip(found.kept, made, strict=True):
            gradients[at] = self._gradients[at].wrap(storage)
        return gradients


class _Backward:
    """The backward graph for one set of present seeds; absent seeds are removed from it."""

    def __init__(self, name: str, graph: Graph, there: Sequence[bool], device: Device) -> None:
        seeds = graph.inputs[len(graph.inputs) - len(there) :]
        absent = {seed.id for seed, known in zip(seeds, there, strict=True) if not known}
        self.graph = graph
        self.kept: Sequence[int] = range(len(graph.outputs))
        if absent:
            self.graph, self.kept = without(graph, seeds, absent)
        self._executor = executor_for(name, self.graph, device, ())

    def executor(self) -> Executor:
        """Return the executor of the graph: an interpreter under ``weft.debug``."""
        return self._executor if checking.get() is None else Interpreter(self.graph)


def _sources(found: Split, volatile: Container[int]) -> list[tuple[str, int]]:
    """Return for each saved value whether it is an input, a state or an output of the forward graph, and which."""
    homes: dict[int, tuple[str, int]] = {}
    for at, output in enumerate(found.forward.outputs):
        if isinstance(output, Var):
            homes.setdefault(output.id, ("made", at))
    homes |= {
        state.initial.id: ("state", at) for at, state in enumerate(found.forward.states) if not state.changed
    }
    homes |= {var.id: ("input", at) for at, var in enumerate(found.forward.inputs) if at not in volatile}
    return [homes[var.id] for var in found.saved]


class ProgramNode(GradientNode):
    """The tape's node for one call of a ``DerivedProgram``."""

    __slots__ = ("_kept", "_program")

    materializes = False

    def __init__(self, program: DerivedProgram, edges: Sequence[Edge | None]) -> None:
        super().__init__(OPS["copy"], {}, edges, (), program.types)
        self._program = program
        self._kept: list[Any] = []
        self.freed = program.derived.spent

    @property
    def name(self) -> str:
        """The function's name."""
        return f"compiled {self._program.name}"

    def keep(self, values: Sequence[Saved]) -> None:
        """Hold the saved tensors."""
        self._kept = [kept(value) for value in values]

    def free(self) -> None:
        """Release the saved tensors."""
        super().free()
        self._kept.clear()

    def gradient(self, grads: Sequence[Any], needs: tuple[bool, ...]) -> Sequence[Any]:
        """Run the backward graph."""
        self._check_alive()
        saved = [self._unpack(value, None)._data.storage for value in self._kept]
        found = self._program.backward(saved, grads)
        if is_enabled():  # create_graph=True
            made = [value for value in found if value is not None]
            refusal = _Refusal(self.name, [*self.edges, *map(edge_of, grads)], made)
            for at, gradient in enumerate(made):
                gradient._edge = Edge(refusal, at)
        return found


class _Refusal(GradientNode):
    """The tape's node of gradients from a compiled graph, which cannot be differentiated again."""

    __slots__ = ("_of",)

    def __init__(self, of: str, edges: Sequence[Edge | None], gradients: Sequence[Tensor]) -> None:
        types = tuple(TensorType(gradient.shape, gradient.dtype) for gradient in gradients)
        super().__init__(OPS["copy"], {}, edges, (), types)
        self._of = of

    def gradient(self, grads: Sequence[Any], needs: tuple[bool, ...]) -> Sequence[Any]:
        """Raise ``GradError``."""
        raise GradError(
            f"{self._of}: a gradient from a compiled function is differentiated again, expected gradients of the first "
            f"order; compute both gradients inside of one function under weft.jit, or call the function uncompiled"
        )
