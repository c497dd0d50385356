"""Fronts: public functions that check and normalise their arguments by their signature, then call the body.

``checked(function)`` generates the source text of a function with the same signature. Where every argument has the type
that its annotation names, the generated function calls the body directly. All other calls (numbers of NumPy, keywords
that PyTorch has for the same argument, mistakes) go through ``Front.call``.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import keyword
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake
from weft.ops.registry.kinds import (
    CLASSES,
    LEAST,
    MOST,
    SEQUENCES,
    TENSORS,
    Kinds,
    expected,
    kinds_of,
    normal,
    whole,
)

NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}
"""NumPy's names of arguments, which PyTorch takes as well."""

PLAIN_LAYOUTS = ("torch.strided", "weft.strided", "strided")
PLAIN_FORMATS = ("contiguous_format", "preserve_format")


def _is_false(value: Any) -> bool:
    return isinstance(value, bool) and not value


def _is_plain_format(value: Any) -> bool:
    return value is None or str(value).rpartition(".")[2] in PLAIN_FORMATS


NEUTRAL: dict[str, tuple[Callable[[Any], bool], str]] = {
    "memory_format": (_is_plain_format, "contiguous_format or preserve_format"),
    "layout": (lambda value: value is None or str(value) in PLAIN_LAYOUTS, "None or strided"),
    "pin_memory": (lambda value: value is None or isinstance(value, bool), "a bool"),
    "non_blocking": (lambda value: isinstance(value, bool), "a bool"),
    "sparse_grad": (_is_false, "False"),
    "implicit": (_is_false, "False"),
    "is_grads_batched": (_is_false, "False"),
    "only_inputs": (lambda value: value is True, "True"),
    "_stacklevel": (lambda value: isinstance(value, int), "an int"),
}
"""Arguments of PyTorch that have no effect in weft: a test of the accepted values, and the words for these values."""


def accept_neutral(where: str, argument: str, value: Any) -> None:
    """Raise ``UnsupportedError`` where an argument of ``NEUTRAL`` has a value that would have an effect."""
    accepts, words = NEUTRAL[argument]
    if not accepts(value):
        raise UnsupportedError(mistake(where, argument, repr(value), words))


_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
_VAR_POSITIONAL = inspect.Parameter.VAR_POSITIONAL


class _Missing:
    """The type of ``MISSING``, the value of a required argument that was not given."""

    def __repr__(self) -> str:
        return "missing"


MISSING: Any = _Missing()


@dataclass(frozen=True)
class Argument:
    """A parameter: its name, the kinds of values that it takes, its default (``MISSING`` where it has none)."""

    name: str
    kinds: Kinds
    default: Any
    keyword_only: bool


