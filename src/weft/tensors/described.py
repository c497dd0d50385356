"""``Described``: the part of ``Tensor`` that tells shape, type and place; and ``device``, the name of a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft import devices
from weft.dtypes import DType
from weft.errors import ShapeError, mistake
from weft.ops import Geometry

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


class device(str):
    """The name of a device: ``"cpu"``, ``"webgpu"``, ``"webgpu:0"``, ``"webgpu:software"``.

    >>> import weft as wf
    >>> wf.device("webgpu:0").type, wf.device("webgpu:0").index
    ('webgpu', 0)
    """

    __slots__ = ()

    @property
    def type(self) -> str:
        """The part in front of the colon."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The number behind the colon, where there is one."""
        part = self.partition(":")[2]
        return int(part) if part.isdigit() else None

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


class Described:
    """What is known without the elements, and views with the dimensions in another order."""

    __slots__ = ()

    _data: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        shape: tuple[int, ...] = self._data.shape
        return shape

    @property
    def dtype(self) -> DType:
        """The element type."""
        dtype: DType = self._data.dtype
        return dtype

    @property
    def device(self) -> device:
        """Where the elements live."""
        return device(self._data.device_name)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        from weft.ops.arguments import dimension

        return self.shape[dimension("size", dim, self.ndim)]

    def stride(self, dim: int | None = None) -> Any:
        """How many elements apart neighbours are along each dimension, or along one."""
        strides: tuple[int, ...] = self._data.strides
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        """Where the first element lies in the storage, in elements."""
        offset: int = self._data.offset
        return offset

    def numel(self) -> int:
        """The number of elements."""
        return Geometry(self.shape, self.shape).numel

    def element_size(self) -> int:
        """Bytes an element takes on its device."""
        return devices.open(str(self.device)).itemsize(self.dtype)

    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return Geometry(self.shape, self._data.strides).is_contiguous

    def is_floating_point(self) -> bool:
        """Whether the type is a floating point one."""
        return self.dtype.is_floating_point

    @property
    def T(self: Any) -> Tensor:
        """A view with all dimensions reversed."""
        turned: Tensor = self.permute(*reversed(range(self.ndim)))
        return turned

    @property
    def mT(self: Any) -> Tensor:
        """A view with the last two dimensions exchanged."""
        if self.ndim < 2:
            raise ShapeError(
                mistake("mT", "the tensor", f"{self.ndim}-dimensional", "at least 2-dimensional")
            )
        turned: Tensor = self.transpose(-2, -1)
        return turned

    @property
    def H(self: Any) -> Tensor:
        """A view of a matrix transposed (and conjugated, which changes nothing in real numbers)."""
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
