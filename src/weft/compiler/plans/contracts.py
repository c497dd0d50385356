"""Contracts: hashes of op declarations, which are stored in saved plans and compared when a plan is loaded.

A contract covers the names and types of attributes, the expression of a pointwise op with its typing rule, and the text
of a registered kernel. An op whose meaning changes under the same declaration gets another ``version`` in its ``info``.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from weft import dtypes
from weft.custom.register import registration
from weft.expr import Expr, walk
from weft.ops import OpSpec
from weft.ops.registry.attributes import attribute_types

SAMPLES = {"f": dtypes.float32, "i": dtypes.int32, "u": dtypes.uint32, "b": dtypes.bool_}
"""A type of each kind; an expression is hashed in the first of them that the op takes."""


def contract(op: OpSpec) -> str:
    """Return the hash of an op's declaration, as sixteen hexadecimal digits.

    >>> from weft.ops import lookup
    >>> len(contract(lookup("mul"))), contract(lookup("mul")) == contract(lookup("add"))
    (16, False)
    """
    parts: dict[str, Any] = {
        "name": op.name,
        "version": op.info.get("version", 1),
        "attributes": [
            sorted((name, str(kind)) for name, kind in type_.items()) for type_ in attribute_types(op)
        ],
        "random": op.random,
    }
    pointwise = op.info.get("pointwise")
    if pointwise is not None:
        sample = next(dtype for kind, dtype in SAMPLES.items() if kind in pointwise.kinds)
        parts["pointwise"] = [pointwise.parameters, pointwise.rule, pointwise.kinds, pointwise.conditions]
        parts["expression"] = _nodes(pointwise.build(sample.compute))
    if op.name.startswith("custom."):
        parts["registered"] = registration(op.name.split(".")[1])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _nodes(root: Expr) -> list[Any]:
    """Return an expression as a list of its nodes, each once, with arguments by number."""
    numbers: dict[Expr, int] = {}
    made = []
    for node in walk(root):
        numbers[node] = len(numbers)
        made.append([node.function, [numbers[arg] for arg in node.args], node.dtype.name, repr(node.data)])
    return made
