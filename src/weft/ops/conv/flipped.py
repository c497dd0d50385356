"""The gradient of a convolution's input as a forward convolution with flipped filters, where strides are 1.

The filters are flipped along all spatial dimensions, and their input and output channels are exchanged.
"""

from __future__ import annotations

from weft.expr import const
from weft.expr.node import INDEX
from weft.kernels import Builder, KernelStep, Operand
from weft.ops.conv.sizes import Convolution
from weft.ops.views.windows import Window


def by_flipped_filters(sizes: Convolution) -> Convolution | None:
    """Return the sizes of that convolution; ``None`` where a stride is larger, or the padding exceeds the filter."""
    forward = sizes.window
    spans = [gap * (taps - 1) for taps, gap in zip(forward.kernel, forward.dilation, strict=True)]
    padding = tuple(
        (span - before, size - out + before)
        for span, (before, _), size, out in zip(
            spans, forward.padding, forward.size, forward.out, strict=True
        )
    )
    if any(step != 1 for step in forward.stride) or any(before < 0 for before, _ in padding):
        return None
    window = Window(forward.out, forward.kernel, forward.size, forward.stride, padding, forward.dilation)
    return Convolution(sizes.n, sizes.o, sizes.c, sizes.groups, window)


def flipped_filters(weight: Operand, target: Operand, sizes: Convolution) -> KernelStep:
    """Copy filters (O, C / groups, *kernel) to (C, O / groups, *kernel), flipped along the spatial dimensions."""
    builder = Builder("flipped_filters")
    o_each, c_each = sizes.o_each, sizes.c_each
    g, c, o, *taps = builder.axes((sizes.groups, c_each, o_each, *sizes.window.kernel))
    flipped = [
        builder.integer(f"last{axis}", size - 1) - tap if size > 1 else const(0, INDEX)
        for axis, (tap, size) in enumerate(zip(taps, sizes.window.kernel, strict=True))
    ]
    first, *rest = weight.strides
    value = builder.load(weight, [g, o, c, *flipped], (first * o_each, first, *rest))
    first, *rest = target.strides
    builder.store(target, [g, c, o, *taps], value, (first * c_each, first, *rest))
    return builder.finish()
