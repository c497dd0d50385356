"""Constant propagation: constant tensors become Python numbers in pointwise ops, and views of them stay constants."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from weft.dtypes import DType
from weft.expr.node import walk
from weft.graph.ir import Atom, Node, Var
from weft.graph.passes.rewrite import Rewriting, type_of
from weft.ops import TensorType, lookup
from weft.ops.pointwise.expressions import Pointwise

EXACT = frozenset("const variable cast add sub mul neg eq ne lt le gt ge where and or not".split())
"""Functions that every device computes bit-exactly, so that they may be evaluated at compile time."""


def held(value: bool | int | float, dtype: DType) -> bool | int | float | None:
    """Return a number as a tensor of a type holds it; ``None`` where that depends on the device."""
    if dtype.kind == "float":
        return None if math.isnan(value) else _rounded(float(value), dtype)
    if isinstance(value, float):
        return None
    if dtype.kind == "bool":
        return bool(value) if value in (0, 1) else None
    bits = min(dtype.bits, 32)  # 64-bit integers have 32 on some devices
    low = 0 if dtype.kind == "uint" else -(1 << (bits - 1))
    return int(value) if low <= value < min(low + (1 << bits), 1 << 31) else None


def converted(value: bool | int | float, dtype: DType) -> bool | int | float | None:
    """Return the result of a cast; ``None`` where it depends on the device."""
    if dtype.kind == "bool":
        return value != 0
    if dtype.is_integer and isinstance(value, float):
        return held(int(value), dtype) if math.isfinite(value) and value == int(value) else None
    return held(value, dtype)


def _rounded(value: float, dtype: DType) -> float | None:
    import numpy

    with numpy.errstate(over="ignore"):
        rounded = float(numpy.asarray(value, dtype.compute.numpy).astype(dtype.numpy))
    return None if math.isinf(rounded) and not math.isinf(value) else rounded


def constant(atom: Atom, graph: Rewriting) -> bool | int | float | None:
    """Return the value of all elements of a constant operand; ``None`` for other operands."""
    node = graph.maker(atom, "full")
    if node is None or isinstance(node.inputs[0], Var):
        return None
    return held(node.inputs[0], node.outputs[0].type.dtype)


def fill(node: Node, graph: Rewriting, value: float, type_: TensorType) -> Var:
    """Emit a constant that replaces a node."""
    device = node.outputs[0].device
    return graph.emit(node, "full", value, shape=type_.shape, dtype=type_.dtype, device=device)


def same_for_all(node: Node, graph: Rewriting) -> Var | None:
    """Replace a view, copy or cast of a constant by a constant of the new shape and type."""
    source = graph.maker(node.inputs[0], "full")
    if source is None:
        return None
    type_, dtype = node.outputs[0].type, source.outputs[0].type.dtype
    given = source.inputs[0]
    if type_.dtype is dtype:
        return None if isinstance(given, Var) else fill(node, graph, given, type_)
    value = constant(node.inputs[0], graph)
    made = None if value is None else converted(value, type_.dtype)
    return None if made is None else fill(node, graph, made, type_)


def as_numbers(node: Node, graph: Rewriting) -> Var | None:
    """Replace constant tensors among the operands by Python numbers, where the result type does not change."""
    values = [constant(source, graph) if isinstance(source, Var) else None for source in node.inputs]
    if all(value is None for value in values):
        return None
    info: Pointwise = lookup(node.op).info["pointwise"]
    taken, types = list(node.inputs), [type_of(source) for source in node.inputs]
    compute = info.compute(types)
    for at, value in enumerate(values):
        if value is None or sum(not type_.scalar for type_ in types) == 1:
            continue
        kept, types[at] = types[at], type_of(value)
        if _result(info, types) == node.outputs[0].type.shape and info.compute(types) is compute:
            taken[at] = value
        else:
            types[at] = kept
    if taken == list(node.inputs):
        return None
    return graph.emit(node, node.op, *taken, **dict(node.attributes))


def _result(info: Pointwise, types: list[TensorType]) -> tuple[int, ...]:
    from weft.ops.registry.geometry import broadcast_shapes

    return broadcast_shapes("constants", *(type_.shape for type_ in types if not type_.scalar))


@lru_cache(maxsize=None)
def _is_exact(info: Pointwise, compute: DType) -> bool:
    """Return whether an expression has exact functions only and rounds once (``a * b + c`` may be contracted)."""
    functions = [part.function for part in walk(info.build(compute.compute))]
    return (
        EXACT.issuperset(functions) and sum(function in ("add", "sub", "mul") for function in functions) <= 1
    )


def computed(node: Node, graph: Rewriting) -> Var | None:
    """Evaluate an op on constants, where every device computes the same bits."""
    values = [constant(source, graph) if isinstance(source, Var) else source for source in node.inputs]
    if None in values:
        return None
    info: Pointwise = lookup(node.op).info["pointwise"]
    if not _is_exact(info, info.compute([type_of(source) for source in node.inputs])):
        return None
    import numpy

    operands: list[Any] = [
        numpy.asarray(value, source.type.dtype.numpy) if isinstance(source, Var) else value
        for source, value in zip(node.inputs, values, strict=True)
    ]
    with numpy.errstate(all="ignore"):
        result = lookup(node.op).reference(*operands).item()
    type_ = node.outputs[0].type
    value = None if isinstance(result, float) and math.isnan(result) else held(result, type_.dtype)
    return None if value is None else fill(node, graph, value, type_)
