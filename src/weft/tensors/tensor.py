"""``Tensor``: the handle that users hold. Its value is an ``Array`` on a device, or a traced value.

The class is assembled from its parts: history from ``autograd.base``, shape and device from ``described``, gradients
from ``gradients``, values on the host from ``values``, other types and devices from ``conversion``, indexing from
``indexing``, most methods from the op table (``methods``). Here are memory, copies and writes in place. All modules
below know tensors by ``TensorBase`` alone.
"""

from __future__ import annotations

import builtins
from copy import deepcopy
from typing import Any, ClassVar

from weft.autograd.base import TensorBase
from weft.autograd.mode import grad_mode
from weft.autograd.wrapping import set_tensor_class
from weft.dtypes import float32
from weft.errors import (
    ArgumentTypeError,
    DTypeError,
    GradError,
    ShapeError,
    UnsupportedError,
    mistake,
)
from weft.ops import OPS, bind
from weft.ops.registry.arguments import representable
from weft.tensors import exchange, host, legacy
from weft.tensors.alike import Alike
from weft.tensors.array import Array
from weft.tensors.conversion import Conversions
from weft.tensors.creation import tensor
from weft.tensors.described import Described
from weft.tensors.drawing import Drawing
from weft.tensors.gradients import Gradients
from weft.tensors.in_place_views import InPlaceViews
from weft.tensors.indexing import Indexing
from weft.tensors.methods import TensorMethods
from weft.tensors.values import HostValues
from weft.tensors.watch import watcher

__all__ = ["Tensor", "tensor"]


class Tensor(
    TensorBase,
    Described,
    Gradients,
    HostValues,
    Conversions,
    Alike,
    Drawing,
    InPlaceViews,
    Indexing,
    TensorMethods,
):
    """A multi-dimensional array of one element type on one device, with optional gradient history.

    Make one with ``weft.tensor``, ``zeros``, ``randn`` …; operators and methods mean what PyTorch's mean. Calling the
    class takes sizes, for undefined contents, or data, as float32. Attributes may be set (``p.no_decay = True``).
    """

    __slots__ = ()

    __array_ufunc__ = None  # NumPy's operators leave it to the tensor's, which give tensors

    _copies_grad: ClassVar[bool] = True
    """Whether a deep copy has a copy of the gradient."""

    def __new__(cls, *arguments: Any, device: str | None = None) -> Tensor:
        """See the class. Functions create tensors by ``wrap``."""
        return legacy.construct(float32, arguments, device)

    def detach(self) -> Tensor:
        """Return a tensor on the same memory without history."""
        detached = getattr(self._data, "detached", None)
        made = Tensor.wrap(self._data if detached is None else detached())
        watch = watcher.get()
        if watch is not None and type(self._data) is Array:
            watch.detached(self, made)
        return made

    @property
    def data(self) -> Tensor:
        """The same memory without history, as ``detach()``; assigning replaces the tensor's memory."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(mistake("data", "the value", f"a {type(value).__name__}", "a Tensor"))
        if self._view is not None or self._edge is not None:
            state = "a view" if self._view is not None else "computed"
            if value.shape != self.shape or value.dtype is not self.dtype:
                raise ShapeError(
                    mistake(
                        "data",
                        "the value",
                        f"{value.dtype.name}{list(value.shape)}",
                        f"{self.dtype.name}{list(self.shape)}, as the tensor is {state}",
                    )
                )
        if self._leaf_requires_grad and value.dtype.kind != "float":
            raise DTypeError(
                mistake("data", "the value's dtype", value.dtype.name, "a floating point type",
                        "the tensor requires grad")
            )  # fmt: skip
        if type(self._data) is Array and type(value._data) is not Array:
            raise UnsupportedError(
                "data: is assigned a traced tensor, expected an assignment outside of a traced function; "
                "write the elements with copy_() under weft.no_grad()"
            )
        self._data = value._data

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradError("deepcopy: the tensor was computed, expected a leaf; deepcopy tensor.detach()")
        with grad_mode(False):
            copied = type(self).wrap(bind(OPS["copy"], self)._data)
        copied._leaf_requires_grad = self._leaf_requires_grad
        memo[id(self)] = copied
        if self.grad is not None and self._copies_grad:
            copied.grad = deepcopy(self.grad, memo)
        if self.__dict__:
            copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied

    def __copy__(self) -> Tensor:
        copied = type(self).wrap(self._data, self.edge if not self.is_leaf else None)
        copied._leaf_requires_grad = self._leaf_requires_grad
        copied.__dict__.update(self.__dict__)
        return copied

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return exchange.reduce(self)

    def __dlpack__(self, **options: Any) -> Any:
        """Return a capsule over the tensor's memory on ``cpu``, for ``numpy.from_dlpack`` and others."""
        return exchange.to_dlpack(self, **options)

    def __dlpack_device__(self) -> tuple[Any, Any]:
        """Return DLPack's device type and number; ``DeviceError`` for a tensor that is not on ``cpu``."""
        return exchange.device_of(self)

    def dispose(self) -> None:
        """Free the memory now; any later use of it, through this tensor or a view, raises ``DisposedError``."""
        self._array("dispose").storage.dispose()

    # Writing.

    def copy_(self, src: Tensor, non_blocking: builtins.bool = False) -> Tensor:
        """Overwrite the elements with those of ``src``, broadcast and converted; ``src`` may be on another device.

        ``non_blocking`` changes nothing: copies are ordered with later operations on either device.
        """
        if not isinstance(src, Tensor):
            raise ArgumentTypeError(
                mistake("copy_", "src", type(src).__name__, "a Tensor", "use fill_ for a number")
            )
        source = src if src.device == self.device else src.to(str(self.device))
        if source.shape != self.shape:
            source = source.broadcast_to(self.shape)
        bind(OPS["cast"], source, dtype=self.dtype, into=(self,))
        return self

    def fill_(self, value: Any) -> Tensor:
        """Overwrite all elements with a number or the value of a 0-d tensor; of an expanded tensor, its base's."""
        if isinstance(value, Tensor):
            if value.shape:
                raise ShapeError(
                    mistake(
                        "fill_",
                        "value",
                        f"of shape {tuple(value.shape)}",
                        "a number or a 0-d tensor",
                        "use copy_",
                    )
                )
            self._without_repeats().copy_(value)
            return self
        value = host.check_scalar("fill_", value)
        representable("fill_", "value", value, self.dtype)
        target = self._without_repeats()
        bind(
            OPS["full"], value, shape=target.shape, dtype=self.dtype, device=str(self.device), into=(target,)
        )
        return self

    def _without_repeats(self) -> Tensor:
        """Return the view without the repeats of expanded dimensions, so that each element in memory appears once."""
        strides = self.stride()
        if 0 not in strides:
            return self
        target: Tensor = self
        for dim, (size, stride) in enumerate(zip(self.shape, strides, strict=True)):
            if stride == 0 and size > 1:
                target = target.narrow(dim, 0, 1)
        return target

    def zero_(self) -> Tensor:
        """Overwrite all elements with 0."""
        return self.fill_(0)


set_tensor_class(Tensor)
