"""Lowering of control flow: a ``scan``, ``cond`` or ``while_loop`` node becomes a block of calls.

The graph of a body is optimised and lowered once, over fixed memory for its operands and results: a carried value has
the same memory in every step, and both branches of a ``cond`` write to the same memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from weft.graph import passes
from weft.graph.ir import Graph, Node, Var
from weft.graph.lower.liveness import Liveness
from weft.graph.lower.lowered import Block, Choose, KernelCall, Lowered, Repeat, RepeatWhile
from weft.graph.lower.lowering import Location, LowerBlock, Lowering
from weft.ops import OPS, Geometry
from weft.target import TargetProfile


def _scan(lowering: Lowering, at: int, node: Node, attributes: dict[str, Any]) -> None:
    """Lower a ``scan``: a loop of known length over carried values and slices of sequences."""
    body: Graph = passes.run(attributes["body"], lowering.profile)
    length, carries, sequences = (attributes[name] for name in ("length", "carries", "sequences"))
    given: list[Location] = []
    for place, operand in enumerate(node.inputs):
        assert isinstance(operand, Var), "a loop takes tensors"
        location = lowering.locations[operand.id]
        if place < carries or location.stride or place < carries + sequences and not _is_whole(location):
            location = lowering.copy(location, operand.type, node.site)
        given.append(location)
    locations: dict[int, Location] = {}
    for place, (var, location) in enumerate(zip(body.inputs, given, strict=True)):
        if carries <= place < carries + sequences:
            location = Location(location.name, Geometry.contiguous(var.type.shape), math.prod(var.type.shape))
        locations[var.id] = location
    results = [
        Location(lowering.value(var.type.dtype, math.prod(var.type.shape)), Geometry.contiguous(var.type.shape[1:]),
             math.prod(var.type.shape[1:]))
        for var in node.outputs[carries:]
    ]  # fmt: skip
    start, step = (length - 1, -1) if attributes["reverse"] else (0, 1)
    with _inside(lowering, body, locations, start, step) as calls:
        outputs = _variables(body)
        for var, target in zip(outputs[carries:], results, strict=True):
            source = lowering.locations[var.id]
            lowering.emit(OPS["copy"], [(source, var.type)], [(target, var.type)], {}, node.site)
        finals = _carry(
            lowering, outputs[:carries], [location.name for location in given[:carries]], node.site
        )
    kept = [*finals, *(location.name for location in results)]
    lowering.calls.append(Repeat(length, start, step, tuple(calls), tuple(kept), node.site))
    _name(lowering, node, kept)


def _cond(lowering: Lowering, at: int, node: Node, attributes: dict[str, Any]) -> None:
    """Lower a ``cond``: two bodies that write their results to the same memory.

    A state that one branch returns unchanged keeps its memory, and the other branch overwrites it.
    """
    predicate, *operands = node.inputs
    assert isinstance(predicate, Var), "a predicate is a tensor"
    location = lowering.locations[predicate.id]
    if location.stride or location.geometry.offset or lowering.values[location.name].elements != 1:
        location = lowering.copy(location, predicate.type, node.site)
    given = [lowering.locations[operand.id] for operand in operands if isinstance(operand, Var)]
    overwritten = [_overwritten(lowering, at, node, var) for var in node.outputs]
    results = [
        lowering.value(var.type.dtype, math.prod(var.type.shape), overwrites=old)
        for var, old in zip(node.outputs, overwritten, strict=True)
    ]
    made: list[tuple[KernelCall | Block, ...]] = []
    for name in ("then", "otherwise"):
        body: Graph = passes.run(attributes[name], lowering.profile)
        locations = {var.id: location for var, location in zip(body.inputs, given, strict=True)}
        with _inside(
            lowering, body, locations, lowering.start, lowering.step, dict(lowering.copies)
        ) as calls:
            outputs = _variables(body)
            sources = [lowering.locations[var.id] for var in outputs]
            for place, (var, source, old) in enumerate(zip(outputs, sources, overwritten, strict=True)):
                if source.name in overwritten and source != Location(
                    old, Geometry.contiguous(var.type.shape)
                ):
                    sources[place] = lowering.copy(source, var.type, node.site)  # before a state is written
            for var, source, target, old in zip(outputs, sources, results, overwritten, strict=True):
                if source.name == old:
                    continue  # the branch returns the state unchanged
                lowering.written.discard(target)  # each branch writes it for the first time
                into = Location(target, Geometry.contiguous(var.type.shape))
                lowering.emit(OPS["copy"], [(source, var.type)], [(into, var.type)], {}, node.site)
        made.append(tuple(calls))
    lowering.calls.append(Choose(location.name, made[0], made[1], tuple(results), node.site))
    _name(lowering, node, results)


def _overwritten(lowering: Lowering, at: int, node: Node, result: Var) -> str:
    """Return the name of the state's value that a branch's result may overwrite; empty where there is none."""
    operands = [source for source in node.inputs[1:] if isinstance(source, Var)]
    for operand in operands:
        location = lowering.locations[operand.id]
        whole = location == Location(location.name, Geometry.contiguous(result.type.shape))
        alone = [lowering.locations[other.id].name for other in operands].count(location.name) == 1
        if (
            whole
            and alone
            and operand.type == result.type
            and lowering.liveness.updates_state(at, operand, result)
        ):
            return location.name
    return ""


def _while(lowering: Lowering, at: int, node: Node, attributes: dict[str, Any]) -> None:
    """Lower a ``while_loop``: a loop whose condition is evaluated before every step."""
    carries = attributes["carries"]
    given: list[Location] = []
    for place, source in enumerate(node.inputs):
        assert isinstance(source, Var), "a loop takes tensors"
        location = lowering.locations[source.id]
        given.append(
            lowering.copy(location, source.type, node.site)
            if place < carries or location.stride
            else location
        )
    condition, body = (passes.run(attributes[name], lowering.profile) for name in ("condition", "body"))
    locations = {var.id: location for var, location in zip(condition.inputs, given, strict=True)}
    with _inside(lowering, condition, locations, 0, 1) as tests:
        (test,) = _variables(condition)
        predicate = lowering.copy(lowering.locations[test.id], test.type, node.site).name
    locations = {var.id: location for var, location in zip(body.inputs, given, strict=True)}
    with _inside(lowering, body, locations, 0, 1) as calls:
        finals = _carry(
            lowering, _variables(body), [location.name for location in given[:carries]], node.site
        )
    lowering.calls.append(RepeatWhile(tuple(tests), predicate, tuple(calls), tuple(finals), node.site))
    _name(lowering, node, finals)


@contextmanager
def _inside(
    lowering: Lowering, body: Graph, locations: dict[int, Location], start: int, step: int,
    copies: dict[Location, Location] | None = None,
) -> Iterator[list[KernelCall | Block]]:  # fmt: skip
    """Lower the nodes of a body, and everything in the ``with`` block, into a list of calls.

    ``copies`` are the copies of views that exist before the body.
    """
    before = (
        lowering.locations, lowering.calls, lowering.liveness, lowering.copies, lowering.start, lowering.step,
        lowering.prefix,
    )  # fmt: skip
    calls: list[KernelCall | Block] = []
    lowering.locations, lowering.calls, lowering.liveness = dict(locations), calls, Liveness(body)
    lowering.copies, lowering.start, lowering.step = copies or {}, start, step
    lowering.prefix = f"s{len(lowering.values)}_"
    for at, node in enumerate(body.nodes):
        lowering.node(at, node)
    yield calls
    (
        lowering.locations, lowering.calls, lowering.liveness, lowering.copies, lowering.start, lowering.step,
        lowering.prefix,
    ) = before  # fmt: skip


def _carry(lowering: Lowering, values: Sequence[Var], places: Sequence[str], site: str) -> list[str]:
    """Copy the final carried values of a step to the memory of the next step's initial values; return their names."""
    found = []
    for var, place in zip(values, places, strict=True):
        location = lowering.locations[var.id]
        # carried values are exchanged
        if location.name in places and location.name != place or location.stride:
            location = lowering.copy(location, var.type, site)
        found.append(location)
    names = []
    for var, location, place in zip(values, found, places, strict=True):
        if location == Location(place, Geometry.contiguous(var.type.shape)):
            names.append(place)
            continue
        if location.name == place:  # the value is a view of itself
            location = lowering.copy(location, var.type, site)
        value = lowering.values[place]
        name = lowering.value(value.dtype, value.elements, overwrites=place)
        target = Location(name, Geometry.contiguous(var.type.shape))
        lowering.emit(OPS["copy"], [(location, var.type)], [(target, var.type)], {}, site)
        names.append(name)
    return names


def _name(lowering: Lowering, node: Node, names: Sequence[str]) -> None:
    """Record the memory of a node's outputs."""
    for var, name in zip(node.outputs, names, strict=True):
        lowering.locations[var.id] = Location(name, Geometry.contiguous(var.type.shape))


def _variables(body: Graph) -> list[Var]:
    return [output for output in body.outputs if isinstance(output, Var)]


def _is_whole(location: Location) -> bool:
    return location.geometry.is_contiguous and location.geometry.offset == 0


BLOCKS: dict[str, LowerBlock] = {
    "scan": _scan, "cond": _cond, "while_loop": _while,
}  # fmt: skip
"""The lowering of each op with graphs among its attributes."""


def lower(graph: Graph, profile: TargetProfile) -> Lowered:
    """Lower a graph to kernel calls for a target; ``UnsupportedError`` for an op without kernels there."""
    return Lowering(graph, profile, BLOCKS).result()
