"""Convolution layers: ``Conv2d``."""

from __future__ import annotations

from typing import Any

from weft.dtypes import DType
from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.nn import functional
from weft.nn.linear import extent, reset_like_torch
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops.annotations import Pair
from weft.ops.arguments import pair
from weft.tensors.creation import empty
from weft.tensors.tensor import Tensor


class Conv2d(Module):
    """2-d convolution: (N, in_channels, H, W) or without N to (N, out_channels, H', W').

    ``weight`` (out_channels, in_channels / groups, *kernel_size) and ``bias`` (out_channels) start uniform within
    1 / sqrt(in_channels / groups * kernel area). ``padding`` is a number, two, ``"same"`` or ``"valid"``;
    ``padding_mode`` other than ``"zeros"`` raises ``UnsupportedError``.

    >>> import weft as wf
    >>> tuple(wf.nn.Conv2d(1, 4, 3, padding=1)(wf.zeros(2, 1, 8, 8)).shape)
    (2, 4, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = extent("Conv2d", "in_channels", in_channels)
        self.out_channels = extent("Conv2d", "out_channels", out_channels)
        self.groups = extent("Conv2d", "groups", groups, 1)
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ArgumentError(mistake("Conv2d", name, channels, f"a multiple of groups, {self.groups}"))
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        self.padding = _padding(padding, self.stride)
        if padding_mode != "zeros":
            raise UnsupportedError(
                mistake(
                    "Conv2d", "padding_mode", repr(padding_mode), "'zeros'", "pad the input before the layer"
                )
            )
        self.padding_mode = padding_mode
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.bias = Parameter(empty(self.out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        reset_like_torch(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H', W')."""
        result: Tensor = functional.conv2d(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        return result

    def extra_repr(self) -> str:
        """The options, those at their defaults left out, as PyTorch prints them."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        options: tuple[tuple[str, Any, Any], ...] = (
            ("padding", self.padding, (0, 0)),
            ("dilation", self.dilation, (1, 1)),
            ("groups", self.groups, 1),
            ("bias", self.bias is not None, True),
        )
        return text + "".join(f", {name}={value}" for name, value, default in options if value != default)


def _padding(given: Any, stride: tuple[int, int]) -> tuple[int, int] | str:
    if not isinstance(given, str):
        return pair("Conv2d", "padding", given)
    if given not in ("same", "valid"):
        raise ArgumentError(mistake("Conv2d", "padding", repr(given), "'same', 'valid', an int or two ints"))
    if given == "same" and stride != (1, 1):
        raise ArgumentError(mistake("Conv2d", "stride", stride, "1 with padding 'same'"))
    return given
