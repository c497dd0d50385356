"""Custom kernels as expressions: pointwise ops with derived gradients; several outputs share one kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weft import dtypes
from weft.custom.sizes import Declared, evaluate, solve
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, ExpressionError, ShapeError, mistake
from weft.expr import Expr, cast, parse, simplify, substitute, variable
from weft.expr.define import expanded_size
from weft.kernels import Builder, KernelProgram
from weft.ops import OpSpec, TensorType, bind
from weft.ops.pointwise.expressions import Pointwise, gradient_op, pointwise, pointwise_program, unbroadcast
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.rules import Rules
from weft.ops.registry.spec import Gradient, KernelRequest
from weft.ops.registry.table import OPS, lookup

LONGEST = 5000
"""The most operations of a kernel's expression, with its functions inlined."""


def make(
    name: str,
    expression: str | Mapping[str, str],
    inputs: tuple[Declared, ...],
    outputs: tuple[Declared, ...],
    parameters: Mapping[str, DType],
    doc: str,
) -> tuple[OpSpec, tuple[Declared, ...]]:
    """Return the op of one or several expressions, which is not yet in the table, and its declared outputs."""
    sources = {"out": expression} if isinstance(expression, str) else dict(expression)
    if not sources:
        raise ArgumentError(mistake(name, "expression", "an empty dict", "one expression for each output"))
    if outputs and isinstance(expression, str) and len(outputs) == 1:
        sources = {outputs[0].name: expression}
    if outputs and [output.name for output in outputs] != list(sources):
        raise ArgumentError(
            mistake(
                name,
                "expression",
                f"for {', '.join(sources)}",
                f"an expression for each of {', '.join(output.name for output in outputs)}",
            )
        )
    declared = outputs or tuple(Declared(key, None, None) for key in sources)
    names = (*(source.name for source in inputs), *parameters)
    several = len(sources) > 1
    parts = [
        _single(f"custom.{name}.{output.name}" if several else f"custom.{name}", text, names, output, doc)
        for output, text in zip(declared, sources.values(), strict=True)
    ]
    return (_joined(f"custom.{name}", parts, names, doc) if several else parts[0]), declared


def declare_all(op: OpSpec) -> None:
    """Add an op, and the ops of its single expressions, to the table."""
    for spec in (op, *op.info.get("parts", ())):
        OPS[spec.name] = spec


def run(
    op: OpSpec,
    name: str,
    inputs: tuple[Declared, ...],
    outputs: tuple[Declared, ...],
    operands: Sequence[Any],
    values: Sequence[Any],
    fixed: Mapping[str, int],
) -> Any:
    """Check the declared sizes and run the op."""
    given = [tuple(operand.shape) for operand in operands]
    known = solve(name, inputs, given, fixed)
    shape = broadcast_shapes(name, *given)
    for output in outputs:
        expected = (
            None if output.sizes is None else tuple(evaluate(name, size, known) for size in output.sizes)
        )
        if expected is not None and expected != shape:
            raise ShapeError(
                mistake(
                    name, f"output {output.name}", f"declared as {expected}", f"{shape}, the inputs' shape"
                )
            )
    result = bind(op, *operands, *values)
    for output, value in zip(outputs, result if isinstance(result, tuple) else (result,), strict=True):
        if output.dtype is not None and value.dtype is not output.dtype:
            raise DTypeError(
                mistake(
                    name,
                    f"output {output.name}",
                    f"declared as {output.dtype.name}",
                    f"{value.dtype.name}, the result's type",
                )
            )
    return result


