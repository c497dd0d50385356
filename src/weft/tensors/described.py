"""``Described``: the part of ``Tensor`` for shape, dtype and device; and the classes ``device`` and ``Size``."""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from weft import devices
from weft.dtypes import DType
from weft.errors import ArgumentError, ShapeError, mistake
from weft.ops import OPS, Geometry, bind
from weft.ops.registry import geometry as geometries
from weft.ops.registry.arguments import dimension, sizes
from weft.ops.registry.lazy_fronts import lazily_checked
from weft.tensors.constants import strided

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


class device(str):
    """The name of a device: ``"cpu"``, ``"webgpu"``, ``"webgpu:0"``, ``"webgpu:software"``.

    >>> import weft as wf
    >>> wf.device("webgpu:0").type, wf.device("webgpu:0").index
    ('webgpu', 0)
    """

    __slots__ = ()

    def __new__(cls, type: Any = "cpu", index: int | None = None) -> device:
        """Return the device of a name, or of a kind and a number: ``device("webgpu", 0)`` is ``device("webgpu:0")``."""
        if index is None:
            return super().__new__(cls, type)
        if ":" in type:
            raise ArgumentError(mistake("device", "index", index, f"none with {str(type)!r}, which has one"))
        return super().__new__(cls, type if type == "cpu" else f"{type}:{index:d}")

    def __getnewargs__(self) -> tuple[str]:
        return (str(self),)

    @property
    def type(self) -> str:
        """The kind of device: the part before the colon."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The number after the colon, ``None`` without a number."""
        part = self.partition(":")[2]
        return int(part) if part.isdigit() else None

    def __enter__(self) -> device:
        """Make it the default device until the end of the block."""
        before = devices.chosen()
        devices.set_default(self)
        _before.set((before, _before.get()))
        return self

    def __exit__(self, *_: object) -> None:
        outer = _before.get()
        assert outer is not None
        name, rest = outer
        devices.set_default(name)
        _before.set(rest)

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


_before: ContextVar[tuple[str | None, Any] | None] = ContextVar("weft_devices_before", default=None)
"""The default devices outside of the entered ``with device(…)`` blocks, the innermost first."""


class Size(tuple[int, ...]):
    """The sizes of a tensor's dimensions: a tuple of ints with the method ``numel``.

    >>> import weft as wf
    >>> wf.ones(2, 3).shape.numel(), wf.ones(2, 3).shape == (2, 3)
    (6, True)
    """

    __slots__ = ()

    def numel(self) -> int:
        """Return the number of elements of a tensor of this shape."""
        return math.prod(self)

    def __getnewargs__(self) -> tuple[tuple[int, ...]]:
        return (tuple(self),)


@lazily_checked
def broadcast_shapes(*shapes: Any) -> Size:
    """Return the shape to which shapes broadcast, an int being a shape of one size; ``ShapeError`` where there is none.

    >>> import weft as wf
    >>> wf.broadcast_shapes((2, 1), (3,), 3)
    (2, 3)
    """
    given = [sizes("broadcast_shapes", (shape,)) for shape in shapes]
    return Size(geometries.broadcast_shapes("broadcast_shapes", *given))


class Described:
    """Properties that do not depend on the elements, and transposed views."""

    __slots__ = ()

    _data: Any

    @property
    def shape(self) -> Size:
        """Sizes of the dimensions."""
        shape = self._data.shape
        return shape if type(shape) is Size else Size(shape)

    @property
    def dtype(self) -> DType:
        """The element type."""
        dtype: DType = self._data.dtype
        return dtype

    @property
    def device(self) -> device:
        """The device that holds the elements."""
        return device(self._data.device_name)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def dim(self) -> int:
        """Return the number of dimensions."""
        return len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        return self.shape[dimension("size", dim, self.ndim)]

    def stride(self, dim: int | None = None) -> Any:
        """Return the strides of all dimensions, or of one dimension, in elements."""
        strides: tuple[int, ...] = self._data.strides
        if dim is None:
            return strides
        return strides[dimension("stride", dim, self.ndim)]

    def storage_offset(self) -> int:
        """Return the offset of the first element in the storage, in elements."""
        offset: int = self._data.offset
        return offset

    def numel(self) -> int:
        """Return the number of elements."""
        return Geometry(self.shape, self.shape).numel

    def element_size(self) -> int:
        """Return the bytes of an element on its device."""
        return devices.open(str(self.device)).itemsize(self.dtype)

    def is_contiguous(self) -> bool:
        """Return whether the elements lie in row-major order without gaps."""
        return Geometry(self.shape, self._data.strides).is_contiguous

    def nelement(self) -> int:
        """Return the number of elements, as ``numel``."""
        return self.numel()

    def ndimension(self) -> int:
        """Return the number of dimensions, as ``dim``."""
        return len(self.shape)

    @property
    def itemsize(self) -> int:
        """The bytes of an element on its device, as ``element_size``."""
        return self.element_size()

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.numel() * self.element_size()

    @property
    def layout(self) -> Any:
        """The memory layout, which is always ``weft.strided``."""
        return strided

    @property
    def is_cpu(self) -> bool:
        """Whether the elements lie on ``cpu``."""
        return self.device == "cpu"

    is_cuda = is_mps = is_xpu = is_sparse = is_quantized = is_meta = is_nested = is_mkldnn = False
    """Properties of PyTorch's tensors that no tensor of weft has."""

    def is_complex(self) -> bool:
        """Return False: weft has no complex types."""
        return False

    def is_signed(self) -> bool:
        """Return whether the type has negative numbers."""
        return self.dtype.kind in ("int", "float")

    def is_inference(self) -> bool:
        """Return False: tensors made under ``inference_mode`` are like all others."""
        return False

    def is_pinned(self, device: Any = None) -> bool:
        """Return False: weft has no pinned memory, the device stages uploads itself."""
        return False

    def pin_memory(self: Any, device: Any = None) -> Tensor:
        """Return the tensor itself: weft has no pinned memory, the device stages uploads itself."""
        made: Tensor = self
        return made

    def is_floating_point(self) -> bool:
        """Return whether the type is a floating point type."""
        return self.dtype.is_floating_point

    @property
    def T(self: Any) -> Tensor:
        """A view with all dimensions reversed."""
        turned: Tensor = bind(OPS["permute"], self, order=tuple(range(len(self._data.shape) - 1, -1, -1)))
        return turned

    @property
    def mT(self: Any) -> Tensor:
        """A view with the last two dimensions exchanged; a 0-d tensor itself."""
        if self.ndim == 0:
            same: Tensor = self
            return same
        if self.ndim < 2:
            raise ShapeError(
                mistake("mT", "the tensor", f"{self.ndim}-dimensional", "at least 2-dimensional")
            )
        turned: Tensor = self.transpose(-2, -1)
        return turned

    @property
    def H(self: Any) -> Tensor:
        """The transposed view of a matrix, which is its conjugate transpose as all numbers are real."""
        if self.ndim not in (0, 2):
            raise ShapeError(
                mistake("H", "the tensor", f"{self.ndim}-dimensional", "a matrix", "use mH for batches")
            )
        turned: Tensor = self.T
        return turned

    @property
    def mH(self: Any) -> Tensor:
        """A view with the last two dimensions exchanged, as ``mT``."""
        turned: Tensor = self.mT
        return turned
