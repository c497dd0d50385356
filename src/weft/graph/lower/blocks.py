"""Control flow lowered: a ``scan``, ``cond`` or ``while_loop`` node becomes a block of calls.

The graph of a body is put through the passes and lowered once, over memory in which each run of it finds its operands
and leaves its results: carried values stay in one place from step to step, and both branches write to the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from weft.graph import passes
from weft.graph.ir import Graph, Node, Var
from weft.graph.lower.lives import Lives
from weft.graph.lower.lowered import Block, Choose, KernelCall, Lowered, Repeat, RepeatWhile
from weft.graph.lower.lowering import Home, LowerBlock, Lowering
from weft.ops import OPS, Geometry
from weft.target import TargetProfile


def _scan(lowering: Lowering, at: int, node: Node, attributes: dict[str, Any]) -> None:
    """A loop of known length, over memory for the carried values and for one step of the sequences."""
    body: Graph = passes.run(attributes["body"], lowering.profile)
    length, carries, sequences = (attributes[name] for name in ("length", "carries", "sequences"))
    given: list[Home] = []
    for place, operand in enumerate(node.inputs):
        assert isinstance(operand, Var), "a loop takes tensors"
        home = lowering.homes[operand.id]
        if place < carries or home.stride or place < carries + sequences and not _is_whole(home):
            home = lowering.copy(home, operand.type, node.site)
        given.append(home)
    homes: dict[int, Home] = {}
    for place, (var, home) in enumerate(zip(body.inputs, given, strict=True)):
        if carries <= place < carries + sequences:
            home = Home(home.name, Geometry.contiguous(var.type.shape), math.prod(var.type.shape))
        homes[var.id] = home
    results = [
        Home(lowering.value(var.type.dtype, math.prod(var.type.shape)), Geometry.contiguous(var.type.shape[1:]),
             math.prod(var.type.shape[1:]))
        for var in node.outputs[carries:]
    ]  # fmt: skip
    start, step = (length - 1, -1) if attributes["reverse"] else (0, 1)
    with _inside(lowering, body, homes, start, step) as calls:
        outputs = _variables(body)
        for var, target in zip(outputs[carries:], results, strict=True):
            source = lowering.homes[var.id]
            lowering.emit(OPS["copy"], [(source, var.type)], [(target, var.type)], {}, node.site)
        finals = _carry(lowering, outputs[:carries], [home.name for home in given[:carries]], node.site)
    kept = [*finals, *(home.name for home in results)]
    lowering.calls.append(Repeat(length, start, step, tuple(calls), tuple(kept), node.site))
    _name(lowering, node, kept)


def _cond(lowering: Lowering, at: int, node: Node, attributes: dict[str, Any]) -> None:
    """Two bodies, each of which leaves its results in the same places.

    A state that one of them gives back as it was stays where it is, and the other writes over it.
    """
    predicate, *operands = node.inputs
    assert isinstance(predicate, Var), "a predicate is a tensor"
    home = lowering.homes[predicate.id]
    if home.stride or home.geometry.offset or lowering.values[home.name].elements != 1:
        home = lowering.copy(home, predicate.type, node.site)
    given = [lowering.homes[operand.id] for operand in operands if isinstance(operand, Var)]
    over = [_overwritten(lowering, at, node, var) for var in node.outputs]
    results = [
        lowering.value(var.type.dtype, math.prod(var.type.shape), over=old)
        for var, old in zip(node.outputs, over, strict=True)
    ]
    made: list[tuple[KernelCall | Block, ...]] = []
    for name in ("then", "otherwise"):
        body: Graph = passes.run(attributes[name], lowering.profile)
        homes = {var.id: home for var, home in zip(body.inputs, given, strict=True)}
        with _inside(lowering, body, homes, lowering.start, lowering.step, dict(lowering.copies)) as calls:
            outputs = _variables(body)
            sources = [lowering.homes[var.id] for var in outputs]
            for place, (var, source, old) in enumerate(zip(outputs, sources, over, strict=True)):
                if source.name in over and source != Home(old, Geometry.contiguous(var.type.shape)):
                    sources[place] = lowering.copy(source, var.type, node.site)  # before a state is written
            for var, source, target, old in zip(outputs, sources, results, over, strict=True):
                if source.name == old:
                    continue  # there already
                lowering.written.discard(target)  # each branch writes it for the first time
                into = Home(target, Geometry.contiguous(var.type.shape))
                lowering.emit(OPS["copy"], [(source, var.type)], [(into, var.type)], {}, node.site)
        made.append(tuple(calls))
    lowering.calls.append(Choose(home.name, made[0], made[1], tuple(results), node.site))
    _name(lowering, node, results)


def _overwritten(lowering: Lowering, at: int, node: Node, result: Var) -> str:
    """The name of the state's value that a result of a branch may take over: nobody reads it later."""
    operands = [source for source in node.inputs[1:] if isinstance(source, Var)]
    for operand in operands:
        home = lowering.homes[operand.id]
        whole = home == Home(home.name, Geometry.contiguous(result.type.shape))
        alone = [lowering.homes[other.id].name for other in operands].count(home.name) == 1
        if (
            whole
            and alone
            and operand.type == result.type
            and lowering.lives.updates_state(at, operand, result)
        ):
            return home.name
    return ""


