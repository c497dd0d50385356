"""``Reads``: the Python values that a traced function reads: variables, and attributes of objects.

The trace follows everything that the function reaches by name: the variables of its closure, its globals, the functions
in these variables, and attributes of objects when they are read (``observing``). ``ReadGuards`` compares plain values
with their earlier values, and other objects by identity. ``restore`` undoes the writes of a failed trace.
"""

from __future__ import annotations

import dis
import functools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from weft.compiler.observing import is_foreign, is_observable, observe, stop
from weft.compiler.plain import LARGEST, is_plain, snapshot
from weft.nn.module import Module
from weft.tensors.array import Array
from weft.tensors.tensor import Tensor

MISSING = type("Missing", (), {"__repr__": lambda _: "missing"})()
"""The value of a missing variable, attribute or entry."""

_TABLES = ("_parameters", "_buffers", "_modules", "_transient")
_SKIPPED = frozenset((*_TABLES, "training", "_hooks", "__dict__", "__class__", "forward", "extra_repr"))
"""Attributes of modules that have guards of their own, or need none."""
FEW_TENSORS = 16
"""The most tensors of a list or dict that get a guard each."""


@dataclass(frozen=True)
class Read:
    """A value that the function read: ``get(owner, name)`` reads it again, ``label`` names it in words."""

    get: Callable[[Any, Any], Any]
    owner: Any
    name: Any
    value: Any
    label: str


def of_cell(cell: CellType, _: Any) -> Any:
    """Return the value of a closure variable, ``MISSING`` where it is unset."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def of_dict(table: dict[Any, Any], name: Any) -> Any:
    """Return an entry of a dict, or ``MISSING``."""
    return table.get(name, MISSING)


def of_object(owner: Any, name: str) -> Any:
    """Return an attribute of an object, or ``MISSING``."""
    return getattr(owner, name, MISSING)


def of_list(owner: Any, position: int) -> Any:
    """Return an item of a sequence, or ``MISSING``."""
    return owner[position] if position < len(owner) else MISSING


class Reads:
    """The Python values that one trace reads and writes."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, Any], Read] = {}
        self._known: dict[int, Any] = {}
        self._functions: dict[int, Any] = {}
        self._observed: list[type] = []
        self._objects: dict[int, tuple[Any, dict[str, Any], dict[str, Any]]] = {}
        self._slots: dict[tuple[int, str], tuple[Any, str, Any]] = {}
        self._containers: dict[int, tuple[Any, Any]] = {}
        self._variables: dict[tuple[int, str], Read] = {}
        self._written: set[tuple[int, str]] = set()

    # Following.

    def follow(self, fn: Any) -> None:
        """Follow the traced function: its variables, its object, and the values that these hold."""
        self._reach(fn, "the function")

    def know(self, owner: Any) -> None:
        """Observe the attributes of an object from now on."""
        if id(owner) in self._known:
            return
        self._known[id(owner)] = owner
        kind = observe(owner)
        if kind is not None:
            self._observed.append(kind)
        forward = getattr(type(owner), "forward", None) if isinstance(owner, Module) else None
        if isinstance(forward, FunctionType):
            self._visit(forward)

    def _reach(self, value: Any, label: str) -> None:
        if isinstance(value, Tensor) or is_plain(value):
            return
        if isinstance(value, FunctionType):
            self._visit(value)
        elif isinstance(value, MethodType):
            self._reach(value.__self__, label)
            self._reach(value.__func__, label)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self._reach(part, label)
        elif isinstance(value, list | tuple | dict | set):
            self._contain(value, label)
        elif isinstance(value, type):
            if not is_foreign(value.__module__):
                for member in list(vars(value).values()):
                    if isinstance(member, FunctionType):
                        self._visit(member)
        elif is_observable(value):
            self.know(value)
        elif hasattr(type(value), "compilations"):  # a jitted function
            self._reach(value.__wrapped__, label)

    def _contain(self, value: Any, label: str) -> None:
        """Follow the entries of a container, and store a copy in case the trace fails."""
        if id(value) in self._containers or len(value) > 16 * LARGEST:
            return
        if not isinstance(value, tuple):
            self._containers[id(value)] = (value, value.copy())
        else:
            self._containers[id(value)] = (value, value)
        pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
        get: Any = of_dict if isinstance(value, dict) else of_list
        tensors = 0
        for key, part in list(pairs):
            if isinstance(part, Tensor) and not isinstance(value, set | tuple):
                tensors += 1
                if tensors <= FEW_TENSORS:
                    self._note(Read(get, value, key, part, f"[{key!r}] of {label}"))
            else:
                self._reach(part, label)

    def _visit(self, fn: FunctionType) -> None:
        """Record the variables that a function of the user's program names."""
        if id(fn) in self._functions or is_foreign(fn.__module__):
            return
        self._functions[id(fn)] = fn
        code, scope = fn.__code__, fn.__globals__
        cells = dict(zip(code.co_freevars, fn.__closure__ or (), strict=False))
        for name, attributes in _names(code):
            if name in cells:
                read = Read(of_cell, cells[name], "", of_cell(cells[name], ""), f"the variable `{name}`")
            elif name in scope:
                label = f"the global `{name}` of {fn.__module__}"
                read = Read(of_dict, scope, name, scope[name], label)
            else:
                continue
            self._variables.setdefault((id(read.owner), name), read)
            self._variable(read, attributes)
        for value in (*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()):
            self._reach(value, f"a default of {fn.__qualname__}")
        wrapped = getattr(fn, "__wrapped__", None)
        if wrapped is not None:
            self._reach(wrapped, "the function")

    def _variable(self, read: Read, attributes: tuple[str, ...]) -> None:
        """Record a variable, and follow the attributes that are read of modules and classes in it."""
        while True:
            value = read.value
            if value is MISSING or isinstance(value, ModuleType) and is_foreign(value.__name__):
                return
            if not isinstance(value, ModuleType):
                self._note(read)
            if not attributes or not isinstance(value, ModuleType | type):
                self._reach(value, read.label)
                return
            name, attributes = attributes[0], attributes[1:]
            if isinstance(value, ModuleType):
                read = Read(
                    of_dict,
                    vars(value),
                    name,
                    vars(value).get(name, MISSING),
                    f"`{name}` of {value.__name__}",
                )
            else:
                found = getattr(value, name, MISSING)
                read = Read(of_object, value, name, found, f"{value.__name__}.{name}")
                if isinstance(found, MethodType):  # Python makes a new object at each read
                    return

    # Notifications of the observed classes.

    def looked(self, owner: Any, name: str, value: Any) -> None:
        """Record that an attribute of an observed object was read."""
        key = (id(owner), name)
        if id(owner) not in self._known or key in self.found or key in self._written:
            return
        if name in _SKIPPED or name.startswith("__"):
            return
        if isinstance(value, MethodType) and value.__self__ is owner:
            self._reach(value.__func__, name)
            return
        attributes = getattr(owner, "__dict__", None)
        if attributes is not None and name in attributes:
            read = Read(of_dict, attributes, name, value, f"{type(owner).__name__}.{name}")
        elif _is_stored(type(owner), name):
            read = Read(of_object, owner, name, value, f"{type(owner).__name__}.{name}")
        else:
            return  # a property or __getattr__, whose own reads are recorded
        self._note(read, key)
        self._reach(value, read.label)

    def changing(self, owner: Any, name: str) -> None:
        """Record that an attribute of an object is about to be written, and store the old value."""
        if id(owner) not in self._known:
            return
        self._written.add((id(owner), name))
        attributes = getattr(owner, "__dict__", None)
        if attributes is None:
            self._slots.setdefault((id(owner), name), (owner, name, getattr(owner, name, MISSING)))
        elif id(owner) not in self._objects:
            tables = {table: attributes[table].copy() for table in _TABLES if table in attributes}
            self._objects[id(owner)] = (owner, dict(attributes), tables)

    def _note(self, read: Read, key: tuple[int, Any] | None = None) -> None:
        if isinstance(read.value, Tensor) and type(read.value._data) is not Array:
            return  # a value of the trace
        self.found.setdefault(key or (id(read.owner), read.name), read)

    # The end of the trace.

    def end(self) -> None:
        """End the observation of classes."""
        while self._observed:
            stop(self._observed.pop())

    def restore(self) -> None:
        """Restore the values that objects, containers and variables had before the trace."""
        for owner, attributes, tables in self._objects.values():
            present = vars(owner)
            present.clear()
            present.update(attributes)
            for name, entries in tables.items():
                table = present[name]
                table.clear()
                table.update(entries)
        for owner, name, value in self._slots.values():
            if value is MISSING:
                object.__delattr__(owner, name)
            else:
                object.__setattr__(owner, name, value)
        for container, entries in self._containers.values():
            if not isinstance(container, tuple) and not _same_entries(container, entries):
                container.clear()
                getattr(container, "extend" if isinstance(container, list) else "update")(entries)
        for read in self._variables.values():
            if read.value is MISSING or read.get(read.owner, read.name) is read.value:
                continue
            if isinstance(read.owner, CellType):
                read.owner.cell_contents = read.value
            else:
                read.owner[read.name] = read.value

    def settled(self) -> tuple[list[Read], list[str]]:
        """Return the reads to guard, and labels of the values that the function itself changed, which get no guard."""
        kept, changed = [], []
        for read in self.found.values():
            if not _is_guarded(read.value):
                continue
            now = read.get(read.owner, read.name)
            (kept.append(read) if now is read.value else changed.append(read.label))
        return kept, changed


