"""``unfold`` (im2col) and ``fold`` (col2im): windows of images as columns of matrices, and columns summed to images.

Each is the other's adjoint, and a single kernel: ``fold`` gathers over the windows that contain a pixel, so that no two
threads write one element.
"""

from __future__ import annotations

import math
from typing import Any

from weft.errors import ShapeError, mistake
from weft.kernels import Builder, KernelProgram, Operand
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Pair, Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rules import EXAMPLES
from weft.ops.registry.spec import Gradient, KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare
from weft.ops.views.movement import reshape
from weft.ops.views.windows import Sizes, Window, both_sides, out_size, tuple_of


def _window(size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Window:
    sides = both_sides(padding)
    out = tuple(out_size(*sizes) for sizes in zip(size, kernel, stride, sides, dilation, strict=True))
    return Window(size, kernel, out, stride, sides, dilation)


def _infer_columns(
    x: TensorType, *, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[TensorType, ...]:
    window = _window(x.shape[2:], kernel, stride, padding, dilation)
    shape = (x.shape[0], x.shape[1] * math.prod(kernel), math.prod(window.out))
    return (TensorType(shape, x.dtype),)


def _infer_image(
    columns: TensorType, *, size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[TensorType, ...]:
    n, rows, _ = columns.shape
    return (TensorType((n, rows // math.prod(kernel), *size), columns.dtype),)


def _split(columns: Operand, window: Window) -> tuple[int, ...]:
    """Return the strides of columns (N, C * taps, places) viewed as (N, C, *kernel, *out)."""
    image, row, place = columns.strides
    taps = [row * math.prod(window.kernel[axis + 1 :]) for axis in range(len(window.kernel))]
    places = [place * math.prod(window.out[axis + 1 :]) for axis in range(len(window.out))]
    return (image, row * math.prod(window.kernel), *taps, *places)


def _lower_columns(request: KernelRequest) -> KernelProgram:
    x, target = request.operands[0], request.outputs[0]
    window = _window(x.shape[2:], **request.attributes)
    rank = len(window.kernel)
    builder = Builder("im2col")
    n, c, *rest = builder.axes((*x.shape[:2], *window.kernel, *window.out))
    places, inside = window.sources(builder, rest[rank:], rest[:rank])
    value = builder.load(x, [n, c, *places], None, inside)
    builder.store(target, [n, c, *rest], value, _split(target, window))
    return KernelProgram((builder.finish(),))


def _lower_image(request: KernelRequest) -> KernelProgram:
    columns, target = request.operands[0], request.outputs[0]
    window = _window(**request.attributes)
    builder = Builder("col2im")
    n, c, *places = builder.axes(target.shape)
    taps = builder.reduce_axes(window.kernel)
    outs, inside = window.readers(builder, places, taps)
    value = builder.load(columns, [n, c, *taps, *outs], _split(columns, window), inside)
    builder.store(target, [n, c, *places], builder.reduce("sum", value), target.strides)
    return KernelProgram((builder.finish(),))


def _places(window: Window) -> Any:
    """Return the references' flat indices (taps, places) into the padded image, and the padded sizes."""
    import numpy

    padded = [n + 2 * before for n, (before, _) in zip(window.size, window.padding, strict=True)]
    taps, outs = numpy.indices(window.kernel), numpy.indices(window.out)
    axes = [
        tap.reshape(-1, 1) * gap + out.reshape(1, -1) * step
        for tap, out, gap, step in zip(taps, outs, window.dilation, window.stride, strict=True)
    ]
    return numpy.ravel_multi_index(axes, padded), padded


def _reference_columns(x: Any, **attributes: Any) -> Any:
    import numpy

    window = _window(x.shape[2:], **attributes)
    places, _ = _places(window)
    padded = numpy.pad(x, ((0, 0), (0, 0), *window.padding)).reshape(*x.shape[:2], -1)
    return padded[:, :, places].reshape(x.shape[0], x.shape[1] * places.shape[0], places.shape[1])


def _reference_image(columns: Any, **attributes: Any) -> Any:
    import numpy

    window = _window(**attributes)
    places, padded = _places(window)
    n, channels = columns.shape[0], columns.shape[1] // max(places.shape[0], 1)
    image: Any = numpy.zeros((n, channels, math.prod(padded)))
    chosen: Any = (slice(None), slice(None), places)
    numpy.add.at(image, chosen, columns.reshape(n, channels, *places.shape))
    inner: Any = tuple(
        slice(before, before + size) for size, (before, _) in zip(window.size, window.padding, strict=True)
    )
    return image.reshape(n, channels, *padded)[(..., *inner)].astype(columns.dtype)


def _gradient_columns(context: Gradient, grad: Any) -> list[Any]:
    return [bind(COL2IM, grad, size=context.types[0].shape[2:], **context.attributes)]


def _gradient_image(context: Gradient, grad: Any) -> list[Any]:
    return [bind(IM2COL, grad, **{key: value for key, value in context.attributes.items() if key != "size"})]


IM2COL: OpSpec = declare(
    "im2col", rules=EXAMPLES.but(splitting="", tangent="linear"),
    infer=_infer_columns, reference=_reference_columns, lower=_lower_columns, gradient=_gradient_columns,
    doc="The windows of images (N, C, *size) as columns (N, C * taps, places); zeros outside of the image.",
)  # fmt: skip
COL2IM: OpSpec = declare(
    "col2im", rules=EXAMPLES.but(splitting="", tangent="linear"),
    infer=_infer_image, reference=_reference_image, lower=_lower_image, gradient=_gradient_image,
    doc="The adjoint of im2col: columns summed at their windows' places in the image.",
)  # fmt: skip


def _options(name: str, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair) -> dict[str, Sizes]:
    return {
        "kernel": tuple_of(name, "kernel_size", kernel, 2, 1),
        "dilation": tuple_of(name, "dilation", dilation, 2, 1),
        "padding": tuple_of(name, "padding", padding, 2),
        "stride": tuple_of(name, "stride", stride, 2, 1),
    }


@function(name="im2col", top=False, method=False, functional="unfold")
def unfold_windows(
    input: Tensor, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1
) -> Tensor:
    """The windows of images (N, C, H, W) as columns (N, C * taps, places), as ``torch.nn.functional.unfold``.

    An input (C, H, W) gives (C * taps, places). Raises ``ShapeError`` where no window fits.

    >>> import weft as wf
    >>> wf.nn.functional.unfold(wf.arange(9.0).reshape(1, 1, 3, 3), 2).shape
    (1, 4, 4)
    """
    shape = tuple(arguments.tensor("unfold", "input", input).shape)
    arguments.floating("unfold", "input", input.dtype)
    if len(shape) not in (3, 4) or 0 in shape[-3:]:
        raise ShapeError(
            mistake("unfold", "input's shape", shape, "(N, C, H, W) or (C, H, W), of C, H, W from 1")
        )
    options = _options("unfold", kernel_size, dilation, padding, stride)
    window = _window(shape[-2:], **options)
    if min(window.out) < 1:
        raise ShapeError(
            mistake("unfold", "kernel_size", kernel_size, f"a window that fits into {shape[-2:]}")
        )
    columns = bind(IM2COL, input if len(shape) == 4 else reshape(input, 1, *shape), **options)
    return columns if len(shape) == 4 else reshape(columns, *columns.shape[1:])


@function(name="col2im", top=False, method=False, functional="fold")
def fold_windows(
    input: Tensor,
    output_size: Pair,
    kernel_size: Pair,
    dilation: Pair = 1,
    padding: Pair = 0,
    stride: Pair = 1,
) -> Tensor:
    """Columns (N, C * taps, places) summed to images (N, C, *output_size), as ``torch.nn.functional.fold``.

    An input (C * taps, places) gives (C, *output_size). Raises ``ShapeError`` where the columns are not those of
    ``unfold`` with these options.

    >>> import weft as wf
    >>> wf.nn.functional.fold(wf.ones(1, 4, 4), (3, 3), 2).tolist()
    [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]
    """
    shape = tuple(arguments.tensor("fold", "input", input).shape)
    arguments.floating("fold", "input", input.dtype)
    if len(shape) not in (2, 3) or 0 in shape[-2:]:
        raise ShapeError(
            mistake("fold", "input's shape", shape, "(N, C * taps, places) or (C * taps, places)")
        )
    options = _options("fold", kernel_size, dilation, padding, stride)
    size = tuple_of("fold", "output_size", output_size, 2, 1)
    taps, places = math.prod(options["kernel"]), math.prod(_window(size, **options).out)
    if shape[-2] % taps:
        raise ShapeError(
            mistake("fold", "input's rows", shape[-2], f"a multiple of {taps}, the window's elements")
        )
    if shape[-1] != places:
        raise ShapeError(
            mistake("fold", "input's places", shape[-1], f"{places}, the windows of an image {size}")
        )
    image = bind(COL2IM, input if len(shape) == 3 else reshape(input, 1, *shape), size=size, **options)
    return image if len(shape) == 3 else reshape(image, *image.shape[1:])
