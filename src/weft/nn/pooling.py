"""Pooling layers, over sliding windows and adaptive, and ``Upsample``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from weft.nn import functional
from weft.nn.module import Module
from weft.ops.registry.annotations import OptionalPair, Pair
from weft.tensors.tensor import Tensor


class _MaxPool(Module):
    """The base of max pooling layers."""

    op: ClassVar[str]

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        """Map (N, C, *size) to (N, C, *size'), and the positions with ``return_indices``."""
        return getattr(functional, self.op)(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window: (N, C, L) or (C, L) to (…, L'); ``stride`` defaults to the window."""

    op = "max_pool1d"


class MaxPool2d(_MaxPool):
    """The largest element of each window: (N, C, H, W) or (C, H, W) to (…, H', W'); ``stride`` defaults to the window.

    >>> import weft as wf
    >>> wf.nn.MaxPool2d(2)(wf.arange(16.0).reshape(1, 4, 4))
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """

    op = "max_pool2d"


class MaxPool3d(_MaxPool):
    """The largest element of each window: (N, C, D, H, W) or without N; ``stride`` defaults to the window."""

    op = "max_pool3d"


class _AvgPool(Module):
    """The base of average pooling layers."""

    op: ClassVar[str]

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, *size) to (N, C, *size')."""
        result: Tensor = getattr(functional, self.op)(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window: (N, C, L) or (C, L) to (…, L'); ``stride`` defaults to the window."""

    op = "avg_pool1d"

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, L) to (N, C, L')."""
        result: Tensor = functional.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )
        return result

    def extra_repr(self) -> str:
        """The options, as PyTorch prints them."""
        given = (self.kernel_size, self.stride, self.padding)
        sizes = ((size,) if isinstance(size, int) else tuple(size) for size in given)
        return "kernel_size={}, stride={}, padding={}".format(*sizes)


class AvgPool2d(_AvgPool):
    """The mean of each window: (N, C, H, W) or (C, H, W) to (…, H', W').

    Padding counts as zeros; with ``count_include_pad=False`` it does not count.

    >>> import weft as wf
    >>> wf.nn.AvgPool2d(2)(wf.arange(16.0).reshape(1, 4, 4))
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]])
    """

    op = "avg_pool2d"


class AvgPool3d(_AvgPool):
    """The mean of each window: (N, C, D, H, W) or without N; arguments as ``AvgPool2d``."""

    op = "avg_pool3d"


class _PowerPool(Module):
    """The base of power-average pooling layers."""

    op: ClassVar[str]

    def __init__(
        self, norm_type: float, kernel_size: Pair, stride: Pair | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = (
            norm_type,
            kernel_size,
            stride,
            ceil_mode,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, *size) to (N, C, *size')."""
        result: Tensor = getattr(functional, self.op)(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_PowerPool):
    """The p-th root of the sum of p-th powers of each window, p being ``norm_type``: (N, C, L) or (C, L)."""

    op = "lp_pool1d"


class LPPool2d(_PowerPool):
    """The p-th root of the sum of p-th powers of each window, p being ``norm_type``: (N, C, H, W) or (C, H, W).

    >>> import weft as wf
    >>> wf.nn.LPPool2d(2, 2)(wf.tensor([[[3.0, 4.0], [0.0, 0.0]]])).item()
    5.0
    """

    op = "lp_pool2d"


class LPPool3d(_PowerPool):
    """The p-th root of the sum of p-th powers of each window, p being ``norm_type``: (N, C, D, H, W) or without N."""

    op = "lp_pool3d"


class _Adaptive(Module):
    """The base of adaptive pooling layers: the output's size determines the windows."""

    op: ClassVar[str]

    def __init__(self, output_size: OptionalPair) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Any:
        """Map (N, C, *size) to (N, C, *output_size)."""
        return getattr(functional, self.op)(input, self.output_size)

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """Means of ``output_size`` windows: (N, C, L) or (C, L)."""

    op = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_Adaptive):
    """Means of ``output_size`` windows: (N, C, H, W) or (C, H, W); ``None`` keeps a size.

    >>> import weft as wf
    >>> wf.nn.AdaptiveAvgPool2d(1)(wf.arange(16.0).reshape(1, 4, 4))
    tensor([[[7.5000]]])
    """

    op = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_Adaptive):
    """Means of ``output_size`` windows: (N, C, D, H, W) or without N; ``None`` keeps a size."""

    op = "adaptive_avg_pool3d"


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: OptionalPair, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """Map (N, C, *size) to (N, C, *output_size), and the positions with ``return_indices``."""
        return getattr(functional, self.op)(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMax):
    """The largest of ``output_size`` windows: (N, C, L) or (C, L)."""

    op = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMax):
    """The largest of ``output_size`` windows: (N, C, H, W) or (C, H, W); ``None`` keeps a size."""

    op = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMax):
    """The largest of ``output_size`` windows: (N, C, D, H, W) or without N; ``None`` keeps a size."""

    op = "adaptive_max_pool3d"


class Upsample(Module):
    """Resize images (N, C, *size), as ``functional.interpolate``.

    >>> import weft as wf
    >>> wf.nn.Upsample(scale_factor=2)(wf.tensor([[[1.0, 2.0]]]))
    tensor([[[1., 1., 2., 2.]]])
    """

    def __init__(
        self,
        size: Pair | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor
        self.scale_factor: float | tuple[float, ...] | None
        if scale_factor is None:
            self.scale_factor = None
        elif isinstance(scale_factor, Sequence):
            self.scale_factor = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, *size) to (N, C, *size')."""
        result: Tensor = functional.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        given = f"scale_factor={self.scale_factor}" if self.scale_factor is not None else f"size={self.size}"
        return f"{given}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Resize images (N, C, H, W) by nearest neighbours."""

    def __init__(self, size: Pair | None = None, scale_factor: float | Sequence[float] | None = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Resize images (N, C, H, W) by bilinear interpolation with aligned corners."""

    def __init__(self, size: Pair | None = None, scale_factor: float | Sequence[float] | None = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
