"""The gates of LSTM and GRU cells as fused ops of eager mode: all pointwise work behind the two products of a step.

Other interpreters are given the ops that ``lstm_gates`` and ``gru_gates`` stand for. The gradient of each is a fused op
too, unless the backward pass is recorded: it then consists of ops that have gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft.errors import DTypeError, ShapeError, mistake
from weft.expr import Expr, call, const
from weft.kernels import Builder, KernelProgram, Operand
from weft.ops.registry.binders import add, mul, sigmoid, sub, tanh
from weft.ops.registry.interpreters import bind, on_default_stack
from weft.ops.registry.outs import gradients_are_recorded
from weft.ops.registry.rules import UNFUSED
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup

Formula = Callable[[list[Expr]], list[list[Expr]]]
"""Gives the elements of each output, gate by gate, from the elements of all operands, gate by gate."""


def _sigmoid_slope(value: Any) -> Any:
    """Return the derivative of a sigmoid from the sigmoid's value."""
    return mul(value, sub(1, value))


def _tanh_slope(value: Any) -> Any:
    """Return the derivative of a hyperbolic tangent from its value."""
    return sub(1, mul(value, value))


def _parts(value: Any, count: int) -> list[Any]:
    """Return ``count`` equal slices of the last dimension."""
    last, size = len(value.shape) - 1, value.shape[-1] // count
    return [
        bind(lookup("slice"), value, dim=last, start=at * size, stop=(at + 1) * size, step=1)
        for at in range(count)
    ]


def _joined(*parts: Any) -> Any:
    return bind(lookup("cat"), *parts, dim=len(parts[0].shape) - 1)


def _infer(name: str, gates: int, states: int) -> Any:
    def infer(x: TensorType, h: TensorType, state: TensorType) -> tuple[TensorType, ...]:
        wanted = (*state.shape[:-1], gates * state.shape[-1])
        for argument, given in (("the input's product", x), ("the state's product", h)):
            if given.shape != wanted:
                raise ShapeError(mistake(name, f"{argument}'s shape", given.shape, str(wanted)))
            if given.dtype is not state.dtype or given.dtype.kind != "float":
                raise DTypeError(
                    mistake(name, f"{argument}'s dtype", given.dtype.name, f"{state.dtype.name}, the state's")
                )
        return (state,) * states

    return infer


def _program(
    name: str, operands: Sequence[Operand], outputs: Sequence[Operand], size: Sequence[int], formula: Formula
) -> KernelProgram:
    """Return a kernel over the points of a state; the gates of an operand are side by side in its last dimension."""
    builder = Builder(name)
    *rows, column = builder.axes(size)

    def places(operand: Operand) -> list[list[Expr]]:
        """Return the indices of the point in each gate."""
        count = operand.shape[-1] // size[-1] if size[-1] else 1
        moved = [column, *(column + builder.integer(f"gate{at}", at * size[-1]) for at in range(1, count))]
        return [[*rows, place] for place in moved]

    loaded = [builder.load(operand, place) for operand in operands for place in places(operand)]
    for output, values in zip(outputs, formula(loaded), strict=True):
        for place, value in zip(places(output), values, strict=True):
            builder.store(output, place, value)
    return KernelProgram((builder.finish(),))


def _lower(name: str, formula: Formula) -> Any:
    def lower(request: KernelRequest) -> KernelProgram:
        return _program(name, request.operands, request.outputs, request.operands[-1].shape, formula)

    return lower


def _one(value: Expr) -> Expr:
    return const(1, value.dtype)


def _lstm_formula(given: list[Expr]) -> list[list[Expr]]:
    i, f, g, o = (x + h for x, h in zip(given[:4], given[4:8], strict=True))
    cell = call("sigmoid", f) * given[8] + call("sigmoid", i) * call("tanh", g)
    return [[call("sigmoid", o) * call("tanh", cell)], [cell]]


def _lstm_run(x: Any, h: Any, c: Any) -> tuple[Any, ...]:
    i, f, g, o = _parts(add(x, h), 4)
    cell = add(mul(sigmoid(f), c), mul(sigmoid(i), tanh(g)))
    return mul(sigmoid(o), tanh(cell)), cell


