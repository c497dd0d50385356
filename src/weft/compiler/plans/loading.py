"""``load_plan``: read a saved plan and compile it for a device. The files are not trusted and hold no code.

``graphs`` validates the graph. Passes, lowering and planning run as for a traced graph, so a plan of another adapter,
or of an older weft with the same op contracts, can be loaded.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import weft
from weft import devices, dtypes
from weft.compiler.guards import Notes
from weft.compiler.plans import calls, fields, graphs, plan_cache
from weft.compiler.plans.compiled import CompiledPlan
from weft.compiler.plans.directory import GRAPH, STATE, find
from weft.compiler.plans.fields import Field
from weft.compiler.plans.retarget import retargeted
from weft.compiler.plans.saving import FORMAT, VERSION
from weft.compiler.plans.trees import Given, Number, Slot, build, leaves
from weft.compiler.program import CompiledProgram
from weft.compiler.trace import Recording
from weft.devices.base import Device
from weft.errors import ArgumentTypeError, FormatError, WeftError, mistake
from weft.graph import AbstractValue, Graph, Var
from weft.io import files
from weft.ops import Geometry, TensorType
from weft.target import DIALECTS, TargetProfile
from weft.tensors.array import Array
from weft.tensors.host import from_numpy
from weft.tensors.tensor import Tensor

LOG = logging.getLogger("weft.compiler")
WHERE = "load_plan"
MEMBERS = ("format", "version", "weft", "name", "target", "arguments", "donated", "result", "captures", "gradients",
           "states", "ops", "graph")  # fmt: skip


def load_plan(
    directory: str | os.PathLike[str], device: str | None = None, *, classes: Sequence[type] = ()
) -> CompiledPlan:
    """Load a saved plan for calls on a device.

    Custom kernels must be registered before, with the same source. On another device than the saved plan's, numbers
    such as learning rates get the widest type of the new device.

    Args:
        directory: the directory that ``CompiledPlan.save`` wrote.
        device: the device; by default the device that the plan was saved on.
        classes: the named tuples and dataclasses among the plan's arguments and results.

    Raises:
        FormatError: a file is damaged or newer than this weft, or an op has another contract here; the message names
            the file and the field.
        DeviceError: there is no such device.

    >>> import tempfile, weft as wf
    >>> w = wf.ones(2, device="cpu")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wf.jit(lambda x: x * w.add_(1)).plan(wf.ones(2, device="cpu")).save(f"{folder}/plan")
    ...     plan = wf.compiler.load_plan(f"{folder}/plan")
    >>> plan(wf.ones(2, device="cpu")), plan(wf.ones(2, device="cpu")), plan.state_dict()
    (tensor([2., 2.]), tensor([3., 3.]), {'w': tensor([3., 3.])})
    """
    for class_ in classes:
        if not isinstance(class_, type):
            raise ArgumentTypeError(mistake(WHERE, "classes", repr(class_), "named tuples and dataclasses"))
    folder = find(WHERE, directory)
    data = (folder / GRAPH).read_bytes()
    parts = contents(WHERE, folder, data)
    saved, profile = read_target(parts["target"])
    opened = devices.open(saved if device is None else device)
    graphs.check_contracts(parts["ops"])
    graph = graphs.GraphReader(saved, opened.name, parts["ops"]).read(parts["graph"])
    call = _StoredProgram(parts, graph, profile, classes)
    _log_differences(parts, saved, profile, opened)
    key = plan_cache.key_of(data, opened)
    with planning(parts["graph"]):
        planned = retargeted(graph, opened, WHERE)
    states = _states(folder, call.names, graph, planned, opened)
    with planning(parts["graph"]):
        program = call.program(planned, states, opened, key)
    return CompiledPlan(program, call.arguments, call.result, call.names)


def contents(where: str, folder: Path, data: bytes) -> dict[str, Field]:
    """Return the members of a ``plan.json`` after a check of its format and version."""
    top = fields.parse(data, f"{where}: {str(folder / GRAPH)!r}")
    first = top.entries()
    for name, expected in (("format", FORMAT), ("version", VERSION)):
        if name not in first:
            raise top.at(name, None).error(repr(expected), "missing")
    first["format"].text((FORMAT,))
    version = first["version"].integer(1)
    if version > VERSION:
        raise first["version"].error(
            f"at most {VERSION}; load it with a newer weft", f"{version}, a newer format"
        )
    return top.members(*MEMBERS)


def read_target(field: Field) -> tuple[str, TargetProfile]:
    """Return the name and the profile of the device that a plan was saved on."""
    parts = field.members("device", "dialect", "features", "limits", "software", "vendor", "subgroup")
    dialect = parts["dialect"].text(tuple(DIALECTS))
    features = frozenset(part.text() for part in parts["features"].items())
    limits = {name: limit.integer(0, 2**64) for name, limit in parts["limits"].entries().items()}
    software, vendor = parts["software"].flag(), parts["vendor"].text()
    subgroup = parts["subgroup"].integer(0, 2**16)
    profile = TargetProfile(dialect, features, limits, software, vendor, subgroup)
    return parts["device"].text(), profile


def _log_differences(parts: dict[str, Field], saved: str, profile: TargetProfile, device: Device) -> None:
    """Log whether the plan was saved by another weft, on another device or on another adapter."""
    version, name = parts["weft"].text(), parts["name"].text()
    if version != weft.__version__:
        LOG.info("plan of %s: saved by weft %s, planned again by weft %s", name, version, weft.__version__)
    if saved != device.name:
        LOG.info("plan of %s: saved on %s, planned again for %s", name, saved, device.name)
    elif profile != replace(device.profile, choices={}):  # a saved profile has no choices
        LOG.info(
            "plan of %s: saved on another adapter, planned again for this adapter of %s", name, device.name
        )


@contextmanager
def planning(field: Field) -> Iterator[None]:
    """Turn any error of passes and lowering into an error of the file, since both assume graphs of a trace."""
    try:
        yield
    except WeftError:
        raise
    except Exception as error:
        raise field.error(
            "a graph of a trace", f"a graph that cannot be planned ({type(error).__name__}: {error})"
        ) from error


class _StoredProgram:
    """The arguments, result, captures, gradients and state names of a saved call, checked against its graph."""

    def __init__(
        self, parts: dict[str, Field], graph: Graph, profile: TargetProfile, classes: Sequence[type]
    ) -> None:
        self.name, self.graph = parts["name"].text(), graph
        trees = calls.TreeReader(classes)
        self.arguments = trees.arguments(parts["arguments"])
        self.result = trees.tree(parts["result"], result=True)
        self.given = [
            leaf
            for argument in self.arguments
            for leaf in leaves(argument.tree)
            if isinstance(leaf, Given | Number)
        ]
        self._check_inputs(parts["arguments"], profile)
        self.donated = self._donated(parts["donated"])
        captures = parts["captures"]
        self.capturing = captures.value is not None
        self.captures = tuple(capture.text() for capture in captures.items()) if self.capturing else ()
        if len(set(self.captures)) < len(self.captures):
            raise captures.error("distinct names")
        self.results = sum(isinstance(leaf, Slot) for leaf in leaves(self.result))
        self.gradients = self._gradients(parts["gradients"])
        count = self.results + len(self.captures) + len(self.gradients)
        if count != len(graph.outputs) or not all(isinstance(output, Var) for output in graph.outputs):
            raise parts["graph"].at("outputs", None).error(
                f"{count} values: {self.results} results, {len(self.captures)} captures and "
                f"{len(self.gradients)} gradients", f"{len(graph.outputs)} outputs",
            )  # fmt: skip
        self.names = self._names(parts["states"])

    def _check_inputs(self, field: Field, profile: TargetProfile) -> None:
        wide = dtypes.float64 if profile.supports(dtypes.float64) else dtypes.float32
        expected = [
            value.type
            if isinstance(value, Given)
            else TensorType((), dtypes.int64 if value.kind is int else wide)
            for value in self.given
        ]
        found = [source.type for source in self.graph.inputs]
        if expected != found:
            raise field.error(f"the graph's inputs {found}", f"of the types {expected}")

    def _donated(self, field: Field) -> frozenset[int]:
        found = [item.integer(0, len(self.given)) for item in field.items()]
        if len(set(found)) < len(found) or any(isinstance(self.given[at], Number) for at in found):
            raise field.error("the numbers of tensors among the arguments, each once")
        return frozenset(found)

    def _gradients(self, field: Field) -> list[int | None]:
        found: list[int | None] = []
        first = self.results + len(self.captures)
        for at, item in enumerate(field.items()):
            state = None if item.value is None else item.integer(0, len(self.graph.states))
            output = self.graph.outputs[first + at] if first + at < len(self.graph.outputs) else None
            if state is not None:
                held = self.graph.states[state].initial.type
                if not isinstance(output, Var) or output.type != held or state in found:
                    raise item.error("a state of the gradient's type, each once")
            found.append(state)
        return found

    def _names(self, field: Field) -> list[list[str]]:
        entries = field.items(len(self.graph.states))
        used: set[str] = set()
        found = []
        for entry, state in zip(entries, self.graph.states, strict=True):
            parts = entry.members("names", "dtype", "shape")
            names = [name.text() for name in parts["names"].items()]
            if not names or used & set(names) or len(set(names)) < len(names):
                raise parts["names"].error("at least one name, and no name of another state")
            used |= set(names)
            if graphs.read_type(parts) != state.initial.type:
                raise entry.error(f"the type of the graph's state, {state.initial.type!r}")
            found.append(names)
        return found

    def program(self, graph: Graph, states: Sequence[Array], device: Device, key: str) -> CompiledProgram:
        """Return the compiled program over these states; a plan of an earlier process is reused."""
        notes = Notes()
        grads: list[tuple[Tensor, Tensor | None]] = []
        for state in self.gradients:  # leaves stand for the tensors that had gradients
            leaf = Tensor.wrap(_example(TensorType((), dtypes.float32), device))
            leaf._grad = Tensor.wrap(leaf._data if state is None else states[state])
            if state is not None:
                notes.tensors[id(leaf._grad)] = leaf._grad
            grads.append((leaf, leaf._grad))
        recording = Recording(
            graph, tuple(states), notes, lambda values: build(self.result, iter(values)), self.results, self.captures,
            tuple(grads), tuple((leaf, True) for leaf, _ in grads), (),
        )  # fmt: skip
        inputs = [
            0 if isinstance(value, Number) else Tensor.wrap(_example(value.type, device))
            for value in self.given
        ]
        made = CompiledProgram(self.name, recording, device, inputs, self.donated, [], self.capturing)
        known = plan_cache.recall(key)
        made.compile(foreign=True, known=known)
        # a plan with groups depends on the addresses of the states in this process
        if known is None and made.planned and not made.plan.groups:
            plan_cache.remember(key, made.plan)
        return made


def _example(type_: TensorType, device: Device) -> AbstractValue:
    return AbstractValue(type_.dtype, Geometry.contiguous(type_.shape), device.name)


def _states(
    folder: Path, names: Sequence[Sequence[str]], graph: Graph, planned: Graph, device: Device
) -> list[Array]:
    """Return the states of the file on a device, in the types of the planned graph's states."""
    path = folder / STATE
    where = f"{WHERE}: {str(path)!r}"
    with devices.using("cpu"):
        found = files.load(path, "cpu")
    expected = {aliases[0]: state.initial.type for aliases, state in zip(names, graph.states, strict=True)}
    if set(found) != set(expected):
        name = sorted(set(found) ^ set(expected))[0]
        given = "missing" if name in expected else "present"
        raise FormatError(
            mistake(where, f"the tensor {name!r}", given, f"the states of the plan: {', '.join(expected)}")
        )
    for name, type_ in expected.items():
        found_type = TensorType(tuple(found[name].shape), found[name].dtype)
        if found_type != type_:
            raise FormatError(
                mistake(where, f"the tensor {name!r}", repr(found_type), f"{type_!r}, as plan.json says")
            )
    pairs = zip(expected, planned.states, strict=True)
    return [from_numpy(found[name].numpy(), state.initial.type.dtype, device) for name, state in pairs]
