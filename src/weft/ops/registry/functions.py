"""The functions that users call, each with whether it is also a ``Tensor`` method and has an in-place form.

A primitive's function checks and normalises arguments and binds the op; a composite calls other functions. The
``Tensor`` methods, the names in ``weft``, the stubs and the docs are all made from this table.
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
"""The type in which autocast has an operation done: its own, single precision, or the widest of the operands'."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class FunctionSpec:
    """A public function: where it shows up. ``inplace``: a method ``name_`` runs ``op`` into its tensor."""

    name: str
    function: Callable[..., Any]
    top: bool = True
    method: bool | Callable[..., Any] = True
    """Whether it is a method too, or the method itself where its arguments come in another order."""
    inplace: bool = False
    """Whether a method ``name_`` overwrites the tensor: by ``op`` or ``plan``, or by copying the result into it."""
    functional: bool | str = False
    """Whether it is in ``nn.functional``, or its name there, where a method of that name does something else."""
    operators: tuple[str, ...] = ()
    op: Any = None
    plan: Callable[..., tuple[Any, ...]] | None = None
    """Gives ``(op, *operands)`` for the function's arguments: what an in-place form with arguments runs."""

    @property
    def functional_name(self) -> str:
        """The name in ``nn.functional``; empty where it is not there."""
        return self.functional if isinstance(self.functional, str) else self.name * self.functional

    @property
    def front(self) -> Front:
        """What the function accepts, and the body behind it."""
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
    """Register a public function: in ``weft`` (``top``), as a method, in ``nn.functional``, as operators.

    Users call it through a front that normalises the arguments by their annotations (``signatures``); the function
    itself, which is given back, is for callers within weft.

    ``autocast``: the precision of a composite that autocast has done in one type from its arguments on.

    ``wide``: a composite that computes 16-bit numbers in float32 and rounds its result once.

    ``out``: it takes ``out=`` as well (its method does not, as in PyTorch); the op, or the ops by its arguments, that
    it ends in, or True where it ends in several or in a view.
    """

    def register(target: F) -> F:
        key = name or target.__name__.rstrip("_")
        body: Callable[..., Any] = rounded_once(target) if wide else target
        body = with_deprecated(key, body if autocast is None else whole(autocast)(body))
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


def alias(name: str, target: str) -> None:
    """Register a second name of a function: in the same places, with the same in-place form."""
    spec = FUNCTIONS[target]
    front = spec.front
    keywords = {**front.keywords, **KEYWORDS.get(name, {})}
    named: dict[str, Any] = {"name": name, "keywords": keywords, "neutral": front.neutral}
    called = checked(front.body, **named)
    own = spec.method if isinstance(spec.method, bool) else checked(spec.method.front.body, **named)  # type: ignore[attr-defined]
    called.__name__ = called.__qualname__ = name
    called.__module__ = spec.function.__module__
    called.__doc__ = f"``{target}`` by another name: {spec.function.__doc__}"
    FUNCTIONS[name] = replace(spec, name=name, function=called, method=own, operators=())


def __getattr__(name: str) -> Any:
    """A function that no public module has, for pickles of it."""
    if name in FUNCTIONS:
        return FUNCTIONS[name].function
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def whole(precision: Precision) -> Callable[[F], F]:
    """A function whose arguments autocast converts, rather than the operands of each operation in it."""

    def decorate(target: F) -> F:
        @functools.wraps(target)
        def call(*args: Any, **kwargs: Any) -> Any:
            mode = top_mode()
            return target(*args, **kwargs) if mode is None else mode.call(precision, target, args, kwargs)

        return call  # type: ignore[return-value]

    return decorate


def user_error(error: WeftError, op: OpSpec) -> WeftError:
    """The same error with the op's name in front, where it names no op or public function yet."""
    text = str(error)
    head = text.partition(":")[0]
    return error if head == op.name or head in FUNCTIONS else type(error)(f"{op.name}: {text}")
