"""Placeholders for names of PyTorch that weft does not have: functions whose call raises an error that says what to do.

A namespace such as ``weft.cuda`` can be imported, and its queries (``is_available``) return an answer. A function that
needs the missing hardware or library raises when it is called, so that programs that query before the call run
unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from weft.errors import AbsentError, UnsupportedError


def refused(name: str, reason: str) -> Callable[..., NoReturn]:
    """Return a function of that name whose call raises ``UnsupportedError`` with the reason.

    >>> try:
    ...     refused("cuda.current_device", "there is no CUDA; use weft.get_default_device()")()
    ... except UnsupportedError as error:
    ...     print(error)
    cuda.current_device: there is no CUDA; use weft.get_default_device()
    """

    def call(*_: Any, **__: Any) -> NoReturn:
        raise UnsupportedError(f"{name}: {reason}")

    call.__name__ = call.__qualname__ = name.rpartition(".")[2]
    call.__doc__ = f"Raise ``UnsupportedError``: {reason}."
    return call


def refusing(module: str, names: Iterable[str], reason: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module in which each of ``names`` is a function whose call raises.

    All other names raise ``AbsentError``, an ``AttributeError``, with the reason.
    """
    known = frozenset(names)
    short = module.removeprefix("weft.")

    def find(name: str) -> Any:
        if name in known:
            return refused(f"{short}.{name}", reason)
        if name.startswith("__"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise AbsentError(f"{short}.{name}: is not in weft; {reason}")

    return find
