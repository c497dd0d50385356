"""2-d convolution and its two adjoints: three ops, each the gradient of the others.

``y = conv2d(x, w)`` is linear in x and in w. The gradient with respect to x is ``conv2d_input(g, w)`` (a transposed
convolution), with respect to w ``conv2d_weight(g, x)``; the gradients of these two are again among the three.
Layouts: x (N, C, H, W), w (O, C / groups, KH, KW), y (N, O, OH, OW).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from weft.errors import DTypeError, ShapeError, mistake
from weft.expr import Expr, call
from weft.kernels import Builder, Library, Offset, Operand, Program, Step
from weft.ops import arguments
from weft.ops.annotations import Pair, Tensor
from weft.ops.core import Gradient, OpSpec, TensorType, bind
from weft.ops.functions import function
from weft.ops.geometry import contiguous_strides
from weft.ops.linear import matmul_step, saves_other
from weft.ops.movement import copy_step
from weft.ops.reduction import is_cooperative
from weft.ops.table import declare, lookup
from weft.target import TargetProfile


@dataclass(frozen=True)
class Window:
    """All sizes of a convolution."""

    n: int
    c: int
    h: int
    w: int
    o: int
    kh: int
    kw: int
    oh: int
    ow: int
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @staticmethod
    def of(x: Sequence[int], w: Sequence[int], attributes: dict[str, Any]) -> Window:
        """The sizes for an input and a weight shape."""
        stride, padding = attributes["stride"], attributes["padding"]
        dilation, groups = attributes["dilation"], attributes["groups"]
        out = [
            (size + 2 * pad - gap * (kernel - 1) - 1) // step + 1
            for size, kernel, step, pad, gap in zip(x[2:], w[2:], stride, padding, dilation, strict=True)
        ]
        return Window(
            x[0], x[1], x[2], x[3], w[0], w[2], w[3], out[0], out[1], stride, padding, dilation, groups
        )

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """The shape of y."""
        return self.n, self.o, self.oh, self.ow

    @property
    def numbers(self) -> tuple[int, ...]:
        """The library kernel's parameters, without the offsets."""
        own = (self.n, self.c, self.h, self.w, self.o, self.kh, self.kw, self.oh, self.ow)
        return (*own, *self.stride, *self.padding, *self.dilation, self.groups)


def _infer_forward(x: TensorType, w: TensorType, **attributes: Any) -> tuple[TensorType, ...]:
    if x.dtype is not w.dtype:
        raise DTypeError(mistake("conv2d", "weight's dtype", w.dtype.name, f"{x.dtype.name}, as the input's"))
    arguments.floating("conv2d", "input", x.dtype)
    groups = attributes["groups"]
    if w.shape[0] % groups:
        raise ShapeError(
            mistake("conv2d", "groups", groups, f"a divisor of the {w.shape[0]} output channels")
        )
    if x.shape[1] != w.shape[1] * groups:
        raise ShapeError(
            mistake(
                "conv2d",
                "input's channels",
                x.shape[1],
                f"{w.shape[1] * groups} for weight {w.shape} in {groups} groups",
            )
        )
    window = Window.of(x.shape, w.shape, attributes)
    if window.oh < 1 or window.ow < 1:
        raise ShapeError(
            mistake("conv2d", "kernel", f"{w.shape[2:]} with dilation {window.dilation}",
                    f"at most the padded input, {x.shape[2:]} with padding {window.padding}")
        )  # fmt: skip
    return (TensorType(window.output_shape, x.dtype),)


def _infer_to(position: int) -> Callable[..., tuple[TensorType, ...]]:
    def infer(
        y: TensorType, other: TensorType, *, shape: tuple[int, ...], **attributes: Any
    ) -> tuple[TensorType, ...]:
        return (TensorType(shape, y.dtype),)

    return infer


def _source(builder: Builder, window: Window, axis: int, out: Expr, tap: Expr) -> tuple[Expr, Expr]:
    """The input position that an output position reads at a kernel tap, and whether it is inside the input."""
    step, gap, pad = window.stride[axis], window.dilation[axis], window.padding[axis]
    position = out if step == 1 else out * builder.integer(f"stride{axis}", step)
    position = position + (tap if gap == 1 else tap * builder.integer(f"dilation{axis}", gap))
    position = position - builder.integer(f"padding{axis}", pad)
    size = builder.integer(f"size{axis}", (window.h, window.w)[axis])
    return position, (position >= 0) & (position < size)


