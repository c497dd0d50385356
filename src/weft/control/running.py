"""The op ``scan`` on tensors, with what its gradient needs: what the carried values were at the start of each step."""

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
    """The op on tensors; with gradients wanted its body also gives what each step began with."""
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
    """Whether the last results of a body are what the step began with."""
    starts = len(body.outputs) - carries
    return starts >= carries and body.outputs[starts:] == body.inputs[:carries]


def giving_starts(body: Graph, carries: int) -> Graph:
    """The body whose last results are what the step began with."""
    if gives_starts(body, carries):
        return body
    return replace(body, outputs=(*body.outputs, *body.inputs[:carries]))
