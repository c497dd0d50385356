"""A convolution's gradient by its input as a convolution of the result's gradient, where strides are 1.

Its filters are the others turned by half a turn, with inputs and outputs exchanged.
"""

from __future__ import annotations

from weft.expr import const
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelStep, Operand
from weft.ops.conv.sizes import Convolution
from weft.ops.views.windows import Window


def by_turned_filters(sizes: Convolution) -> Convolution | None:
    """The sizes of that convolution; ``None`` where there is a larger stride, or more padding than filters reach."""
    own = sizes.window
    spans = [gap * (taps - 1) for taps, gap in zip(own.kernel, own.dilation, strict=True)]
    padding = tuple(
        (span - before, size - out + before)
        for span, (before, _), size, out in zip(spans, own.padding, own.size, own.out, strict=True)
    )
    if any(step != 1 for step in own.stride) or any(before < 0 for before, _ in padding):
        return None
    window = Window(own.out, own.kernel, own.size, own.stride, padding, own.dilation)
    return Convolution(sizes.n, sizes.o, sizes.c, sizes.groups, window)


def turned_filters(weight: Operand, target: Operand, sizes: Convolution) -> KernelStep:
    """Filters (O, C / groups, *kernel) as (C, O / groups, *kernel), by half a turn."""
    builder = Builder("turned_filters")
    o_each, c_each = sizes.o_each, sizes.c_each
    g, c, o, *taps = builder.axes((sizes.groups, c_each, o_each, *sizes.window.kernel))
    turned = [
        builder.integer(f"last{axis}", size - 1) - tap if size > 1 else const(0, INDEX)
        for axis, (tap, size) in enumerate(zip(taps, sizes.window.kernel, strict=True))
    ]
    first, *rest = weight.strides
    value = builder.load(weight, [g, o, c, *turned], (first * o_each, first, *rest))
    first, *rest = target.strides
    builder.store(target, [g, c, o, *taps], value, (first * c_each, first, *rest))
    return builder.finish()