@dataclass(frozen=True)
class Front:
    """The arguments of a public function, and the body that is called with their normal forms."""

    name: str
    body: Callable[..., Any]
    arguments: tuple[Argument, ...]
    several: Argument | None
    """The parameter ``*name``, or ``None``."""
    keywords: Mapping[str, str]
    """Further names of arguments."""
    neutral: tuple[str, ...]
    uncounted: ClassVar[int] = 0
    """The number of leading arguments that a caller does not write: 1 for methods."""

    def call(self, values: tuple[Any, ...], more: tuple[Any, ...], other: dict[str, Any]) -> Any:
        """Call the body with the arguments in normal form."""
        given = list(values)
        if self.several is None and more:
            count = sum(not argument.keyword_only for argument in self.arguments) - self.uncounted
            raise ArgumentTypeError(
                mistake(self.name, "the number of arguments", count + len(more), f"at most {count}")
            )
        if other:
            more = self._named(given, more, other)
        made = [self._normal(argument, value) for argument, value in zip(self.arguments, given, strict=True)]
        if self.several is not None:
            more = self._flat(self.several, more)
        positional, keywords = [], {}
        for argument, value in zip(self.arguments, made, strict=True):
            if argument.keyword_only:
                keywords[argument.name] = value
            else:
                positional.append(value)
        return self.body(*positional, *more, **keywords)

    def _normal(self, argument: Argument, value: Any) -> Any:
        if value is MISSING:
            needed = expected(argument.kinds) if argument.kinds else "a value"
            raise ArgumentTypeError(mistake(self.name, argument.name, "missing", needed))
        if value is argument.default or not argument.kinds:
            return value
        return normal(self.name, argument.name, value, argument.kinds)

    def _named(self, given: list[Any], more: tuple[Any, ...], other: dict[str, Any]) -> tuple[Any, ...]:
        """Put arguments that were given by another name in their places."""
        places = {argument.name: place for place, argument in enumerate(self.arguments)}
        for key, value in other.items():
            name = self.keywords.get(key, key)
            if self.several is not None and name == self.several.name:
                if more:
                    raise ArgumentTypeError(f"{self.name}: {name} is given twice, expected once")
                more = tuple(value) if isinstance(value, tuple | list) else (value,)
            elif name in places:
                place = places[name]
                if given[place] is not self.arguments[place].default:
                    raise ArgumentTypeError(f"{self.name}: {name} is given twice, expected once")
                given[place] = value
            elif key in self.neutral:
                accept_neutral(self.name, key, value)
            else:
                raise self._unknown(key)
        return more

    def _unknown(self, key: str) -> ArgumentTypeError:
        """Return the error for a keyword that the function does not have; it suggests the most similar keyword."""
        names = [argument.name for argument in self.arguments[self.uncounted :]]
        names += [self.several.name] if self.several else []
        near = difflib.get_close_matches(key, [*names, *self.keywords, *self.neutral], 1)
        fix = f"did you mean {near[0]}=?" if near else ""
        return ArgumentTypeError(
            mistake(self.name, "arguments", f"{key}=", ", ".join(names) or "no arguments", fix)
        )

    def _flat(self, several: Argument, more: Sequence[Any]) -> tuple[Any, ...]:
        """Return ``(2, 3)`` for both ``f(2, 3)`` and ``f((2, 3))``."""
        if not several.kinds:
            return tuple(more)
        if len(more) == 1 and isinstance(more[0], Sequence) and not isinstance(more[0], str | bytes):
            more = more[0]
        kinds = several.kinds - {"Sequence[int]"}
        return tuple([normal(self.name, several.name, value, kinds) for value in more])


def _test(name: str, kinds: Kinds, default: str) -> str:
    """Return the source of a test that is true for values in normal form; empty where all values are."""
    if not kinds:
        return "" if default else f"{name} is not _MISSING"
    tests = ["None" in kinds and f"{name} is None"]
    tests += ["Tensor" in kinds and f"type({name}) in _TENSORS"]
    tests += ["float" in kinds and f"type({name}) is float"]
    tests += [bool(kinds & {"int", "float"}) and f"type({name}) is int and {LEAST} <= {name} <= {MOST}"]
    tests += ["bool" in kinds and f"{name} is True or {name} is False"]
    tests += ["str" in kinds and f"isinstance({name}, str)"]
    tests += ["DType" in kinds and f"type({name}) is _DType"]
    tests += ["Sequence[int]" in kinds and f"type({name}) is tuple and _whole({name})"]
    tests += [
        "Sequence[Tensor]" in kinds
        and f"type({name}) in _SEQUENCES and _TENSORS.issuperset(map(type, {name}))"
    ]
    tests += ["Callable" in kinds and f"callable({name})"]
    tests += ["Iterable" in kinds and f"type({name}) in _SEQUENCES"]
    tests += ["Sized" in kinds and f"type({name}) in _SEQUENCES"]
    tests += ["Mapping" in kinds and f"type({name}) is dict"]
    tests += [f"isinstance({name}, _CLASSES[{kind!r}])" for kind in sorted(kinds & CLASSES.keys())]
    return f"({' or '.join(test for test in tests if test)})"


def _source(name: str, arguments: Sequence[Argument], several: Argument | None) -> str:
    """Return the source of a function that makes the front for a body."""
    heads, tests, passed = [], [], []
    star = "_more" if several is None else several.name
    defaults = {argument.name: f"_default{place}" for place, argument in enumerate(arguments)}
    for argument in arguments:
        known = "" if argument.default is MISSING else defaults[argument.name]
        if argument.keyword_only and f"*{star}" not in heads:
            heads.append(f"*{star}")
        heads.append(f"{argument.name}={known or '_MISSING'}")
        tests.append(_test(argument.name, argument.kinds, known))
        passed.append(f"{argument.name}={argument.name}" if argument.keyword_only else argument.name)
    if f"*{star}" not in heads:
        heads.append(f"*{star}")
    if several is None:
        tests.append("not _more")
    else:
        place = next((at for at, argument in enumerate(arguments) if argument.keyword_only), len(passed))
        passed.insert(place, f"*{several.name}")
        test = _SEVERAL.get(several.kinds)
        tests.append(f"{test}({several.name})" if test else "")
    values = "".join(f"{argument.name}, " for argument in arguments)
    condition = " and ".join(["not _other", *(test for test in tests if test)])
    if "type" in defaults:  # an argument of that name, as of finfo
        condition = condition.replace("type(", "_type(")
    return (
        f"def make(_front, _body, {', '.join([*defaults.values(), *_PARTS])}):\n"
        f"    def {name}({', '.join(heads)}, **_other):\n"
        f"        if {condition}:\n"
        f"            return _body({', '.join(passed)})\n"
        f"        return _front.call(({values}), {star}, _other)\n"
        f"    return {name}\n"
    )


