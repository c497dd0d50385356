"""``Batching``: the level of ``vmap``. A tensor of this level has one value for each sample, along dimension 0.

An op on such tensors runs once on all samples, by the op's batching rule (``rules.py``). An op on tensors that are the
same for all samples runs once without samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from weft.errors import ShapeError, UnsupportedError
from weft.func.calls import BatchedCall
from weft.func.level import Held, Level, is_captured_view, values_of
from weft.func.rules import rule_of
from weft.ops import OPS, Geometry, Interpreter, OpSpec, TensorType, bind, interpreting
from weft.ops.registry.targets import check_targets
from weft.random.generator import samples
from weft.tensors.tensor import Tensor

RANDOMNESS = ("error", "different", "same")


class Batched(Held):
    """A tensor of the level, with the shape of one sample; without ``batched`` it is the same for all samples."""

    __slots__ = ("batched",)

    level: Batching

    def __init__(self, level: Batching, value: Tensor, batched: bool, captured: bool = False) -> None:
        super().__init__(level, value, captured)
        self.batched = batched
        if batched:
            self.shape = self.shape[1:]

    @property
    def geometry(self) -> Geometry:
        """The geometry of the first sample."""
        whole: Geometry = self._below.geometry
        return Geometry(whole.shape[1:], whole.strides[1:], whole.offset) if self.batched else whole

    def readable(self, where: str) -> Tensor:
        """Return the tensor where it is the same for all samples; else raise ``UnsupportedError``."""
        if self.batched:
            raise UnsupportedError(
                f"{where}: the tensor has a value for each of the {self.level.size} samples that vmap maps over, "
                f"expected a single value; select elements with weft.where, or return the tensor from the function"
            )
        return self.value

    def printed(self) -> str:
        """Return the text of all samples."""
        return f"vmap({self.level.size} samples of {self.value!r})" if self.batched else super().printed()

    def detached(self) -> Batched:
        """Return a tensor on the same memory without a history at any level."""
        return Batched(self.level, self.value.detach(), self.batched, self.captured)


class Batching(Level):
    """Maps over ``size`` samples; ``randomness`` is ``"different"``, ``"same"`` or ``"error"``, as in ``vmap``."""

    enables_grad = False

    def __init__(self, name: str, size: int, randomness: str) -> None:
        super().__init__(name)
        self.size = size
        self.randomness = randomness

    @contextmanager
    def entered(self, rests: bool = False) -> Iterator[None]:
        """Push the level on the stack in a ``with`` block; random ops within draw for all samples."""
        outer = samples.get()

        def drawn_for() -> int:
            self.check_randomness("vmap")
            around = 1 if outer is None else outer()
            return around * self.size if self.randomness == "different" else around

        token = samples.set(drawn_for)
        try:
            with super().entered(rests):
                yield
        finally:
            samples.reset(token)

    def check_randomness(self, where: str) -> None:
        """Raise ``UnsupportedError`` where random numbers may not be drawn."""
        if self.randomness == "error":
            raise UnsupportedError(
                f"{where}: random numbers are drawn in a function that vmap maps with randomness='error', expected "
                f"none; pass randomness='different' (for each sample) or 'same' (for all)"
            )

    def lift(self, tensor: Tensor, captured: bool = True) -> Batched:
        """Return a tensor of the stack below as a tensor that is the same for all samples."""
        return Batched(self, tensor, False, captured)

    def mapped(self, tensor: Tensor, dim: int) -> Tensor:
        """Return a tensor of the stack below as samples along a dimension; to be called outside of the level."""
        order = (dim, *(d for d in range(tensor.ndim) if d != dim))
        front = tensor if dim == 0 else bind(OPS["permute"], tensor, order=order)
        return Tensor.wrap(Batched(self, front, True))

    def joined(self, tensor: Tensor, dim: int) -> Tensor:
        """Return a tensor of the stack below with the samples along a dimension; to be called outside of the level."""
        held = self.to_level(tensor)._data
        value: Tensor = held.value
        if not held.batched:
            value = bind(OPS["reshape"], value, shape=(1, *value.shape))
            value = bind(OPS["expand"], value, shape=(self.size, *value.shape[1:]))
        if dim == 0:
            return value
        rest = iter(range(1, value.ndim))
        order = tuple(0 if d == dim else next(rest) for d in range(value.ndim))
        moved: Tensor = bind(OPS["permute"], value, order=order)
        return moved

    def on_all(
        self, function: Callable[..., Any], values: Sequence[Any], mapped: Sequence[bool]
    ) -> list[Any]:
        """Map a function over samples in dimension 0 of the values that are ``mapped``; results have them there too.

        The function may not draw random numbers.
        """
        level = Batching(self.name, self.size, "error")
        given = [
            level.mapped(value, 0) if is_mapped else value
            for value, is_mapped in zip(values, mapped, strict=True)
        ]
        with level.entered():
            results = function(*given)
        return [level.joined(result, 0) for result in results]

    def apply(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Run an op by its batching rule, or without samples where none of its operands has samples."""
        some = any(isinstance(operand, Batched) and operand.batched for operand in operands)
        if op.random:
            self.check_randomness(op.name)
            some = some or self.randomness == "different"
        if not some and (into is None or not any(target.batched for target in into)):
            targets = None if into is None else values_of(into)
            outputs = below[-1].process(op, values_of(operands), attributes, targets, below[:-1])
            captured = is_captured_view(op, operands, outputs)
            return into or tuple([Batched(self, output, False, captured) for output in outputs])
        with interpreting(*below):
            if not some:
                outputs = below[-1].process(op, values_of(operands), attributes, None, below[:-1])
            else:
                outputs = tuple(rule_of(op)(BatchedCall(self, op, operands, attributes, into)))
            captured = is_captured_view(op, operands, outputs)
            made = tuple([Batched(self, output, some, captured) for output in outputs])
            if into is None:
                return made
            self._write(op, made, into)
            return into

    def _write(self, op: OpSpec, made: Sequence[Batched], into: Sequence[Batched]) -> None:
        """Overwrite targets of this level; ``UnsupportedError`` for samples written to a tensor without samples."""
        check_targets(op, [TensorType(result.shape, result.dtype) for result in made], into)
        for result, target in zip(made, into, strict=True):
            if result.batched and not target.batched:
                raise UnsupportedError(
                    f"{op.name}: values for each of the {self.size} samples that vmap maps over are written in place "
                    f"into a tensor {list(target.shape)} that is the same for all, expected a tensor with samples; "
                    f"write into a clone() of, or zeros_like(), a mapped tensor, or use the out-of-place operation"
                )
        for result, target in zip(made, into, strict=True):
            value = result.value
            if target.batched and not result.batched:
                value = bind(
                    OPS["expand"],
                    bind(OPS["reshape"], value, shape=(1, *value.shape)),
                    shape=target.value.shape,
                )
            bind(OPS["cast"], value, dtype=target.dtype, into=(target.value,))


def check_size(where: str, sizes: dict[str, int]) -> int:
    """Return the common number of samples of all mapped arguments; ``ShapeError`` where the sizes differ."""
    found = set(sizes.values())
    if len(found) > 1:
        given = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        raise ShapeError(f"{where}: the sizes of the mapped dimensions are {given}, expected one common size")
    return found.pop()
