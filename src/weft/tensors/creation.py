"""Functions that create tensors from data, sizes and numbers: ``tensor``, ``zeros``, ``arange`` and others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy

from weft import devices, dtypes
from weft.autograd.base import is_tensor
from weft.autograd.wrapping import wrap
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, DeviceError, DTypeError, mistake
from weft.ops import OPS, TensorType, bind
from weft.ops.registry.arguments import data_type, integer, representable, sizes
from weft.ops.registry.interpreters import lifted
from weft.ops.registry.outs import check_given
from weft.ops.registry.signatures import checked
from weft.ops.registry.targets import check_target
from weft.tensors import host
from weft.tensors.array import empty as empty_array
from weft.tensors.array import require_support
from weft.tensors.exchange import on_memory

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def factory(function: F) -> F:
    """Decorate a public creation function: its arguments are normalised, PyTorch's memory options are accepted."""
    return checked(function, neutral=("layout", "pin_memory", "memory_format"))


def device_name(device: str | None) -> str:
    """Return the canonical name of a device, or of the default device."""
    return (devices.default() if device is None else devices.open(device)).name


def _checked(
    where: str, device: str | None, dtype: DType | None, default: DType | None = None, out: Any = None
) -> tuple[str, DType]:
    """Return device and dtype: as given, else those of ``out``, else the defaults.

    Raises ``DTypeError`` or ``DeviceError`` where ``out`` differs from a given dtype or device.
    """
    if out is not None:
        check_given(where, (out,), ())
        if dtype is not None and dtype is not out.dtype:
            raise DTypeError(mistake(where, "out's dtype", out.dtype.name, f"{dtype.name}, as dtype says"))
        if device is not None and device_name(device) != str(out.device):
            raise DeviceError(
                mistake(where, "out", f"on {out.device}", f"on {device_name(device)}, as device says")
            )
        dtype, device = out.dtype, str(out.device)

    place = devices.default() if device is None else devices.open(device)
    kind = (default or dtypes.default_float()) if dtype is None else data_type(where, dtype)
    require_support(place, kind)
    return place.name, kind


def _made(
    where: str, op: str, *values: Any, out: Any, requires_grad: bool = False, **attributes: Any
) -> Tensor:
    """Run an op that creates a tensor, into ``out`` where that is given."""
    if out is not None:
        if requires_grad:
            raise ArgumentError(
                mistake(where, "requires_grad", True, "False with out=", "call out.requires_grad_()")
            )
        bind(OPS[op], *values, **attributes, into=(out,))
        return out  # type: ignore[no-any-return]
    made: Tensor = bind(OPS[op], *values, **attributes)
    return made.requires_grad_() if requires_grad else made


