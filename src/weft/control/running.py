"""Run the op ``scan``; where gradients are needed, it also returns the carried values at the start of each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from weft.autograd.mode import is_grad_enabled
from weft.autograd.operands import edge_of
from weft.control.values import as_now
from weft.graph import Graph
from weft.ops import bind, lookup


def run(
    body: Graph,
    carry: Sequence[Any],
    sequences: Sequence[Any],
    outside: Sequence[Any],
    length: int,
    reverse: bool,
) -> tuple[list[Any], list[Any]]:
    """Run a scan; where gradients are recorded, its body also returns the carry at the start of each step."""
    operands = as_now([*carry, *sequences, *outside])
    results = len(body.outputs) - len(carry)
    if is_grad_enabled() and any(edge_of(operand) is not None for operand in operands):
        body = giving_starts(body, len(carry))
    found = bind(
        lookup("scan"),
        *operands,
        body=body,
        length=length,
        carries=len(carry),
        sequences=len(sequences),
        reverse=reverse,
    )
    found = list(found) if isinstance(found, tuple) else [found]
    return found[: len(carry)], found[len(carry) : len(carry) + results]


def gives_starts(body: Graph, carries: int) -> bool:
    """Return whether the last results of a body are the carried values at the start of the step."""
    starts = len(body.outputs) - carries
    return starts >= carries and body.outputs[starts:] == body.inputs[:carries]


def giving_starts(body: Graph, carries: int) -> Graph:
    """Return the body with the carried values at the start of the step as its last results."""
    if gives_starts(body, carries):
        return body
    return replace(body, outputs=(*body.outputs, *body.inputs[:carries]))
