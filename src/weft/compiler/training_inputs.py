"""Declared inputs of a compiled step or forward pass, and the check of the inputs of each call.

A dimension of ``None`` is open: each size is compiled at its first use. All open dimensions of a call have one size, as
in Keras and ONNX.
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
"""How many checked layouts (shape, type, device, strides) are cached for each input."""


@dataclass(frozen=True)
class Declared:
    """The declared shape of an input, with ``None`` for open sizes, and its type."""

    shape: tuple[int | None, ...]
    dtype: DType

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Return whether a shape fits, apart from the agreement of open sizes."""
        return len(shape) == len(self.shape) and all(
            expected is None or expected == size for expected, size in zip(self.shape, shape, strict=True)
        )


class Inputs:
    """The declared inputs of a compiled step or forward pass.

    ``where`` names it in errors; ``device`` is the device of its tensors.
    """

    def __init__(self, where: str, inputs: Mapping[str, Any], device: str) -> None:
        if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
            given = type(inputs).__name__ if not isinstance(inputs, Mapping) else list(inputs)
            raise ArgumentTypeError(
                mistake(
                    where,
                    "inputs",
                    given,
                    "a dict from names to declarations",
                    f"declare each input by {FORMS}",
                )
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
        """Whether any size is open."""
        return any(None in declared.shape for declared in self.declared.values())

    def examples(self) -> dict[str, Tensor]:
        """Return tensors of the declared types with undefined values; no size may be open."""
        return {
            name: empty([size or 0 for size in declared.shape], dtype=declared.dtype, device=self.device)
            for name, declared in self.declared.items()
        }

    def check(self, where: str, given: Mapping[str, Any]) -> dict[str, Tensor]:
        """Check the inputs of a call, and return them in the declared order; arrays and lists become tensors.

        Raises:
            ArgumentTypeError: a name is missing or unknown.
            ShapeError, DTypeError, DeviceError: an input is not as declared.
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
            raise ShapeError(mistake(where, "the size that is None", given, "one common size"))
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
