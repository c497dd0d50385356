"""``Lowering``: turn every node of a graph into calls of its op's kernels, with all numbers constant.

Views become index expressions: a node that reads a view reads its base through the view's strides. An op that may work
in place overwrites an operand at the operand's last use; so the update of a state writes only the elements that change.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from weft import dtypes
from weft.codegen import generate
from weft.dtypes import DType
from weft.errors import DTypeError, UnsupportedError, mistake
from weft.graph.ir import Graph, Node, Var
from weft.graph.lower.limits import without_buffer_limit
from weft.graph.lower.liveness import Liveness
from weft.graph.lower.lowered import Block, KernelCall, Lowered, LoweredValue, Result
from weft.graph.lower.updates import update_kernel
from weft.graph.rewriting.renaming import with_constants
from weft.kernels import (
    Kernel,
    KernelStep,
    Library,
    Offset,
    Operand,
    Scalar,
    as_parameter,
)
from weft.ops import OPS, Geometry, OpSpec, TensorType, lookup
from weft.ops.registry.spec import KernelRequest
from weft.ops.views.ops import follow
from weft.target import TargetProfile


@dataclass(frozen=True, slots=True)
class Location:
    """The memory of a graph's value: the name of a run of memory, and a view of it.

    ``stride`` is the increment of the offset, in elements, for each step of the loop that is being lowered.
    """

    name: str
    geometry: Geometry
    stride: int = 0


LowerBlock = Callable[["Lowering", int, Node, dict[str, Any]], None]
"""Lowers a node with graphs among its attributes; takes the node's number, the node and its attributes."""


