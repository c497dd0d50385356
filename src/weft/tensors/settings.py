"""Settings of devices, types and threads, and functions about types, in the top namespace."""

from __future__ import annotations

from typing import Any

from weft import devices, dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, mistake
from weft.ops import TensorType
from weft.ops.pointwise.expressions import promoted
from weft.ops.registry.arguments import data_type, integer
from weft.ops.registry.lazy_fronts import check_functions
from weft.tensors.described import device
from weft.tensors.eager import EAGER
from weft.tensors.tensor import Tensor


def set_default_device(device: str | None) -> None:
    """Create new tensors on this device, in this context; ``None`` restores weft's choice."""
    devices.set_default(None if device is None else devices.open(device).name)


def get_default_device() -> device:
    """Return the device of new tensors."""
    return device(devices.default().name)


def synchronize(name: str | None = None) -> None:
    """Wait until a device has done all work so far; raises the errors that its kernels reported."""
    (devices.default() if name is None else devices.open(name)).synchronize()


def promote_types(type1: DType, type2: DType) -> DType:
    """Return the type of an operation on tensors of two types."""
    return dtypes.promote(type1, type2)


def result_type(*operands: Any) -> DType:
    """Return the type of an operation on these tensors and numbers."""
    return promoted(
        [
            TensorType(operand.shape, operand.dtype)
            if isinstance(operand, Tensor)
            else TensorType((), dtypes.of_scalar(operand), True)
            for operand in operands
        ]
    )


def is_tensor(obj: Any) -> bool:
    """Return whether an object is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Return whether a tensor's type is a floating point type."""
    return _checked("is_floating_point", input).is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Return False: weft has no complex types."""
    return _checked("is_complex", input).is_complex()


def numel(input: Tensor) -> int:
    """Return the number of elements of a tensor."""
    return _checked("numel", input).numel()


def _checked(where: str, input: Any) -> Tensor:
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(mistake(where, "input", type(input).__name__, "a Tensor"))
    return input


def get_default_dtype() -> DType:
    """Return the type of new tensors of Python floats: float32, or that of ``set_default_dtype``."""
    return dtypes.default_float()


def set_default_dtype(d: DType) -> None:
    """Set the floating point type of new tensors of Python floats, as ``torch.set_default_dtype``.

    The type is also that of results of integer tensors with a Python float, and of tensors of a float64 NumPy array.
    The setting holds for the whole process. With float64, a new tensor on a device without it, such as ``webgpu``,
    raises ``DTypeError``. Compiled functions keep a program for each default type.

    >>> import weft as wf
    >>> wf.set_default_dtype(wf.float16)
    >>> (wf.arange(3) / 2).dtype, wf.zeros(2).dtype
    (weft.float16, weft.float16)
    >>> wf.set_default_dtype(wf.float32)
    """
    kind = data_type("set_default_dtype", d)
    if kind.kind != "float":
        raise DTypeError(mistake("set_default_dtype", "d", kind.name, "a floating point type"))
    if kind is not dtypes.default_float():
        dtypes.set_default_float(kind)
        EAGER.forget()


def set_num_threads(num: int) -> None:
    """Set the most threads that the device ``cpu`` uses, bounded by the number of the process's processors.

    ``WEFT_THREADS`` sets the number at start. Compiled programs keep the number with which they were compiled.
    """
    _cpu_workers().limit(_threads("set_num_threads", num))


def get_num_threads() -> int:
    """Return the number of threads that the device ``cpu`` uses."""
    return int(_cpu_workers().count)


def set_num_interop_threads(num: int) -> None:
    """Accept a number of threads for parallel operations, without effect: operations run in order."""
    _threads("set_num_interop_threads", num)


def get_num_interop_threads() -> int:
    """Return how many operations run in parallel, which is 1."""
    return 1


def _threads(where: str, num: Any) -> int:
    count = integer(where, "num", num)
    if count < 1:
        raise ArgumentError(mistake(where, "num", num, "at least 1"))
    return count


def _cpu_workers() -> Any:
    cpu: Any = devices.open("cpu")
    return cpu.workers


_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Accept ``"highest"``, ``"high"`` or ``"medium"``; float32 products are always computed in float32."""
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise ArgumentError(
            mistake(
                "set_float32_matmul_precision", "precision", repr(precision), "'highest', 'high' or 'medium'"
            )
        )
    _precision = precision


def get_float32_matmul_precision() -> str:
    """Return the precision given to ``set_float32_matmul_precision``, by default ``"highest"``."""
    return _precision


_deterministic = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accept the setting without effect: weft's results are deterministic in any case."""
    global _deterministic
    _deterministic = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """Return the mode given to ``use_deterministic_algorithms``, by default False."""
    return _deterministic


check_functions(globals())
