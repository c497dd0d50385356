"""Modules that hold modules: ``Sequential``, ``ModuleList``."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from weft.errors import ArgumentTypeError, IndexOutOfRangeError, mistake
from weft.nn.module import Module, _indented


class _Indexed(Module):
    """Submodules used as a sequence; their names are ``"0"``, ``"1"``, …, or given ones."""

    def _name(self, index: int) -> str:
        place, count = operator.index(index), len(self)
        if not -count <= place < count:
            raise IndexOutOfRangeError(
                mistake(type(self).__name__, "index", place, f"in [{-count}, {count - 1}]")
            )
        return list(self._modules)[place]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._sliced(list(self._modules.items())[index])
        return self._modules[self._name(index)]

    def _sliced(self, chosen: list[tuple[str, Any]]) -> Any:
        return type(self)([module for _, module in chosen])  # type: ignore[call-arg]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), _module(type(self).__name__, module))

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [self._name(index)]
        for name in names:
            del self._modules[name]
        self._renumber()

    def _renumber(self) -> None:
        """Rename the modules to ``"0"``, ``"1"`` and so on, where all names are numbers."""
        if all(name.isdigit() for name in self._modules):
            self._set_all(list(self._modules.values()))

    def _set_all(self, modules: list[Any]) -> None:
        """Replace all submodules, under the names ``"0"``, ``"1"`` and so on."""
        self._modules.clear()
        self._modules.update({str(place): module for place, module in enumerate(modules)})

    def append(self, module: Module) -> Any:
        """Add a module at the end and return the container."""
        self.add_module(str(len(self)), _module(f"{type(self).__name__}.append", module))
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end and return the container."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Add a module before a position and return the container."""
        modules: list[Any] = list(self._modules.values())
        modules.insert(index, _module(f"{type(self).__name__}.insert", module))
        self._set_all(modules)
        return self


class Sequential(_Indexed):
    """Modules applied one after another, given as arguments or as a dict of names and modules.

    >>> import weft as wf
    >>> net = wf.nn.Sequential(wf.nn.Linear(2, 3), wf.nn.ReLU())
    >>> net
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    >>> len(net[:1])
    1
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = (
            args[0]
            if len(args) == 1 and isinstance(args[0], Mapping)
            else {str(i): m for i, m in enumerate(args)}
        )
        for name, module in named.items():
            self.add_module(name, _module("Sequential", module))

    def forward(self, input: Any) -> Any:
        """Apply all modules in order."""
        for module in self:
            input = module(input)
        return input

    def _sliced(self, chosen: list[tuple[str, Any]]) -> Any:
        return type(self)(dict(chosen))


class ModuleList(_Indexed):
    """A list of registered modules; it has no ``forward``."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        self.extend(modules)
        return self

    def _child_lines(self) -> list[str]:
        """Return the printed lines; consecutive modules of one text share a line: ``(0-3): 4 x Linear(…)``."""
        runs: list[tuple[int, int, str]] = []
        for place, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], place, text)
            else:
                runs.append((place, place, text))
        return [
            f"({first}): {_indented(text)}"
            if first == last
            else f"({first}-{last}): {last - first + 1} x {_indented(text)}"
            for first, last, text in runs
        ]


def _module(where: str, value: Any) -> Module:
    if not isinstance(value, Module):
        raise ArgumentTypeError(mistake(where, "module", f"a {type(value).__name__}", "a Module"))
    return value
