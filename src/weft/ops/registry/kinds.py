"""The kinds of values that an argument accepts, read from its annotation, and the normal form of a given value.

A number of NumPy or of a 0-d tensor becomes a Python number here. A value of no accepted kind raises an error that
names the function and the argument. ``signatures`` calls this module for values that its fast test does not accept.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake

LEAST, MOST = -(2**63), 2**63 - 1
"""The least and the largest integer that an argument takes: those of 64 bits."""

C = TypeVar("C")

TENSORS: set[type] = set()
"""Classes known to be tensors; filled by ``is_tensor``."""

OPERANDS: set[type] = {bool, int, float}
"""Classes of the operands of operators: numbers and the classes in ``TENSORS``."""

SEQUENCES: set[type] = {tuple, list}
"""Classes of sequences of which the fast test checks the elements alone."""

CLASSES: dict[str, type] = {}
"""Classes of weft whose objects are arguments, by their names in annotations; filled by ``argument_class``."""

Kinds = frozenset[str]

_SHORT = {
    "Dims": "int | Sequence[int] | None",
    "Pair": "int | Sequence[int]",
    "tuple[float, float]": "Sequence[float]",
    "OptionalPair": "int | Sequence[int?] | None",
}
_NAMES = {
    "Tensor": "a Tensor",
    "int": "an int",
    "float": "a number",
    "bool": "a bool",
    "str": "a string",
    "Sequence[int]": "a sequence of ints",
    "Sequence[int?]": "a sequence of ints and None",
    "Sequence[float]": "a sequence of numbers",
    "Sequence[Tensor]": "a sequence of tensors",
    "DType": "a weft data type such as weft.float32",
    "Callable": "a function",
    "Iterable": "a sequence or an iterator",
    "Mapping": "a mapping",
    "Sized": "a collection with a length",
    "None": "None",
}
"""The words for each kind in errors. A part of an annotation that has no entry is not checked."""
_GENERIC = {
    "Callable": "Callable",
    "Iterable": "Iterable",
    "Mapping": "Mapping",
    "Sequence": "Iterable",
    "dict": "Mapping",
}
"""The kinds of generic annotations whose element types are not checked."""
_ELEMENTS = {
    "Sequence[int]": frozenset({"int"}),
    "Sequence[int?]": frozenset({"int", "None"}),
    "Sequence[float]": frozenset({"float"}),
    "Sequence[Tensor]": frozenset({"Tensor"}),
}
"""The kinds of the elements of each kind of sequence."""
_TYPES = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_}
"""The data type that each type of Python stands for, as in PyTorch."""


@lru_cache(maxsize=None)
def kinds_of(annotation: str) -> Kinds:
    """Return the kinds that an annotation names; none where it names a type that is not checked.

    >>> sorted(kinds_of("int | Sequence[int]"))
    ['Sequence[int]', 'int']
    """
    found = {kind for part in _parts(annotation) for kind in _parts(_SHORT.get(part, part))}
    found = {kind if kind in _NAMES else _GENERIC.get(kind.partition("[")[0], kind) for kind in found}
    return frozenset(found) if found <= _NAMES.keys() else frozenset()


def _parts(annotation: str) -> list[str]:
    """Return the types that an annotation joins by ``|`` outside of brackets."""
    parts, depth = [""], 0
    for letter in annotation:
        depth += (letter == "[") - (letter == "]")
        if letter == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def argument_class(words: str) -> Callable[[type[C]], type[C]]:
    """Return a decorator that registers a class, so that annotations that name it are checked from then on.

    ``words`` stand for an object of the class in errors.
    """

    def register(cls: type[C]) -> type[C]:
        CLASSES[cls.__name__], _NAMES[cls.__name__] = cls, words
        return cls

    return register


def is_tensor(value: Any) -> bool:
    """Return whether a value is a tensor of weft, or an interpreter's value in the place of a tensor."""
    kind = type(value)
    if kind in TENSORS:
        return True
    if not (hasattr(kind, "dtype") and hasattr(kind, "device") and hasattr(kind, "shape")):
        return False
    if hasattr(kind, "__array_interface__") or hasattr(kind, "__torch_function__"):
        return False  # NumPy's and PyTorch's
    TENSORS.add(kind)
    OPERANDS.add(kind)
    return True


def whole(values: Sequence[Any]) -> bool:
    """Return whether all elements are Python ints of 64 bits."""
    for value in values:  # noqa: SIM110  (a generator takes twice the time)
        if type(value) is not int or not LEAST <= value <= MOST:
            return False
    return True


