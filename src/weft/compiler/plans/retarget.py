"""Retarget a graph to another device than it was traced for.

The types of a graph depend on the device only in scalars that the host sets (learning rates, step counters, Python
floats): they have the widest float type of the device, float64 or float32. The types computed from them follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weft import dtypes
from weft.compiler.plans.bodies import bodies
from weft.devices.base import Device
from weft.errors import DTypeError, mistake
from weft.graph import Graph, Node, State, Var
from weft.graph.ir import Atom
from weft.ops import TensorType, lookup


def retargeted(graph: Graph, device: Device, where: str) -> Graph:
    """Return the graph with scalars of the device's widest type; ``DTypeError`` names a line that needs float64."""
    if device.supports(dtypes.float64):
        return graph
    return _Retargeting(device, where).graph(graph, None)


class _Retargeting:
    def __init__(self, device: Device, where: str) -> None:
        self.device, self.where = device, where

    def graph(self, graph: Graph, given: Sequence[TensorType] | None) -> Graph:
        """Return a retargeted graph; for the body of an op, ``given`` are the types of its inputs."""
        types = [source.type if given is None else given[at] for at, source in enumerate(graph.inputs)]
        values: dict[int, Var] = {}
        inputs = tuple(
            self._narrowed(values, source, type_) for source, type_ in zip(graph.inputs, types, strict=True)
        )
        initial = [self._narrowed(values, state.initial, state.initial.type) for state in graph.states]
        nodes = tuple(self._node(node, values) for node in graph.nodes)
        states = []
        for first, original in zip(initial, graph.states, strict=True):
            last = values[original.final.id]
            if last.type != first.type:
                raise self._refused("a state", last.type, "", f"{first.type!r}, as at the start")
            states.append(State(first, last))
        return Graph(inputs, tuple(states), nodes, tuple(_atom(output, values) for output in graph.outputs))

    def _narrowed(self, values: dict[int, Var], var: Var, type_: TensorType) -> Var:
        """Retarget an input: a float64 scalar becomes float32; a tensor of an unsupported type is an error."""
        if type_.dtype is dtypes.float64 and not type_.shape:
            type_ = TensorType((), dtypes.float32)
        return self._put(values, var, type_, "")

    def _put(self, values: dict[int, Var], var: Var, type_: TensorType, site: str) -> Var:
        if not self.device.supports(type_.dtype):
            raise self._refused("a value", type_, site, "float32 or a narrower type")
        made = values[var.id] = replace(var, type=type_)
        return made

    def _node(self, node: Node, values: dict[int, Var]) -> Node:
        inputs = tuple(_atom(source, values) for source in node.inputs)
        types = [
            source.type if isinstance(source, Var) else TensorType((), dtypes.of_scalar(source), True)
            for source in inputs
        ]
        attributes = dict(node.attributes)
        for name, (given, _) in bodies(node.op, types, attributes).items():
            attributes[name] = self.graph(attributes[name], given)
        inferred = lookup(node.op).infer(*types, **attributes)
        outputs = tuple(
            self._put(values, var, type_, node.site)
            for var, type_ in zip(node.outputs, inferred, strict=True)
        )
        return replace(node, inputs=inputs, outputs=outputs, attributes=tuple(attributes.items()))

    def _refused(self, name: str, type_: TensorType, site: str, expected: str) -> DTypeError:
        return DTypeError(
            mistake(self.where, f"{name}{f' (at {site})' if site else ''}", f"{type_!r} on {self.device.name}",
                    expected, "load it where it was saved, or on cpu")
        )  # fmt: skip


def _atom(atom: Atom, values: dict[int, Var]) -> Atom:
    return values[atom.id] if isinstance(atom, Var) else atom
