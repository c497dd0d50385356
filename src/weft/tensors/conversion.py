"""``Conversions``: the part of ``Tensor`` that converts to another data type, device, or shape of another tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft import devices, dtypes
from weft.dtypes import DType
from weft.errors import ArgumentTypeError, mistake
from weft.ops import OPS, bind
from weft.ops.registry.arguments import data_type
from weft.ops.registry.signatures import accept_neutral

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


bool_type = bool  # inside the class the name is a method


class Conversions:
    """``to`` and its short forms."""

    __slots__ = ()

    def to(
        self: Any,
        *args: Any,
        dtype: DType | None = None,
        device: str | None = None,
        non_blocking: bool_type = False,
        copy: bool_type = False,
        memory_format: Any = None,
    ) -> Tensor:
        """Return the tensor with another data type, on another device, or both; itself where nothing changes.

        ``to(wf.float16)``, ``to("cpu")``, ``to("webgpu", wf.int32)``, ``to(other)``. ``non_blocking`` changes nothing:
        copies are ordered with later operations. ``copy`` makes a new tensor in any case.
        """
        accept_neutral("to", "memory_format", memory_format)
        flags = [argument for argument in args if isinstance(argument, bool_type)]  # non_blocking, copy
        copy = copy or (len(flags) > 1 and flags[1])
        for argument in args:
            if isinstance(argument, DType):
                dtype = argument
            elif isinstance(argument, Conversions):
                other: Any = argument
                dtype, device = other.dtype, str(other.device)
            elif isinstance(argument, str):
                device = argument
            elif argument is not None and not isinstance(argument, bool_type):
                raise ArgumentTypeError(
                    mistake("to", "argument", repr(argument), "a dtype, a device or a tensor")
                )
        result: Tensor = self
        wanted = None if device is None else devices.open(device)
        moves = wanted is not None and wanted.name != str(self.device)
        if wanted is not None and moves and dtype is not None and not wanted.supports(self.dtype):
            result = bind(OPS["cast"], result, dtype=dtype)  # first: the other device may lack float64
        if wanted is not None and moves:
            result = bind(OPS["transfer"], result, device=wanted.name, source=str(self.device))
        if dtype is not None and result.dtype is not dtype:
            result = bind(OPS["cast"], result, dtype=data_type("to", dtype))
        return bind(OPS["copy"], result) if copy and result is self else result

    def cpu(self) -> Tensor:
        """Return the tensor on ``cpu``."""
        return self.to("cpu")

    def type_as(self, other: Tensor) -> Tensor:
        """Return the tensor with the data type of another."""
        return self.to(other.dtype)

    def float(self) -> Tensor:
        """Return the tensor as float32."""
        return self.to(dtypes.float32)

    def double(self) -> Tensor:
        """Return the tensor as float64."""
        return self.to(dtypes.float64)

    def half(self) -> Tensor:
        """Return the tensor as float16."""
        return self.to(dtypes.float16)

    def bfloat16(self) -> Tensor:
        """Return the tensor as bfloat16."""
        return self.to(dtypes.bfloat16)

    def long(self) -> Tensor:
        """Return the tensor as int64."""
        return self.to(dtypes.int64)

    def int(self) -> Tensor:
        """Return the tensor as int32."""
        return self.to(dtypes.int32)

    def char(self) -> Tensor:
        """Return the tensor as int8."""
        return self.to(dtypes.int8)

    def byte(self) -> Tensor:
        """Return the tensor as uint8."""
        return self.to(dtypes.uint8)

    def short(self) -> Tensor:
        """Return the tensor as int16."""
        return self.to(dtypes.int16)

    def bool(self) -> Tensor:
        """Return the tensor as bool: nonzero elements are True."""
        return self.to(dtypes.bool_)

    def view_as(self: Any, other: Tensor) -> Tensor:
        """Return a view with the shape of another tensor."""
        made: Tensor = self.view(*other.shape)
        return made

    def reshape_as(self: Any, other: Tensor) -> Tensor:
        """Return the tensor with the shape of another."""
        made: Tensor = self.reshape(*other.shape)
        return made

    def expand_as(self: Any, other: Tensor) -> Tensor:
        """Return a view repeated to the shape of another tensor."""
        made: Tensor = self.expand(*other.shape)
        return made
