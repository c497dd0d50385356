"""``out=``: results written into tensors that the caller gives, by one rule for every function that takes it.

A given tensor has the result's shape (it is never resized) and a type that holds the result's. Neither the tensor nor
an operand may require grad, since a result in a given tensor has no history. Where the function ends in a single op,
this op writes into the tensor. Where it ends in several ops, or in a view, the result is computed first and copied.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from weft.dtypes import of_scalar
from weft.errors import ArgumentTypeError, DeviceError, GradError, mistake
from weft.ops.registry.interpreters import Interpreter, atomic_writes, bind, interpreter_stack, interpreting
from weft.ops.registry.spec import OpSpec, TensorType
from weft.ops.registry.table import lookup
from weft.ops.registry.targets import check_target


def bind_out(op: OpSpec, out: Any, *operands: Any) -> Any:
    """Carry out an op into ``out`` and return ``out``, which has the result's shape and a type that holds the result's.

    Raises ``GradError`` where a tensor requires grad, as PyTorch does.
    """
    check_given(op.name, (out,), operands)
    bind(op, *operands, into=(out,))
    return out


def check_given(name: str, targets: Sequence[Any], arguments: Sequence[Any]) -> None:
    """Raise where a target is no tensor, or where a target or an argument requires grad and gradients are recorded."""
    for target in targets:
        if not hasattr(target, "requires_grad"):
            raise ArgumentTypeError(mistake(name, "out", type(target).__name__, "a Tensor"))
    given = [operand for argument in arguments for operand in _several(argument)]
    roles = [*(("out", target) for target in targets), *(("an operand", operand) for operand in given)]
    for where, value in roles:
        if getattr(value, "requires_grad", False) and gradients_are_recorded():
            raise GradError(
                mistake(name, where, "a tensor that requires grad", "a tensor that requires no grad with out=",
                        "use no_grad(), or leave out= away")
            )  # fmt: skip


def gradients_are_recorded() -> bool:
    """Return whether an interpreter of this context records gradients now."""
    return any(getattr(interpreter, "recording", False) for interpreter in interpreter_stack())


class OutputRedirection:
    """The interpreter that makes a function's last op write into given tensors, where these are like the results."""

    executes = True

    def __init__(self, ops: tuple[OpSpec, ...], targets: tuple[Any, ...]) -> None:
        self._ops = ops
        self._targets = targets

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Pass an op down; where it computes the function's result, with the given tensors as targets."""
        top, rest = below[-1], below[:-1]
        if op not in self._ops or into is not None:
            return top.process(op, operands, attributes, into, rest)
        types = [
            TensorType(tuple(operand.shape), operand.dtype)
            if hasattr(operand, "dtype")
            else TensorType((), of_scalar(operand), True)
            for operand in operands
        ]
        results = op.infer(*types, **attributes)
        fits = len(results) == len(self._targets) and all(map(_takes, self._targets, results))
        return top.process(op, operands, attributes, self._targets if fits else None, rest)


def _takes(target: Any, result: TensorType) -> bool:
    """Return whether a kernel may write directly into the target, given that it accumulates in the target's type."""
    alike = target.dtype is result.dtype or target.dtype.kind == result.dtype.kind == "float"
    return alike and tuple(target.shape) == result.shape


def with_out(name: str, function: Callable[..., Any], last: Any) -> Callable[..., Any]:
    """Return the function with the keyword ``out``; ``last`` is the op or the ops that compute its result, or True."""

    def call(*arguments: Any, out: Any = None, **keywords: Any) -> Any:
        if out is None:
            return function(*arguments, **keywords)
        targets = _several(out)
        check_given(name, targets, (*arguments, *keywords.values()))
        if isinstance(last, bool):
            results = function(*arguments, **keywords)
        else:
            ops = tuple(lookup(op) if isinstance(op, str) else op for op in _several(last))
            with interpreting(*interpreter_stack(), OutputRedirection(ops, targets)):
                results = function(*arguments, **keywords)
        _write(name, results, out, targets)
        return type(results)(*targets) if hasattr(results, "_fields") else out

    functools.update_wrapper(call, function)
    given = inspect.signature(function)
    kind = "Tensor | None" if given.return_annotation == "Tensor" else "Any"
    extra = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
    call.__signature__ = given.replace(parameters=[*given.parameters.values(), extra])  # type: ignore[attr-defined]
    call.__module__ = "weft"
    return call


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _write(name: str, results: Any, out: Any, targets: tuple[Any, ...]) -> None:
    """Copy into the targets the results that no op has written there yet: all or none."""
    several = isinstance(results, tuple)
    made = results if several else (results,)
    if several is not isinstance(out, tuple | list) or len(made) != len(targets):
        expected = f"a tuple of {len(made)} tensors" if several else "a Tensor"
        given = f"{type(out).__name__} of {len(targets)}" if isinstance(out, tuple | list) else "one Tensor"
        raise ArgumentTypeError(mistake(name, "out", given, expected))
    left = [(result, target) for result, target in zip(made, targets, strict=True) if result is not target]
    for result, target in left:
        check_target(name, TensorType(tuple(result.shape), result.dtype), target)
        if str(result.device) != str(target.device):
            raise DeviceError(
                mistake(name, "out", f"on {target.device}", f"on {result.device}, as the result")
            )
    with atomic_writes():
        for result, target in left:
            bind(lookup("cast"), result, dtype=target.dtype, into=(target,))
