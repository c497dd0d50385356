"""Names of PyTorch's that programs may import and that weft does not have: what tells the caller so, and what to do.

A namespace such as ``weft.cuda`` can be imported, and its questions (``is_available``) have an answer. What would need
the missing hardware or library is a function that raises when it is called, so that programs that guard the call by
the question run unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from weft.errors import AbsentError, UnsupportedError


def refused(name: str, reason: str) -> Callable[..., NoReturn]:
    """A function of that name that raises ``UnsupportedError`` with the reason.

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
    """The ``__getattr__`` of a module: each of ``names`` is a function that raises when it is called.

    Any other name raises ``AbsentError``, an ``AttributeError``, with the reason.
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
