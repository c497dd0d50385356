"""``Parameter``: a tensor that a module registers, trains and saves; and those of lazy layers, without a shape yet."""

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

    It shares the memory of ``data``. Raises ``ArgumentTypeError`` for something else than a tensor, ``DTypeError``
    for integers with ``requires_grad``.

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
        made = cls.wrap(data._data)
        made.requires_grad_(requires_grad)
        assert isinstance(made, Parameter)
        return made

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        pass  # made by __new__; Tensor's __init__ refuses

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Unmade:
    """Stands in the place of an array: a type and a device, without a shape and elements."""

    __slots__ = ("device_name", "dtype")

    def __init__(self, dtype: DType, device_name: str) -> None:
        self.dtype = dtype
        self.device_name = device_name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ArgumentError(
            "lazy module: a parameter or buffer is uninitialized, expected one with a shape and elements; call the "
            "module once with an input, or load a state dict, before they are used or compiled"
        )


class Uninitialized(Tensor):
    """What parameters and buffers without a shape have in common."""

    __slots__ = ()

    def materialize(
        self, shape: Sequence[int], device: str | None = None, dtype: DType | None = None
    ) -> None:
        """Give the tensor memory of a shape, with undefined contents; it becomes an ordinary one."""
        own = self._data
        made = empty(tuple(shape), device=device or own.device_name, dtype=dtype or own.dtype)
        self._data = made._data
        self.__class__ = Parameter if isinstance(self, Parameter) else Tensor  # type: ignore[assignment]

    def detach(self) -> Tensor:
        """The tensor itself, which has no history."""
        return self

    def to(self, *args: Any, dtype: DType | None = None, device: Any = None, **options: Any) -> Any:
        """A tensor without a shape of another type or on another device; as of a module's ``to``."""
        own = self._data
        return self._another(dtype or own.dtype, own.device_name if device is None else str(device))

    def _another(self, dtype: DType, device_name: str) -> Any:
        made = type(self).wrap(Unmade(dtype, device_name))
        made._leaf_requires_grad = self._leaf_requires_grad
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = self._another(self._data.dtype, self._data.device_name)
        memo[id(self)] = made
        return made

    def __copy__(self) -> Any:
        return self._another(self._data.dtype, self._data.device_name)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        own = self._data
        return _remade, (type(self), own.dtype, own.device_name, self._leaf_requires_grad)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _remade(kind: Any, dtype: DType, device_name: str, requires_grad: bool) -> Any:
    made = kind.wrap(Unmade(dtype, device_name))
    made._leaf_requires_grad = requires_grad
    return made


def _unmade(device: Any, dtype: DType | None) -> Unmade:
    kind = dtypes.default_float() if dtype is None else dtype
    return Unmade(kind, str(empty(0, device=device, dtype=kind).device))


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter without a shape, as ``torch.nn.parameter.UninitializedParameter``; ``materialize`` gives it one.

    >>> import weft as wf
    >>> wf.nn.LazyLinear(2).weight
    <UninitializedParameter>
    """

    __slots__ = ()

    def __new__(
        cls, requires_grad: bool = True, device: str | None = None, dtype: DType | None = None
    ) -> UninitializedParameter:
        """See the class."""
        made = cls.wrap(_unmade(device, dtype))
        made._leaf_requires_grad = requires_grad
        assert isinstance(made, UninitializedParameter)
        return made

    def __init__(
        self, requires_grad: bool = True, device: str | None = None, dtype: DType | None = None
    ) -> None:
        pass  # made by __new__


class UninitializedBuffer(Uninitialized):
    """A buffer without a shape, as ``torch.nn.parameter.UninitializedBuffer``; ``materialize`` gives it one."""

    __slots__ = ()

    def __new__(cls, device: str | None = None, dtype: DType | None = None) -> UninitializedBuffer:
        """See the class."""
        made = cls.wrap(_unmade(device, dtype))
        assert isinstance(made, UninitializedBuffer)
        return made

    def __init__(self, device: str | None = None, dtype: DType | None = None) -> None:
        pass  # made by __new__
