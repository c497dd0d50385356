"""Python numbers in a trace: graph values that follow the type promotion of Python numbers.

A number among the arguments of a jitted function is an input of the graph, of the widest type of the device. An op
promotes it as eager mode promotes a Python number: it does not change the result type of tensors of its kind, and it is
rounded once, to the computation type of the op. A result that is computed from numbers alone is a number again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import WeftError
from weft.graph.ir import Atom, Var
from weft.ops import OpSpec, TensorType
from weft.ops.registry.functions import user_error


@dataclass(frozen=True)
class Number:
    """The mark of a graph value that is a Python number: its argument's name, and the widest float type."""

    name: str
    real: DType


Cast = Callable[[Var, DType], Var]
"""Appends a cast to the graph."""


@dataclass(frozen=True)
class Promoted:
    """An op's operands after promotion.

    ``results`` are the result types of eager mode, ``computed`` the result types of the op on the promoted operands.
    """

    operands: tuple[Atom, ...]
    computed: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    number: Number | None
    """The mark of the results, where they are numbers again."""


def python_type(dtype: DType) -> DType:
    """Return the default type of a Python number of this kind."""
    return dtypes.of_scalar(1.0 if dtype.kind == "float" else 1)


def promote(
    op: OpSpec,
    operands: Sequence[Atom],
    numbers: Sequence[Number | None],
    attributes: dict[str, Any],
    cast: Cast,
) -> Promoted:
    """Promote the operands of an op, some of which are Python numbers, to the result types of eager mode."""
    kinds = [_kind(operand, number) for operand, number in zip(operands, numbers, strict=True)]
    try:
        results = op.infer(*kinds, **attributes)
        info = op.info.get("pointwise")
        if info is None:
            return _fitted(op, operands, numbers, attributes, results, cast)
        wanted = compute = info.compute(kinds)
        given = next(number for number in numbers if number is not None)
        again = given if all(kind.scalar for kind in kinds) else None
        if again is not None:
            wanted = given.real if compute.kind == "float" else compute
        taken = tuple([
            operand if number is None or name in info.conditions or not isinstance(operand, Var)
            else cast(operand, wanted if again is not None else wanted.compute)
            for operand, number, name in zip(operands, numbers, info.parameters, strict=True)
        ])  # fmt: skip
        computed = op.infer(*map(_type, taken), **attributes)
    except WeftError as error:
        raise user_error(error, op) from None
    return Promoted(taken, computed, computed if again is not None else results, again)


def _fitted(
    op: OpSpec, operands: Sequence[Atom], numbers: Sequence[Number | None], attributes: dict[str, Any],
    results: tuple[TensorType, ...], cast: Cast,
) -> Promoted:  # fmt: skip
    """Promote operands of an op without a promotion rule: cast numbers to the first type with eager's result types."""
    found = op.infer(*map(_type, operands), **attributes)
    for dtype in (
        None,
        *dict.fromkeys((*(result.dtype for result in results), dtypes.float32, dtypes.int64)),
    ):
        kinds = [
            TensorType((), dtype) if dtype is not None and number is not None else _type(operand)
            for operand, number in zip(operands, numbers, strict=True)
        ]
        found = op.infer(*kinds, **attributes)
        if found == results:
            taken = tuple([
                operand if number is None or dtype is None or not isinstance(operand, Var) else cast(operand, dtype)
                for operand, number in zip(operands, numbers, strict=True)
            ])  # fmt: skip
            return Promoted(taken, found, results, None)
    found = op.infer(*map(_type, operands), **attributes)
    return Promoted(tuple(operands), found, found, None)


def _type(operand: Atom) -> TensorType:
    return operand.type if isinstance(operand, Var) else TensorType((), dtypes.of_scalar(operand), True)


def _kind(operand: Atom, number: Number | None) -> TensorType:
    natural = _type(operand)
    if number is None:
        return natural
    return TensorType((), natural.dtype if natural.dtype.kind == "bool" else python_type(natural.dtype), True)