def normal(where: str, argument: str, value: Any, kinds: Kinds) -> Any:
    """Return the normal form of a value for an argument of the given kinds.

    Raises:
        ArgumentTypeError: The value is of none of the kinds.
        ArgumentError: An integer is beyond 64 bits.
    """
    if value is None:
        if "None" in kinds:
            return None
        raise refusal(where, argument, value, kinds)
    if _is_object(value, kinds):
        return value
    if is_tensor(value):
        return value if "Tensor" in kinds else _of_tensor(where, argument, value, kinds)
    if isinstance(value, str):
        if "str" in kinds:
            return value
        raise refusal(where, argument, value, kinds)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", -1) == 0:
        value = value.item()
    if isinstance(value, bool | int | float):
        return _number(where, argument, value, kinds)
    if "DType" in kinds and isinstance(value, DType | type):
        found = _TYPES.get(value) if isinstance(value, type) else value
        if found is not None:
            return found
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        for kind, elements in _ELEMENTS.items():
            if kind in kinds:
                return _sequence(where, argument, value, elements)
    if "int" in kinds and hasattr(type(value), "__index__") and getattr(value, "ndim", 0) == 0:
        return _number(where, argument, operator.index(value), kinds)
    raise refusal(where, argument, value, kinds)


def _is_object(value: Any, kinds: Kinds) -> bool:
    """Return whether a value is of a kind that has no other form: a function, an object, a mapping, an iterable."""
    if "Callable" in kinds and callable(value):
        return True
    if "Sized" in kinds and hasattr(value, "__len__"):
        return getattr(value, "ndim", 1) != 0
    if "Mapping" in kinds and (isinstance(value, Mapping) or hasattr(value, "items")):
        return True
    if "Iterable" in kinds and hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        return getattr(value, "ndim", 1) != 0
    return any(isinstance(value, CLASSES[kind]) for kind in kinds & CLASSES.keys())


def _number(where: str, argument: str, value: bool | int | float, kinds: Kinds) -> Any:
    """Return a Python number as the kinds take it; raise where they take no such number."""
    if isinstance(value, bool):
        if "bool" in kinds or "float" in kinds:
            return value
    elif isinstance(value, float):
        if "float" in kinds:
            return float(value)
    else:
        if "int" in kinds or "float" in kinds:
            if not LEAST <= value <= MOST:
                raise ArgumentError(mistake(where, argument, _shown(value), "an integer of 64 bits"))
            return int(value)
        if "bool" in kinds and value in (0, 1):
            return bool(value)
    raise refusal(where, argument, value, kinds)


def _of_tensor(where: str, argument: str, value: Any, kinds: Kinds) -> Any:
    """Return the number in a 0-d tensor; where floats are taken, a traced tensor as it is."""
    if len(value.shape) or not kinds & {"int", "float", "bool"} or not hasattr(value, "item"):
        raise refusal(where, argument, value, kinds)
    if "float" in kinds:
        if getattr(value, "requires_grad", False):
            raise ArgumentTypeError(
                mistake(where, argument, "a tensor that requires grad", expected(kinds), "detach() it")
            )
        try:
            return normal(where, argument, value.item(), kinds)
        except UnsupportedError:
            return value
    if "int" in kinds and value.dtype.is_integer:
        return _number(where, argument, int(value), kinds)
    if "bool" in kinds and value.dtype is dtypes.bool_:
        return bool(value)
    raise refusal(where, argument, value, kinds)


def _sequence(where: str, argument: str, values: Any, elements: Kinds) -> Any:
    """Return a tuple of the elements in normal form; a sequence of tensors as it is."""
    made = [normal(where, f"{argument}[{place}]", value, elements) for place, value in enumerate(values)]
    return values if "Tensor" in elements else tuple(made)


def expected(kinds: Kinds) -> str:
    """Return the words for the kinds in an error."""
    given = [name for kind, name in _NAMES.items() if kind in kinds]
    return given[0] if len(given) == 1 else f"{', '.join(given[:-1])} or {given[-1]}"


def refusal(where: str, argument: str, value: Any, kinds: Kinds) -> ArgumentTypeError:
    """Return the error for a value of no accepted kind."""
    fix = ""
    if kinds & {"Tensor", "Sequence[Tensor]"} and not isinstance(value, str | None):
        fix = "use weft.tensor(...)"
    shown = _shown(value)
    if not kinds & {"int", "float", "bool"} and isinstance(value, bool | int | float | tuple | list):
        shown = type(value).__name__  # where no number is expected, the kind says more than the value
    if not is_tensor(value) and not kinds.isdisjoint({"Sized", *CLASSES, *_GENERIC.values()}):
        shown = f"a {type(value).__name__}"
    return ArgumentTypeError(mistake(where, argument, shown, expected(kinds), fix))


def _shown(value: Any) -> str:
    """Return a short text that shows a value in an error."""
    if is_tensor(value):
        return f"a {value.dtype.name} tensor of shape {tuple(value.shape)}"
    if value is None or isinstance(value, bool | int | float | str | tuple | list):
        if isinstance(value, tuple | list) and any(map(is_tensor, value)):
            return f"a {type(value).__name__} of {len(value)} with tensors"
        try:
            text = repr(value)
        except ValueError:  # an int of too many digits
            text = "an int of many digits"
        return text if len(text) <= 60 else f"{text[:50]} …"
    return f"a {type(value).__name__}"
