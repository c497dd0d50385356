"""``Alike``: the part of ``Tensor`` that creates tensors of its data type on its device (``new_zeros`` …)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.devices.base import HostDevice
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.tensors.creation import empty, full, ones, tensor, zeros
from weft.tensors.legacy import construct, named_type, type_name

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


def _size(where: str, given: tuple[Any, ...], size: Any) -> tuple[Any, ...]:
    """Return sizes given as arguments, as one sequence, or by the name ``size``."""
    if size is not None:
        if given:
            raise ArgumentError(mistake(where, "size", "given twice", "sizes once"))
        given = (size,)
    return given


class Alike:
    """Methods that create tensors with the data type and device of this tensor, unless others are given."""

    __slots__ = ()

    def _alike(self: Any, where: str, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a creation function, without those of PyTorch's that change nothing."""
        known = {"dtype": options.pop("dtype", None) or self.dtype,
                 "device": options.pop("device", None) or str(self.device),
                 "requires_grad": options.pop("requires_grad", False)}  # fmt: skip
        for name in ("layout", "pin_memory"):
            options.pop(name, None)
        if options:
            raise ArgumentTypeError(
                mistake(where, "arguments", sorted(options), "size, dtype, device, requires_grad")
            )
        return known

    def new_empty(self, *given: Any, size: Any = None, **options: Any) -> Tensor:
        """Return a tensor of the given sizes with undefined contents."""
        return empty(*_size("new_empty", given, size), **self._alike("new_empty", options))

    def new_zeros(self, *given: Any, size: Any = None, **options: Any) -> Tensor:
        """Return a tensor of zeros.

        >>> import weft as wf
        >>> wf.ones(2, dtype=wf.int32).new_zeros(3)
        tensor([0, 0, 0], dtype=weft.int32)
        """
        return zeros(*_size("new_zeros", given, size), **self._alike("new_zeros", options))

    def new_ones(self, *given: Any, size: Any = None, **options: Any) -> Tensor:
        """Return a tensor of ones."""
        return ones(*_size("new_ones", given, size), **self._alike("new_ones", options))

    def new_full(self, size: Any, fill_value: Any, **options: Any) -> Tensor:
        """Return a tensor filled with one value."""
        return full(size, fill_value, **self._alike("new_full", options))

    def new_tensor(self, data: Any, **options: Any) -> Tensor:
        """Return a tensor with a copy of ``data``."""
        return tensor(data, **self._alike("new_tensor", options))

    def new(self, *arguments: Any, device: str | None = None) -> Tensor:
        """Return a tensor of sizes, with undefined contents, or of data: PyTorch's older form of ``new_empty``."""
        return construct(self._dtype(), arguments, device or self._place())

    def _dtype(self: Any) -> DType:
        dtype: DType = self.dtype
        return dtype

    def _place(self: Any) -> str:
        return str(self.device)

    def type(self: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
        """Return the name of the type, ``"torch.FloatTensor"``; or the tensor converted to a data type.

        ``dtype``: a data type, a constructor such as ``weft.LongTensor``, or its name.
        """
        return type_name(self) if dtype is None else self.to(named_type(dtype))

    def data_ptr(self: Any) -> int:
        """Return the address of the first element; on a GPU a number that identifies the element.

        Raises ``UnsupportedError`` for a traced tensor, which has no memory.
        """
        array = self._array("data_ptr")
        start = array.offset * array.device.itemsize(array.dtype)
        if isinstance(array.device, HostDevice):
            if not self.numel():
                return 0
            return int(array.device.view(array.storage).ctypes.data + start)
        return int(id(array.storage.buffer) + array.storage.offset + start)

    def cuda(self: Any, device: Any = None, non_blocking: bool = False) -> Tensor:
        """Raise ``DeviceError``: there is no CUDA; the message says what to write."""
        moved: Tensor = self.to("cuda")
        return moved

    def get_device(self: Any) -> int:
        """Return the number of the GPU that holds the tensor, -1 for ``cpu``."""
        place: Any = self.device
        return -1 if place.type == "cpu" else int(place.index or 0)
