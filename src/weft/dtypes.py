"""Data types: the table of sizes, NumPy types, promotion rules and compute types.

A ``DType`` says how a tensor's elements are interpreted. Their width in memory depends on the device
(``TargetProfile.storage``). Arithmetic uses the type ``compute``: float16 and bfloat16 are stored in 16 bits and
computed in float32; integers of 8 and 16 bits are computed in int32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from weft.errors import DTypeError

if TYPE_CHECKING:
    import numpy

Kind = Literal["bool", "uint", "int", "float"]


@dataclass(frozen=True, eq=False, repr=False)
class DType:
    """An element type: name, kind and width in bits; compared by identity.

    >>> import weft
    >>> weft.float16.itemsize, weft.float16.is_floating_point
    (2, True)
    """

    name: str
    kind: Kind
    bits: int

    @property
    def itemsize(self) -> int:
        """The bytes of an element on a device with native support for this type."""
        return self.bits // 8

    @property
    def is_floating_point(self) -> bool:
        """Whether the type is float16, bfloat16, float32 or float64."""
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        """Whether the type is a signed or unsigned integer; bool is not."""
        return self.kind in ("int", "uint")

    @property
    def numpy(self) -> numpy.dtype[Any]:
        """The NumPy type of the same layout (for bfloat16, that of ``ml_dtypes``)."""
        return _numpy_dtype(self)

    @property
    def compute(self) -> DType:
        """The type in which expressions over elements of this type are computed."""
        return _COMPUTE.get(self, self)

    def __repr__(self) -> str:
        return f"weft.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (named, (self.name,))


float64 = DType("float64", "float", 64)
float32 = DType("float32", "float", 32)
float16 = DType("float16", "float", 16)
bfloat16 = DType("bfloat16", "float", 16)
int64 = DType("int64", "int", 64)
int32 = DType("int32", "int", 32)
int16 = DType("int16", "int", 16)
int8 = DType("int8", "int", 8)
uint32 = DType("uint32", "uint", 32)
uint8 = DType("uint8", "uint", 8)
bool_ = DType("bool", "bool", 8)

ALL = (float64, float32, float16, bfloat16, int64, int32, int16, int8, uint32, uint8, bool_)
BY_NAME = {dtype.name: dtype for dtype in ALL}

_COMPUTE = {float16: float32, bfloat16: float32, int16: int32, int8: int32, uint8: int32}
_SIGNED = {8: int16, 16: int32, 32: int64}
"""The smallest signed type that holds the unsigned numbers of a width in bits."""
_CATEGORY = {"bool": 0, "uint": 1, "int": 1, "float": 2}


def named(name: str) -> DType:
    """Return the data type of that name; raises ``DTypeError`` with the list of names for an unknown name.

    >>> named("bfloat16")
    weft.bfloat16
    """
    try:
        return BY_NAME[name]
    except KeyError:
        raise DTypeError(f"dtype {name!r} is not one of {', '.join(BY_NAME)}") from None


@lru_cache(maxsize=None)
def _numpy_dtype(dtype: DType) -> numpy.dtype[Any]:
    import numpy

    if dtype is bfloat16:
        import ml_dtypes

        found: numpy.dtype[Any] = numpy.dtype(ml_dtypes.bfloat16)
        return found
    return numpy.dtype(dtype.name)


_BY_NUMPY: dict[Any, DType] = {}  # a cache, since computing the name of a NumPy type is slow


def from_numpy(given: numpy.dtype[Any]) -> DType:
    """Return the data type with the layout of a NumPy type; raises ``DTypeError`` where weft has none.

    >>> import numpy
    >>> from_numpy(numpy.dtype("int16"))
    weft.int16
    """
    known = _BY_NUMPY.get(given)
    if known is not None:
        return known
    name = given.name
    if name not in BY_NAME:
        raise DTypeError(f"NumPy type {name!r} has no weft type; convert it to one of {', '.join(BY_NAME)}")
    _BY_NUMPY[given] = BY_NAME[name]
    return BY_NAME[name]


_default: list[DType] = [float32]


def default_float() -> DType:
    """Return the default floating point type, of tensors made from Python floats, as ``torch.get_default_dtype``."""
    return _default[0]


def set_default_float(dtype: DType) -> None:
    """Make a floating point type the default; the public ``weft.set_default_dtype`` also clears caches."""
    _default[0] = dtype


def of_scalar(value: bool | int | float) -> DType:
    """Return the type of a Python scalar where no tensor decides it: bool, int64 or float32.

    >>> of_scalar(True), of_scalar(2), of_scalar(0.5)
    (weft.bool, weft.int64, weft.float32)
    """
    if isinstance(value, bool):
        return bool_
    return int64 if isinstance(value, int) else float32


@lru_cache(maxsize=None)
def promote(a: DType, b: DType) -> DType:
    """Return the smallest type that holds the values of both types, as ``torch.promote_types``.

    >>> promote(int64, float16)
    weft.float16
    """
    if a is b:
        return a
    if _CATEGORY[a.kind] != _CATEGORY[b.kind]:
        return max(a, b, key=lambda dtype: _CATEGORY[dtype.kind])
    if a.kind == "float":
        return float32 if a.bits == b.bits else max(a, b, key=lambda dtype: dtype.bits)
    if a.kind == b.kind:
        return max(a, b, key=lambda dtype: dtype.bits)
    signed, unsigned = (a, b) if a.kind == "int" else (b, a)
    if signed.bits > unsigned.bits:
        return signed
    return _SIGNED[unsigned.bits]


def result_type(tensors: list[DType], zero_dim: list[DType], scalars: list[bool | int | float]) -> DType:
    """Return PyTorch's promoted type of tensors with dimensions, 0-d tensors and Python scalars.

    The groups have priority in this order: a later group changes the type only where its category (bool < integer <
    float) is higher than that of all earlier groups.

    >>> result_type([float16], [float32], [2.5]), result_type([int32], [], [2.5])
    (weft.float16, weft.float32)
    """
    result: DType | None = None
    for group in (tensors, zero_dim, [of_scalar(value) for value in scalars]):
        best: DType | None = None
        for dtype in group:
            best = dtype if best is None else promote(best, dtype)
        if best is not None and (result is None or _CATEGORY[best.kind] > _CATEGORY[result.kind]):
            result = best
    if result is None:
        raise DTypeError("result_type: no operands given, expected at least one")
    return result
