"""The sizes of a convolution, as all its forms see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.ops.views.windows import Window, out_size


@dataclass(frozen=True)
class Convolution:
    """All sizes of a convolution."""

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
        """How many elements a window has in all channels of a group."""
        return self.c_each * math.prod(self.window.kernel)

    @property
    def numbers(self) -> tuple[int, ...] | None:
        """The 2-d library kernel's parameters, without the offsets (a line is an image of one row), or ``None``."""
        return self.plane_numbers if len(self.window.size) < 3 else None

    @property
    def plane_numbers(self) -> tuple[int, ...]:
        """The same of the last two dimensions, or of the one that there is."""
        own = self.window
        first = max(0, 2 - len(own.size))
        size, kernel, out, stride, dilation = (
            ((1,) * first + part)[-2:] for part in (own.size, own.kernel, own.out, own.stride, own.dilation)
        )
        padding = ((0,) * first + tuple(before for before, _ in own.padding))[-2:]
        return (self.n, self.c, *size, self.o, *kernel, *out, *stride, *padding, *dilation, self.groups)

    @property
    def depth_numbers(self) -> tuple[int, ...]:
        """Of the dimension before them: size, taps, outputs, stride, padding and dilation."""
        own = self.window
        if len(own.size) < 3:
            return (1, 1, 1, 1, 0, 1)
        return (own.size[0], own.kernel[0], own.out[0], own.stride[0], own.padding[0][0], own.dilation[0])
