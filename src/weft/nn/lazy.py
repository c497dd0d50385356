"""Lazy layers: linear layers, convolutions and batch norms that take the number of inputs from their first input."""

from __future__ import annotations

from typing import Any, ClassVar

from weft import dtypes
from weft.autograd import no_grad
from weft.dtypes import DType
from weft.errors import ArgumentError, ShapeError, StateError, UnsupportedError, mistake
from weft.nn.convolution import Conv1d, Conv2d, Conv3d
from weft.nn.linear import Linear, extent
from weft.nn.module import Module
from weft.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from weft.nn.parameter import Uninitialized, UninitializedBuffer, UninitializedParameter
from weft.ops.registry.annotations import Pair
from weft.ops.registry.interpreters import interpreter_stack, transforming
from weft.tensors.creation import zeros
from weft.tensors.tensor import Tensor


class Lazy(Module):
    """The base of lazy layers: the first call creates the parameters, and changes the class to ``becomes``."""

    becomes: ClassVar[type[Module]]
    count: ClassVar[str]
    """The attribute that the first input decides."""

    def has_uninitialized_params(self) -> bool:
        """Return whether a parameter or buffer has no shape yet."""
        tensors = (*self._parameters.values(), *self._buffers.values())
        return any(isinstance(tensor, Uninitialized) for tensor in tensors)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Create the parameters for an input, become an ordinary layer, and call it."""
        first = inputs[0] if inputs else options.get("input")
        if not isinstance(first, Tensor):
            raise ArgumentError(mistake(type(self).__name__, "the input", type(first).__name__, "a Tensor"))
        self.initialize_parameters(first)
        self.__class__ = self.becomes  # type: ignore[assignment]
        return self(*inputs, **options)

    def initialize_parameters(self, input: Tensor) -> None:
        """Create and initialize the parameters for an input; parameters that a state dict filled stay as they are."""
        name = type(self).__name__
        if not interpreter_stack()[0].executes or transforming():
            raise UnsupportedError(
                f"{name}: is called for the first time while a function is traced or transformed, where parameters "
                f"cannot be created, expected an earlier call; call the module once outside of the function"
            )
        size = self._inputs_of(input)
        if not self.has_uninitialized_params():
            setattr(self, self.count, getattr(self, self.count) or self._loaded_inputs())
            return
        tensors = {key: getattr(self, key) for key in self._shapes()}
        loaded = [
            key
            for key, tensor in tensors.items()
            if tensor is not None and not isinstance(tensor, Uninitialized)
        ]
        if loaded:
            raise StateError(
                mistake(
                    name, "its state", f"loaded in part, {', '.join(loaded)}", "loaded whole or not at all"
                )
            )
        setattr(self, self.count, size)
        with no_grad():
            for key, shape in self._shapes().items():
                if tensors[key] is not None:
                    tensors[key].materialize(shape)
            self.reset_parameters()

    def _inputs_of(self, input: Tensor) -> int:
        """Return the number of inputs that a tensor has."""
        raise UnsupportedError(f"{type(self).__name__}: is no lazy layer, expected one of its subclasses")

    def _loaded_inputs(self) -> int:
        """Return the number of inputs of the parameters that a state dict filled."""
        raise UnsupportedError(f"{type(self).__name__}: is no lazy layer, expected one of its subclasses")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of parameters and buffers by name, once the number of inputs is known."""
        raise UnsupportedError(f"{type(self).__name__}: is no lazy layer, expected one of its subclasses")


class LazyLinear(Lazy, Linear):
    """``Linear`` with as many ``in_features`` as its first input has; the first call makes it a ``Linear``.

    >>> import weft as wf
    >>> layer = wf.nn.LazyLinear(5)
    >>> tuple(layer(wf.zeros(2, 3)).shape), layer
    ((2, 5), Linear(in_features=3, out_features=5, bias=True))
    """

    becomes, count = Linear, "in_features"

    def __init__(
        self, out_features: int, bias: bool = True, device: str | None = None, dtype: DType | None = None
    ) -> None:
        super().__init__(0, 0, False)
        self.out_features = extent("LazyLinear", "out_features", out_features)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.bias = UninitializedParameter(device=device, dtype=dtype) if bias else None

    def reset_parameters(self) -> None:
        """Initialize weight and bias at random, where they have a shape."""
        if self.in_features and not self.has_uninitialized_params():
            super().reset_parameters()

    def _inputs_of(self, input: Tensor) -> int:
        if not input.shape:
            raise ShapeError(mistake("LazyLinear", "the input", "0-dimensional", "at least 1-dimensional"))
        return input.shape[-1]

    def _loaded_inputs(self) -> int:
        return self.weight.shape[-1]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.out_features, self.in_features), "bias": (self.out_features,)}


