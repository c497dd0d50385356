"""``HostValues``: the part of ``Tensor`` that reads its elements for Python and NumPy. Reading waits for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from weft.errors import ArgumentError, ArgumentTypeError, GradError, ShapeError, UnsupportedError, mistake
from weft.ops import interpreter_stack
from weft.tensors import host
from weft.tensors.array import Array
from weft.tensors.eager import EAGER
from weft.tensors.printing import text

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


_ADVICE = {
    "bool": "choose between elements with weft.where(condition, a, b)",
    "int": "return it from the function and read it there; sizes and counts must be known to Python",
    "item": "return it from the function and read it there",
    "print": "return it, or mark it with weft.capture(name, tensor) and call the jitted function's with_captures()",
}
"""What to do instead of reading a value while a function is traced."""


class HostValues:
    """Methods that return numbers, lists, NumPy arrays and text."""

    __slots__ = ()

    def _array(self: Any, where: str) -> Array:
        """Return the array of the tensor; ``UnsupportedError`` for a traced tensor, whose value does not exist yet."""
        if type(self._data) is Array and interpreter_stack()[0].executes:
            known: Array = self._data
            return known
        readable = getattr(self._data, "readable", None)
        if readable is not None:  # a value of a transform that stands for one array
            array_below: Array = readable(where)._array(where)
            return array_below
        traced = type(self._data) is not Array
        number = getattr(getattr(self._data, "cell", None), "number", None)
        if number is not None:
            raise UnsupportedError(
                f"{where}: the argument {number.name} is a number given to a jitted function, which gets another at "
                f"each call: it has no value while the function is traced, expected a number that Python knows; to use "
                f"it as a size, a count, a key of a dict or in an if, close over it (a variable around, "
                f"functools.partial), so that each value is compiled for"
            )
        if traced or not interpreter_stack()[0].executes:
            state = "is being traced and has no value yet" if traced else "is read while a function is traced"
            raise UnsupportedError(
                f"{where}: the tensor {state}, expected a tensor outside of a traced function; "
                f"{_ADVICE.get(where, _ADVICE['item'])}"
            )
        array: Array = self._data
        return array

    def numpy(self: Any) -> Any:
        """Return the elements as a NumPy array: shared memory on ``cpu``, a copy elsewhere. Waits for the device.

        A tensor that requires grad must be detached first.
        """
        if self.requires_grad:
            raise GradError(
                "numpy: the tensor requires grad, expected one without; use tensor.detach().numpy()"
            )
        return host.to_numpy(self._array("numpy"), EAGER)

    def _numpy_later(self: Any) -> Callable[[], Any]:
        """Return a function that waits for the elements as they are now; later work does not prolong the wait."""
        return host.read_later(self._array("numpy"), EAGER)

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> Any:
        result = self.numpy()
        if dtype is not None and result.dtype != dtype:
            return result.astype(dtype)
        return result.copy() if copy else result

    def item(self: Any) -> bool | int | float:
        """Return the value of a tensor of one element, as a Python number. Waits for the device."""
        value: bool | int | float = self._element("item")
        return value

    def _element(self: Any, where: str) -> Any:
        if self.numel() != 1:
            raise ShapeError(
                mistake("item", "the tensor", f"of shape {self.shape}", "one element", "use tolist()")
            )
        return host.number(self._array(where), EAGER)

    def tolist(self: Any) -> Any:
        """Return the elements as nested Python lists (a number for a 0-d tensor)."""
        return host.to_numpy(self._array("tolist"), EAGER).tolist()

    def __bool__(self: Any) -> bool:
        if self.numel() != 1:
            raise ArgumentError(
                f"bool: a tensor of shape {self.shape} has no single truth value, expected one element; "
                f"use any() or all()"
            )
        return bool(self._element("bool"))

    def __float__(self: Any) -> float:
        return float(self._element("float"))

    def __int__(self: Any) -> int:
        return int(self._element("int"))

    def __index__(self: Any) -> int:
        if not self.dtype.is_integer:
            raise ArgumentTypeError(
                mistake("index", "the tensor's dtype", self.dtype.name, "an integer type")
            )
        return int(self._element("int"))

    def __len__(self: Any) -> int:
        if not self.shape:
            raise ArgumentTypeError("len: the tensor is 0-dimensional, expected at least 1 dimension")
        size: int = self.shape[0]
        return size

    def __iter__(self: Any) -> Iterator[Tensor]:
        if not self.shape:
            raise ArgumentTypeError(
                "iter: the tensor is 0-dimensional, expected at least 1 dimension; use item()"
            )
        return iter(self.unbind(0))

    def __contains__(self: Any, value: Any) -> bool:
        return bool((self == value).any())

    __hash__ = object.__hash__

    def __repr__(self: Any) -> str:
        return text(self)

    def __format__(self: Any, spec: str) -> str:
        """Format a 0-d tensor as its number (a ``Parameter`` only with a format), others as text."""
        if self.ndim == 0 and (spec or type(self).__name__ == "Tensor"):
            return format(self._element("item" if spec else "print"), spec)
        if spec and self.numel() == 1:
            return format(self.item(), spec)
        return object.__format__(self, spec)