def _same_entries(container: Any, entries: Any) -> bool:
    if len(container) != len(entries):
        return False
    if isinstance(container, set):
        return bool(container == entries)
    if isinstance(container, dict):
        return all(map(operator.is_, container, entries)) and all(
            map(operator.is_, container.values(), entries.values())
        )
    return all(map(operator.is_, container, entries))


def _is_guarded(value: Any) -> bool:
    """Return whether another value means another program; containers of other than plain values may be refilled."""
    if isinstance(value, list | dict | set):
        return snapshot(value) is not None
    return not isinstance(value, MethodType | Iterator)


def _is_stored(kind: type, name: str) -> bool:
    """Return whether a class stores a value under a name, as a class attribute or a slot, not as a property."""
    for base in kind.__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            slot = type(found).__name__ == "member_descriptor"
            return slot or not hasattr(type(found), "__get__")
    return False


_BASES = frozenset({"LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_NAME", "LOAD_FROM_DICT_OR_DEREF"})
_STORES = frozenset({"STORE_GLOBAL", "STORE_DEREF"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


@lru_cache(maxsize=2048)
def _names(code: CodeType) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the variables that a function and its nested functions name, each with the attributes read of it."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    name, attributes = "", []
    for instruction in dis.get_instructions(code):
        if instruction.opname in _ATTRIBUTES and name:
            attributes.append(str(instruction.argval))
            continue
        if name:
            found[name, tuple(attributes)] = None
        name, attributes = "", []
        if instruction.opname in _BASES or instruction.opname in _STORES:
            name = str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.update(dict.fromkeys(_names(constant)))
    return tuple(found)
