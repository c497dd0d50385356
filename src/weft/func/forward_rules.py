"""Tangent rules of ops, for forward mode.

Pointwise ops multiply by the derivatives of their expressions, linear ops apply themselves to tangents, and products
follow the product rule. Every other op uses the transpose of its gradient rule: the gradient rule is a linear map from
the output's cotangent u to the operand's cotangent, and its gradient with respect to u, at the tangent, is the tangent
of the output (Townsend, "A new trick for calculating Jacobian vector products", 2017). So every op with a gradient has
a tangent rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from weft import dtypes
from weft.func.level import Level
from weft.func.reverse import filled_like
from weft.ops import OPS, OpSpec, TensorType, bind
from weft.ops.pointwise.expressions import gradient_op
from weft.tensors.tensor import Tensor


class ForwardCall:
    """An op call on values, some of which have tangents, with its outputs; the argument of a tangent rule."""

    __slots__ = ("attributes", "op", "outputs", "tangents", "values")

    def __init__(
        self,
        op: OpSpec,
        values: Sequence[Any],
        tangents: Sequence[Tensor | None],
        outputs: Sequence[Tensor],
        attributes: dict[str, Any],
    ) -> None:
        self.op = op
        self.values = values
        self.tangents = tangents
        self.outputs = outputs
        self.attributes = attributes

    def again(self, values: Sequence[Any], **attributes: Any) -> tuple[Any, ...]:
        """Return the op's outputs for other values."""
        made = bind(self.op, *values, **{**self.attributes, **attributes})
        return made if isinstance(made, tuple) else (made,)


Rule = Callable[[ForwardCall], Sequence[Tensor | None]]
"""A tangent rule: returns the tangents of the op's outputs, ``None`` for zero."""


def _sum(terms: Sequence[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = bind(OPS["add"], total, term)
    return total


@lru_cache(maxsize=None)
def _derivative(op: OpSpec, position: int) -> tuple[OpSpec | None, tuple[str, ...]]:
    """Return the op that multiplies by the derivative, with its other operands; ``copy`` for 1, ``None`` for 0."""
    found = gradient_op(op, position)
    if found is None:
        return None, ()
    expression = found.info["pointwise"]
    if expression.build(dtypes.float32).function == "variable":
        return OPS["copy"], ()
    return found, expression.parameters[1:]


def pointwise(step: ForwardCall) -> Sequence[Tensor | None]:
    """Return the sum of each operand's tangent times the derivative, by the ops of the gradient."""
    info, (output,) = step.op.info["pointwise"], step.outputs
    if info.rule == "bool":
        return [None]
    known = {"out": output, **dict(zip(info.parameters, step.values, strict=True))}
    terms = []
    for position, tangent in enumerate(step.tangents):
        op, parameters = (None, ()) if tangent is None else _derivative(step.op, position)
        if tangent is None or op is None:
            continue
        flowing = tangent if tangent.dtype is output.dtype else bind(OPS["cast"], tangent, dtype=output.dtype)
        terms.append(
            flowing if op is OPS["copy"] else bind(op, flowing, *(known[name] for name in parameters))
        )
    return [None if not terms else _like(_sum(terms), output)]


def _like(tangent: Any, output: Tensor) -> Any:
    """Return a tangent broadcast and cast to the output's shape and type."""
    if tuple(tangent.shape) != tuple(output.shape):
        tangent = bind(OPS["expand"], tangent, shape=tuple(output.shape))
    return tangent if tangent.dtype is output.dtype else bind(OPS["cast"], tangent, dtype=output.dtype)


def linear(*positions: int, **constants: Any) -> Rule:
    """Return the rule of an op that is jointly linear in some operands: the op itself, applied to tangents.

    Args:
        *positions: the linear operands; all operands where none is given.
        **constants: the values for tangents of attributes that make up the constant term of an affine op.
    """

    def rule(step: ForwardCall) -> Sequence[Tensor | None]:
        places = positions or range(len(step.values))
        given = list(step.values)
        for at in places:
            tangent = step.tangents[at]
            given[at] = filled_like(given[at], 0) if tangent is None else tangent
        if all(step.tangents[at] is None for at in places):
            return [None] * len(step.outputs)
        return step.again(given, **constants)

    return rule


def bilinear(step: ForwardCall) -> Sequence[Tensor | None]:
    """Apply the product rule."""
    (a, b), (by_a, by_b) = step.values, step.tangents
    terms = [step.again(pair)[0] for pair in ((by_a, b), (a, by_b)) if None not in pair]
    return [_sum(terms)]


class _GradientCall:
    """The context of a gradient rule (``ops.Gradient``): the op call as constants of a level."""

    def __init__(self, level: Level, step: ForwardCall) -> None:
        self._level = level
        self._step = step
        self.attributes = step.attributes
        self.needs = tuple([tangent is not None for tangent in step.tangents])
        self.types = tuple([_type_of(value) for value in step.values])
        self.output_types = tuple([_type_of(output) for output in step.outputs])

    def input(self, index: int) -> Any:
        """Return an operand."""
        value = self._step.values[index]
        return self._level.to_level(value) if isinstance(value, Tensor) else value

    def output(self, index: int = 0) -> Any:
        """Return an output."""
        return self._level.to_level(self._step.outputs[index])


def _type_of(value: Any) -> TensorType:
    if isinstance(value, Tensor):
        return TensorType(tuple(value.shape), value.dtype)
    return TensorType((), dtypes.of_scalar(value), True)


def transposed(step: ForwardCall) -> Sequence[Tensor | None]:
    """Transpose the gradient rule: differentiate it by its cotangents, at the tangents."""
    level, op = Level("jvp"), step.op
    assert op.gradient is not None
    floats = [
        output.dtype.kind == "float" and at not in op.constants for at, output in enumerate(step.outputs)
    ]
    cotangents = [
        level.leaf(op.name, filled_like(output, 0)) if is_float else None
        for output, is_float in zip(step.outputs, floats, strict=True)
    ]
    with level.entered():
        results = op.gradient(_GradientCall(level, step), *cotangents)
        pairs = [(level.to_level(gradient), tangent) for gradient, tangent in zip(results, step.tangents, strict=True)
                 if gradient is not None and tangent is not None]  # fmt: skip
    leaves = [cotangent for cotangent in cotangents if cotangent is not None]
    made = iter(
        level.flow([gradient for gradient, _ in pairs], [tangent for _, tangent in pairs], leaves, keep=False)
    )
    return [next(made) if is_float else None for is_float in floats]


TANGENTS: dict[str, Rule] = {
    "pointwise": pointwise, "linear": linear(0), "linear_in_all": linear(), "linear_in_both": linear(0, 1),
    "bilinear": bilinear, "transposed": transposed,
}  # fmt: skip
"""The rules of tangents that ops name where they are declared (``ops.rules``)."""


def rule_of(op: OpSpec) -> Rule:
    """Return the rule of an op that has a gradient."""
    return TANGENTS[op.rules.tangent]
