"""Random ops: Philox 4x32-10 with a counter for each element, so that a seed gives the same numbers on every device.

``state`` is a uint32 tensor (key low, key high, counter low, counter high). An op also takes an offset of the counter,
which the host keeps, as two 32-bit numbers. It draws the number of element i at counter + offset + i.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.expr import FUNCTIONS, Expr, call, cast, const, where
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelProgram, Operand, coalesce
from weft.ops.pointwise.expressions import broadcast_strides, pointwise_program
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import DRAW, Rules
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup

U32 = dtypes.uint32


def _wide_add(low: Expr, high: Expr, more_low: Expr, more_high: Expr | None) -> tuple[Expr, Expr]:
    """Return the low and the high 32-bit word of a 64-bit sum."""
    total = low + more_low
    carry = where(total < low, const(1, U32), const(0, U32))
    return total, high + carry if more_high is None else high + more_high + carry


def _counter(builder: Builder, state: Operand, low: Operand, high: Operand, element: Expr) -> list[Expr]:
    """Return the counter's and the key's words for an element."""
    words = [builder.load(state, [const(word, INDEX)]) for word in range(4)]
    offsets = builder.scalar(low, U32), builder.scalar(high, U32)
    low_word, high_word = _wide_add(words[2], words[3], *offsets)
    low_word, high_word = _wide_add(low_word, high_word, cast(element, U32), None)
    return [low_word, high_word, words[0], words[1]]


def _element(tensors: Sequence[Operand]) -> Callable[[Builder, list[Expr]], Expr]:
    """Return a function from the indices of ``pointwise_program`` over ``tensors`` to the row-major element number."""
    shape = tensors[-1].shape
    sizes, _ = coalesce(shape, [broadcast_strides(tensor, shape) for tensor in tensors])

    def element(builder: Builder, indices: list[Expr]) -> Expr:
        place = indices[0]
        for axis, index in enumerate(indices[1:], 1):
            place = place * builder.integer(f"row{axis}", sizes[axis]) + index
        return place

    return element


def _lower(
    draw: Callable[[Builder, list[Expr], dict[str, Any], Sequence[Operand]], Expr], name: str
) -> Callable[..., KernelProgram]:
    def lower(request: KernelRequest) -> KernelProgram:
        state, low, high, *rest = request.operands
        element = _element(request.outputs)

        def values(builder: Builder, indices: list[Expr], loaded: list[Expr]) -> list[Expr]:
            counter = _counter(builder, state, low, high, element(builder, indices))
            return [draw(builder, counter, request.attributes, rest)]

        return pointwise_program(name, (), request.outputs, values)

    return lower


def _infer(*types: TensorType, shape: tuple[int, ...], dtype: DType) -> tuple[TensorType, ...]:
    return (TensorType(shape, dtype),)


def _draw_uniform(
    builder: Builder, counter: list[Expr], attributes: dict[str, Any], rest: Sequence[Operand]
) -> Expr:
    low, high = (builder.scalar(operand, dtypes.float32) for operand in rest)
    dtype: DType = attributes["dtype"]
    share = call("uniform", *counter)
    if dtype in DIGITS:
        steps = 2.0 ** DIGITS[dtype]
        share = call("floor", share * steps) * (1.0 / steps)
    value = low + share * (high - low)
    stored = cast(cast(value, dtype), dtypes.float32) if dtype in DIGITS else value
    return where(stored < high, value, low)  # rounding may reach the excluded end


DIGITS = {dtypes.float16: 11, dtypes.bfloat16: 8}
"""Binary digits of uniform numbers in [0, 1) of the types that hold fewer than 24."""


def _draw_normal(
    builder: Builder, counter: list[Expr], attributes: dict[str, Any], rest: Sequence[Operand]
) -> Expr:
    mean, deviation = (builder.scalar(operand, dtypes.float32) for operand in rest)
    return mean + deviation * call("normal", *counter)


def _draw_integer(
    builder: Builder, counter: list[Expr], attributes: dict[str, Any], rest: Sequence[Operand]
) -> Expr:
    """Return low + floor(bits * range / 2^32), for a range below 2^32: without rejection, an element takes one draw."""
    low = builder.scalar(rest[0], dtypes.int64)
    span = builder.scalar(rest[1], U32)
    return low + cast(call("mulhi", call("random_bits", *counter), span), dtypes.int64)


def _reference(kind: str) -> Callable[..., Any]:
    def reference(
        state: Any, low: int, high: int, a: Any, b: Any, *, shape: tuple[int, ...], dtype: DType
    ) -> Any:
        import numpy

        count = int(numpy.prod(shape, dtype="int64"))
        base = (int(state[3]) << 32 | int(state[2])) + (high << 32 | low)
        counters = (numpy.arange(count, dtype="uint64") + numpy.uint64(base)) & numpy.uint64(2**64 - 1)
        words = (counters.astype("uint32"), (counters >> numpy.uint64(32)).astype("uint32"))
        keys = [numpy.full(count, state[k], "uint32") for k in (0, 1)]
        name = {"uniform": "uniform", "normal": "normal", "integer": "random_bits"}[kind]
        drawn = FUNCTIONS[name].numpy(*words, *keys).astype("float32" if kind != "integer" else "uint64")
        if kind == "integer":
            result = a + ((drawn * numpy.uint64(b)) >> numpy.uint64(32)).astype("int64")
        else:
            first, second = numpy.float32(a), numpy.float32(b)
            if kind == "uniform" and dtype in DIGITS:
                steps = numpy.float32(2.0 ** DIGITS[dtype])
                drawn = numpy.floor(drawn * steps) / steps
            result = first + drawn * (second - first) if kind == "uniform" else first + second * drawn
            if kind == "uniform":
                result = numpy.where(result.astype(dtype.numpy) < second, result, first)
        return result.reshape(shape).astype(dtype.numpy)

    return reference


def _declare(name: str, kind: str, draw: Any, doc: str) -> OpSpec:
    return declare(
        name,
        rules=DRAW,
        infer=_infer,
        reference=_reference(kind),
        lower=_lower(draw, name),
        random=True,
        doc=doc,
    )


UNIFORM = _declare("random_uniform", "uniform", _draw_uniform, "Uniform numbers in [low, high).")
NORMAL = _declare(
    "random_normal", "normal", _draw_normal, "Normal numbers of a mean and a standard deviation."
)
INTEGER = _declare("random_integer", "integer", _draw_integer, "Uniform integers in [low, low + range).")


def _infer_dropout(x: TensorType, *_: TensorType, p: float) -> tuple[TensorType, ...]:
    return x, TensorType(x.shape, dtypes.bool_)


def _lower_dropout(request: KernelRequest) -> KernelProgram:
    x, state, low, high = request.operands
    dtype = x.dtype.compute

    element = _element((x, *request.outputs))

    def values(builder: Builder, indices: list[Expr], loaded: list[Expr]) -> list[Expr]:
        counter = _counter(builder, state, low, high, element(builder, indices))
        kept = call("uniform", *counter) >= builder.number("p", request.attributes["p"], dtypes.float32)
        scale = builder.number("scale", dropout_scale(request.attributes["p"]), dtype)
        return [where(kept, loaded[0] * scale, const(0, dtype)), kept]

    return pointwise_program("dropout", (x,), request.outputs, values)


def dropout_scale(p: float) -> float:
    """Return the factor of the elements that dropout keeps."""
    return 0.0 if p >= 1.0 else 1.0 / (1.0 - p)


def _reference_dropout(x: Any, state: Any, low: int, high: int, *, p: float) -> Any:
    import numpy

    kept = UNIFORM.reference(
        state, low, high, 0.0, 1.0, shape=x.shape, dtype=dtypes.float32
    ) >= numpy.float32(p)
    return numpy.where(kept, x * x.dtype.type(dropout_scale(p)), 0).astype(x.dtype), kept


def _gradient_dropout(context: Gradient, grad: Any, _: Any) -> list[Any]:
    scaled = bind(lookup("mul"), grad, dropout_scale(context.attributes["p"]))
    return [bind(lookup("where"), context.output(1), scaled, 0.0), None, None, None]


DROPOUT = declare(
    "dropout", rules=DRAW.but(batching="dropout"),
    infer=_infer_dropout, reference=_reference_dropout, lower=_lower_dropout, gradient=_gradient_dropout,
    saves_output=True, random=True, doc="Elements kept with probability 1 - p and scaled by 1 / (1 - p), and which.",
)  # fmt: skip


def _infer_advance(state: TensorType, low: TensorType, high: TensorType) -> tuple[TensorType, ...]:
    return (state,)


def _reference_advance(state: Any, low: int, high: int) -> Any:
    import numpy

    counter = ((int(state[3]) << 32 | int(state[2])) + (high << 32 | low)) % 2**64
    return numpy.array([state[0], state[1], counter % 2**32, counter >> 32], "uint32")


def _lower_advance(request: KernelRequest) -> KernelProgram:
    state, low, high = request.operands
    builder = Builder("random_advance")
    builder.axes((1,))
    words = [builder.load(state, [const(word, INDEX)]) for word in range(4)]
    moved = _wide_add(words[2], words[3], builder.scalar(low, U32), builder.scalar(high, U32))
    for word, value in enumerate((words[0], words[1], *moved)):
        builder.store(request.outputs[0], [const(word, INDEX)], value)
    return KernelProgram((builder.finish(),))


ADVANCE = declare(
    "random_advance", rules=Rules("advance"),
    infer=_infer_advance, reference=_reference_advance, lower=_lower_advance, elementwise=True,
    doc="The generator's state with its counter advanced.",
)  # fmt: skip