def _lstm_backward_formula(given: list[Expr]) -> list[list[Expr]]:
    by_h, by_c = given[:2]
    i, f, g, o = (x + h for x, h in zip(given[2:6], given[6:10], strict=True))
    i, f, g, o = call("sigmoid", i), call("sigmoid", f), call("tanh", g), call("sigmoid", o)
    one, c = _one(i), given[10]
    shown = call("tanh", f * c + i * g)
    flowing = by_c + by_h * o * (one - shown * shown)
    gates = [
        flowing * g * i * (one - i),
        flowing * c * f * (one - f),
        flowing * i * (one - g * g),
        by_h * shown * o * (one - o),
    ]
    return [gates, [flowing * f]]


def _lstm_backward_run(by_h: Any, by_c: Any, x: Any, h: Any, c: Any) -> tuple[Any, ...]:
    i, f, g, o = _parts(add(x, h), 4)
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    shown = tanh(add(mul(f, c), mul(i, g)))
    flowing = add(by_c, mul(mul(by_h, o), _tanh_slope(shown)))
    gates = _joined(
        mul(mul(flowing, g), _sigmoid_slope(i)), mul(mul(flowing, c), _sigmoid_slope(f)),
        mul(mul(flowing, i), _tanh_slope(g)), mul(mul(by_h, shown), _sigmoid_slope(o)),
    )  # fmt: skip
    return gates, mul(flowing, f)


def _lstm_gradient(context: Gradient, by_h: Any, by_c: Any) -> list[Any]:
    given = (by_h, by_c, *(context.input(at) for at in range(3)))
    gates, by_cell = (
        _lstm_backward_run(*given) if gradients_are_recorded() else bind(LSTM_GATES_BACKWARD, *given)
    )
    return [gates, gates, by_cell]


def _gru_formula(given: list[Expr]) -> list[list[Expr]]:
    (xr, xz, xn), (hr, hz, hn), h = given[:3], given[3:6], given[6]
    new = call("tanh", xn + call("sigmoid", xr + hr) * hn)
    return [[new + call("sigmoid", xz + hz) * (h - new)]]


def _gru_run(x: Any, product: Any, h: Any) -> tuple[Any, ...]:
    (xr, xz, xn), (hr, hz, hn) = _parts(x, 3), _parts(product, 3)
    z = sigmoid(add(xz, hz))
    new = tanh(add(xn, mul(sigmoid(add(xr, hr)), hn)))
    return (add(new, mul(z, sub(h, new))),)


def _gru_backward_formula(given: list[Expr]) -> list[list[Expr]]:
    grad, (xr, xz, xn), (hr, hz, hn), h = given[0], given[1:4], given[4:7], given[7]
    r, z = call("sigmoid", xr + hr), call("sigmoid", xz + hz)
    new = call("tanh", xn + r * hn)
    one = _one(r)
    by_z = grad * (h - new) * z * (one - z)
    by_n = grad * (one - z) * (one - new * new)
    by_r = by_n * hn * r * (one - r)
    return [[by_r, by_z, by_n], [by_r, by_z, by_n * r], [grad * z]]


def _gru_backward_run(grad: Any, x: Any, product: Any, h: Any) -> tuple[Any, ...]:
    (xr, xz, xn), (hr, hz, hn) = _parts(x, 3), _parts(product, 3)
    r, z = sigmoid(add(xr, hr)), sigmoid(add(xz, hz))
    new = tanh(add(xn, mul(r, hn)))
    by_z = mul(mul(grad, sub(h, new)), _sigmoid_slope(z))
    by_n = mul(mul(grad, sub(1, z)), _tanh_slope(new))
    by_r = mul(mul(by_n, hn), _sigmoid_slope(r))
    return _joined(by_r, by_z, by_n), _joined(by_r, by_z, mul(by_n, r)), mul(grad, z)


def _gru_gradient(context: Gradient, grad: Any) -> list[Any]:
    given = (grad, *(context.input(at) for at in range(3)))
    found = _gru_backward_run(*given) if gradients_are_recorded() else bind(GRU_GATES_BACKWARD, *given)
    return list(found)


def _split(value: Any, count: int) -> list[Any]:
    import numpy

    return list(numpy.split(value.astype("float64"), count, -1))


def _logistic(value: Any) -> Any:
    import numpy

    return 1 / (1 + numpy.exp(-value))


