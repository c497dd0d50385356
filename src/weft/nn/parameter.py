"""``Parameter``: a tensor that a module registers, trains and saves; and the shapeless parameters of lazy layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.tensors.creation import empty
from weft.tensors.tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that becomes part of a module when assigned to one of its attributes.

    It shares the memory of ``data``.

    Raises:
        ArgumentTypeError: where ``data`` is not a tensor.
        DTypeError: for integers with ``requires_grad``.

    >>> import weft as wf
    >>> wf.nn.Parameter(wf.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __slots__ = ()

    _copies_grad: ClassVar[bool] = False  # as PyTorch's: a copied layer starts without gradients

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        """See the class."""
        if not isinstance(data, Tensor):
            raise ArgumentTypeError(
                mistake("Parameter", "data", f"a {type(data).__name__}", "a tensor", "use weft.tensor(data)")
            )
        parameter = cls.wrap(data._data)
        parameter.requires_grad_(requires_grad)
        assert isinstance(parameter, Parameter)
        return parameter

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        pass  # __new__ builds the parameter; Tensor's __init__ raises

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class ShapelessData:
    """Takes the place of a tensor's array before its shape is known: a type and a device, without elements."""

    __slots__ = ("device_name", "dtype")

    def __init__(self, dtype: DType, device_name: str) -> None:
        self.dtype = dtype
        self.device_name = device_name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ArgumentError(
            "lazy module: a parameter or buffer is uninitialized, expected it to have a shape and elements; call the "
            "module once with an input, or load a state dict, before its parameters are used or compiled"
        )


class Uninitialized(Tensor):
    """The base of parameters and buffers without a shape."""

    __slots__ = ()

    def materialize(
        self, shape: Sequence[int], device: str | None = None, dtype: DType | None = None
    ) -> None:
        """Allocate memory of a shape, with undefined contents; the tensor becomes an ordinary tensor."""
        data = self._data
        allocated = empty(tuple(shape), device=device or data.device_name, dtype=dtype or data.dtype)
        self._data = allocated._data
        self.__class__ = Parameter if isinstance(self, Parameter) else Tensor  # type: ignore[assignment]

    def detach(self) -> Tensor:
        """Return the tensor itself, which has no history."""
        return self

    def to(self, *args: Any, dtype: DType | None = None, device: Any = None, **options: Any) -> Any:
        """Return a tensor without a shape, of another type or on another device; a module's ``to`` calls it."""
        data = self._data
        return self._copied(dtype or data.dtype, data.device_name if device is None else str(device))

    def _copied(self, dtype: DType, device_name: str) -> Any:
        return _shapeless(type(self), dtype, device_name, self._leaf_requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = memo[id(self)] = self._copied(self._data.dtype, self._data.device_name)
        return copied

    def __copy__(self) -> Any:
        return self._copied(self._data.dtype, self._data.device_name)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        data = self._data
        return _shapeless, (type(self), data.dtype, data.device_name, self._leaf_requires_grad)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _shapeless(kind: Any, dtype: DType, device_name: str, requires_grad: bool) -> Any:
    """Return a tensor of a class without a shape; copies and pickles are built by it."""
    tensor = kind.wrap(ShapelessData(dtype, device_name))
    tensor._leaf_requires_grad = requires_grad
    return tensor


def _on_device(kind: Any, device: Any, dtype: DType | None, requires_grad: bool) -> Any:
    """Return a tensor of a class without a shape, of the default type and on the default device unless given."""
    data_type = dtypes.default_float() if dtype is None else dtype
    return _shapeless(kind, data_type, str(empty(0, device=device, dtype=data_type).device), requires_grad)


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter without a shape, as ``torch.nn.parameter.UninitializedParameter``; ``materialize`` sets the shape.

    >>> import weft as wf
    >>> wf.nn.LazyLinear(2).weight
    <UninitializedParameter>
    """

    __slots__ = ()

    def __new__(
        cls, requires_grad: bool = True, device: str | None = None, dtype: DType | None = None
    ) -> UninitializedParameter:
        """See the class."""
        parameter = _on_device(cls, device, dtype, requires_grad)
        assert isinstance(parameter, UninitializedParameter)
        return parameter

    def __init__(
        self, requires_grad: bool = True, device: str | None = None, dtype: DType | None = None
    ) -> None:
        pass  # __new__ builds the tensor


class UninitializedBuffer(Uninitialized):
    """A buffer without a shape, as ``torch.nn.parameter.UninitializedBuffer``; ``materialize`` sets the shape."""

    __slots__ = ()

    def __new__(cls, device: str | None = None, dtype: DType | None = None) -> UninitializedBuffer:
        """See the class."""
        buffer = _on_device(cls, device, dtype, False)
        assert isinstance(buffer, UninitializedBuffer)
        return buffer

    def __init__(self, device: str | None = None, dtype: DType | None = None) -> None:
        pass  # __new__ builds the tensor
