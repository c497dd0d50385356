"""Ops with graphs among their attributes: the types of each graph's inputs and outputs.

``BODIES`` has a row for each op. The ops' own rules trust the graphs that they have traced; this check is for graphs
from files.
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
"""Returns, from operand types and attributes, the types of inputs and of first outputs of each graph by name."""


def _scan(types: Types, options: Mapping[str, Any]) -> dict[str, tuple[Types, Types]]:
    carries, end = options["carries"], options["carries"] + options["sequences"]
    for sequence in types[carries:end]:
        if sequence.shape[:1] != (options["length"],):
            raise ArgumentError(
                mistake("scan", "a sequence", repr(sequence), f"a sequence of {options['length']} elements")
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
    """Return the types of the inputs and of the first outputs of each graph among an op's attributes, by name."""
    names = [name for name, value in options.items() if isinstance(value, Graph)]
    if not names:
        return {}
    if op not in BODIES:
        raise ArgumentError(mistake(op, names[0], "a graph", f"an op with bodies: {', '.join(BODIES)}"))
    return BODIES[op](types, options)


def check_bodies(op: str, types: Types, options: Mapping[str, Any]) -> None:
    """Raise ``ArgumentError`` where a graph among the attributes does not fit the operands."""
    for name, (given, results) in bodies(op, types, options).items():
        body = options[name]
        found = [source.type for source in body.inputs]
        if body.states or found != list(given):
            raise ArgumentError(mistake(op, f"the inputs of its {name}", found, list(given)))
        made = [output.type if isinstance(output, Var) else None for output in body.outputs]
        if made[: len(results)] != list(results) or None in made:
            raise ArgumentError(mistake(op, f"the results of its {name}", made, f"{list(results)} first"))