class Lowering:
    """The state of lowering a graph, node by node, including the graphs of its blocks.

    ``blocks`` holds the lowering of each op with graphs among its attributes.
    """

    def __init__(self, graph: Graph, profile: TargetProfile, blocks: Mapping[str, LowerBlock]) -> None:
        self.graph, self.profile, self.op_profile = graph, profile, without_buffer_limit(profile)
        self.blocks = blocks
        self.values: dict[str, LoweredValue] = {}
        self.calls: list[KernelCall | Block] = []
        self.prefix = ""
        self.start, self.step = 0, 1
        """The number of the first step of the loop that is being lowered, and its increment."""
        self.locations: dict[int, Location] = {}
        self.copies: dict[Location, Location] = {}
        self.liveness = Liveness(graph)
        self.written: set[str] = set()
        self.newest: dict[str, str] = {}
        """The newest name of each value: a value that is written again gets a new name over the old name."""
        for var in (*graph.inputs, *(state.initial for state in graph.states)):
            self.fresh(var)

    def result(self) -> Lowered:
        """Lower all nodes and return the lowered graph."""
        for at, node in enumerate(self.graph.nodes):
            self.node(at, node)
        taken = {self.locations[var.id].name for var in self.graph.inputs}
        taken |= {self.locations[state.initial.id].name for state in self.graph.states}
        states = []
        for state in self.graph.states:
            initial = self.locations[state.initial.id].name
            final = initial
            if state.changed and (final := self.locations[state.final.id].name) != self._rooted(
                initial, final
            ):
                final = self._unshared(state.final, taken)
            taken.add(self._memory(final))
            states.append((initial, final))
        outputs = []
        for out in self.graph.outputs:
            if not isinstance(out, Var):
                raise UnsupportedError(
                    "lower: an output is a Python number, expected a tensor; return the number outside of the function"
                )
            name = self._unshared(out, taken)
            taken.add(self._memory(name))
            outputs.append(Result(name, out.type))
        inputs = tuple(self.locations[var.id].name for var in self.graph.inputs)
        return Lowered(tuple(self.values.values()), tuple(self.calls), inputs, tuple(states), tuple(outputs))

    def _rooted(self, initial: str, final: str) -> str:
        """Return the name of a final value in the memory of the state's initial value; else an empty string."""
        name = final
        while name and name != initial:
            name = self.values[name].overwrites
        return final if name == initial and final != initial else ""

    def _unshared(self, var: Var, taken: set[str]) -> str:
        """Return the name of a whole value for a variable in memory that is not ``taken``: its value, or a copy."""
        location = self.locations[var.id]
        value = self.values[location.name]
        whole = (
            not location.stride
            and location.geometry.is_contiguous
            and location.geometry.offset == 0
            and location.geometry.numel == value.elements
        )
        if whole and self._memory(location.name) not in taken:
            return location.name
        return self.copy(location, var.type).name

    def _dense(self, location: Location, type_: TensorType, site: str) -> Location:
        """Return the contiguous copy of a view, which is shared by all readers."""
        found = self.copies.get(location)
        if found is None:
            found = self.copies[location] = self.copy(location, type_, site)
        return found

    def copy(self, location: Location, type_: TensorType, site: str = "") -> Location:
        """Emit a copy of a view in row-major order, and return its location."""
        name = self.value(type_.dtype, math.prod(type_.shape))
        copied = Location(name, Geometry.contiguous(type_.shape))
        self.emit(OPS["copy"], [(location, type_)], [(copied, type_)], {}, site)
        return copied

    # Values.

    def value(self, dtype: DType, elements: int, name: str = "", overwrites: str = "") -> str:
        """Create a value, and return its name."""
        if not self.profile.supports(dtype):
            raise DTypeError(
                mistake("compile", "a value's dtype", dtype.name, "a type that the device supports")
            )
        name = name or f"t{len(self.values)}"
        self.values[name] = LoweredValue(name, dtype, elements, overwrites)
        return name

    def fresh(self, var: Var, overwrites: str = "") -> Location:
        """Create a value for a variable of the graph, and return its location."""
        name = self.value(var.type.dtype, math.prod(var.type.shape), f"{self.prefix}v{var.id}", overwrites)
        location = self.locations[var.id] = Location(name, Geometry.contiguous(var.type.shape))
        return location

    # Nodes.

    def node(self, at: int, node: Node) -> None:
        """Lower the node with number ``at``."""
        op, attributes = lookup(node.op), dict(node.attributes)
        if op.view is not None:
            (source,), (out,) = node.inputs, node.outputs
            assert isinstance(source, Var)
            location = self.locations[source.id]
            geometry = op.view(location.geometry, **attributes)
            if geometry is None:
                location = self._dense(location, source.type, node.site)
                geometry = op.view(location.geometry, **attributes)
                assert geometry is not None, "contiguous memory has every view"
            self.locations[out.id] = replace(location, geometry=geometry)
            return
        if op.name in self.blocks:
            self.blocks[op.name](self, at, node, attributes)
            return
        operands: list[tuple[Location, TensorType] | bool | int | float] = []
        for operand in node.inputs:
            if not isinstance(operand, Var):
                operands.append(operand)
                continue
            location = self.locations[operand.id]
            if op.dense and (
                location.stride or not location.geometry.is_contiguous or location.geometry.offset
            ):
                location = self._dense(location, operand.type, node.site)
            operands.append((location, operand.type))
        if node.op == "update_view" and self._updated(at, node):
            return
        outputs = []
        overwritten = self._overwritten(at, node, op, operands)
        for number, var in enumerate(node.outputs):
            outputs.append((self.fresh(var, overwritten.get(number, "")), var.type))
        self.emit(op, operands, outputs, attributes, node.site)
        for var in node.outputs:
            location = self.locations[var.id]
            self.locations[var.id] = replace(location, name=self.newest.get(location.name, location.name))

    def _updated(self, at: int, node: Node) -> bool:
        """Lower ``update_view`` of a value that the program computes to a pointwise kernel; return whether it could."""
        base, value = node.inputs
        (out,) = node.outputs
        if not (isinstance(base, Var) and isinstance(value, Var)) or not self.liveness.is_made(base):
            return False
        if self.liveness.updates_state(at, base, out):
            return False  # lowered in place, so that it writes only the elements that change
        locations = self.locations[base.id], self.locations[value.id]
        view = follow(Geometry.contiguous(out.type.shape), dict(node.attributes)["path"])
        if any(location.stride for location in locations):
            return False
        names = (locations[0].name, locations[1].name, f"{self.prefix}v{out.id}")
        layouts = (locations[0].geometry, locations[1].geometry, view)
        kernel = update_kernel(names, out.type.dtype, out.type.shape, *layouts)
        if kernel is None:
            return False
        self.fresh(out)
        self.written.add(names[2])
        given = tuple(buffer.name for buffer in kernel.buffers)
        self.calls.append(KernelCall(kernel, given, (len(given) - 1,), ops=(node.op,), site=node.site))
        return True

    def _overwritten(self, at: int, node: Node, op: OpSpec, operands: Sequence[Any]) -> dict[int, str]:
        """Return, by output, the operand whose memory the output overwrites; the operand is used last here."""
        found: dict[int, str] = {}
        if not op.elementwise and not op.overwrites:
            return found
        names = [operand[0].name if isinstance(operand, tuple) else "" for operand in operands]
        count = Counter(names)
        taken: set[str] = set()
        for number, var in enumerate(node.outputs):
            places: Sequence[int] = (
                op.overwrites[number : number + 1] if op.overwrites else self.liveness.updated(node, var)
            )
            for place in places:
                source = node.inputs[place]
                if not isinstance(source, Var) or source.type != var.type or count[names[place]] != 1:
                    continue
                whole = operands[place][0].geometry == Geometry.contiguous(source.type.shape)
                if (
                    whole
                    and names[place] not in taken
                    and self.liveness.ends(at, source, var, bool(op.overwrites))
                ):
                    found[number] = names[place]
                    taken.add(names[place])
                    break
        return found

    def emit(
        self, op: OpSpec, operands: Sequence[Any], outputs: Sequence[tuple[Location, TensorType]],
        attributes: dict[str, Any], site: str,
    ) -> None:  # fmt: skip
        """Emit the calls of an op on operands and outputs with known locations."""
        if all(math.prod(type_.shape) == 0 for _, type_ in outputs):
            return
        if op.lower is None:
            raise UnsupportedError(
                f"{op.name}: has no kernels, so it cannot be compiled; call it outside of jit"
            )
        placed = [*operands, *outputs]
        slots: dict[str, int] = {}
        made: list[Operand] = []
        for index, value in enumerate(placed):
            if not isinstance(value, tuple):
                made.append(Operand(index, dtypes.of_scalar(value), scalar=True))
                continue
            location, type_ = value
            slot = slots.setdefault(self._memory(location.name), index)
            places = (location.geometry.offset, location.stride)
            aligned = all(at % 4 == 0 and at * type_.dtype.itemsize % 16 == 0 for at in places)
            made.append(Operand(index, type_.dtype, type_.shape, location.geometry.strides, slot, aligned))
        given, targets = made[: len(operands)], made[len(operands) :]
        for position, target in zip(op.overwrites, targets, strict=False):
            if given[position].slot == target.slot:
                given[position] = target
        program = op.lower(KernelRequest(given, targets, attributes, self.op_profile))
        locations = [value[0] if isinstance(value, tuple) else None for value in placed]
        for dtype, elements in program.temporaries:
            locations.append(Location(self.value(dtype, elements), Geometry.contiguous((elements,))))
        report = (op.name, op.reports) if op.reports else None
        # a step writes a value by the output's name, and reads the overwritten value by the operand's name
        for step in program.steps:
            # steps of an op that checks indices are not fused: data selects the elements that they write
            checks = op.reports != "total" or isinstance(step.kernel, Kernel) and step.kernel.reports
            self._step(step, locations, placed, report if checks else None, op.name, site)

    def _memory(self, name: str) -> str:
        while self.values[name].overwrites:
            name = self.values[name].overwrites
        return name

    def _step(
        self, step: KernelStep, locations: Sequence[Location | None], placed: Sequence[Any],
        report: tuple[str, str] | None, op: str, site: str,
    ) -> None:  # fmt: skip
        names: list[str] = []
        for index in step.buffers:
            location = locations[index]
            assert location is not None
            names.append(location.name)
        numbers: list[int | float] = []
        strides: list[int] = []
        advance: tuple[int, ...]
        kernel = step.kernel
        parameters = None if isinstance(kernel, Library) else kernel.parameters
        for position, argument in enumerate(step.arguments):
            strides.append(0)
            if isinstance(argument, Offset):
                location = locations[argument.index]
                assert location is not None
                numbers.append(location.geometry.offset)
                strides[-1] = location.stride
            elif isinstance(argument, Scalar):
                assert parameters is not None
                numbers.append(as_parameter(placed[argument.index], parameters[position].dtype))
            else:
                numbers.append(argument)
        if isinstance(kernel, Kernel):
            written = tuple(at for at, buffer in enumerate(kernel.buffers) if buffer.access == "read_write")
            names = self._named(names, written, locations)
            # a kernel's load from memory that it writes reads the overwritten value
            before = {
                names[at]: self.values[names[at]].overwrites
                for at in written
                if self.values[names[at]].overwrites
            }
            kernel = with_constants(kernel, names, numbers, strides, before)
            numbers = [self.start] if kernel.parameters else []
            advance = (self.step,) if kernel.parameters else ()
            names = [buffer.name for buffer in kernel.buffers]
            written = tuple(at for at, buffer in enumerate(kernel.buffers) if buffer.access == "read_write")
        else:
            spec = generate(kernel, self.profile)
            written = tuple(range(len(spec.inputs), len(spec.inputs) + len(spec.outputs)))
            names = self._named(names, written, locations)
            numbers = [
                number + self.start * stride if stride else number
                for number, stride in zip(numbers, strides, strict=True)
            ]
            advance = tuple(self.step * stride for stride in strides) if any(strides) else ()
        self.calls.append(
            KernelCall(kernel, tuple(names), written, tuple(numbers), report, (op,), site, advance)
        )

    def _named(
        self, names: Sequence[str], written: Sequence[int], locations: Sequence[Location | None]
    ) -> list[str]:
        """Return the values that a step reads and writes; a value that is written again gets a new name."""
        found = []
        writers: dict[str, str] = {}
        for location in locations:
            if location is not None:
                writers.setdefault(self.values[location.name].overwrites, location.name)
        anew = set(written)
        for at, name in enumerate(names):
            if at not in anew:
                now = self.newest.get(name, name)
                while now not in self.written and self.values[now].overwrites:
                    now = self.values[now].overwrites  # not written yet: the memory still holds the operand
                found.append(now)
                continue
            # where an output overwrites an operand's memory in this op, the written value is the output
            target = writers.get(name, name)
            now = self.newest.get(target, target)
            if now in self.written:
                value = self.values[now]
                now = self.value(value.dtype, value.elements, overwrites=now)
                self.newest[target] = now
            self.written.add(now)
            found.append(now)
        return found