def derived_forward(x: Operand, w: Operand, y: Operand, window: Window, profile: TargetProfile) -> Program:
    """The plain form: each output folds over channels and taps."""
    builder = Builder("conv2d_derived")
    n, g, o, oh, ow = builder.axes((window.n, window.groups, window.o // window.groups, window.oh, window.ow))
    c, kh, kw = builder.reduce_axes((window.c // window.groups, window.kh, window.kw))
    iy, inside_y = _source(builder, window, 0, oh, kh)
    ix, inside_x = _source(builder, window, 1, ow, kw)
    value = builder.load(x, [n, g, c, iy, ix], _grouped(x, window.c // window.groups), inside_y & inside_x)
    weight = builder.load(w, [g, o, c, kh, kw], _grouped_first(w, window.o // window.groups))
    total = builder.reduce("sum", value * weight)
    builder.store(y, [n, g, o, oh, ow], total, _grouped(y, window.o // window.groups))
    return Program((builder.finish(),))


def _grouped(operand: Operand, per_group: int) -> tuple[int, ...]:
    n, c, h, w = operand.strides
    return n, c * per_group, c, h, w


def _grouped_first(operand: Operand, per_group: int) -> tuple[int, ...]:
    o, c, h, w = operand.strides
    return o * per_group, o, c, h, w


def _output_of(builder: Builder, window: Window, axis: int, position: Expr, tap: Expr) -> tuple[Expr, Expr]:
    """The output position that reads an input position at a tap, and whether there is one."""
    step, gap, pad = window.stride[axis], window.dilation[axis], window.padding[axis]
    reach = position + builder.integer(f"padding{axis}", pad)
    reach = reach - (tap if gap == 1 else tap * builder.integer(f"dilation{axis}", gap))
    size = builder.integer(f"out{axis}", (window.oh, window.ow)[axis])
    if step == 1:
        return reach, (reach >= 0) & (reach < size)
    stride = builder.integer(f"stride{axis}", step)
    out = call("idiv", reach, stride)
    return out, (reach >= 0) & (out * stride).equals(reach) & (out < size)


def derived_input(y: Operand, w: Operand, x: Operand, window: Window, profile: TargetProfile) -> Program:
    """The plain form: each input folds over the outputs that read it."""
    builder = Builder("conv2d_input_derived")
    n, g, c, h, v = builder.axes((window.n, window.groups, window.c // window.groups, window.h, window.w))
    o, kh, kw = builder.reduce_axes((window.o // window.groups, window.kh, window.kw))
    oh, inside_y = _output_of(builder, window, 0, h, kh)
    ow, inside_x = _output_of(builder, window, 1, v, kw)
    value = builder.load(y, [n, g, o, oh, ow], _grouped(y, window.o // window.groups), inside_y & inside_x)
    weight = builder.load(w, [g, o, c, kh, kw], _grouped_first(w, window.o // window.groups))
    builder.store(
        x, [n, g, c, h, v], builder.reduce("sum", value * weight), _grouped(x, window.c // window.groups)
    )
    return Program((builder.finish(),))


def derived_weight(y: Operand, x: Operand, w: Operand, window: Window, profile: TargetProfile) -> Program:
    """The plain form: each weight folds over the images and positions where it was used."""
    builder = Builder("conv2d_weight_derived")
    g, o, c, kh, kw = builder.axes(
        (window.groups, window.o // window.groups, window.c // window.groups, window.kh, window.kw)
    )
    n, oh, ow = builder.reduce_axes((window.n, window.oh, window.ow))
    iy, inside_y = _source(builder, window, 0, oh, kh)
    ix, inside_x = _source(builder, window, 1, ow, kw)
    value = builder.load(x, [n, g, c, iy, ix], _grouped(x, window.c // window.groups), inside_y & inside_x)
    grad = builder.load(y, [n, g, o, oh, ow], _grouped(y, window.o // window.groups))
    total = builder.reduce("sum", value * grad)
    builder.store(w, [g, o, c, kh, kw], total, _grouped_first(w, window.o // window.groups))
    length = window.n * window.oh * window.ow
    results = window.o * (window.c // window.groups) * window.kh * window.kw
    return Program((builder.finish(cooperative=is_cooperative(profile, results, length)),))


# The CPU's form: unfold the input into columns, and leave the product to BLAS.


def _columns(index: int, dtype: Any, window: Window) -> Operand:
    """The scratch value (N, groups, C / groups * KH * KW, OH * OW)."""
    taps = (window.c // window.groups) * window.kh * window.kw
    shape = (window.n, window.groups, taps, window.oh * window.ow)
    return Operand(index, dtype, shape, contiguous_strides(shape), -2 - index)


def _split(columns: Operand, window: Window) -> tuple[int, ...]:
    """Strides of the columns seen as (N, C, KH, KW, OH, OW)."""
    return contiguous_strides((window.n, window.c, window.kh, window.kw, window.oh, window.ow))


def _unfold(x: Operand, columns: Operand, window: Window) -> Step:
    builder = Builder("unfold")
    n, c, kh, kw, oh, ow = builder.axes((window.n, window.c, window.kh, window.kw, window.oh, window.ow))
    iy, inside_y = _source(builder, window, 0, oh, kh)
    ix, inside_x = _source(builder, window, 1, ow, kw)
    value = builder.load(x, [n, c, iy, ix], None, inside_y & inside_x)
    builder.store(columns, [n, c, kh, kw, oh, ow], value, _split(columns, window))
    return builder.finish()


def _fold(columns: Operand, x: Operand, window: Window) -> Step:
    builder = Builder("fold")
    n, c, h, v = builder.axes((window.n, window.c, window.h, window.w))
    kh, kw = builder.reduce_axes((window.kh, window.kw))
    oh, inside_y = _output_of(builder, window, 0, h, kh)
    ow, inside_x = _output_of(builder, window, 1, v, kw)
    value = builder.load(columns, [n, c, kh, kw, oh, ow], _split(columns, window), inside_y & inside_x)
    builder.store(x, [n, c, h, v], builder.reduce("sum", value))
    return builder.finish()


def _as_matrices(operand: Operand, shape: Sequence[int]) -> Operand:
    """A contiguous operand under another shape."""
    return Operand(operand.index, operand.dtype, tuple(shape), contiguous_strides(shape), operand.slot)


def _by_group(operand: Operand, window: Window) -> Operand:
    """A contiguous weight as (1, groups, O / groups, taps), repeated over images."""
    per_group, taps = window.o // window.groups, (window.c // window.groups) * window.kh * window.kw
    shape = (window.n, window.groups, per_group, taps)
    return Operand(operand.index, operand.dtype, shape, (0, per_group * taps, taps, 1), operand.slot)


def _transposed(operand: Operand) -> Operand:
    shape, strides = operand.shape, operand.strides
    return Operand(
        operand.index,
        operand.dtype,
        (*shape[:-2], shape[-1], shape[-2]),
        (*strides[:-2], strides[-1], strides[-2]),
        operand.slot,
    )


def _product(a: Operand, b: Operand, c: Operand) -> Step:
    step = matmul_step(a, b, c)
    assert step is not None, "two batch dimensions always fit"
    return step


def _blas_forward(
    x: Operand, w: Operand, y: Operand, window: Window, free: int
) -> tuple[list[Step], list[Any]]:
    columns = _columns(free, x.dtype, window)
    out = _as_matrices(y, (window.n, window.groups, window.o // window.groups, window.oh * window.ow))
    return [_unfold(x, columns, window), _product(_by_group(w, window), columns, out)], [columns]


def _blas_input(
    y: Operand, w: Operand, x: Operand, window: Window, free: int
) -> tuple[list[Step], list[Any]]:
    columns = _columns(free, x.dtype, window)
    grad = _as_matrices(y, (window.n, window.groups, window.o // window.groups, window.oh * window.ow))
    return [_product(_transposed(_by_group(w, window)), grad, columns), _fold(columns, x, window)], [columns]


def _blas_weight(
    y: Operand, x: Operand, w: Operand, window: Window, free: int
) -> tuple[list[Step], list[Any]]:
    columns = _columns(free, x.dtype, window)
    per_group = window.o // window.groups
    grad = _as_matrices(y, (window.n, window.groups, per_group, window.oh * window.ow))
    shape = (window.n, window.groups, per_group, columns.shape[2])
    each = Operand(free + 1, x.dtype, shape, contiguous_strides(shape), -3 - free)
    builder = Builder("sum_images")
    g, o, k = builder.axes(shape[1:])
    (n,) = builder.reduce_axes((window.n,))
    total = builder.reduce("sum", builder.load(each, [n, g, o, k]))
    builder.store(w, [g, o, k], total, contiguous_strides(shape[1:]))
    steps = [_unfold(x, columns, window), _product(grad, _transposed(columns), each), builder.finish()]
    return steps, [columns, each]


_BLAS = {"forward": _blas_forward, "input": _blas_input, "weight": _blas_weight}
_DERIVED = {"forward": derived_forward, "input": derived_input, "weight": derived_weight}


def _window(kind: str, operands: Sequence[Operand], target: Operand, attributes: dict[str, Any]) -> Window:
    first, second = (operand.shape for operand in operands)
    x, w = {"forward": (first, second), "input": (target.shape, second), "weight": (second, target.shape)}[
        kind
    ]
    return Window.of(x, w, attributes)


def _lower(kind: str) -> Callable[..., Program]:
    def lower(
        operands: Sequence[Operand],
        outputs: Sequence[Operand],
        attributes: dict[str, Any],
        profile: TargetProfile,
    ) -> Program:
        target = outputs[0]
        window = _window(kind, operands, target, attributes)
        tuned = profile.dialect != "llvm" or ("blas" in profile.features and target.dtype.bits >= 32)
        tuned = tuned and target.strides == contiguous_strides(target.shape)  # they write dense results
        if not tuned:
            return _DERIVED[kind](operands[0], operands[1], target, window, profile)
        steps: list[Step] = []
        scratch: list[Operand] = []
        ready = []
        for operand in operands:  # the tuned forms read contiguous operands
            if operand.strides != contiguous_strides(operand.shape):
                index = 3 + len(scratch)
                dense = Operand(
                    index, operand.dtype, operand.shape, contiguous_strides(operand.shape), -2 - index
                )
                steps.append(copy_step("copy", operand, dense, operand.shape, operand.strides, dense.strides))
                scratch.append(dense)
                operand = dense
            ready.append(operand)
        if profile.dialect == "llvm":
            more, columns = _BLAS[kind](ready[0], ready[1], target, window, 3 + len(scratch))
            steps += more
            scratch += columns
        else:
            by_role = {"forward": (0, 1, 2), "input": (2, 1, 0), "weight": (1, 2, 0)}[kind]  # x, w, y
            values = (*ready, target)
            offsets = [Offset(values[role].index) for role in by_role]
            library = Library("conv2d", (target.dtype,), (("kind", kind),))
            steps.append(Step(library, tuple(v.index for v in values), (*window.numbers, *offsets)))
        sizes = tuple((o.dtype, _count(o.shape)) for o in scratch)
        return Program(tuple(steps), sizes)

    return lower


def _count(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _pieces(x: Any, w: Any, out: tuple[int, int], **attributes: Any) -> Any:
    """For each kernel tap, the slice of the padded input that it meets: the reference's one idea."""
    (sh, sw), (dh, dw) = attributes["stride"], attributes["dilation"]
    for i in range(w[2]):
        for j in range(w[3]):
            rows = slice(i * dh, i * dh + sh * (out[0] - 1) + 1, sh)
            yield i, j, (slice(None), slice(None), rows, slice(j * dw, j * dw + sw * (out[1] - 1) + 1, sw))


def _reference(kind: str) -> Callable[..., Any]:
    def reference(first: Any, second: Any, **attributes: Any) -> Any:
        import numpy

        shape = attributes.pop("shape", None)
        x_shape, w_shape = {
            "forward": (first.shape, second.shape), "input": (shape, second.shape), "weight": (second.shape, shape)
        }[kind]  # fmt: skip
        (ph, pw), groups = attributes["padding"], attributes["groups"]
        window = Window.of(x_shape, w_shape, attributes)
        n, c, h, w = x_shape
        padded = numpy.zeros((n, c, h + 2 * ph, w + 2 * pw))
        inner = (slice(None), slice(None), slice(ph, ph + h), slice(pw, pw + w))
        if kind != "input":
            padded[inner] = first if kind == "forward" else second
        weight = numpy.zeros(w_shape) if kind == "weight" else second.astype("float64")
        out = numpy.zeros(window.output_shape) if kind == "forward" else first.astype("float64")
        per_in, per_out = c // groups, w_shape[0] // groups
        for i, j, place in _pieces(x_shape, w_shape, (window.oh, window.ow), **attributes):
            for g in range(groups):
                ins, outs = slice(g * per_in, (g + 1) * per_in), slice(g * per_out, (g + 1) * per_out)
                piece = (slice(None), ins, *place[2:])
                if kind == "forward":
                    out[:, outs] += numpy.einsum("oc,nchw->nohw", weight[outs, :, i, j], padded[piece])
                elif kind == "input":
                    padded[piece] += numpy.einsum("oc,nohw->nchw", weight[outs, :, i, j], out[:, outs])
                else:
                    weight[outs, :, i, j] += numpy.einsum("nchw,nohw->oc", padded[piece], out[:, outs])
        return {"forward": out, "input": padded[inner], "weight": weight}[kind].astype(first.dtype)

    return reference


def _options(context: Gradient) -> dict[str, Any]:
    return {key: context.attributes[key] for key in ("stride", "padding", "dilation", "groups")}


def _gradient_forward(context: Gradient, grad: Any) -> list[Any]:
    x, w = context.types
    options = _options(context)
    by_x = bind(CONV2D_INPUT, grad, context.input(1), shape=x.shape, **options) if context.needs[0] else None
    by_w = bind(CONV2D_WEIGHT, grad, context.input(0), shape=w.shape, **options) if context.needs[1] else None
    return [by_x, by_w]


def _gradient_input(context: Gradient, seed: Any) -> list[Any]:
    options = _options(context)
    by_y = bind(CONV2D, seed, context.input(1), **options) if context.needs[0] else None
    shape = context.types[1].shape
    by_w = bind(CONV2D_WEIGHT, context.input(0), seed, shape=shape, **options) if context.needs[1] else None
    return [by_y, by_w]


def _gradient_weight(context: Gradient, seed: Any) -> list[Any]:
    options = _options(context)
    by_y = bind(CONV2D, context.input(1), seed, **options) if context.needs[0] else None
    shape = context.types[1].shape
    by_x = bind(CONV2D_INPUT, context.input(0), seed, shape=shape, **options) if context.needs[1] else None
    return [by_y, by_x]


def _declare(name: str, kind: str, infer: Any, gradient: Any, doc: str) -> OpSpec:
    return declare(
        name,
        infer=infer,
        reference=_reference(kind),
        lower=_lower(kind),
        gradient=gradient,
        saves=saves_other,
        doc=doc,
    )


CONV2D = _declare(
    "conv2d", "forward", _infer_forward, _gradient_forward, "2-d cross-correlation of images with filters."
)
CONV2D_INPUT = _declare(
    "conv2d_input", "input", _infer_to(0), _gradient_input, "The gradient of conv2d's input."
)
CONV2D_WEIGHT = _declare(
    "conv2d_weight", "weight", _infer_to(1), _gradient_weight, "The gradient of conv2d's weight."
)


@function(functional=True, method=False)
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """2-d cross-correlation, as ``torch.nn.functional.conv2d``.

    ``input`` (N, C, H, W) or (C, H, W), ``weight`` (O, C / groups, KH, KW), ``bias`` (O); gives (N, O, OH, OW).
    ``padding`` may be ``"valid"`` or, with stride 1 and odd extents, ``"same"``.
    """
    arguments.tensor("conv2d", "input", input)
    arguments.tensor("conv2d", "weight", weight, 4)
    if len(input.shape) == 3:
        from weft.ops.movement import squeeze, unsqueeze

        return squeeze(conv2d(unsqueeze(input, 0), weight, bias, stride, padding, dilation, groups), 0)
    arguments.tensor("conv2d", "input", input, 4)
    steps, gaps = (
        arguments.pair("conv2d", "stride", stride, 1),
        arguments.pair("conv2d", "dilation", dilation, 1),
    )
    pads = _padding(padding, weight.shape[2:], steps, gaps)
    if arguments.integer("conv2d", "groups", groups) < 1:
        raise ShapeError(mistake("conv2d", "groups", groups, "at least 1"))
    if bias is not None and tuple(arguments.tensor("conv2d", "bias", bias).shape) != (weight.shape[0],):
        raise ShapeError(mistake("conv2d", "bias's shape", tuple(bias.shape), f"({weight.shape[0]},)"))
    out = bind(CONV2D, input, weight, stride=steps, padding=pads, dilation=gaps, groups=groups)
    if bias is None:
        return out
    return bind(lookup("add"), out, bind(lookup("reshape"), bias, shape=(1, weight.shape[0], 1, 1)))


def _padding(
    padding: Any, kernel: Sequence[int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int]:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        spans = [gap * (size - 1) for gap, size in zip(dilation, kernel, strict=True)]
        if stride != (1, 1) or any(span % 2 for span in spans):
            raise ShapeError(
                mistake(
                    "conv2d",
                    "padding",
                    "'same'",
                    "stride 1 and kernels of odd extent for it",
                    "give two ints",
                )
            )
        return spans[0] // 2, spans[1] // 2
    return arguments.pair("conv2d", "padding", padding)