def _while(lowering: Lowering, at: int, node: Node, attributes: dict[str, Any]) -> None:
    """A loop whose condition is looked at before every step."""
    carries = attributes["carries"]
    given: list[Home] = []
    for place, source in enumerate(node.inputs):
        assert isinstance(source, Var), "a loop takes tensors"
        home = lowering.homes[source.id]
        given.append(lowering.copy(home, source.type, node.site) if place < carries or home.stride else home)
    condition, body = (passes.run(attributes[name], lowering.profile) for name in ("condition", "body"))
    homes = {var.id: home for var, home in zip(condition.inputs, given, strict=True)}
    with _inside(lowering, condition, homes, 0, 1) as tests:
        (test,) = _variables(condition)
        predicate = lowering.copy(lowering.homes[test.id], test.type, node.site).name
    homes = {var.id: home for var, home in zip(body.inputs, given, strict=True)}
    with _inside(lowering, body, homes, 0, 1) as calls:
        finals = _carry(lowering, _variables(body), [home.name for home in given[:carries]], node.site)
    lowering.calls.append(RepeatWhile(tuple(tests), predicate, tuple(calls), tuple(finals), node.site))
    _name(lowering, node, finals)


@contextmanager
def _inside(
    lowering: Lowering, body: Graph, homes: dict[int, Home], start: int, step: int,
    copies: dict[Home, Home] | None = None,
) -> Iterator[list[KernelCall | Block]]:  # fmt: skip
    """Lower a body's nodes and what follows within, into calls of their own; ``copies`` are views copied before."""
    before = (
        lowering.homes, lowering.calls, lowering.lives, lowering.copies, lowering.start, lowering.step,
        lowering.prefix,
    )  # fmt: skip
    calls: list[KernelCall | Block] = []
    lowering.homes, lowering.calls, lowering.lives = dict(homes), calls, Lives(body)
    lowering.copies, lowering.start, lowering.step = copies or {}, start, step
    lowering.prefix = f"s{len(lowering.values)}_"
    for at, node in enumerate(body.nodes):
        lowering.node(at, node)
    yield calls
    (
        lowering.homes, lowering.calls, lowering.lives, lowering.copies, lowering.start, lowering.step,
        lowering.prefix,
    ) = before  # fmt: skip


def _carry(lowering: Lowering, values: Sequence[Var], places: Sequence[str], site: str) -> list[str]:
    """Put a step's last values where the next one finds its first; gives their names."""
    found = []
    for var, place in zip(values, places, strict=True):
        home = lowering.homes[var.id]
        if home.name in places and home.name != place or home.stride:  # one carried value becomes another
            home = lowering.copy(home, var.type, site)
        found.append(home)
    names = []
    for var, home, place in zip(values, found, places, strict=True):
        if home == Home(place, Geometry.contiguous(var.type.shape)):
            names.append(place)
            continue
        if home.name == place:  # another view of itself
            home = lowering.copy(home, var.type, site)
        value = lowering.values[place]
        name = lowering.value(value.dtype, value.elements, over=place)
        target = Home(name, Geometry.contiguous(var.type.shape))
        lowering.emit(OPS["copy"], [(home, var.type)], [(target, var.type)], {}, site)
        names.append(name)
    return names


def _name(lowering: Lowering, node: Node, names: Sequence[str]) -> None:
    """Say where a node's outputs lie."""
    for var, name in zip(node.outputs, names, strict=True):
        lowering.homes[var.id] = Home(name, Geometry.contiguous(var.type.shape))


def _variables(body: Graph) -> list[Var]:
    return [output for output in body.outputs if isinstance(output, Var)]


def _is_whole(home: Home) -> bool:
    return home.geometry.is_contiguous and home.geometry.offset == 0


BLOCKS: dict[str, LowerBlock] = {
    "scan": _scan, "cond": _cond, "while_loop": _while,
}  # fmt: skip
"""How each op is lowered whose attributes are graphs."""


def lower(graph: Graph, profile: TargetProfile) -> Lowered:
    """The calls that compute a graph on a target; ``UnsupportedError`` for an op without kernels there."""
    return Lowering(graph, profile, BLOCKS).result()
