"""Declarations of pointwise ops: each gives the op, its public function with ``out=``, in-place form and operators."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.ops.pointwise.expressions import Source, pointwise
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.outs import bind_out


def check_operands(name: str, *operands: Any) -> None:
    """Raise ``ArgumentTypeError`` unless at least one operand is a tensor."""
    for operand in operands:
        if hasattr(operand, "dtype") and hasattr(operand, "shape"):
            return
    given = ", ".join(type(operand).__name__ for operand in operands)
    raise ArgumentTypeError(
        f"{name}: operands are {given}, expected at least one tensor; use weft.tensor(...)"
    )


def planned(
    *, functional_inplace: bool = False, inplace: bool = False, **places: Any
) -> Callable[[Callable[..., tuple[Any, ...]]], Callable[..., Any]]:
    """Return a decorator that registers a public pointwise function by its plan.

    ``plan(arguments)`` checks the arguments and gives ``(op, *operands)``. From it follow the function with ``out=``,
    the method and, with ``inplace``, the method ``name_``. ``functional_inplace`` adds the argument ``inplace`` of the
    activations in ``nn.functional``. ``places`` are further arguments of ``function``.
    """

    def register(plan: Callable[..., tuple[Any, ...]]) -> Callable[..., Any]:
        given = inspect.signature(plan)
        extra = [
            inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="Tensor | None")
        ]
        if functional_inplace:
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            extra = [inspect.Parameter("inplace", kind, default=False, annotation="bool"), *extra]
        count = len(given.parameters)

        def call(*arguments: Any, out: Any = None, inplace: bool = False, **keywords: Any) -> Any:
            op, *operands = plan(*arguments, **keywords)
            if inplace and out is not None:
                raise ArgumentError(mistake(made.__name__, "inplace", True, "False with out="))
            if inplace:
                bind(op, *operands, into=(operands[0],))
                return operands[0]
            return bind(op, *operands) if out is None else bind_out(op, out, *operands)

        def activation(*arguments: Any, inplace: bool = False, **keywords: Any) -> Any:
            if len(arguments) > count:
                *arguments, inplace = arguments  # type: ignore[assignment]
            return call(*arguments, inplace=inplace, **keywords)

        made = activation if functional_inplace else call
        made.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*given.parameters.values(), *extra], return_annotation="Tensor"
        )
        made.__name__ = made.__qualname__ = plan.__name__.rstrip("_")
        made.__doc__, made.__module__ = plan.__doc__, "weft"
        return function(plan=plan, inplace=inplace, **places)(made)

    return register


def _places(columns: dict[str, Any]) -> dict[str, Any]:
    """Remove from the columns, and return, the arguments of ``function``."""
    names = ("functional", "operators", "inplace", "top", "method")
    return {key: columns.pop(key) for key in names if key in columns}


def unary(name: str, expression: Source, doc: str = "", *, public: str | None = None, **columns: Any) -> None:
    """Declare a pointwise op of one operand ``x``, with its function, method and in-place method."""
    public = name if public is None else public
    places = _places(columns)
    op = pointwise(name, expression, "x", doc, **columns)

    def call(input: Any, *, out: Any = None) -> Any:
        check_operands(name, input)
        return bind(op, input) if out is None else bind_out(op, out, input)

    _annotate(call, public, doc)
    function(name=public, **{"inplace": True, "op": op, **places})(call)


def binary(
    name: str, expression: Source, doc: str = "", *, public: str | None = None, **columns: Any
) -> None:
    """Declare a pointwise op of operands ``x`` and ``y``, with its function, method, in-place form and operators."""
    public = name if public is None else public
    places = _places(columns)
    op = pointwise(name, expression, "x y", doc, **columns)

    def call(input: Any, other: Any, *, out: Any = None) -> Any:
        check_operands(name, input, other)
        return bind(op, input, other) if out is None else bind_out(op, out, input, other)

    _annotate(call, public, doc, input="Tensor | float")
    function(name=public, **{"inplace": True, "op": op, **places})(call)


_ANNOTATIONS = {"input": "Tensor", "other": "Tensor | float", "out": "Tensor | None"}


def _annotate(call: Callable[..., Any], name: str, doc: str, **others: str) -> None:
    """Set the name, docstring and annotations of a generated function."""
    call.__name__ = call.__qualname__ = name
    call.__doc__, call.__module__ = doc, "weft"
    names = inspect.signature(call).parameters
    call.__annotations__ = {key: {**_ANNOTATIONS, **others}[key] for key in names}
    call.__annotations__["return"] = "Tensor"
