"""Pointwise ops: an expression and a typing rule, from which kernel, reference and gradients follow.

The gradient of ``mul`` with respect to operand 0 is itself a pointwise op, ``mul.grad0``, with the expression
``g * y``: it is a single kernel, and has gradients of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import DTypeError
from weft.expr import Expr, cast, differentiate, evaluate, parse, simplify, substitute, variable, variables
from weft.kernels import Builder, KernelProgram, Operand, coalesce
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import POINTWISE, Precision
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import OPS, declare, derive, lookup


@dataclass(frozen=True, eq=False)
class Pointwise:
    """The definition of a pointwise op.

    Attributes:
        parameters: The names of the operands in the expression.
        build: ``build(dtype)`` gives the expression, computed in a type.
        rule: The typing rule: ``"same"`` (the operands are promoted, and the output has their type), ``"float"`` (as
            ``"same"``, with integers as float32), ``"bool"`` (the output is bool).
        kinds: The kinds of types that the op takes, by their first letters.
        conditions: Parameters that are bool and take no part in promotion.
        derivative: An expression for each parameter, where derivatives are given and not derived.
        precision: The type in which autocast computes it (``Rules``).
    """

    parameters: tuple[str, ...]
    build: Callable[[DType], Expr]
    rule: str = "same"
    kinds: str = "fiub"
    conditions: tuple[str, ...] = ()
    derivative: tuple[str, ...] | None = None
    precision: Precision = ""

    def compute(self, types: Sequence[TensorType]) -> DType:
        """Return the promoted type of the operands that take part in promotion."""
        taking = [t for t, name in zip(types, self.parameters, strict=True) if name not in self.conditions]
        result = promoted(taking)
        return dtypes.default_float() if self.rule == "float" and result.kind != "float" else result

    def types(self, compute: DType) -> dict[str, DType]:
        """Return the type of each parameter in the expression."""
        return {n: dtypes.bool_ if n in self.conditions else compute.compute for n in self.parameters}


def promoted(types: Sequence[TensorType]) -> DType:
    """Return PyTorch's result type; tensors with dimensions precede 0-d tensors, and these precede Python scalars."""
    full = [t.dtype for t in types if not t.scalar and t.shape]
    zero = [t.dtype for t in types if not t.scalar and not t.shape]
    stand_ins: dict[str, Any] = {"bool": True, "int": 1, "uint": 1, "float": 1.0}
    found = dtypes.result_type(full, zero, [stand_ins[t.dtype.kind] for t in types if t.scalar])
    if found is dtypes.float32 and all(dtype.kind != "float" for dtype in (*full, *zero)):
        return dtypes.default_float()  # of integer tensors and a Python float
    return found


def _infer(op: str, info: Pointwise) -> Callable[..., tuple[TensorType, ...]]:
    def infer(*types: TensorType) -> tuple[TensorType, ...]:
        for position, (given, name) in enumerate(zip(types, info.parameters, strict=True)):
            if name in info.conditions and given.dtype is not dtypes.bool_:
                raise DTypeError(
                    f"{op}: argument {position} ({name}) has dtype {given.dtype.name}, expected bool"
                )
        shape = broadcast_shapes(op, *(t.shape for t in types if not t.scalar))
        compute = info.compute(types)
        if compute.kind[0] not in info.kinds:
            names = {"f": "floating point", "i": "signed integer", "u": "unsigned integer", "b": "bool"}
            expected = " or ".join(names[kind] for kind in info.kinds)
            raise DTypeError(f"{op}: operands have dtype {compute.name}, expected {expected}")
        return (TensorType(shape, dtypes.bool_ if info.rule == "bool" else compute),)

    return infer


def _reference(info: Pointwise) -> Callable[..., Any]:
    def reference(*operands: Any) -> Any:
        import numpy

        given = [
            TensorType((), dtypes.of_scalar(v), True)
            if isinstance(v, bool | int | float)
            else TensorType(v.shape, dtypes.from_numpy(v.dtype))
            for v in operands
        ]
        compute = info.compute(given)
        types = info.types(compute)
        values = {
            n: numpy.asarray(v).astype(types[n].numpy) for n, v in zip(info.parameters, operands, strict=True)
        }
        if info.rule == "bool" and compute.kind == "float":
            values = {n: v.astype(compute.numpy).astype(types[n].numpy) for n, v in values.items()}
        shape = broadcast_shapes("reference", *(value.shape for value in values.values()))
        result = numpy.broadcast_to(evaluate(info.build(compute.compute), values), shape)
        return result.astype((dtypes.bool_ if info.rule == "bool" else compute).numpy)

    return reference


def is_vector(shape: Sequence[int], strides: Sequence[Sequence[int]], operands: Sequence[Operand]) -> bool:
    """Return whether a coalesced traversal is 1-d, with each operand contiguous and aligned, or constant."""
    return len(shape) == 1 and all(
        stride[0] in (0, 1) and (operand.aligned or stride[0] == 0)
        for stride, operand in zip(strides, operands, strict=True)
    )


