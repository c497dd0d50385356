"""Collections that register their members: ``ModuleDict``, ``ParameterList``, ``ParameterDict``."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from weft.errors import ArgumentTypeError, IndexOutOfRangeError, mistake
from weft.nn.containers import _module
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.tensors.tensor import Tensor


def _pairs(where: str, given: Any) -> list[tuple[str, Any]]:
    """Return the pairs of a mapping, or of an iterable of pairs."""
    if isinstance(given, Mapping) or hasattr(given, "items"):
        return list(given.items())
    if not isinstance(given, Iterable):
        raise ArgumentTypeError(mistake(where, "argument", f"a {type(given).__name__}", "a mapping or pairs"))
    pairs = [tuple(pair) if isinstance(pair, Iterable) else (pair,) for pair in given]
    for pair in pairs:
        if len(pair) != 2:
            raise ArgumentTypeError(mistake(where, "argument", f"an entry of length {len(pair)}", "pairs"))
    return pairs


class ModuleDict(Module):
    """A dict of registered modules in insertion order; it has no ``forward``.

    >>> import weft as wf
    >>> wf.nn.ModuleDict({"act": wf.nn.ReLU()})
    ModuleDict(
      (act): ReLU()
    )
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[Any] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, _module("ModuleDict", module))

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Remove a module and return it."""
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and modules."""
        return self._modules.items()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Add the modules of a mapping or of pairs."""
        for key, module in _pairs("ModuleDict.update", modules):
            self[key] = module


def _parameter(value: Any) -> Any:
    """Return a tensor as a parameter, and any other value unchanged."""
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


def _line(value: Any) -> str:
    """Return the printed line of a value, as PyTorch prints it."""
    if not isinstance(value, Tensor):
        return f"Object of type: {type(value).__name__}"
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    size = "x".join(str(extent) for extent in value.shape)
    place = "" if str(value.device) == "cpu" else f" ({value.device})"
    return f"{kind} containing: [{value.dtype!r} of size {size}{place}]"


class ParameterList(Module):
    """A list of parameters, registered under ``"0"``, ``"1"``, …; tensors become parameters."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _key(self, index: Any) -> str:
        place = operator.index(index)
        if not -self._size <= place < self._size:
            raise IndexOutOfRangeError(
                mistake("ParameterList", "index", place, f"in [{-self._size}, {self._size - 1}]")
            )
        return str(place % self._size)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return ParameterList([getattr(self, str(i)) for i in range(*index.indices(self._size))])
        return getattr(self, self._key(index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._key(index), _parameter(value))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._size))

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add a value at the end and return the list."""
        setattr(self, str(self._size), _parameter(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add values at the end and return the list."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise ArgumentTypeError(
                mistake(
                    "ParameterList.extend", "values", f"a {type(values).__name__}", "an iterable of values"
                )
            )
        for value in list(values):
            self.append(value)
        return self

    def _child_lines(self) -> list[str]:
        return [f"  ({place}): {_line(value)}" for place, value in enumerate(self)]


class ParameterDict(Module):
    """A dict of parameters, registered under their keys; tensors become parameters."""

    def __init__(self, parameters: Mapping[str, Any] | Iterable[Any] | None = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self._keys and hasattr(self, key):
            raise ArgumentTypeError(
                mistake("ParameterDict", "key", repr(key), "a key that is not the name of an attribute")
            )
        self._keys[key] = None
        setattr(self, key, _parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> Iterable[str]:
        """The keys, in the order of insertion."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Keys and values."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterable[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or ``default`` where the key is missing."""
        return self[key] if key in self._keys else default

    def pop(self, key: str) -> Any:
        """Remove a key and return its value."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove everything."""
        for key in list(self._keys):
            del self[key]

    def update(self, parameters: Any) -> None:
        """Add the values of a mapping or of pairs."""
        for key, value in _pairs("ParameterDict.update", parameters):
            self[key] = value

    def _child_lines(self) -> list[str]:
        return [f"  ({key}): {_line(value)}" for key, value in self.items()]