@factory
def full(
    size: int | Sequence[int],
    fill_value: float,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of one value; the dtype is by default that of the value (float32, int64, bool).

    >>> import weft as wf
    >>> wf.full((2, 2), 7)
    tensor([[7, 7],
            [7, 7]])
    """
    value = host.check_scalar("full", fill_value)
    shape = sizes("full", (size,) if not isinstance(size, tuple | list) else tuple(size))
    name, kind = _checked(
        "full", device, dtype, None if isinstance(value, float) else dtypes.of_scalar(value), out
    )
    representable("full", "fill_value", value, kind)
    options: dict[str, Any] = {"shape": shape, "dtype": kind, "device": name}
    return _made("full", "full", value, out=out, requires_grad=requires_grad, **options)


def _filled(
    where: str,
    value: int,
    size: tuple[int | Sequence[int], ...],
    out: Tensor | None,
    dtype: DType | None,
    device: str | None,
    requires_grad: bool,
) -> Tensor:
    name, kind = _checked(where, device, dtype, out=out)
    attributes: dict[str, Any] = {"shape": sizes(where, size), "dtype": kind, "device": name}
    return _made(where, "full", value, out=out, requires_grad=requires_grad, **attributes)


@factory
def zeros(
    *size: int | Sequence[int],
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of zeros: ``zeros(2, 3)`` or ``zeros((2, 3))``; float32 by default.

    >>> import weft as wf
    >>> wf.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return _filled("zeros", 0, size, out, dtype, device, requires_grad)


@factory
def ones(
    *size: int | Sequence[int],
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of ones: ``ones(2, 3)`` or ``ones((2, 3))``; float32 by default."""
    return _filled("ones", 1, size, out, dtype, device, requires_grad)


@factory
def empty(
    *size: int | Sequence[int],
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor with undefined contents, or ``out`` unchanged where it has the given size."""
    name, kind = _checked("empty", device, dtype, out=out)
    if out is not None:
        check_target("empty", TensorType(sizes("empty", size), kind), out)
        return out
    made: Tensor = lifted(wrap(empty_array(devices.open(name), kind, sizes("empty", size))))
    return made.requires_grad_() if requires_grad else made


def _like(where: str, input: Tensor, dtype: DType | None, device: str | None) -> dict[str, Any]:
    if not is_tensor(input):
        raise ArgumentTypeError(mistake(where, "input", type(input).__name__, "a Tensor"))
    return {"dtype": dtype or input.dtype, "device": str(input.device) if device is None else device}


@factory
def zeros_like(
    input: Tensor, *, dtype: DType | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return zeros with the shape, dtype and device of a tensor, unless given."""
    return zeros(input.shape, **_like("zeros_like", input, dtype, device), requires_grad=requires_grad)


@factory
def ones_like(
    input: Tensor, *, dtype: DType | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return ones with the shape, dtype and device of a tensor, unless given."""
    return ones(input.shape, **_like("ones_like", input, dtype, device), requires_grad=requires_grad)


@factory
def full_like(
    input: Tensor,
    fill_value: float,
    *,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of one value with the shape, dtype and device of a tensor, unless given."""
    return full(
        input.shape, fill_value, **_like("full_like", input, dtype, device), requires_grad=requires_grad
    )


@factory
def empty_like(
    input: Tensor, *, dtype: DType | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor of undefined contents with the shape, dtype and device of a tensor, unless given."""
    return empty(input.shape, **_like("empty_like", input, dtype, device), requires_grad=requires_grad)


@factory
def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: str | None = None,
) -> Tensor:
    """Return ``start, start + step, …`` below ``end``; ``arange(n)`` starts at 0. int64 for integers, else float32.

    >>> import weft as wf
    >>> wf.arange(1, 7, 2)
    tensor([1, 3, 5])
    """
    first, last = (0, start) if end is None else (start, end)
    values = [host.check_scalar("arange", value) for value in (first, last, step)]
    for name, value in zip(("start", "end", "step"), values, strict=True):
        if not math.isfinite(value):
            raise ArgumentError(mistake("arange", name, value, "a finite number"))
    default = dtypes.default_float() if any(isinstance(value, float) for value in values) else dtypes.int64
    place, kind = _checked("arange", device, dtype, default, out)
    if kind.kind == "bool":
        raise DTypeError(mistake("arange", "dtype", kind.name, "a type of numbers"))
    if (
        kind is dtypes.int64
    ):  # as in PyTorch: int64 counts with whole numbers, other integers with the given ones
        values = [math.trunc(value) for value in values]
    begin, stop, stride = values
    if stride == 0:
        raise ArgumentError(mistake("arange", "step", step, "a step other than 0"))
    if (stop - begin) * stride < 0:
        raise ArgumentError(mistake("arange", "step", step, f"a step from {first} towards {last}"))
    count = math.ceil((stop - begin) / stride)
    if kind.is_integer:
        begin, stride = math.trunc(begin), math.trunc(stride)
    return _made("arange", "arange", begin, stride, out=out, count=count, dtype=kind, device=place)


@factory
def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a matrix with ones on the diagonal."""
    rows = integer("eye", "n", n)
    columns = rows if m is None else integer("eye", "m", m)
    name, kind = _checked("eye", device, dtype, out=out)
    at = arange(rows, device=name).reshape(rows, 1) == arange(columns, device=name)
    if out is not None:
        return _made("eye", "cast", at, out=out, requires_grad=requires_grad, dtype=kind)
    made = at.to(kind)
    return made.requires_grad_() if requires_grad else made


@factory
def from_numpy(array: Any) -> Tensor:
    """Return a ``cpu`` tensor that shares the memory of a writable NumPy array.

    Raises ``ArgumentError`` for negative strides; ``weft.tensor`` copies such arrays.

    >>> import weft as wf
    >>> import numpy
    >>> array = numpy.zeros(2, numpy.float32)
    >>> wf.from_numpy(array).fill_(3)
    tensor([3., 3.])
    >>> array.tolist()
    [3.0, 3.0]
    """
    if not isinstance(array, numpy.ndarray):
        raise ArgumentTypeError(mistake("from_numpy", "array", type(array).__name__, "a numpy.ndarray"))
    return on_memory(array, "from_numpy", "array")


@factory
def linspace(
    start: float, end: float, steps: int, *, out: Tensor | None = None, dtype: DType | None = None,
    device: str | None = None,
) -> Tensor:  # fmt: skip
    """Return ``steps`` evenly spaced numbers from ``start`` to ``end``, both included; float32 by default.

    >>> import weft as wf
    >>> wf.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    count = integer("linspace", "steps", steps)
    first, last = (host.check_scalar("linspace", value) for value in (start, end))
    if count < 0:
        raise ArgumentError(mistake("linspace", "steps", count, "0 or more"))
    name, kind = _checked("linspace", device, dtype, out=out)
    if kind.kind == "bool":
        raise DTypeError(mistake("linspace", "dtype", kind.name, "a type of numbers"))
    if kind.is_integer:
        for argument, value in (("start", first), ("end", last)):
            representable("linspace", argument, value, kind)
        first, last = (
            math.trunc(first),
            math.trunc(last),
        )  # as in PyTorch, where the ends are first of the type
        if kind.kind == "uint":
            first, last = first % 2**kind.bits, last % 2**kind.bits
    return _made("linspace", "linspace", first, last, out=out, count=count, dtype=kind, device=name)


@factory
def logspace(
    start: float, end: float, steps: int, base: float = 10.0, *, out: Tensor | None = None,
    dtype: DType | None = None, device: str | None = None,
) -> Tensor:  # fmt: skip
    """Return ``steps`` numbers from ``base ** start`` to ``base ** end`` with evenly spaced exponents."""
    name, wanted = _checked("logspace", device, dtype, out=out)
    kind = wanted if wanted.kind == "float" else dtypes.float32
    exponents = linspace(start, end, steps, dtype=kind, device=name)
    if out is not None and kind is wanted:
        return _made("logspace", "pow", host.check_scalar("logspace", base), exponents, out=out)
    made: Tensor = bind(OPS["pow"], host.check_scalar("logspace", base), exponents)
    return made.to(wanted) if out is None else _made("logspace", "cast", made, out=out, dtype=wanted)


def _triangle_indices(
    where: str, row: int, col: int, offset: int, upper: bool, dtype: DType | None, device: str | None
) -> Tensor:
    rows, columns = integer(where, "row", row), integer(where, "col", col)
    if rows < 0 or columns < 0:
        raise ArgumentError(mistake(where, "row and col", (rows, columns), "0 or more"))
    name, kind = _checked(where, device, dtype, dtypes.int64)
    indices = numpy.triu_indices if upper else numpy.tril_indices
    with host.host_memory(where, "row and col", (rows, columns)):
        places = numpy.stack(indices(rows, integer(where, "offset", offset), columns))
    return wrap(host.from_numpy(places, kind, devices.open(name)))


@factory
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType | None = None, device: str | None = None
) -> Tensor:
    """Return the coordinates (2, n) of the lower triangle of a matrix, row-major."""
    return _triangle_indices("tril_indices", row, col, offset, False, dtype, device)


@factory
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType | None = None, device: str | None = None
) -> Tensor:
    """Return the coordinates (2, n) of the upper triangle of a matrix, row-major."""
    return _triangle_indices("triu_indices", row, col, offset, True, dtype, device)


@partial(checked, neutral=("pin_memory",))
def tensor(
    data: Any, *, dtype: DType | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a new tensor with a copy of ``data``: numbers, nested sequences, NumPy arrays or another tensor.

    Python floats and NumPy float64 become float32, and Python integers int64, unless ``dtype`` is given. Raises
    ``DTypeError`` for a type that weft or the device lacks, ``ArgumentError`` for ragged sequences.

    >>> import weft as wf
    >>> wf.tensor([[1.0, 2.0], [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    if is_tensor(data):
        made = data.detach().to(dtype=dtype, device=device, copy=True)
    else:
        target = devices.default() if device is None else devices.open(device)
        made = lifted(wrap(host.from_python(data, dtype, target)))
    return made.requires_grad_() if requires_grad else made


@factory
def as_tensor(data: Any, dtype: DType | None = None, device: str | None = None) -> Tensor:
    """Return ``data`` as a tensor: itself where it is a tensor of that dtype and device, else a copy."""
    if is_tensor(data):
        return data.to(dtype=dtype, device=device)
    return tensor(data, dtype=dtype, device=device)
