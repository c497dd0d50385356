"""Inputs by name: what a compiled step or forward pass takes, as declared, and the check of what it is given.

A dimension that is ``None`` may be of any size, which is compiled for when it first comes; all such dimensions of a
call are of one size, as in Keras and ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, DeviceError, DTypeError, ShapeError, mistake
from weft.ops import TensorType
from weft.tensors.creation import empty
from weft.tensors.tensor import Tensor, tensor

FORMS = "an example tensor, a TensorType, a shape such as (None, 784) for float32, or a pair (shape, dtype)"

LAYOUTS = 64
"""Layouts of tensors (shape, type, device, strides) that are remembered as fitting, for each input."""


@dataclass(frozen=True)
class Declared:
    """The shape, with ``None`` for what is open, and the type of an input."""

    shape: tuple[int | None, ...]
    dtype: DType

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a shape fits, but for the agreement of open dimensions."""
        return len(shape) == len(self.shape) and all(
            expected is None or expected == size for expected, size in zip(self.shape, shape, strict=True)
        )


class Inputs:
    """The inputs of something compiled; ``where`` names it in errors, ``device`` is where the tensors must be."""

    def __init__(self, where: str, inputs: Mapping[str, Any], device: str) -> None:
        if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
            given = type(inputs).__name__ if not isinstance(inputs, Mapping) else list(inputs)
            raise ArgumentTypeError(
                mistake(where, "inputs", given, "a dict of names and what they stand for")
            )
        self.device = device
        self.declared = {name: _declared(where, name, declaration) for name, declaration in inputs.items()}
        self._known: dict[str, set[int]] = {name: set() for name in self.declared}

    def move(self, device: str) -> None:
        """Expect tensors on another device from now on."""
        self.device = device
        for known in self._known.values():
            known.clear()

    @property
    def open(self) -> bool:
        """Whether sizes are left to the calls."""
        return any(None in declared.shape for declared in self.declared.values())

    def examples(self) -> dict[str, Tensor]:
        """Tensors as declared, where no size is open; their values mean nothing."""
        return {
            name: empty([size or 0 for size in declared.shape], dtype=declared.dtype, device=self.device)
            for name, declared in self.declared.items()
        }

    def check(self, where: str, given: Mapping[str, Any]) -> dict[str, Tensor]:
        """The inputs of a call in the declared order; NumPy arrays and lists become tensors on the device.

        Raises ``ArgumentTypeError`` for names that are missing or unknown, ``ShapeError``, ``DTypeError`` or
        ``DeviceError`` for what is not as declared.
        """
        if given.keys() != self.declared.keys():
            named = ", ".join(given) or "none"
            expected = ", ".join(f"{name}: {declared}" for name, declared in self.declared.items()) or "none"
            raise ArgumentTypeError(mistake(where, "the inputs", named, expected, "give each by its name"))
        sizes: dict[int, str] = {}
        found = {}
        for name, known in self._known.items():
            value = given[name]
            if type(value) is not Tensor or getattr(value._data, "key", None) not in known:
                value = self._one(where, name, value, sizes)
                if None not in self.declared[name].shape and len(known) < LAYOUTS:
                    known.add(value._data.key)
            found[name] = value
        return found

    def _one(self, where: str, name: str, value: Any, sizes: dict[int, str]) -> Tensor:
        declared = self.declared[name]
        found = value if isinstance(value, Tensor) else self._converted(where, name, value)
        if found.dtype is not declared.dtype:
            given = f"{found.dtype.name}{list(found.shape)}"
            fix = f"convert it by {name}.to(weft.{declared.dtype.name})"
            raise DTypeError(mistake(where, name, given, repr(declared), fix))
        if not declared.takes(found.shape):
            raise ShapeError(mistake(where, name, f"{found.dtype.name}{list(found.shape)}", repr(declared)))
        if str(found.device) != self.device:
            raise DeviceError(
                mistake(where, name, f"on {found.device}", f"on {self.device}, as the model",
                        f"move it by {name}.to({self.device!r})")
            )  # fmt: skip
        for at, (expected, size) in enumerate(zip(declared.shape, found.shape, strict=True)):
            if expected is None:
                sizes.setdefault(size, f"dimension {at} of {name}")
        if len(sizes) > 1:
            (first, place), (second, second_place) = sizes.items()
            given = f"{first} in {place} and {second} in {second_place}"
            raise ShapeError(mistake(where, "the size that is None", given, "one size for all of a call"))
        return found

    def _converted(self, where: str, name: str, value: Any) -> Tensor:
        declared = self.declared[name]
        if not hasattr(value, "__array__") and not isinstance(value, list | tuple | int | float):
            raise ArgumentTypeError(
                mistake(where, name, f"a {type(value).__name__}", f"a tensor or an array of {declared}")
            )
        import numpy

        array = numpy.asarray(value)
        same = {"f": "float", "i": "int", "u": "uint", "b": "bool"}.get(
            array.dtype.kind
        ) == declared.dtype.kind
        return tensor(array, dtype=declared.dtype if same else None, device=self.device)


def _declared(where: str, name: str, given: Any) -> Declared:
    if isinstance(given, Tensor | TensorType):
        shape, dtype = given.shape, given.dtype
    elif isinstance(given, list | tuple) and len(given) == 2 and isinstance(given[1], DType):
        shape, dtype = given
    else:
        shape, dtype = given, dtypes.float32
    if not isinstance(shape, list | tuple) or not all(map(_is_size, shape)):
        raise ArgumentTypeError(mistake(where, f"inputs[{name!r}]", repr(given), FORMS))
    if any(size is not None and size < 0 for size in shape):
        raise ArgumentError(mistake(where, f"inputs[{name!r}]", repr(given), "sizes of 0 or more, or None"))
    return Declared(tuple(shape), dtype)


def _is_size(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))
