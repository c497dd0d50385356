"""The table of the functions that users call.

A function of a primitive checks and normalises its arguments and binds an op. A composite calls other functions. The
``Tensor`` methods, the names in ``weft`` and the stubs are made from this table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from weft.errors import WeftError
from weft.ops.registry.interpreters import top_mode
from weft.ops.registry.outs import with_out
from weft.ops.registry.pytorch_names import KEYWORDS, NEUTRAL, with_deprecated
from weft.ops.registry.rounding import rounded_once
from weft.ops.registry.signatures import Front, checked
from weft.ops.registry.spec import OpSpec

Precision = Literal["lower", "float32", "widest"]
"""The type in which autocast computes: its own lower precision, float32, or the widest type of the operands."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class FunctionSpec:
    """A public function and the places where it appears: ``weft``, methods, ``nn.functional``, operators."""

    name: str
    function: Callable[..., Any]
    top: bool = True
    method: bool | Callable[..., Any] = True
    """Whether it is a method too; or the method itself, where the method's arguments have another order."""
    inplace: bool = False
    """Whether there is a method ``name_``. It runs ``op`` or ``plan`` into the tensor, or copies the result into it."""
    functional: bool | str = False
    """Whether it is in ``nn.functional``; or its name there, where a method of that name does something else."""
    operators: tuple[str, ...] = ()
    op: Any = None
    plan: Callable[..., tuple[Any, ...]] | None = None
    """Gives ``(op, *operands)`` for the function's arguments; the in-place form runs these."""

    @property
    def functional_name(self) -> str:
        """The name in ``nn.functional``; empty where the function is not there."""
        return self.functional if isinstance(self.functional, str) else self.name * self.functional

    @property
    def front(self) -> Front:
        """The front of the function: its arguments, and the body behind it."""
        front: Front = self.function.front  # type: ignore[attr-defined]
        return front


FUNCTIONS: dict[str, FunctionSpec] = {}


def function(
    *,
    name: str = "",
    top: bool = True,
    method: bool | Callable[..., Any] = True,
    inplace: bool = False,
    functional: bool | str = False,
    operators: tuple[str, ...] = (),
    op: Any = None,
    plan: Callable[..., tuple[Any, ...]] | None = None,
    out: Any = None,
    autocast: Precision | None = None,
    wide: bool = False,
) -> Callable[[F], F]:
    """Return a decorator that registers a public function.

    Users call the function through a front that normalises the arguments by their annotations (``signatures``). The
    decorator returns the function without its front, for callers within weft.

    Args:
        name: The public name; by default that of the function.
        top: Whether it is in ``weft``.
        method: Whether it is a method; or the method (``FunctionSpec``).
        inplace: Whether there is a method ``name_``.
        functional: Whether it is in ``nn.functional``; or its name there.
        operators: The operators that call it, such as ``__add__``.
        op: The op that the in-place form runs.
        plan: Gives the op and the operands that the in-place form runs.
        out: Whether it takes ``out=`` as well (its method does not, as in PyTorch): the op, or the ops, that compute
            the result; True where several ops or a view give it.
        autocast: The precision to which autocast converts the arguments of a composite, before its ops run.
        wide: Whether the composite computes 16-bit numbers in float32 and rounds its result once.
    """

    def register(target: F) -> F:
        key = name or target.__name__.rstrip("_")
        body: Callable[..., Any] = rounded_once(target) if wide else target
        body = with_deprecated(key, body if autocast is None else with_autocast(autocast)(body))
        public = functional if isinstance(functional, str) else key
        named: dict[str, Any] = {
            "name": public,
            "keywords": KEYWORDS.get(key),
            "neutral": NEUTRAL.get(key, ()),
        }
        called = checked(with_out(key, body, out) if out else body, **named)
        if called is not target:  # pickles find a function by these names
            home = "weft" if top else "weft.nn.functional" if functional else __name__
            called.__module__, called.__qualname__ = home, public
        own = body if out and method is True else method
        own = checked(own, **named) if callable(own) else own
        FUNCTIONS[key] = FunctionSpec(key, called, top, own, inplace, functional, operators, op, plan)
        return target

    return register


def in_place_doc(name: str) -> str:
    """Return the docstring of the in-place version of a function."""
    return f"In-place version of ``{name}``; returns the tensor."


def alias(name: str, target: str) -> None:
    """Register a second name of a function, in the same places and with the same in-place form."""
    spec = FUNCTIONS[target]
    front = spec.front
    keywords = {**front.keywords, **KEYWORDS.get(name, {})}
    named: dict[str, Any] = {"name": name, "keywords": keywords, "neutral": front.neutral}
    called = checked(front.body, **named)
    own = spec.method if isinstance(spec.method, bool) else checked(spec.method.front.body, **named)  # type: ignore[attr-defined]
    called.__name__ = called.__qualname__ = name
    called.__module__ = spec.function.__module__
    called.__doc__ = f"Alias of ``{target}``. {spec.function.__doc__}"
    FUNCTIONS[name] = replace(spec, name=name, function=called, method=own, operators=())


def __getattr__(name: str) -> Any:
    """Return a function that no public module has, so that it can be pickled."""
    if name in FUNCTIONS:
        return FUNCTIONS[name].function
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def with_autocast(precision: Precision) -> Callable[[F], F]:
    """Return a decorator: autocast converts the function's arguments, rather than the operands of each op in it."""

    def decorate(target: F) -> F:
        @functools.wraps(target)
        def call(*args: Any, **kwargs: Any) -> Any:
            mode = top_mode()
            return target(*args, **kwargs) if mode is None else mode.call(precision, target, args, kwargs)

        return call  # type: ignore[return-value]

    return decorate


def user_error(error: WeftError, op: OpSpec) -> WeftError:
    """Return the error with the op's name in front, unless it begins with the name of the op or of a function."""
    text = str(error)
    head = text.partition(":")[0]
    return error if head == op.name or head in FUNCTIONS else type(error)(f"{op.name}: {text}")