def _single(key: str, text: str, names: tuple[str, ...], declared: Declared, doc: str) -> OpSpec:
    """Return the pointwise op of one expression; it takes floats only where integers do not type."""
    if not isinstance(text, str):
        raise ArgumentTypeError(mistake(key, "expression", type(text).__name__, "a string"))
    found = parse(text, dict.fromkeys(names, dtypes.float32))
    if (length := expanded_size(found)) > LONGEST:
        raise ExpressionError(
            f"{key.partition('.')[2]}: the expression has {length:,} operations with its functions inlined, expected "
            f"at most {LONGEST:,}, since longer kernels take minutes to compile; split it into several kernels"
        )
    if declared.dtype is dtypes.bool_ or found.dtype is dtypes.bool_:
        rule = "bool"
    else:
        try:
            parse(text, dict.fromkeys(names, dtypes.int64))
            rule = "same"
        except ExpressionError:
            rule = "float"
    # `pointwise` adds the op to the table; only a complete kernel may stay there
    previous = OPS.pop(key, None)
    try:
        return pointwise(
            key, text, " ".join(names), doc or f"The custom kernel {key.partition('.')[2]}.", rule=rule
        )
    finally:
        OPS.pop(key, None)
        if previous is not None:
            OPS[key] = previous


def _joined(key: str, parts: Sequence[OpSpec], names: tuple[str, ...], doc: str) -> OpSpec:
    """Return one op with one kernel for several pointwise ops on the same operands."""
    infos: list[Pointwise] = [part.info["pointwise"] for part in parts]

    def infer(*types: TensorType) -> tuple[TensorType, ...]:
        return tuple(part.infer(*types)[0] for part in parts)

    def reference(*operands: Any) -> Any:
        return tuple(part.reference(*operands) for part in parts)

    def saves(needs: tuple[bool, ...]) -> tuple[int, ...]:
        return tuple(sorted({index for part in parts for index in part.saved(needs)}))

    return OpSpec(
        key, rules=Rules(partition="cheap"),
        infer=infer, reference=reference, lower=_lower(key, infos, names), gradient=_gradient(parts, infos),
        saves=saves, elementwise=True, doc=doc or f"The custom kernel {key}.", info={"parts": tuple(parts)},
    )  # fmt: skip


def _lower(key: str, infos: Sequence[Pointwise], names: tuple[str, ...]) -> Callable[..., KernelProgram]:
    def lower(request: KernelRequest) -> KernelProgram:
        types = [TensorType(o.shape, o.dtype, o.scalar) for o in request.operands]
        tensors = [operand for operand in request.operands if not operand.scalar]

        def values(builder: Builder, indices: list[Expr], loaded: list[Expr]) -> list[Expr]:
            by_operand = dict(zip((id(t) for t in tensors), loaded, strict=True))
            made = []
            for info in infos:
                compute = info.compute(types)
                wanted = info.types(compute)
                replacements = {}
                for name, operand in zip(names, request.operands, strict=True):
                    dtype = wanted[name]
                    given = (
                        builder.scalar(operand, dtype)
                        if operand.scalar
                        else cast(by_operand[id(operand)], dtype)
                    )
                    replacements[variable(name, dtype)] = given
                made.append(simplify(substitute(info.build(compute.compute), replacements)))
            return made

        return pointwise_program(key.replace(".", "_"), tensors, request.outputs, values)

    return lower


def _gradient(parts: Sequence[OpSpec], infos: Sequence[Pointwise]) -> Callable[..., Sequence[Any]]:
    def gradient(context: Gradient, *grads: Any) -> list[Any]:
        return [
            _flowing_back(context, position, parts, infos, grads) if needed else None
            for position, needed in enumerate(context.needs)
        ]

    return gradient


def _flowing_back(
    context: Gradient,
    position: int,
    parts: Sequence[OpSpec],
    infos: Sequence[Pointwise],
    grads: Sequence[Any],
) -> Any:
    """Return the gradient of one operand, the sum over all outputs."""
    total: Any = None
    for part, info, grad in zip(parts, infos, grads, strict=True):
        op = None if grad is None else gradient_op(part, position)
        if op is None:
            continue
        derivative: Pointwise = op.info["pointwise"]
        saved = [context.input(info.parameters.index(name)) for name in derivative.parameters[1:]]
        value = unbroadcast(bind(op, grad, *saved), context.types[position])
        total = value if total is None else bind(lookup("add"), total, value)
    return total
