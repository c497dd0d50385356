"""The checks of the targets of in-place ops, which every interpreter makes before it overwrites a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.errors import DTypeError, ShapeError, mistake
from weft.ops.registry.spec import OpSpec, TensorType

_ORDER = {"bool": 0, "uint": 1, "int": 1, "float": 2}


def check_targets(op: OpSpec, outputs: Sequence[TensorType], into: Sequence[Any]) -> None:
    """Raise unless the targets of an in-place op have the outputs' shapes, hold their types and do not overlap."""
    for output, target in zip(outputs, into, strict=True):
        check_target(op.name, output, target, converts=op.name in ("cast", "copy"))
        if target.geometry.overlaps_itself:
            raise shared_memory(op.name)


def shared_memory(name: str) -> ShapeError:
    """Return the error of a write to a tensor whose elements share memory."""
    return ShapeError(
        f"{name}: more than one element of the written-to tensor refers to a single memory location; "
        f"clone() the expanded tensor first"
    )


def check_target(name: str, output: TensorType, target: Any, converts: bool = False) -> None:
    """Raise unless a target has the output's shape and, unless the op ``converts``, a type of no lower category."""
    if output.shape != tuple(target.shape):
        raise ShapeError(
            mistake(
                name,
                "the tensor written to",
                f"of shape {tuple(target.shape)}",
                f"the result's shape {output.shape}",
            )
        )
    if _ORDER[output.dtype.kind] > _ORDER[target.dtype.kind] and not converts:
        raise DTypeError(
            mistake(
                name,
                "result type",
                output.dtype.name,
                f"one that fits the written tensor's {target.dtype.name}",
            )
        )
