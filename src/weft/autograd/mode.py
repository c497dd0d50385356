"""Grad mode: whether the tape records, in this context."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_enabled: ContextVar[bool] = ContextVar("weft_grad_enabled", default=True)
is_enabled: Callable[[], bool] = _enabled.get


def is_grad_enabled() -> bool:
    """Return whether operations are recorded for ``backward`` in this context."""
    return _enabled.get()


class _Mode(ContextDecorator):
    """A grad mode that holds within a ``with`` block or a decorated function; may be nested and reused."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> _Mode:
        before = _enabled.get()
        try:
            self._before.append(before)
            _enabled.set(self.enabled)
            return self
        except BaseException:  # Ctrl-C after the change: the block is not entered, and __exit__ is not called
            _enabled.set(before)
            raise

    def __exit__(self, *_: object) -> None:
        _enabled.set(self._before.pop())

    def _recreate_cm(self) -> _Mode:  # each call of a decorated function has its own state
        return _Mode(self.enabled)


class no_grad(_Mode):
    """A context, or a decorator, within which no operation is recorded.

    >>> import weft as wf
    >>> x = wf.ones(2, requires_grad=True)
    >>> with wf.no_grad():
    ...     print((x * 2).requires_grad)
    False
    """

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        super().__init__(False)

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        """Return the context, or the given function decorated with it."""
        made = super().__new__(cls)
        if function is None:
            return made
        _Mode.__init__(made, False)
        return made(function)


class enable_grad(_Mode):
    """A context, or a decorator, within which operations are recorded, inside a ``no_grad`` too."""

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(_Mode):
    """The same as ``no_grad``, under the name of PyTorch's stricter form; ``inference_mode(False)`` changes nothing.

    Tensors made within may take part in later gradients, which PyTorch refuses.

    >>> import weft as wf
    >>> @wf.inference_mode()
    ... def f(x):
    ...     return (x * 2).requires_grad
    >>> f(wf.ones(2, requires_grad=True))
    False
    """

    def __init__(self, mode: Any = True) -> None:
        self.mode = bool(mode)
        super().__init__(False)

    def __new__(cls, mode: Any = True) -> Any:
        """Return the context, or the given function decorated with it."""
        made = super().__new__(cls)
        if not callable(mode):
            return made
        inference_mode.__init__(made)
        return made(mode)

    def __enter__(self) -> _Mode:
        self.enabled = _enabled.get() and not self.mode
        return super().__enter__()

    def _recreate_cm(self) -> inference_mode:
        made: inference_mode = inference_mode(self.mode)
        return made


def is_inference_mode_enabled() -> bool:
    """Return whether recording is off, by ``inference_mode`` or ``no_grad``."""
    return not _enabled.get()


class set_grad_enabled(ContextDecorator):
    """Turn recording on or off from now on; as a context until its end, as a decorator within each call."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self._before = _enabled.get()
        _enabled.set(self.mode)

    def __call__(self, function: F) -> F:
        """Return the function with the mode set within each call; the mode outside stays unchanged."""
        _enabled.set(self._before)
        return _Mode(self.mode)(function)

    def __enter__(self) -> set_grad_enabled:
        _enabled.set(self.mode)
        return self

    def __exit__(self, *_: object) -> None:
        _enabled.set(self._before)


@contextmanager
def grad_mode(enabled: bool) -> Iterator[None]:
    """Set grad mode within this context; for internal use."""
    before = _enabled.get()
    try:  # around the change too: Ctrl-C may come right after it
        _enabled.set(enabled)
        yield
    finally:
        _enabled.set(before)