class _LazyConvolution(Lazy):
    count = "in_channels"
    rank: ClassVar[int]
    in_channels: int
    out_channels: int
    groups: int
    kernel_size: tuple[int, ...]
    weight: Any
    bias: Any

    def __init__(
        self,
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
        plain: Any = super().__init__
        plain(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode)
        name = type(self).__name__
        self.out_channels = extent(name, "out_channels", out_channels)
        if self.out_channels % self.groups:
            raise ArgumentError(
                mistake(name, "out_channels", out_channels, f"a multiple of groups, {self.groups}")
            )
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.bias = UninitializedParameter(device=device, dtype=dtype) if bias else None

    def reset_parameters(self) -> None:
        """Initialize weight and bias at random, where they have a shape."""
        if self.in_channels and not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def _inputs_of(self, input: Tensor) -> int:
        name, rank = type(self).__name__, len(input.shape)
        if rank not in (self.rank + 1, self.rank + 2):
            expected = f"{self.rank + 1}-dimensional (one image) or {self.rank + 2}-dimensional (a batch)"
            raise ShapeError(mistake(name, "the input", f"{rank}-dimensional", expected))
        channels = input.shape[rank - self.rank - 1]
        if channels % self.groups:
            raise ArgumentError(
                mistake(name, "the input's channels", channels, f"a multiple of groups, {self.groups}")
            )
        return channels

    def _loaded_inputs(self) -> int:
        channels: int = self.weight.shape[1] * self.groups
        return channels

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        return {"weight": shape, "bias": (self.out_channels,)}


class LazyConv1d(_LazyConvolution, Conv1d):
    """``Conv1d`` with as many ``in_channels`` as its first input has."""

    becomes = Conv1d


class LazyConv2d(_LazyConvolution, Conv2d):
    """``Conv2d`` with as many ``in_channels`` as its first input has.

    >>> import weft as wf
    >>> layer = wf.nn.LazyConv2d(4, 3)
    >>> tuple(layer(wf.zeros(1, 2, 5, 5)).shape), layer
    ((1, 4, 3, 3), Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1)))
    """

    becomes = Conv2d


class LazyConv3d(_LazyConvolution, Conv3d):
    """``Conv3d`` with as many ``in_channels`` as its first input has."""

    becomes = Conv3d


class _LazyBatchNorm(Lazy):
    count = "num_features"
    num_features: int
    affine: bool
    track_running_stats: bool
    _check_rank: Any
    weight: Any
    bias: Any
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        plain: Any = super().__init__
        plain(0, eps, momentum, False, False)
        self.affine, self.track_running_stats = affine, track_running_stats
        if affine:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
            self.bias = UninitializedParameter(device=device, dtype=dtype) if bias else None
        if track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)
            self.num_batches_tracked = zeros((), device=device, dtype=dtypes.int64)

    def reset_parameters(self) -> None:
        """Initialize scale, shift and running statistics, where they have a shape."""
        if self.num_features and not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def _inputs_of(self, input: Tensor) -> int:
        self._check_rank(input)
        return input.shape[1]

    def _loaded_inputs(self) -> int:
        tensors = (self.weight, self.running_mean)
        return next((int(tensor.shape[0]) for tensor in tensors if tensor is not None), 0)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (self.num_features,))


class LazyBatchNorm1d(_LazyBatchNorm, BatchNorm1d):
    """``BatchNorm1d`` with as many ``num_features`` as its first input has."""

    becomes = BatchNorm1d


class LazyBatchNorm2d(_LazyBatchNorm, BatchNorm2d):
    """``BatchNorm2d`` with as many ``num_features`` as its first input has.

    >>> import weft as wf
    >>> layer = wf.nn.LazyBatchNorm2d()
    >>> layer(wf.zeros(1, 3, 2, 2)).shape[1], layer.num_features
    (3, 3)
    """

    becomes = BatchNorm2d


class LazyBatchNorm3d(_LazyBatchNorm, BatchNorm3d):
    """``BatchNorm3d`` with as many ``num_features`` as its first input has."""

    becomes = BatchNorm3d
