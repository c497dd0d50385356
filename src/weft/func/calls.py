"""``BatchedCall``: an op call with samples, which is the argument of the batching rules of ``vmap``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from weft.dtypes import of_scalar
from weft.errors import UnsupportedError, WeftError
from weft.func.level import Held, set_apart, values_of
from weft.ops import OPS, OpSpec, TensorType, bind
from weft.ops.registry.functions import user_error


class BatchedCall:
    """An op call with samples, as batching rules take it.

    ``values`` are tensors of the stack below and Python scalars; ``types`` and ``results`` are the types of one sample.
    """

    __slots__ = ("attributes", "batched", "level", "op", "randomness", "results", "size", "types", "values")

    def __init__(
        self, level: Any, op: OpSpec, operands: Sequence[Any], attributes: dict[str, Any],
        into: Sequence[Any] | None,
    ) -> None:  # fmt: skip
        self.level = level
        self.op = op
        self.size = level.size
        self.randomness = level.randomness
        self.attributes = attributes
        self.values = values_of(operands) if into is None else set_apart(values_of(operands), values_of(into))
        self.batched = tuple([getattr(operand, "batched", False) for operand in operands])
        self.types = tuple([_type_of(operand) for operand in operands])
        try:
            self.results = _inferred(op, self.types, tuple(attributes.items()))
        except WeftError as error:
            raise user_error(error, op) from None

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape of one sample of an operand."""
        return self.types[index].shape

    def front(self, index: int) -> Any:
        """Return an operand with the samples in dimension 0; an operand without samples is expanded."""
        value = self.values[index]
        if self.batched[index] or self.types[index].scalar:
            return value
        if not value.shape:
            value = bind(OPS["reshape"], value, shape=(1,))
        return bind(OPS["expand"], value, shape=(self.size, *self.types[index].shape))

    def fronts(self) -> list[Any]:
        """Return all operands with the samples in dimension 0."""
        return [self.front(index) for index in range(len(self.values))]

    def aligned(self, index: int, rank: int) -> Any:
        """Return an operand in a shape that broadcasts with operands whose samples have up to ``rank`` dimensions."""
        value, shape = self.values[index], self.types[index].shape
        if not self.batched[index] or len(shape) == rank:
            return value
        return bind(OPS["reshape"], value, shape=(self.size, *(1,) * (rank - len(shape)), *shape))

    def again(self, *values: Any, **attributes: Any) -> tuple[Any, ...]:
        """Return the outputs of the op on other values, with some attributes replaced."""
        made = bind(self.op, *values, **{**self.attributes, **attributes})
        return made if isinstance(made, tuple) else (made,)

    def unsupported(self, given: str, fix: str) -> UnsupportedError:
        """Return the error for a case that the op's rule does not support."""
        return UnsupportedError(f"{self.op.name}: {given} in a function that vmap maps; {fix}")


Rule = Callable[[BatchedCall], Sequence[Any]]
"""A batching rule: returns the op's outputs with the samples in dimension 0."""


@lru_cache(maxsize=4096)
def _inferred(
    op: OpSpec, types: tuple[TensorType, ...], attributes: tuple[tuple[str, Any], ...]
) -> tuple[TensorType, ...]:
    return op.infer(*types, **dict(attributes))


def _type_of(value: Any) -> TensorType:
    if isinstance(value, Held):
        return TensorType(value.shape, value.dtype)
    return TensorType((), of_scalar(value), True)
