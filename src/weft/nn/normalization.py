"""Normalization layers: over the last dimensions, over groups of channels, over the batch, over each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from weft import dtypes
from weft.autograd import no_grad
from weft.dtypes import DType
from weft.errors import ArgumentError, ShapeError, UnsupportedError, mistake
from weft.nn import functional, init
from weft.nn.linear import extent
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops.registry.arguments import sizes
from weft.tensors.creation import empty, ones, zeros
from weft.tensors.tensor import Tensor


def _parameter(
    wanted: bool, shape: Sequence[int], device: str | None, dtype: DType | None
) -> Parameter | None:
    return Parameter(empty(tuple(shape), device=device, dtype=dtype)) if wanted else None


class _Affine(Module):
    """The base of all norms: ``weight``, initialized to 1, and ``bias``, initialized to 0; either may be ``None``."""

    weight: Parameter | None
    bias: Parameter | None

    def reset_parameters(self) -> None:
        """Set the scale to 1 and the shift to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if getattr(self, "bias", None) is not None:
            assert self.bias is not None
            init.zeros_(self.bias)


class LayerNorm(_Affine):
    """Normalize to mean 0 and variance 1 over the last dimensions, then scale and shift: (*, *normalized_shape).

    >>> import weft as wf
    >>> wf.nn.LayerNorm(2)(wf.tensor([[1.0, 3.0]])).detach()
    tensor([[-1.0000,  1.0000]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape("LayerNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = _parameter(elementwise_affine, self.normalized_shape, device, dtype)
        self.bias = _parameter(elementwise_affine and bias, self.normalized_shape, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """(*, *normalized_shape), shape kept."""
        result: Tensor = functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        text = f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        return f"{text}, bias={self.bias is not None}"


class RMSNorm(_Affine):
    """Normalize to root mean square 1 over the last dimensions, then scale: (*, *normalized_shape)."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape("RMSNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = _parameter(elementwise_affine, self.normalized_shape, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """(*, *normalized_shape), shape kept."""
        result: Tensor = functional.rms_norm(input, self.normalized_shape, self.weight, self.eps)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


def _shape(where: str, given: Any) -> tuple[int, ...]:
    return sizes(where, (given,) if isinstance(given, int) else (tuple(given),))


class GroupNorm(_Affine):
    """Normalize groups of channels to mean 0 and variance 1, then scale and shift by channel: (N, num_channels, *)."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: str | None = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = extent("GroupNorm", "num_groups", num_groups, 1)
        self.num_channels = extent("GroupNorm", "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ArgumentError(
                mistake("GroupNorm", "num_channels", num_channels, f"a multiple of num_groups, {num_groups}")
            )
        self.eps, self.affine = eps, affine
        self.weight = _parameter(affine, (num_channels,), device, dtype)
        self.bias = _parameter(affine and bias, (num_channels,), device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """(N, num_channels, *), shape kept."""
        result: Tensor = functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        text = f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        return f"{text}, bias={self.bias is not None}"


class _Tracking(_Affine):
    """The base of norms by channel that may keep running statistics, in buffers, for evaluation."""

    ranks: ClassVar[tuple[int, ...]]
    """Dimensions that the input may have."""
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: str | None,
        dtype: DType | None,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features = extent(type(self).__name__, "num_features", num_features)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, _parameter(wanted, (num_features,), device, dtype))
        tracked = track_running_stats
        self.register_buffer(
            "running_mean", zeros(num_features, device=device, dtype=dtype) if tracked else None
        )
        self.register_buffer(
            "running_var", ones(num_features, device=device, dtype=dtype) if tracked else None
        )
        self.register_buffer(
            "num_batches_tracked", zeros((), device=device, dtype=dtypes.int64) if tracked else None
        )
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the variance to 1, the count to 0."""
        with no_grad():
            for name, value in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
                buffer = getattr(self, name)
                if buffer is not None:
                    buffer.fill_(value)

    def reset_parameters(self) -> None:
        """Set the scale to 1, the shift to 0, and reset the running statistics."""
        self.reset_running_stats()
        super().reset_parameters()

    def _check_rank(self, input: Tensor) -> None:
        if len(input.shape) not in self.ranks:
            expected = " or ".join(f"{rank}-dimensional" for rank in self.ranks)
            raise ShapeError(
                mistake(type(self).__name__, "input", f"{len(input.shape)}-dimensional", expected)
            )

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Tracking):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, num_features, *), shape kept; in training the running statistics are updated."""
        self._check_rank(input)
        momentum: Any = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            with no_grad():
                self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the running statistics are means over all batches
                momentum = 1.0 / self.num_batches_tracked
        from_batch = self.training or self.running_mean is None
        tracked = not self.training or self.track_running_stats
        result: Tensor = functional.batch_norm(
            input,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight,
            self.bias,
            from_batch,
            momentum,
            self.eps,
        )
        return result


class BatchNorm1d(_BatchNorm):
    """Normalize each channel to mean 0 and variance 1 over the batch: (N, num_features) or (N, num_features, L)."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalize each channel to mean 0 and variance 1 over the batch and the image: (N, num_features, H, W).

    In training the statistics are the batch's, and the running statistics are updated with the weight ``momentum``;
    with ``momentum=None`` they are means over all batches. In evaluation the running statistics are used.

    >>> import weft as wf
    >>> list(wf.nn.BatchNorm2d(3).state_dict())
    ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Normalize each channel to mean 0 and variance 1 over the batch and the volume: (N, num_features, D, H, W)."""

    ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch norm of (N, num_features, *) in a single process, where there is nothing to synchronize.

    A ``process_group`` raises ``UnsupportedError``.
    """

    ranks = (2, 3, 4, 5)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: str | None = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        if process_group is not None:
            words = "weft computes statistics in one process"
            raise UnsupportedError(mistake("SyncBatchNorm", "process_group", "given", "None", words))
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)


class _InstanceNorm(_Tracking):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: str | None = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, num_features, *) or without N, shape kept."""
        self._check_rank(input)
        batched = len(input.shape) == self.ranks[-1]
        if input.shape[1 if batched else 0] != self.num_features:
            raise ShapeError(
                mistake(
                    type(self).__name__, "input's shape", tuple(input.shape), f"{self.num_features} channels"
                )
            )
        momentum: Any = 0.0 if self.momentum is None else self.momentum
        result: Tensor = functional.instance_norm(
            input if batched else input.unsqueeze(0), self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, momentum, self.eps,
        )  # fmt: skip
        return result if batched else result.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Normalize each channel of each example to mean 0 and variance 1: (N, num_features, L) or (num_features, L)."""

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalize each channel of each image to mean 0 and variance 1: (N, num_features, H, W) or without N."""

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalize each channel of each volume to mean 0 and variance 1: (N, num_features, D, H, W) or without N."""

    ranks = (4, 5)


class LocalResponseNorm(Module):
    """Normalize each element of (N, C, *) by the neighbouring channels (Krizhevsky et al. 2012)."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *), shape kept."""
        result: Tensor = functional.local_response_norm(input, self.size, self.alpha, self.beta, self.k)
        return result

    def extra_repr(self) -> str:
        """Return the constructor's options as text, for ``repr``."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
