"""The sizes of a convolution, which all its kernels share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.kernels import Operand
from weft.ops.views.windows import Window, out_size


@dataclass(frozen=True)
class Convolution:
    """The sizes of a convolution: images, input and output channels, groups, and the window."""

    n: int
    c: int
    o: int
    groups: int
    window: Window

    @staticmethod
    def of(x: Sequence[int], w: Sequence[int], attributes: dict[str, Any]) -> Convolution:
        """The sizes for an input and a weight shape."""
        stride, padding, dilation = attributes["stride"], attributes["padding"], attributes["dilation"]
        out = tuple(out_size(*sizes) for sizes in zip(x[2:], w[2:], stride, padding, dilation, strict=True))
        window = Window(tuple(x[2:]), tuple(w[2:]), out, stride, padding, dilation)
        return Convolution(x[0], x[1], w[0], attributes["groups"], window)

    @property
    def c_each(self) -> int:
        """Input channels of a group."""
        return self.c // self.groups

    @property
    def o_each(self) -> int:
        """Output channels of a group."""
        return self.o // self.groups

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of y."""
        return self.n, self.o, *self.window.out

    @property
    def taps(self) -> int:
        """Elements of a window over all channels of a group."""
        return self.c_each * math.prod(self.window.kernel)

    @property
    def numbers(self) -> tuple[int, ...] | None:
        """The 2-d library kernel's parameters without the offsets, ``None`` in 3-d; in 1-d images have one row."""
        return self.plane_numbers if len(self.window.size) < 3 else None

    @property
    def plane_numbers(self) -> tuple[int, ...]:
        """The 2-d library kernel's parameters for the last two dimensions; in 1-d images have one row."""
        window = self.window
        missing = max(0, 2 - len(window.size))
        size, kernel, out, stride, dilation = (
            ((1,) * missing + sizes)[-2:]
            for sizes in (window.size, window.kernel, window.out, window.stride, window.dilation)
        )
        padding = ((0,) * missing + tuple(before for before, _ in window.padding))[-2:]
        return (self.n, self.c, *size, self.o, *kernel, *out, *stride, *padding, *dilation, self.groups)

    @property
    def depth_numbers(self) -> tuple[int, ...]:
        """Size, taps, outputs, stride, padding and dilation of the first of three dimensions."""
        window = self.window
        if len(window.size) < 3:
            return (1, 1, 1, 1, 0, 1)
        sizes = (window.size, window.kernel, window.out, window.stride)
        return (*(size[0] for size in sizes), window.padding[0][0], window.dilation[0])


ROLES = {"forward": (0, 1, 2), "input": (2, 1, 0), "weight": (1, 2, 0)}
"""The positions of x, w and y among the operands and the target, by kind."""


@dataclass(frozen=True)
class ConvolutionTask:
    """A convolution or one of its gradients over dense operands, for the tuned kernels.

    ``kind`` is ``"forward"`` (x, w to y), ``"input"`` (y, w to x) or ``"weight"`` (y, x to w).
    """

    kind: str
    operands: tuple[Operand, Operand]
    target: Operand
    sizes: Convolution
