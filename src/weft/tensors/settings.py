"""Questions and settings about devices and types that users ask of the package itself."""

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
    """Make new tensors on this device, in this context; ``None`` goes back to the choice that weft makes."""
    devices.set_default(None if device is None else devices.open(device).name)


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
            TensorType(operand.shape, operand.dtype)
            if isinstance(operand, Tensor)
            else TensorType((), dtypes.of_scalar(operand), True)
            for operand in operands
        ]
    )


def is_tensor(obj: Any) -> bool:
    """Whether an object is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether a tensor's type is a floating point one."""
    return _checked("is_floating_point", input).is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Whether a tensor's type is a complex one: False, weft has none."""
    return _checked("is_complex", input).is_complex()


def numel(input: Tensor) -> int:
    """The number of elements of a tensor."""
    return _checked("numel", input).numel()


def _checked(where: str, input: Any) -> Tensor:
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(mistake(where, "input", type(input).__name__, "a Tensor"))
    return input


def get_default_dtype() -> DType:
    """The type of new tensors of numbers with a fraction, float32 unless ``set_default_dtype`` said otherwise."""
    return dtypes.default_float()


def set_default_dtype(d: DType) -> None:
    """Make a floating point type the one of new tensors of numbers with a fraction, as ``torch.set_default_dtype``.

    It is also the type of what is computed from integers and a Python number with a fraction. It holds for the whole
    process. float64 raises ``DTypeError`` where a tensor is then made on a device without it, such as ``webgpu``.
    A NumPy array of float64 becomes a tensor of the default type. Functions that are compiled keep, for each default
    type, a program of their own.

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
    """Let the device ``cpu`` use that many threads at most; never more than the process has processors.

    ``WEFT_THREADS`` says how many there are at the start. Compiled programs keep the number that they were made with.
    """
    _cpu_workers().limit(_threads("set_num_threads", num))


def get_num_threads() -> int:
    """How many threads the device ``cpu`` uses."""
    return int(_cpu_workers().count)


def set_num_interop_threads(num: int) -> None:
    """Accept a number of threads that run operations side by side; here operations run in order."""
    _threads("set_num_interop_threads", num)


def get_num_interop_threads() -> int:
    """How many operations run side by side: 1."""
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
    """What ``set_float32_matmul_precision`` was given, ``"highest"`` before."""
    return _precision


_deterministic = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accept the wish: weft's results are the same each time, whatever the mode."""
    global _deterministic
    _deterministic = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What ``use_deterministic_algorithms`` was given, False before."""
    return _deterministic


check_functions(globals())
