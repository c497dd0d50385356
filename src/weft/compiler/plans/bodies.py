"""Ops with graphs among their attributes: what each graph is given of the operands, and what it must give.

A row of ``BODIES`` an op. The ops' own rules trust the graphs that they traced; from a file nothing is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weft import dtypes
from weft.errors import ArgumentError, mistake
from weft.graph import Graph, Var
from weft.ops import TensorType

Types = Sequence[TensorType]
Row = Callable[[Types, Mapping[str, Any]], "dict[str, tuple[Types, Types]]"]
"""From operands and attributes: by a graph's name the types of its inputs, and of its first outputs."""


def _scan(types: Types, options: Mapping[str, Any]) -> dict[str, tuple[Types, Types]]:
    carries, end = options["carries"], options["carries"] + options["sequences"]
    for sequence in types[carries:end]:
        if sequence.shape[:1] != (options["length"],):
            raise ArgumentError(
                mistake("scan", "a sequence", repr(sequence), f"one of {options['length']} elements")
            )
    elements = [TensorType(type_.shape[1:], type_.dtype) for type_ in types[carries:end]]
    return {"body": ([*types[:carries], *elements, *types[end:]], types[:carries])}


def _cond(types: Types, options: Mapping[str, Any]) -> dict[str, tuple[Types, Types]]:
    results = [output.type for output in options["then"].outputs if isinstance(output, Var)]
    return {"then": (types[1:], results), "otherwise": (types[1:], results)}


def _while(types: Types, options: Mapping[str, Any]) -> dict[str, tuple[Types, Types]]:
    test = [TensorType((), dtypes.bool_)]
    return {"condition": (types, test), "body": (types, types[: options["carries"]])}


BODIES: dict[str, Row] = {"scan": _scan, "cond": _cond, "while_loop": _while}


def bodies(op: str, types: Types, options: Mapping[str, Any]) -> dict[str, tuple[Types, Types]]:
    """By name the graphs among an op's attributes: the types that each is given, and those of its first results."""
    names = [name for name, value in options.items() if isinstance(value, Graph)]
    if not names:
        return {}
    if op not in BODIES:
        raise ArgumentError(mistake(op, names[0], "a graph", f"an op with bodies: {', '.join(BODIES)}"))
    return BODIES[op](types, options)


def check_bodies(op: str, types: Types, options: Mapping[str, Any]) -> None:
    """``ArgumentError`` where a graph among the attributes does not fit the operands."""
    for name, (given, results) in bodies(op, types, options).items():
        body = options[name]
        found = [source.type for source in body.inputs]
        if body.states or found != list(given):
            raise ArgumentError(mistake(op, f"the inputs of its {name}", found, list(given)))
        made = [output.type if isinstance(output, Var) else None for output in body.outputs]
        if made[: len(results)] != list(results) or None in made:
            raise ArgumentError(mistake(op, f"the results of its {name}", made, f"{list(results)} first"))