def _lstm_reference(x: Any, h: Any, c: Any) -> Any:
    import numpy

    i, f, g, o = (a + b for a, b in zip(_split(x, 4), _split(h, 4), strict=True))
    cell = _logistic(f) * c + _logistic(i) * numpy.tanh(g)
    return (_logistic(o) * numpy.tanh(cell)).astype(c.dtype), cell.astype(c.dtype)


def _lstm_backward_reference(by_h: Any, by_c: Any, x: Any, h: Any, c: Any) -> Any:
    import numpy

    i, f, g, o = (a + b for a, b in zip(_split(x, 4), _split(h, 4), strict=True))
    i, f, g, o = _logistic(i), _logistic(f), numpy.tanh(g), _logistic(o)
    shown = numpy.tanh(f * c + i * g)
    flowing = by_c + by_h * o * (1 - shown**2)
    gates = [
        flowing * g * i * (1 - i),
        flowing * c * f * (1 - f),
        flowing * i * (1 - g**2),
        by_h * shown * o * (1 - o),
    ]
    return numpy.concatenate(gates, -1).astype(c.dtype), (flowing * f).astype(c.dtype)


def _gru_reference(x: Any, product: Any, h: Any) -> Any:
    import numpy

    (xr, xz, xn), (hr, hz, hn) = _split(x, 3), _split(product, 3)
    new, z = numpy.tanh(xn + _logistic(xr + hr) * hn), _logistic(xz + hz)
    return (new + z * (h - new)).astype(h.dtype)


def _gru_backward_reference(grad: Any, x: Any, product: Any, h: Any) -> Any:
    import numpy

    (xr, xz, xn), (hr, hz, hn) = _split(x, 3), _split(product, 3)
    r, z = _logistic(xr + hr), _logistic(xz + hz)
    new = numpy.tanh(xn + r * hn)
    by_z, by_n = grad * (h - new) * z * (1 - z), grad * (1 - z) * (1 - new**2)
    by_r = by_n * hn * r * (1 - r)
    by_x, by_h = numpy.concatenate([by_r, by_z, by_n], -1), numpy.concatenate([by_r, by_z, by_n * r], -1)
    return by_x.astype(h.dtype), by_h.astype(h.dtype), (grad * z).astype(h.dtype)


LSTM_GATES: OpSpec = declare(
    "lstm_gates", rules=UNFUSED, infer=_infer("lstm_gates", 4, 2), reference=_lstm_reference,
    lower=_lower("lstm_gates", _lstm_formula), run=_lstm_run, gradient=_lstm_gradient, saves=(0, 1, 2),
    doc="A step of an LSTM behind its products: the next h and c.",
)  # fmt: skip
LSTM_GATES_BACKWARD: OpSpec = declare(
    "lstm_gates_backward", rules=UNFUSED, infer=lambda by_h, by_c, x, h, c: (x, c),
    reference=_lstm_backward_reference, lower=_lower("lstm_gates_backward", _lstm_backward_formula),
    run=_lstm_backward_run, doc="The gradients of lstm_gates: of the gates' sums, and of c.",
)  # fmt: skip
GRU_GATES: OpSpec = declare(
    "gru_gates", rules=UNFUSED, infer=_infer("gru_gates", 3, 1), reference=_gru_reference,
    lower=_lower("gru_gates", _gru_formula), run=_gru_run, gradient=_gru_gradient, saves=(0, 1, 2),
    doc="A step of a GRU behind its products: the next h.",
)  # fmt: skip
GRU_GATES_BACKWARD: OpSpec = declare(
    "gru_gates_backward", rules=UNFUSED, infer=lambda grad, x, product, h: (x, product, h),
    reference=_gru_backward_reference, lower=_lower("gru_gates_backward", _gru_backward_formula),
    run=_gru_backward_run, doc="The gradients of gru_gates: of both products, and of h.",
)  # fmt: skip


def gates(op: OpSpec, x: Any, product: Any, state: Any) -> Any:
    """Bind a fused op in an eager call whose operands have the same type, of 32 bits or more; else return ``None``."""
    alike = x.dtype is product.dtype is state.dtype and x.dtype.kind == "float" and x.dtype.bits > 16
    return bind(op, x, product, state) if on_default_stack() and alike else None
