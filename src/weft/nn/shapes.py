"""Layers that rearrange elements: ``Fold`` and ``Unfold``, channel and pixel shuffles, ``Unflatten``."""

from __future__ import annotations

from collections.abc import Sequence

from weft.nn import functional
from weft.nn.module import Module
from weft.ops.registry.annotations import Pair
from weft.tensors.tensor import Tensor


class Unfold(Module):
    """The windows of images as columns: (N, C, H, W) to (N, C * taps, places).

    >>> import weft as wf
    >>> wf.nn.Unfold(2)(wf.arange(9.0).reshape(1, 1, 3, 3))[0, :, 0].tolist()
    [0.0, 1.0, 3.0, 4.0]
    """

    def __init__(self, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C * taps, places), or both without N."""
        result: Tensor = functional.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """Columns summed to images: (N, C * taps, places) to (N, C, *output_size), the adjoint of ``Unfold``.

    >>> import weft as wf
    >>> wf.nn.Fold((3, 3), 2)(wf.ones(1, 4, 4))[0, 0, 1].tolist()
    [2.0, 4.0, 2.0]
    """

    def __init__(
        self, output_size: Pair, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C * taps, places) to (N, C, *output_size), or both without N."""
        result: Tensor = functional.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )


class PixelShuffle(Module):
    """Rearrange channels into space: (*, C * r * r, H, W) to (*, C, H * r, W * r) (Shi et al. 2016)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Map (*, C * r * r, H, W) to (*, C, H * r, W * r)."""
        result: Tensor = functional.pixel_shuffle(input, self.upscale_factor)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Rearrange space into channels: (*, C, H * r, W * r) to (*, C * r * r, H, W), the inverse of ``PixelShuffle``."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Map (*, C, H * r, W * r) to (*, C * r * r, H, W)."""
        result: Tensor = functional.pixel_unshuffle(input, self.downscale_factor)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Interleave the channels of ``groups`` equal groups of (N, C, *) (Zhang et al. 2018)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *), shape kept."""
        result: Tensor = functional.channel_shuffle(input, self.groups)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"groups={self.groups}"


class Unflatten(Module):
    """Split dimension ``dim`` into the dimensions ``unflattened_size``, of which one may be -1.

    >>> import weft as wf
    >>> tuple(wf.nn.Unflatten(1, (2, -1))(wf.ones(3, 8)).shape)
    (3, 2, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """Map (*, size, *) to (*, *unflattened_size, *)."""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
