"""``Abstract``: the interpreter that computes shapes and types only, without memory or device work."""

from __future__ import annotations

from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import WeftError
from weft.ops import Geometry, Interpreter, OpSpec, TensorType
from weft.ops.registry.functions import user_error
from weft.ops.registry.targets import check_targets


class _Place:
    """The identity and version counter of an abstract storage, which all views of it share."""

    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = 0


class AbstractValue:
    """A shape, strides and a type on a device, without elements."""

    __slots__ = ("alias", "device_name", "dtype", "geometry")

    def __init__(
        self, dtype: DType, geometry: Geometry, device_name: str, alias: _Place | None = None
    ) -> None:
        self.dtype = dtype
        self.geometry = geometry
        self.device_name = device_name
        self.alias = alias or _Place()

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        return self.geometry.shape

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides that the value would have in eager mode."""
        return self.geometry.strides

    @property
    def offset(self) -> int:
        """The offset that the value would have in eager mode."""
        return self.geometry.offset

    @property
    def version(self) -> int:
        """The number of in-place writes to the storage."""
        return self.alias.version

    def __repr__(self) -> str:
        return f"<abstract {self.dtype.name}{list(self.shape)}>"


class Abstract:
    """Infers the types of each op's outputs; in-place writes only increment version counters."""

    executes = False

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Return the outputs of an op as abstract values; operands may be arrays, whose elements are not read."""
        device = next(
            (o.device_name for o in operands if hasattr(o, "device_name")), attributes.get("device", "cpu")
        )
        try:
            if op.view is not None and into is None:
                (source,) = operands
                geometry = op.view(source.geometry, **attributes)
                if geometry is not None:
                    return (AbstractValue(source.dtype, geometry, device, source.alias),)
            types = [
                TensorType((), dtypes.of_scalar(o), True)
                if isinstance(o, bool | int | float)
                else TensorType(o.shape, o.dtype)
                for o in operands
            ]
            results = op.infer(*types, **attributes)
        except WeftError as error:
            raise user_error(error, op) from None
        if into is not None:
            check_targets(op, results, into)
            for target in into:
                target.alias.version += 1
            return into
        return tuple(AbstractValue(t.dtype, Geometry.contiguous(t.shape), device) for t in results)
