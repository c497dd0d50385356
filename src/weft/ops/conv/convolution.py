"""Convolution in any number of dimensions and its two adjoints: three ops, each the gradient of the others.

``y = convolution(x, w)`` is linear in x and in w. The gradient with respect to x is ``convolution_input(g, w)`` (a
transposed convolution), with respect to w ``convolution_weight(g, x)``; the gradients of these two are again among
the three. Layouts: x (N, C, *size), w (O, C / groups, *kernel), y (N, O, *out).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from weft import dtypes
from weft.errors import DTypeError, ShapeError, mistake
from weft.ops.conv.kernels import lowering
from weft.ops.conv.ranks import by_rank
from weft.ops.conv.sizes import Convolution
from weft.ops.make.creation import to_dtype
from weft.ops.matmul.linear import saves_other, wide_option
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Pair, Tensor
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rounding import NARROW
from weft.ops.registry.rules import Precision, Rules
from weft.ops.registry.spec import Gradient, OpSpec, TensorType
from weft.ops.registry.table import declare, lookup
from weft.ops.views.windows import Padding, both_sides, tuple_of


def _infer_forward(x: TensorType, w: TensorType, **attributes: Any) -> tuple[TensorType, ...]:
    name = f"conv{len(x.shape) - 2}d"
    if x.dtype is not w.dtype:
        raise DTypeError(mistake(name, "weight's dtype", w.dtype.name, f"{x.dtype.name}, as the input's"))
    arguments.floating(name, "input", x.dtype)
    groups = attributes["groups"]
    if w.shape[0] % groups:
        raise ShapeError(mistake(name, "groups", groups, f"a divisor of the {w.shape[0]} output channels"))
    if x.shape[1] != w.shape[1] * groups:
        raise ShapeError(
            mistake(
                name,
                "input's channels",
                x.shape[1],
                f"{w.shape[1] * groups} for weight {w.shape} in {groups} groups",
            )
        )
    sizes = Convolution.of(x.shape, w.shape, attributes)
    if min(sizes.window.out) < 1:
        raise ShapeError(
            mistake(name, "kernel", f"{w.shape[2:]} with dilation {attributes['dilation']}",
                    f"at most the padded input, {x.shape[2:]} with padding {attributes['padding']}")
        )  # fmt: skip
    return (TensorType(sizes.output_shape, x.dtype.compute if attributes.get("wide") else x.dtype),)


def _infer_adjoint(kind: str) -> Callable[..., tuple[TensorType, ...]]:
    def infer(
        y: TensorType, other: TensorType, *, shape: tuple[int, ...], **attributes: Any
    ) -> tuple[TensorType, ...]:
        name = f"conv_transpose{len(shape) - 2}d"
        if y.dtype is not other.dtype:
            raise DTypeError(
                mistake(name, "weight's dtype", other.dtype.name, f"{y.dtype.name}, as the input's")
            )
        result = TensorType(shape, y.dtype)
        (forward,) = _infer_forward(*((result, other) if kind == "input" else (other, result)), **attributes)
        if forward.shape != y.shape:
            raise ShapeError(mistake(name, "input's shape", y.shape, forward.shape))
        return (TensorType(shape, y.dtype.compute if attributes.get("wide") else y.dtype),)

    return infer


def _reference(kind: str) -> Callable[..., Any]:
    def reference(first: Any, second: Any, **attributes: Any) -> Any:
        import numpy

        shape, wide = attributes.pop("shape", None), attributes.pop("wide", False)
        result = dtypes.from_numpy(first.dtype).compute.numpy if wide else first.dtype
        x_shape, w_shape = {
            "forward": (first.shape, second.shape), "input": (shape, second.shape), "weight": (second.shape, shape)
        }[kind]  # fmt: skip
        sizes = Convolution.of(x_shape, w_shape, attributes)
        window, padding = sizes.window, attributes["padding"]
        padded = numpy.zeros(
            (*x_shape[:2], *(n + a + max(b, 0) for n, (a, b) in zip(x_shape[2:], padding, strict=True)))
        )
        inner = (
            slice(None),
            slice(None),
            *(slice(a, a + n) for n, (a, _) in zip(x_shape[2:], padding, strict=True)),
        )
        if kind != "input":
            padded[inner] = first if kind == "forward" else second
        weight = numpy.zeros(w_shape) if kind == "weight" else second.astype("float64")
        out = numpy.zeros(sizes.output_shape) if kind == "forward" else first.astype("float64")
        for place, g in product(numpy.ndindex(*window.kernel), range(sizes.groups)):
            ins = slice(g * sizes.c_each, (g + 1) * sizes.c_each)
            outs = slice(g * sizes.o_each, (g + 1) * sizes.o_each)
            read = tuple(
                slice(at * gap, at * gap + step * (count - 1) + 1, step)
                for at, gap, step, count in zip(
                    place, window.dilation, window.stride, window.out, strict=True
                )
            )
            piece, tap = (slice(None), ins, *read), (outs, slice(None), *place)
            if kind == "forward":
                out[:, outs] += numpy.einsum("oc,nc...->no...", weight[tap], padded[piece])
            elif kind == "input":
                padded[piece] += numpy.einsum("oc,no...->nc...", weight[tap], out[:, outs])
            else:
                dims = [0, *range(2, padded.ndim)]
                weight[tap] += numpy.tensordot(out[:, outs], padded[piece], (dims, dims))
        return {"forward": out, "input": padded[inner], "weight": weight}[kind].astype(result)

    return reference


def _options(context: Gradient) -> dict[str, Any]:
    return {key: context.attributes[key] for key in ("stride", "padding", "dilation", "groups")}


def _gradient_forward(context: Gradient, grad: Any) -> list[Any]:
    x, w = context.types
    grad = to_dtype(grad, x.dtype)
    options = _options(context)
    by_x = (
        bind(CONVOLUTION_INPUT, grad, context.input(1), shape=x.shape, **options)
        if context.needs[0]
        else None
    )
    by_w = (
        bind(CONVOLUTION_WEIGHT, grad, context.input(0), shape=w.shape, **options)
        if context.needs[1]
        else None
    )
    return [by_x, by_w]


def _gradient_input(context: Gradient, seed: Any) -> list[Any]:
    seed = to_dtype(seed, context.types[0].dtype)
    options = _options(context)
    by_y = bind(CONVOLUTION, seed, context.input(1), **options) if context.needs[0] else None
    shape = context.types[1].shape
    by_w = (
        bind(CONVOLUTION_WEIGHT, context.input(0), seed, shape=shape, **options) if context.needs[1] else None
    )
    return [by_y, by_w]


def _gradient_weight(context: Gradient, seed: Any) -> list[Any]:
    options = _options(context)
    by_y = bind(CONVOLUTION, context.input(1), seed, **options) if context.needs[0] else None
    shape = context.types[1].shape
    by_x = (
        bind(CONVOLUTION_INPUT, context.input(0), seed, shape=shape, **options) if context.needs[1] else None
    )
    return [by_y, by_x]


ATTRIBUTES = {
    "stride": tuple[int, ...], "padding": tuple[tuple[int, int], ...], "dilation": tuple[int, ...], "groups": int,
}  # fmt: skip


def _declare(
    name: str, kind: str, infer: Any, gradient: Any, doc: str, splitting: str = "", precision: Precision = ""
) -> OpSpec:
    attributes = ATTRIBUTES | ({} if kind == "forward" else {"shape": tuple[int, ...]})
    return declare(
        name,
        rules=Rules(name, splitting, "bilinear", precision=precision),
        infer=infer,
        reference=_reference(kind),
        lower=lowering(kind),
        gradient=gradient,
        saves=saves_other,
        attributes=(attributes, attributes | {"wide": bool}),
        doc=doc,
    )


CONVOLUTION = _declare(
    "convolution",
    "forward",
    _infer_forward,
    _gradient_forward,
    "Cross-correlation of images with filters.",
    "images",
    "lower",
)
CONVOLUTION_INPUT = _declare(
    "convolution_input",
    "input",
    _infer_adjoint("input"),
    _gradient_input,
    "The gradient of convolution's input.",
    "images",
)
CONVOLUTION_WEIGHT = _declare(
    "convolution_weight",
    "weight",
    _infer_adjoint("weight"),
    _gradient_weight,
    "The gradient of convolution's weight.",
)


def _checked(
    where: str, rank: int, input: Any, weight: Any, bias: Any, groups: Any, channels: Callable[[], int]
) -> bool:
    """Return whether the input has a batch dimension; raise for wrong ranks, groups and sizes of the bias."""
    arguments.tensor(where, "input", input)
    arguments.tensor(where, "weight", weight, rank + 2)
    if len(input.shape) != rank + 1:
        arguments.tensor(where, "input", input, rank + 2)
    if arguments.integer(where, "groups", groups) < 1:
        raise ShapeError(mistake(where, "groups", groups, "at least 1"))
    if bias is not None and tuple(arguments.tensor(where, "bias", bias).shape) != (channels(),):
        raise ShapeError(mistake(where, "bias's shape", tuple(bias.shape), f"({channels()},)"))
    return len(input.shape) == rank + 2


def _with_bias(out: Any, bias: Any, rank: int, batched: bool) -> Any:
    reshape = lookup("reshape")
    if bias is not None:
        dtype = bias.dtype
        out = bind(lookup("add"), out, bind(reshape, bias, shape=(1, bias.shape[0], *(1,) * rank)))
        out = to_dtype(out, dtype) if dtype in NARROW else out
    return out if batched else bind(reshape, out, shape=tuple(out.shape[1:]))


@by_rank(
    "conv{}d",
    {
        1: """1-d cross-correlation, as ``torch.nn.functional.conv1d``.

    ``input`` (N, C, L) or (C, L), ``weight`` (O, C / groups, K), ``bias`` (O); gives (N, O, L').
    """,
        2: """2-d cross-correlation, as ``torch.nn.functional.conv2d``.

    ``input`` (N, C, H, W) or (C, H, W), ``weight`` (O, C / groups, KH, KW), ``bias`` (O); gives (N, O, OH, OW).
    ``padding`` may be ``"valid"`` or, with stride 1, ``"same"``, which puts the odd element at the end.

    On ``cpu`` filters of 3x3, and of 4x4 with stride 2, over many channels are computed by Winograd's filtering, in
    tiles of up to 4x4 results. An infinity or NaN in the input makes all results of the tiles that read it NaN, where
    a direct sum makes infinity or NaN of the results that read it, and only of those.
    """,
        3: """3-d cross-correlation, as ``torch.nn.functional.conv3d``.

    ``input`` (N, C, D, H, W) or (C, D, H, W), ``weight`` (O, C / groups, KD, KH, KW), ``bias`` (O).
    """,
    },
    functional=True,
    method=False,
    autocast="lower",
)
def _convolve(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    where = f"conv{rank}d"
    batched = _checked(where, rank, input, weight, bias, groups, lambda: int(weight.shape[0]))
    steps = tuple_of(where, "stride", stride, rank, 1)
    gaps = tuple_of(where, "dilation", dilation, rank, 1)
    pads = _padding(where, padding, weight.shape[2:], steps, gaps)
    if not batched:
        input = bind(lookup("reshape"), input, shape=(1, *input.shape))
    wide: dict[str, Any] = {} if bias is None else wide_option(input, bias)
    out = bind(CONVOLUTION, input, weight, stride=steps, padding=pads, dilation=gaps, groups=groups, **wide)
    return _with_bias(out, bias, rank, batched)


def _padding(
    where: str, padding: Any, kernel: Sequence[int], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> Padding:
    if padding == "valid":
        return both_sides((0,) * len(kernel))
    if padding == "same":
        if any(step != 1 for step in stride):
            raise ShapeError(mistake(where, "stride", stride, "1 with padding 'same'"))
        spans = [gap * (size - 1) for gap, size in zip(dilation, kernel, strict=True)]
        return tuple((span // 2, span - span // 2) for span in spans)
    return both_sides(tuple_of(where, "padding", padding, len(kernel)))


_ADJOINT = """Transposed {0}-d convolution, the adjoint of ``conv{0}d``, as ``torch.nn.functional.conv_transpose{0}d``.

``input`` (N, C, *size) or (C, *size), ``weight`` {1}, ``bias`` (O); gives (N, O, *size').
"""
_WEIGHTS = {1: "(C, O / groups, K)", 2: "(C, O / groups, KH, KW)", 3: "(C, O / groups, *kernel)"}


@by_rank(
    "conv_transpose{}d",
    {rank: _ADJOINT.format(rank, shape) for rank, shape in _WEIGHTS.items()},
    functional=True,
    method=False,
    autocast="lower",
)
def _transpose(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Tensor:
    where = f"conv_transpose{rank}d"
    batched = _checked(where, rank, input, weight, bias, groups, lambda: int(weight.shape[1]) * groups)
    steps = tuple_of(where, "stride", stride, rank, 1)
    gaps = tuple_of(where, "dilation", dilation, rank, 1)
    pads, extra = (
        tuple_of(where, "padding", padding, rank),
        tuple_of(where, "output_padding", output_padding, rank),
    )
    if any(more >= max(step, gap) for more, step, gap in zip(extra, steps, gaps, strict=True)):
        raise ShapeError(
            mistake(where, "output_padding", extra, f"less than stride {steps} or dilation {gaps}")
        )
    if not batched:
        input = bind(lookup("reshape"), input, shape=(1, *input.shape))
    if input.shape[1] != weight.shape[0] or weight.shape[0] % groups:
        raise ShapeError(
            mistake(
                where,
                "input's channels",
                input.shape[1],
                f"{weight.shape[0]}, a multiple of the {groups} groups",
            )
        )
    size = tuple(
        (count - 1) * step - 2 * pad + gap * (kernel - 1) + more + 1
        for count, step, pad, gap, kernel, more in zip(
            input.shape[2:], steps, pads, gaps, weight.shape[2:], extra, strict=True
        )
    )
    if min(size) < 1:
        raise ShapeError(mistake(where, "the output's size", size, "at least 1", "use less padding"))
    # ``output_padding`` less padding at the end makes the forward convolution of the result as large as the input
    both = tuple((pad, pad - more) for pad, more in zip(pads, extra, strict=True))
    shape = (input.shape[0], weight.shape[1] * groups, *size)
    out = bind(
        CONVOLUTION_INPUT,
        input,
        weight,
        shape=shape,
        stride=steps,
        padding=both,
        dilation=gaps,
        groups=groups,
        **({} if bias is None else wide_option(input, bias)),
    )
    return _with_bias(out, bias, rank, batched)