def _sizes(values: tuple[Any, ...]) -> bool:
    """Return whether all values, or the elements of a single tuple, are Python ints of 64 bits."""
    return whole(values[0] if len(values) == 1 and type(values[0]) is tuple else values)


def _alike(values: tuple[Any, ...]) -> bool:
    """Return whether all values are tensors."""
    return TENSORS.issuperset(map(type, values))


_SEVERAL = {
    frozenset({"int"}): "_sizes",
    frozenset({"int", "Sequence[int]"}): "_sizes",
    frozenset({"Tensor"}): "_alike",
}
"""The name of the test of the values of ``*name``, by their kinds."""
_PARTS = {"_MISSING": MISSING, "_TENSORS": TENSORS, "_SEQUENCES": SEQUENCES, "_DType": DType, "_whole": whole,
          "_CLASSES": CLASSES, "_type": type, "_alike": _alike, "_sizes": _sizes}  # fmt: skip


F = TypeVar("F", bound=Callable[..., Any])


def checked(
    function: F,
    *,
    name: str = "",
    keywords: Mapping[str, str] | None = None,
    neutral: Sequence[str] = (),
    signature: inspect.Signature | None = None,
    kind: type[Front] = Front,
) -> F:
    """Return the front of a function, which normalises the arguments by their annotations and calls the function.

    Args:
        function: The body; it is called with arguments in normal form.
        name: The name of the function in errors; its own name by default.
        keywords: Further names of arguments, each with the argument that it names.
        neutral: Arguments of PyTorch that have no effect in weft (rows of ``NEUTRAL``).
        signature: The signature, where the body does not have it.
        kind: The class of the front.

    >>> def halves(input: "Tensor", dim: "int" = 0) -> "Tensor":
    ...     return input.chunk(2, dim)
    >>> import weft as wf
    >>> checked(halves)(wf.zeros(2, 4), axis=1)[0].shape
    (2, 2)
    """
    given = inspect.signature(function) if signature is None else signature
    name = name or function.__name__
    arguments, several = [], None
    for parameter in given.parameters.values():
        annotation = "Any" if parameter.annotation is parameter.empty else str(parameter.annotation)
        default = MISSING if parameter.default is parameter.empty else parameter.default
        only = parameter.kind is _KEYWORD_ONLY
        argument = Argument(parameter.name, kinds_of(annotation), default, only)
        if parameter.kind is _VAR_POSITIONAL:
            several = argument
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            raise ArgumentError(
                mistake(name, "the signature", f"with **{parameter.name}", "named arguments only")
            )
        else:
            arguments.append(argument)
    names = {argument.name for argument in (*arguments, *([several] if several else []))}
    others = {key: own for key, own in NUMPY_NAMES.items() if own in names and key not in names}
    front = kind(name, function, tuple(arguments), several, {**others, **(keywords or {})}, tuple(neutral))
    plain = name if name.isidentifier() and not keyword.iskeyword(name) and name not in names else "front"
    source = _source(plain, arguments, several)
    made: dict[str, Any] = {}
    home = getattr(inspect.unwrap(function), "__globals__", {})
    exec(compile(source, str(Path(__file__).parent / f"<signature of {name}>"), "exec"), home, made)
    defaults = {f"_default{place}": argument.default for place, argument in enumerate(arguments)}
    call: F = made["make"](front, function, **defaults, **_PARTS)
    functools.update_wrapper(call, function)
    call.__signature__ = given  # type: ignore[attr-defined]
    call.front = front  # type: ignore[attr-defined]
    return call
