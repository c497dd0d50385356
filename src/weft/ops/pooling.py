"""2-d max pooling: values and positions in one kernel; the gradient gathers by position, it does not race."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft import dtypes
from weft.errors import ShapeError, mistake
from weft.expr import Expr, call, const, where
from weft.kernels import Builder, Operand, Program
from weft.ops import arguments
from weft.ops.annotations import Pair, Tensor
from weft.ops.core import Gradient, TensorType, bind
from weft.ops.functions import function
from weft.ops.table import declare, lookup
from weft.target import TargetProfile


def _out_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    # the last window must start inside the input or its left padding
    return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


def _infer(x: TensorType, *, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int],
           dilation: tuple[int, int], ceil_mode: bool) -> tuple[TensorType, ...]:  # fmt: skip
    out = [
        _out_size(size, k, s, p, d, ceil_mode)
        for size, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    ]
    if min(out) < 1:
        raise ShapeError(
            mistake("max_pool2d", "kernel_size", kernel, f"at most the padded input {x.shape[2:]}")
        )
    shape = (*x.shape[:2], *out)
    return TensorType(shape, x.dtype), TensorType(shape, dtypes.int64)


def _reference(x: Any, *, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Any:
    import numpy

    out = _infer(TensorType(x.shape, dtypes.from_numpy(x.dtype)), kernel=kernel, stride=stride, padding=padding,
                 dilation=dilation, ceil_mode=ceil_mode)[0].shape  # fmt: skip
    values, places = numpy.empty(out, x.dtype), numpy.empty(out, "int64")
    h, w = x.shape[2:]
    for i, j in numpy.ndindex(*out[2:]):
        rows = [i * stride[0] - padding[0] + a * dilation[0] for a in range(kernel[0])]
        columns = [j * stride[1] - padding[1] + b * dilation[1] for b in range(kernel[1])]
        flat = [r * w + c for r in rows for c in columns if 0 <= r < h and 0 <= c < w]
        seen = x.reshape(*x.shape[:2], h * w)[:, :, flat]
        best = seen.argmax(-1)
        values[:, :, i, j] = numpy.take_along_axis(seen, best[..., None], -1)[..., 0]
        places[:, :, i, j] = numpy.asarray(flat)[best]
    return values, places


def _position(
    builder: Builder, name: str, out: Expr, tap: Expr, stride: int, dilation: int, padding: int
) -> Expr:
    place = out * builder.integer(f"stride_{name}", stride) + tap * builder.integer(
        f"dilation_{name}", dilation
    )
    return place - builder.integer(f"padding_{name}", padding)


def _lower(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    x, (values, places) = operands[0], outputs
    stride, dilation, padding = attributes["stride"], attributes["dilation"], attributes["padding"]
    height, width = x.shape[2:]
    builder = Builder("max_pool2d")
    n, c, oh, ow = builder.axes(values.shape)
    kh, kw = builder.reduce_axes(attributes["kernel"])
    h, w = builder.integer("height", height), builder.integer("width", width)

    def source(i: Expr, j: Expr) -> tuple[Expr, Expr]:
        return (
            _position(builder, "h", oh, i, stride[0], dilation[0], padding[0]),
            _position(builder, "w", ow, j, stride[1], dilation[1], padding[1]),
        )

    y, z = source(kh, kw)
    valid = (y >= 0) & (y < h) & (z >= 0) & (z < w)
    dtype = x.dtype.compute
    lowest: float = -float("inf")
    if dtype.kind != "float":
        lowest = 0 if dtype.kind == "uint" else -(2 ** (8 * profile.itemsize(dtype) - 1))
    best = builder.reduce("argmax", builder.load(x, [n, c, y, z], None, valid, lowest))
    columns = builder.integer("kernel_w", attributes["kernel"][1])
    y, z = source(call("idiv", best, columns), call("irem", best, columns))
    # a window whose valid elements are all -inf has its argmax on padding: step to the nearest element inside
    y, z = _clamped(y, h), _clamped(z, w)
    builder.store(values, [n, c, oh, ow], builder.load(x, [n, c, y, z]))
    builder.store(places, [n, c, oh, ow], y * w + z)
    return Program((builder.finish(),))


def _clamped(place: Expr, size: Expr) -> Expr:
    low = where(place < 0, const(0, place.dtype), place)
    return where(low < size, low, size - 1)


def _gradient(context: Gradient, grad: Any, _: Any) -> list[Any]:
    options = {key: context.attributes[key] for key in ("kernel", "stride", "padding", "dilation")}
    return [bind(MAX_POOL2D_BACKWARD, grad, context.output(1), shape=context.types[0].shape, **options)]


MAX_POOL2D = declare(
    "max_pool2d", infer=_infer, reference=_reference, lower=_lower, gradient=_gradient, saves_output=True,
    doc="The largest element of each window, and its position in the image.",
)  # fmt: skip


def _infer_backward(
    grad: TensorType, places: TensorType, *, shape: tuple[int, ...], **_: Any
) -> tuple[TensorType, ...]:
    return (TensorType(shape, grad.dtype),)


def _reference_backward(grad: Any, places: Any, *, shape: tuple[int, ...], **_: Any) -> Any:
    import numpy

    result = numpy.zeros((shape[0], shape[1], shape[2] * shape[3]), grad.dtype)
    n, c = numpy.indices(grad.shape)[:2]
    numpy.add.at(result, (n, c, places), grad)
    return result.reshape(shape)


def _lower_backward(
    operands: Sequence[Operand],
    outputs: Sequence[Operand],
    attributes: dict[str, Any],
    profile: TargetProfile,
) -> Program:
    """Each input element folds over the windows that cover it and keeps those that chose it."""
    grad, places = operands
    target = outputs[0]
    builder = Builder("max_pool2d_backward")
    n, c, y, z = builder.axes(target.shape)
    taps = builder.reduce_axes(attributes["kernel"])
    points, inside = [], None
    for axis, (place, tap) in enumerate(zip((y, z), taps, strict=True)):
        stride = builder.integer(f"stride{axis}", attributes["stride"][axis])
        reach = place + builder.integer(f"padding{axis}", attributes["padding"][axis])
        reach = reach - tap * builder.integer(f"dilation{axis}", attributes["dilation"][axis])
        out = call("idiv", reach, stride)
        size = builder.integer(f"out{axis}", grad.shape[2 + axis])
        valid = (reach >= 0) & (out * stride).equals(reach) & (out < size)
        inside = valid if inside is None else inside & valid
        points.append(out)
    chosen = builder.load(places, [n, c, *points], None, inside, -1)
    mine = chosen.equals(y * builder.integer("width", target.shape[3]) + z)
    dtype = grad.dtype.compute
    value = where(mine, builder.load(grad, [n, c, *points], None, inside), const(0, dtype))
    builder.store(target, [n, c, y, z], builder.reduce("sum", value))
    return Program((builder.finish(),))


def _gradient_backward(context: Gradient, seed: Any) -> list[Any]:
    """The adjoint picks the elements at the stored positions."""
    reshape = lookup("reshape")
    n, c, h, w = context.attributes["shape"]
    places = context.input(1)
    flat = bind(reshape, seed, shape=(n, c, h * w))
    index = bind(reshape, places, shape=(n, c, places.shape[2] * places.shape[3]))
    picked = bind(lookup("gather"), flat, index, dim=2)
    return [bind(reshape, picked, shape=tuple(places.shape)), None]


MAX_POOL2D_BACKWARD = declare(
    "max_pool2d_backward", infer=_infer_backward, reference=_reference_backward, lower=_lower_backward,
    gradient=_gradient_backward, saves=(1,), doc="Gradients of windows brought to the elements that they chose.",
)  # fmt: skip


@function(functional=True, method=False, top=False)
def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """The largest element of each window of (N, C, H, W) or (C, H, W), as ``torch.nn.functional.max_pool2d``.

    ``stride`` defaults to ``kernel_size``; padding counts as -inf and may be at most half the kernel.
    """
    arguments.tensor("max_pool2d", "input", input)
    kernel = arguments.pair("max_pool2d", "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else arguments.pair("max_pool2d", "stride", stride, 1)
    pads, gaps = (
        arguments.pair("max_pool2d", "padding", padding),
        arguments.pair("max_pool2d", "dilation", dilation, 1),
    )
    if any(2 * pad > size for pad, size in zip(pads, kernel, strict=True)):
        raise ShapeError(mistake("max_pool2d", "padding", pads, f"at most half of kernel_size {kernel}"))
    batched = len(input.shape) == 4
    shape = tuple(input.shape)
    if not batched:
        arguments.tensor("max_pool2d", "input", input, 3)
        input = bind(lookup("reshape"), input, shape=(1, *shape))
    out = bind(
        MAX_POOL2D, input, kernel=kernel, stride=steps, padding=pads, dilation=gaps, ceil_mode=bool(ceil_mode)
    )
    if not batched:
        out = tuple(bind(lookup("reshape"), one, shape=tuple(one.shape[1:])) for one in out)
    return tuple(out) if return_indices else out[0]
