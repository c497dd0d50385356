"""``Lowering``: every node of a graph as calls of the kernels that its op declares, with all numbers constant.

Views become index expressions: a node that reads a view reads the value behind it through the view's strides. An op
that may write over an operand does so where that is the operand's last use, which for a state means that its update
touches only what changes.
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
from weft.graph.lower.limits import roomy
from weft.graph.lower.lives import Lives
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
class Home:
    """Where a graph's value lies: a run of memory, and the view of it.

    ``stride``: how many elements further on it lies at each step of the loop that is being lowered.
    """

    name: str
    geometry: Geometry
    stride: int = 0


LowerBlock = Callable[["Lowering", int, Node, dict[str, Any]], None]
"""How an op whose attributes are graphs becomes calls: at the node of this number, with these attributes."""


class Lowering:
    """A graph being lowered, one node after another; and the graphs of its blocks, each in its turn.

    ``blocks``: how each op is lowered whose attributes are graphs.
    """

    def __init__(self, graph: Graph, profile: TargetProfile, blocks: Mapping[str, LowerBlock]) -> None:
        self.graph, self.profile, self.roomy = graph, profile, roomy(profile)
        self.blocks = blocks
        self.values: dict[str, LoweredValue] = {}
        self.calls: list[KernelCall | Block] = []
        self.prefix = ""
        self.start, self.step = 0, 1
        """The first step of the loop that is being lowered, and what comes after each."""
        self.homes: dict[int, Home] = {}
        self.copies: dict[Home, Home] = {}
        self.lives = Lives(graph)
        self.written: set[str] = set()
        self.newest: dict[str, str] = {}
        """What a program writes several times has a new name each time, over the one before."""
        for var in (*graph.inputs, *(state.initial for state in graph.states)):
            self.fresh(var)

    def result(self) -> Lowered:
        """The lowered graph."""
        for at, node in enumerate(self.graph.nodes):
            self.node(at, node)
        taken = {self.homes[var.id].name for var in self.graph.inputs}
        taken |= {self.homes[state.initial.id].name for state in self.graph.states}
        states = []
        for state in self.graph.states:
            initial = self.homes[state.initial.id].name
            final = initial
            if state.changed and (final := self.homes[state.final.id].name) != self._rooted(initial, final):
                final = self._own(state.final, taken)
            taken.add(self._memory(final))
            states.append((initial, final))
        outputs = []
        for out in self.graph.outputs:
            if not isinstance(out, Var):
                raise UnsupportedError(
                    "lower: an output is a Python number, expected tensors; keep it outside"
                )
            name = self._own(out, taken)
            taken.add(self._memory(name))
            outputs.append(Result(name, out.type))
        inputs = tuple(self.homes[var.id].name for var in self.graph.inputs)
        return Lowered(tuple(self.values.values()), tuple(self.calls), inputs, tuple(states), tuple(outputs))

    def _rooted(self, initial: str, final: str) -> str:
        """The final's name where it lies in the memory of the state's own start, else nothing."""
        name = final
        while name and name != initial:
            name = self.values[name].over
        return final if name == initial and final != initial else ""

    def _own(self, var: Var, taken: set[str]) -> str:
        """The name of a value that is this and nothing else: what it is, or a copy."""
        home = self.homes[var.id]
        value = self.values[home.name]
        whole = (
            not home.stride
            and home.geometry.is_contiguous
            and home.geometry.offset == 0
            and home.geometry.numel == value.elements
        )
        if whole and self._memory(home.name) not in taken:
            return home.name
        return self.copy(home, var.type).name

    def _dense(self, home: Home, type_: TensorType, site: str) -> Home:
        """The contiguous copy of a view, made once."""
        found = self.copies.get(home)
        if found is None:
            found = self.copies[home] = self.copy(home, type_, site)
        return found

    def copy(self, home: Home, type_: TensorType, site: str = "") -> Home:
        """A value with the elements of a view, in row-major order."""
        name = self.value(type_.dtype, math.prod(type_.shape))
        copied = Home(name, Geometry.contiguous(type_.shape))
        self.emit(OPS["copy"], [(home, type_)], [(copied, type_)], {}, site)
        return copied

    # Values.

    def value(self, dtype: DType, elements: int, name: str = "", over: str = "") -> str:
        """A new value; gives its name."""
        if not self.profile.supports(dtype):
            raise DTypeError(mistake("compile", "a value's dtype", dtype.name, "one that the device has"))
        name = name or f"t{len(self.values)}"
        self.values[name] = LoweredValue(name, dtype, elements, over)
        return name

    def fresh(self, var: Var, over: str = "") -> Home:
        """A new value for a variable of the graph, and where it lies."""
        name = self.value(var.type.dtype, math.prod(var.type.shape), f"{self.prefix}v{var.id}", over)
        home = self.homes[var.id] = Home(name, Geometry.contiguous(var.type.shape))
        return home

    # Nodes.

    def node(self, at: int, node: Node) -> None:
        """Lower one node, whose place in its graph is ``at``."""
        op, attributes = lookup(node.op), dict(node.attributes)
        if op.view is not None:
            (source,), (out,) = node.inputs, node.outputs
            assert isinstance(source, Var)
            home = self.homes[source.id]
            geometry = op.view(home.geometry, **attributes)
            if geometry is None:
                home = self._dense(home, source.type, node.site)
                geometry = op.view(home.geometry, **attributes)
                assert geometry is not None, "a view of what is contiguous"
            self.homes[out.id] = replace(home, geometry=geometry)
            return
        if op.name in self.blocks:
            self.blocks[op.name](self, at, node, attributes)
            return
        operands: list[tuple[Home, TensorType] | bool | int | float] = []
        for operand in node.inputs:
            if not isinstance(operand, Var):
                operands.append(operand)
                continue
            home = self.homes[operand.id]
            if op.dense and (home.stride or not home.geometry.is_contiguous or home.geometry.offset):
                home = self._dense(home, operand.type, node.site)
            operands.append((home, operand.type))
        if node.op == "update_view" and self._updated(at, node):
            return
        outputs = []
        over = self._overwritten(at, node, op, operands)
        for number, var in enumerate(node.outputs):
            outputs.append((self.fresh(var, over.get(number, "")), var.type))
        self.emit(op, operands, outputs, attributes, node.site)
        for var in node.outputs:
            home = self.homes[var.id]
            self.homes[var.id] = replace(home, name=self.newest.get(home.name, home.name))

    def _updated(self, at: int, node: Node) -> bool:
        """Lower the update of a view of what the program has made itself to a pointwise kernel."""
        base, value = node.inputs
        (out,) = node.outputs
        if not (isinstance(base, Var) and isinstance(value, Var)) or not self.lives.is_made(base):
            return False
        if self.lives.updates_state(at, base, out):
            return False  # in place, where it touches what changes and nothing else
        homes = self.homes[base.id], self.homes[value.id]
        view = follow(Geometry.contiguous(out.type.shape), dict(node.attributes)["path"])
        if any(home.stride for home in homes):
            return False
        names = (homes[0].name, homes[1].name, f"{self.prefix}v{out.id}")
        layouts = (homes[0].geometry, homes[1].geometry, view)
        kernel = update_kernel(names, out.type.dtype, out.type.shape, *layouts)
        if kernel is None:
            return False
        self.fresh(out)
        self.written.add(names[2])
        given = tuple(buffer.name for buffer in kernel.buffers)
        self.calls.append(KernelCall(kernel, given, (len(given) - 1,), ops=(node.op,), site=node.site))
        return True

    def _overwritten(self, at: int, node: Node, op: OpSpec, operands: Sequence[Any]) -> dict[int, str]:
        """For outputs that take over an operand's memory the value's name: its last use is here."""
        found: dict[int, str] = {}
        if not op.elementwise and not op.overwrites:
            return found
        names = [operand[0].name if isinstance(operand, tuple) else "" for operand in operands]
        count = Counter(names)
        taken: set[str] = set()
        for number, var in enumerate(node.outputs):
            places: Sequence[int] = (
                op.overwrites[number : number + 1] if op.overwrites else self.lives.updated(node, var)
            )
            for place in places:
                source = node.inputs[place]
                if not isinstance(source, Var) or source.type != var.type or count[names[place]] != 1:
                    continue
                whole = operands[place][0].geometry == Geometry.contiguous(source.type.shape)
                if (
                    whole
                    and names[place] not in taken
                    and self.lives.ends(at, source, var, bool(op.overwrites))
                ):
                    found[number] = names[place]
                    taken.add(names[place])
                    break
        return found

    def emit(
        self, op: OpSpec, operands: Sequence[Any], outputs: Sequence[tuple[Home, TensorType]],
        attributes: dict[str, Any], site: str,
    ) -> None:  # fmt: skip
        """The calls of an op over operands and outputs that have their places."""
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
            home, type_ = value
            slot = slots.setdefault(self._memory(home.name), index)
            places = (home.geometry.offset, home.stride)
            aligned = all(at % 4 == 0 and at * type_.dtype.itemsize % 16 == 0 for at in places)
            made.append(Operand(index, type_.dtype, type_.shape, home.geometry.strides, slot, aligned))
        given, targets = made[: len(operands)], made[len(operands) :]
        for position, target in zip(op.overwrites, targets, strict=False):
            if given[position].slot == target.slot:
                given[position] = target
        program = op.lower(KernelRequest(given, targets, attributes, self.roomy))
        homes = [value[0] if isinstance(value, tuple) else None for value in placed]
        for dtype, elements in program.temporaries:
            homes.append(Home(self.value(dtype, elements), Geometry.contiguous((elements,))))
        report = (op.name, op.reports) if op.reports else None
        # what a step writes it calls by the output's name, what it reads before that by the operand's
        for step in program.steps:
            # steps of an op that checks indices stay apart from others: what they write is named by data
            checks = op.reports != "total" or isinstance(step.kernel, Kernel) and step.kernel.reports
            self._step(step, homes, placed, report if checks else None, op.name, site)

    def _memory(self, name: str) -> str:
        while self.values[name].over:
            name = self.values[name].over
        return name

    def _step(
        self, step: KernelStep, homes: Sequence[Home | None], placed: Sequence[Any], report: tuple[str, str] | None,
        op: str, site: str,
    ) -> None:  # fmt: skip
        names: list[str] = []
        for index in step.buffers:
            home = homes[index]
            assert home is not None
            names.append(home.name)
        numbers: list[int | float] = []
        strides: list[int] = []
        advance: tuple[int, ...]
        kernel = step.kernel
        parameters = None if isinstance(kernel, Library) else kernel.parameters
        for position, argument in enumerate(step.arguments):
            strides.append(0)
            if isinstance(argument, Offset):
                home = homes[argument.index]
                assert home is not None
                numbers.append(home.geometry.offset)
                strides[-1] = home.stride
            elif isinstance(argument, Scalar):
                assert parameters is not None
                numbers.append(as_parameter(placed[argument.index], parameters[position].dtype))
            else:
                numbers.append(argument)
        if isinstance(kernel, Kernel):
            written = tuple(at for at, buffer in enumerate(kernel.buffers) if buffer.access == "read_write")
            names = self._named(names, written, homes)
            # what a kernel loads from memory that it writes is the value that lay there
            before = {names[at]: self.values[names[at]].over for at in written if self.values[names[at]].over}
            kernel = with_constants(kernel, names, numbers, strides, before)
            numbers = [self.start] if kernel.parameters else []
            advance = (self.step,) if kernel.parameters else ()
            names = [buffer.name for buffer in kernel.buffers]
            written = tuple(at for at, buffer in enumerate(kernel.buffers) if buffer.access == "read_write")
        else:
            spec = generate(kernel, self.profile)
            written = tuple(range(len(spec.inputs), len(spec.inputs) + len(spec.outputs)))
            names = self._named(names, written, homes)
            numbers = [
                number + self.start * stride if stride else number
                for number, stride in zip(numbers, strides, strict=True)
            ]
            advance = tuple(self.step * stride for stride in strides) if any(strides) else ()
        self.calls.append(
            KernelCall(kernel, tuple(names), written, tuple(numbers), report, (op,), site, advance)
        )

    def _named(self, names: Sequence[str], written: Sequence[int], homes: Sequence[Home | None]) -> list[str]:
        """The values that a step reads and writes: what is written anew is a new value over the old one."""
        found = []
        over: dict[str, str] = {}
        for home in homes:
            if home is not None:
                over.setdefault(self.values[home.name].over, home.name)
        anew = set(written)
        for at, name in enumerate(names):
            if at not in anew:
                now = self.newest.get(name, name)
                while now not in self.written and self.values[now].over:
                    now = self.values[now].over  # not written yet: what lies there is the operand
                found.append(now)
                continue
            # where an output takes over an operand's memory in this op, what is written is the output
            target = over.get(name, name)
            now = self.newest.get(target, target)
            if now in self.written:
                value = self.values[now]
                now = self.value(value.dtype, value.elements, over=now)
                self.newest[target] = now
            self.written.add(now)
            found.append(now)
        return found
