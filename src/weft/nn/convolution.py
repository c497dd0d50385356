"""Convolution layers in one to three dimensions, and their transposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from weft.dtypes import DType
from weft.errors import ArgumentError, ShapeError, UnsupportedError, mistake
from weft.nn import functional
from weft.nn.linear import extent, reset_like_torch
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops.registry.annotations import Pair
from weft.ops.views.windows import tuple_of
from weft.tensors.creation import empty
from weft.tensors.tensor import Tensor

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """The base of all convolutions, with their sizes, ``weight`` and ``bias``, in ``rank`` spatial dimensions."""

    rank: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair,
        dilation: Pair,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: str | None,
        dtype: DType | None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.in_channels = extent(name, "in_channels", in_channels)
        self.out_channels = extent(name, "out_channels", out_channels)
        self.groups = extent(name, "groups", groups, 1)
        for argument, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ArgumentError(mistake(name, argument, channels, f"a multiple of groups, {self.groups}"))
        self.kernel_size = tuple_of(name, "kernel_size", kernel_size, self.rank, 1)
        self.stride = tuple_of(name, "stride", stride, self.rank, 1)
        self.dilation = tuple_of(name, "dilation", dilation, self.rank, 1)
        if padding_mode not in PADDING_MODES:
            expected = ", ".join(map(repr, PADDING_MODES))
            raise ArgumentError(mistake(name, "padding_mode", repr(padding_mode), f"one of {expected}"))
        self.padding_mode = padding_mode
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        shape = (first, second // self.groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.bias = Parameter(empty(self.out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize weight and bias at random."""
        reset_like_torch(self.weight, self.bias)

    def _options(self) -> tuple[tuple[str, Any, Any], ...]:
        """Return names, values and defaults of the options that are printed unless they have their defaults."""
        return (
            ("padding", self.padding, (0,) * self.rank),
            ("dilation", self.dilation, (1,) * self.rank),
            ("output_padding", getattr(self, "output_padding", (0,) * self.rank), (0,) * self.rank),
            ("groups", self.groups, 1),
            ("bias", self.bias is not None, True),
            ("padding_mode", self.padding_mode, "zeros"),
        )

    def extra_repr(self) -> str:
        """Return the options that differ from their defaults, as PyTorch prints them."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        for name, value, default in self._options():
            if value != default:
                text += f", {name}={value}"
        return text


class _Forward(_Convolution):
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
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.padding = self._padding(padding)

    def _padding(self, given: Any) -> tuple[int, ...] | str:
        name = type(self).__name__
        if not isinstance(given, str):
            return tuple_of(name, "padding", given, self.rank)
        if given not in ("same", "valid"):
            numbers = ("an int", "an int or two ints", "an int or three ints")[self.rank - 1]
            raise ArgumentError(mistake(name, "padding", repr(given), f"'same', 'valid', {numbers}"))
        if given == "same" and any(step != 1 for step in self.stride):
            raise ArgumentError(mistake(name, "stride", self.stride, "1 with padding 'same'"))
        return given

    def _sides(self) -> list[int]:
        """Return the padding before and after each dimension, the last first, as ``functional.pad`` takes it."""
        if self.padding == "valid":
            return [0, 0] * self.rank
        if self.padding == "same":
            spans = [gap * (size - 1) for gap, size in zip(self.dilation, self.kernel_size, strict=True)]
            return [side for span in reversed(spans) for side in (span // 2, span - span // 2)]
        assert not isinstance(self.padding, str), "'valid' and 'same' are handled above"
        return [side for size in reversed(self.padding) for side in (size, size)]

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in_channels, *size) to (N, out_channels, *size')."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = functional.pad(input, self._sides(), mode=self.padding_mode)
            padding = 0
        function = getattr(functional, f"conv{self.rank}d")
        result: Tensor = function(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )
        return result


class Conv1d(_Forward):
    """1-d convolution: (N, in_channels, L) or without N to (N, out_channels, L'); arguments as ``Conv2d``.

    >>> import weft as wf
    >>> tuple(wf.nn.Conv1d(1, 4, 3, padding=1)(wf.zeros(2, 1, 8)).shape)
    (2, 4, 8)
    """

    rank = 1


class Conv2d(_Forward):
    """2-d convolution: (N, in_channels, H, W) or without N to (N, out_channels, H', W').

    ``weight`` (out_channels, in_channels / groups, *kernel_size) and ``bias`` (out_channels) are initialized uniformly
    within 1 / sqrt(in_channels / groups * kernel area). ``padding`` is a number, two numbers, ``"same"`` or
    ``"valid"``; ``padding_mode`` is ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    >>> import weft as wf
    >>> tuple(wf.nn.Conv2d(1, 4, 3, padding=1)(wf.zeros(2, 1, 8, 8)).shape)
    (2, 4, 8, 8)
    """

    rank = 2


class Conv3d(_Forward):
    """3-d convolution: (N, in_channels, D, H, W) or without N to (N, out_channels, D', H', W'); as ``Conv2d``.

    >>> import weft as wf
    >>> tuple(wf.nn.Conv3d(1, 2, 3)(wf.zeros(1, 1, 4, 5, 6)).shape)
    (1, 2, 2, 3, 4)
    """

    rank = 3


class _Transpose(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        name = type(self).__name__
        if padding_mode != "zeros":
            raise UnsupportedError(
                mistake(
                    name,
                    "padding_mode",
                    repr(padding_mode),
                    "'zeros', the only mode of transposed convolutions",
                )
            )
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.padding = tuple_of(name, "padding", padding, self.rank)
        self.output_padding = tuple_of(name, "output_padding", output_padding, self.rank)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, in_channels, *size) to (N, out_channels, *size'); ``output_size`` selects one of the possible sizes."""
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        function = getattr(functional, f"conv_transpose{self.rank}d")
        result: Tensor = function(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )
        return result

    def _extra(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """Return the output padding that gives an output size."""
        name = type(self).__name__
        wanted = tuple(output_size)[-self.rank :]
        smallest = tuple(
            (size - 1) * step - 2 * pad + gap * (kernel - 1) + 1
            for size, step, pad, gap, kernel in zip(
                input.shape[-self.rank :],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        )
        largest = tuple(size + step - 1 for size, step in zip(smallest, self.stride, strict=True))
        fits = len(wanted) == self.rank and all(
            low <= size <= high for low, size, high in zip(smallest, wanted, largest, strict=True)
        )
        if not fits:
            raise ShapeError(
                mistake(name, "output_size", tuple(output_size), f"from {smallest} to {largest}")
            )
        return tuple(size - low for size, low in zip(wanted, smallest, strict=True))


class ConvTranspose1d(_Transpose):
    """The adjoint of ``Conv1d``: (N, in_channels, L) to (N, out_channels, L'); arguments as ``ConvTranspose2d``."""

    rank = 1


class ConvTranspose2d(_Transpose):
    """The adjoint of ``Conv2d``: (N, in_channels, H, W) to (N, out_channels, H', W'), larger by ``stride``.

    ``weight`` (in_channels, out_channels / groups, *kernel_size). ``output_padding`` adds to one side of the output.

    >>> import weft as wf
    >>> tuple(wf.nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)(wf.zeros(1, 3, 5, 5)).shape)
    (1, 2, 10, 10)
    """

    rank = 2


class ConvTranspose3d(_Transpose):
    """The adjoint of ``Conv3d``: (N, in_channels, D, H, W) to (N, out_channels, …); as ``ConvTranspose2d``."""

    rank = 3
