"""Questions and settings about devices and types that users ask of the package itself."""

from __future__ import annotations

from typing import Any

from weft import devices, dtypes
from weft.dtypes import DType
from weft.ops import TensorType
from weft.ops.pointwise import promoted
from weft.tensors.described import device
from weft.tensors.tensor import Tensor


def set_default_device(name: str | None) -> None:
    """Make new tensors on this device, in this context; ``None`` goes back to the choice that weft makes."""
    devices.set_default(None if name is None else devices.open(name).name)


def get_default_device() -> device:
    """Where new tensors are made."""
    return device(devices.default().name)


def synchronize(name: str | None = None) -> None:
    """Wait until a device has done all work so far; raises what its kernels reported."""
    (devices.default() if name is None else devices.open(name)).synchronize()


def promote_types(type1: DType, type2: DType) -> DType:
    """The type of an operation on tensors of two types."""
    return dtypes.promote(type1, type2)


def result_type(*operands: Any) -> DType:
    """The type of an operation on these tensors and numbers."""
    return promoted(
        [
            TensorType(one.shape, one.dtype)
            if isinstance(one, Tensor)
            else TensorType((), dtypes.of_scalar(one), True)
            for one in operands
        ]
    )