def broadcast_strides(operand: Operand, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the operand's strides when it is expanded to ``shape``: 0 where it repeats."""
    missing = len(shape) - len(operand.shape)
    return (0,) * missing + tuple(
        0 if size == 1 else stride for size, stride in zip(operand.shape, operand.strides, strict=True)
    )


def pointwise_program(
    name: str,
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    values: Callable[[Builder, list[Expr], list[Expr]], Sequence[Expr]],
) -> KernelProgram:
    """Return a kernel over the outputs' shape; ``values(builder, indices, loaded)`` gives each output's value."""
    shape = outputs[0].shape
    tensors = [operand for operand in (*operands, *outputs) if not operand.scalar]
    sizes, strides = coalesce(shape, [broadcast_strides(t, shape) for t in tensors])
    by_operand = dict(zip((id(t) for t in tensors), strides, strict=True))
    builder = Builder(name)
    indices = builder.axes(sizes)
    loaded = [builder.load(t, indices, by_operand.get(id(t))) for t in operands]
    for output, value in zip(outputs, values(builder, indices, loaded), strict=True):
        builder.store(output, indices, value, by_operand[id(output)])
    vector = (
        4 if is_vector(sizes, strides, tensors) and all(by_operand[id(o)] == (1,) for o in outputs) else 1
    )
    return KernelProgram((builder.finish(vector=vector),))


def _lower(name: str, info: Pointwise) -> Callable[..., KernelProgram]:
    def lower(request: KernelRequest) -> KernelProgram:
        compute = info.compute([TensorType(o.shape, o.dtype, o.scalar) for o in request.operands])
        types = info.types(compute)
        expression = info.build(compute.compute)

        def values(builder: Builder, indices: list[Expr], loaded: list[Expr]) -> list[Expr]:
            replacements = {}
            for parameter, operand, value in zip(info.parameters, request.operands, loaded, strict=True):
                dtype = types[parameter]
                given = builder.scalar(operand, dtype) if operand.scalar else cast(value, dtype)
                if info.rule == "bool" and compute.kind == "float" and operand.dtype is not compute:
                    given = cast(cast(given, compute), dtype)  # compared in the promoted type, as in PyTorch
                replacements[variable(parameter, dtype)] = given
            return [simplify(substitute(expression, replacements))]

        tensors = [operand for operand in request.operands if not operand.scalar]
        order = [tensors.index(o) if not o.scalar else -1 for o in request.operands]

        def by_tensor(builder: Builder, indices: list[Expr], loaded: list[Expr]) -> list[Expr]:
            return values(builder, indices, [loaded[at] if at >= 0 else indices[0] for at in order])

        return pointwise_program(name.replace(".", "_"), tensors, request.outputs, by_tensor)

    return lower


@lru_cache(maxsize=None)
def _derivative(op: OpSpec, position: int) -> Pointwise | None:
    """Return the pointwise op that is the gradient with respect to an operand; ``None`` where it is 0 everywhere."""
    info: Pointwise = op.info["pointwise"]
    if info.parameters[position] in info.conditions or info.rule == "bool":
        return None
    seed = next(name for name in ("g", "gg", "ggg", "gggg", "ggggg", "gggggg") if name not in info.parameters)

    @lru_cache(maxsize=None)
    def build(dtype: DType) -> Expr:
        types = info.types(dtype)
        if info.derivative is not None:
            source = info.derivative[position] or "g * 0.0"
            return simplify(parse(source, {**types, "g": dtype, "out": dtype}))
        g = variable(seed, dtype)
        found = differentiate(info.build(dtype), variable(info.parameters[position], dtype), g)
        return simplify(g * 0.0) if found is None else found

    sample = build(dtypes.float32)
    if sample is simplify(variable(seed, dtypes.float32) * 0.0):
        return None
    used = [v.data for v in variables(sample) if v.data != seed]
    kept = tuple(name for name in (*info.parameters, "out") if name in used)
    conditions = tuple(name for name in kept if name in info.conditions)
    return Pointwise((seed, *kept), build, "same", "f", conditions)


def gradient_op(op: OpSpec, position: int) -> OpSpec | None:
    """Return the op ``NAME.gradN``, declared at its first use; ``None`` where no gradient flows to the operand."""
    name = f"{op.name}.grad{position}"
    if name in OPS:
        return OPS[name]
    info = _derivative(op, position) if "pointwise" in op.info else None
    return (
        None
        if info is None
        else _declare(name, info, f"The gradient of {op.name} with respect to operand {position}.")
    )


def unbroadcast(grad: Any, target: TensorType) -> Any:
    """Return a gradient in its operand's type and shape, summed over dimensions in which the operand was repeated."""
    shape = grad.shape
    if shape != target.shape:
        missing = len(shape) - len(target.shape)
        dims = [d for d in range(len(shape)) if d < missing or target.shape[d - missing] != shape[d]]
        if dims:
            grad = bind(lookup("sum"), grad, dims=tuple(dims), keepdim=True)
        if tuple(grad.shape) != target.shape:
            grad = bind(lookup("reshape"), grad, shape=target.shape)
    return grad if grad.dtype is target.dtype else bind(lookup("cast"), grad, dtype=target.dtype)


def _no_gradient(info: Pointwise, position: int, target: TensorType, grad: Any) -> Any:
    """Return zeros where the derivative is 0 everywhere (``floor``), ``None`` where there is no derivative."""
    if info.rule == "bool" or info.parameters[position] in info.conditions:
        return None
    return bind(lookup("full"), 0, shape=target.shape, dtype=target.dtype, device=str(grad.device))


@lru_cache(maxsize=None)
def _gradient_op_and_reads(name: str, position: int) -> tuple[OpSpec | None, tuple[int, ...] | None]:
    """Return the op of an operand's gradient, and its operands behind ``g``: numbers of operands, -1 for the output.

    The op is ``None`` where no gradient flows. The operands are ``None`` where the gradient is ``g`` itself.
    """
    info: Pointwise = OPS[name].info["pointwise"]
    op = gradient_op(OPS[name], position)
    if op is None:
        return None, None
    own: Pointwise = op.info["pointwise"]
    if own.build(dtypes.float32).function == "variable":
        return op, None
    # a gradient of `exp` has an operand `out`, so that name is the output only where no operand has it
    known = {parameter: at for at, parameter in enumerate(info.parameters)}
    return op, tuple([known.get(parameter, -1) for parameter in own.parameters[1:]])


def _gradient(name: str, info: Pointwise) -> Callable[..., Sequence[Any]]:
    def gradient(context: Gradient, grad: Any) -> list[Any]:
        result: list[Any] = []
        for position, needed in enumerate(context.needs):
            if not needed:
                result.append(None)
                continue
            op, reads = _gradient_op_and_reads(name, position)
            if op is None:
                result.append(_no_gradient(info, position, context.types[position], grad))
            elif reads is None:
                result.append(unbroadcast(grad, context.types[position]))
            else:
                saved = [context.output() if at < 0 else context.input(at) for at in reads]
                result.append(unbroadcast(bind(op, grad, *saved), context.types[position]))
        return result

    return gradient


def _saves(name: str, info: Pointwise) -> Callable[[tuple[bool, ...]], tuple[int, ...]]:
    """Return ``OpSpec.saves``: the operands that the gradients read, found when the op is first recorded."""

    @lru_cache(maxsize=None)
    def saves(needs: tuple[bool, ...]) -> tuple[int, ...]:
        names: set[str] = set()
        for position, needed in enumerate(needs):
            own = _derivative(OPS[name], position) if needed else None
            names.update(own.parameters[1:] if own else ())
        return tuple(i for i, parameter in enumerate(info.parameters) if parameter in names)

    return saves


def _declare(name: str, info: Pointwise, doc: str) -> OpSpec:
    return declare(
        name,
        rules=POINTWISE.but(precision=info.precision),
        infer=_infer(name, info),
        reference=_reference(info),
        lower=_lower(name, info),
        gradient=_gradient(name, info),
        saves=_saves(name, info),
        saves_output=any("out" in source for source in info.derivative or ()),
        elementwise=True,
        doc=doc,
        info={"pointwise": info},
    )


derive.append(gradient_op)

Source = str | Mapping[str, str] | Callable[[DType], str]
"""An expression; or one for each group of kinds (``{"f": "floor(x)", "iu": "x"}``); or a function of the type."""


def _source(expression: Source, dtype: DType) -> str:
    if isinstance(expression, str):
        return expression
    if callable(expression):
        return expression(dtype)
    return next(text for kinds, text in expression.items() if dtype.kind[0] in kinds)


def pointwise(name: str, expression: Source, parameters: str, doc: str = "", **columns: Any) -> OpSpec:
    """Declare a pointwise op by its expression; ``columns`` are fields of ``Pointwise``.

    ``derivative`` has an expression for each parameter, or is a single string for a single parameter. It is given where
    a better form than the derived expression is known: ``g`` is the gradient of the output, ``out`` the output. An op
    whose derivatives read ``out`` in place of the operands may overwrite an operand in place.
    """
    names = tuple(parameters.split())
    conditions = tuple(columns.get("conditions", ()))
    derivative = columns.pop("derivative", None)
    if isinstance(derivative, str):
        derivative = (derivative,)
    if isinstance(expression, Mapping):
        columns.setdefault("kinds", "".join(expression))

    def build(dtype: DType) -> Expr:
        types = {n: dtypes.bool_ if n in conditions else dtype for n in names}
        return simplify(parse(_source(expression, dtype), types))

    return _declare(name, Pointwise(names, build, derivative=derivative, **columns), doc)
