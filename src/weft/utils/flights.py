"""``latest_only`` and ``single_flight``: limits on concurrent calls from an event loop.

``latest_only`` runs one call at a time, and of the waiting calls only the newest: a live preview needs only the last
position of the pointer. ``single_flight`` runs one call for each key and shares its result among all callers.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, TypeVar, cast

from weft.errors import ArgumentTypeError, Superseded, UnsupportedError, mistake

P = ParamSpec("P")
R = TypeVar("R")


class LatestOnly(Generic[P, R]):
    """The function that ``latest_only`` returns: ``await`` its calls. Only one event loop at a time may use it."""

    def __init__(self, function: Callable[P, Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.__wrapped__ = function
        self._is_async = _is_async(function)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = False
        self._waiting: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call is running."""
        return self._running

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the function's result; raise ``Superseded`` if a newer call came before this call had its turn."""
        await self._turn()
        task = asyncio.ensure_future(self._run(*args, **kwargs))
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._is_async:
                task.cancel()  # a thread cannot be stopped; the next call starts when the thread has ended
            raise

    async def _run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._is_async:
            return await cast("Awaitable[R]", self.__wrapped__(*args, **kwargs))
        return cast("R", await asyncio.to_thread(self.__wrapped__, *args, **kwargs))

    async def _turn(self) -> None:
        """Wait until no other call is running; raise ``Superseded`` if a newer call comes meanwhile."""
        loop = asyncio.get_running_loop()
        if self._running and self._loop is not loop:
            raise UnsupportedError(
                f"latest_only: {self._name} is called from an event loop while it runs in another, expected one "
                f"loop; make one for each"
            )
        self._loop = loop
        if not self._running:
            self._running = True
            return
        # a waiting future may be done: a cancelled call may not have resumed yet
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(
                Superseded(f"{self._name}: a newer call came before this one had its turn")
            )
        mine = self._waiting = loop.create_future()
        try:
            await mine
        except asyncio.CancelledError:
            if self._waiting is mine:
                self._waiting = None
            elif mine.done() and not mine.cancelled() and mine.exception() is None:
                self._pass_on()  # the call got its turn and was cancelled at the same time
            raise

    @property
    def _name(self) -> str:
        return getattr(self, "__name__", type(self.__wrapped__).__name__)

    def _ended(self, task: asyncio.Future[R]) -> None:
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved: the caller has it, or was cancelled
        self._pass_on()

    def _pass_on(self) -> None:
        """Give the turn to the waiting call."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        else:
            self._running = False


def latest_only(function: Callable[P, Any]) -> LatestOnly[P, Any]:
    """Return an awaitable function that runs one call at a time, and of the waiting calls only the newest.

    ``function`` is a coroutine function, or a plain function, which runs in a thread so that the event loop continues.
    A waiting call raises ``Superseded`` when a newer call comes; the running call completes. A cancelled call passes
    its turn on. Also a decorator. Raises ``ArgumentTypeError`` if ``function`` is not callable.

    >>> import asyncio, weft as wf
    >>> @wf.utils.latest_only
    ... async def preview(place):
    ...     await asyncio.sleep(0.01)
    ...     return place
    >>> async def pointer():
    ...     return await asyncio.gather(*(preview(place) for place in range(4)), return_exceptions=True)
    >>> asyncio.run(pointer())
    [0, Superseded('preview: a newer call came before this one had its turn'), Superseded(...), 3]
    """
    return LatestOnly(_checked("latest_only", function))


class SingleFlight(Generic[P, R]):
    """The function that ``single_flight`` returns: ``await`` its calls. Only one event loop at a time may use it."""

    def __init__(self, function: Callable[P, Any], key: Callable[P, Any] | None) -> None:
        functools.update_wrapper(self, function, updated=())
        self.__wrapped__ = function
        self._key = key
        self._is_async = _is_async(function)
        self._running: dict[Any, _Flight] = {}

    @property
    def busy(self) -> bool:
        """Whether a call is running."""
        return bool(self._running)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result of the running call with the same key, or else of a new call."""
        key = (args, tuple(sorted(kwargs.items()))) if self._key is None else self._key(*args, **kwargs)
        try:
            flight = self._running.get(key)
        except TypeError as error:
            raise ArgumentTypeError(
                mistake("single_flight", "the key", f"not hashable ({error})", "hashable arguments",
                        "give key=, a function of the arguments")
            ) from None  # fmt: skip
        loop = asyncio.get_running_loop()
        if flight is None:
            flight = self._running[key] = _Flight(loop, asyncio.ensure_future(self._run(*args, **kwargs)))
            flight.task.add_done_callback(functools.partial(self._ended, key))
        elif flight.loop is not loop:
            raise UnsupportedError(
                f"single_flight: {getattr(self, '__name__', 'a function')} is called from an event loop while it runs "
                f"in another, expected one loop; make one for each"
            )
        flight.callers += 1
        try:
            return cast("R", await asyncio.shield(flight.task))
        except asyncio.CancelledError:
            # without other callers the call is cancelled; a thread cannot be stopped
            if flight.callers == 1 and self._is_async:
                flight.task.cancel()
                if self._running.get(key) is flight:
                    del self._running[key]
            raise
        finally:
            flight.callers -= 1

    async def _run(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        if self._is_async:
            return await cast("Awaitable[R]", self.__wrapped__(*args, **kwargs))
        return await asyncio.to_thread(self.__wrapped__, *args, **kwargs)

    def _ended(self, key: Any, task: asyncio.Future[Any]) -> None:
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved, also if all callers were cancelled
        flight = self._running.get(key)
        if flight is not None and flight.task is task:
            del self._running[key]


class _Flight:
    """A running call and the number of callers that wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, task: asyncio.Future[Any]) -> None:
        self.loop, self.task, self.callers = loop, task, 0


def single_flight(function: Callable[P, Any] | None = None, *, key: Callable[..., Any] | None = None) -> Any:
    """Return a function whose calls with equal arguments share the result of one running call.

    ``function`` is a coroutine function, or a plain function, which runs in a thread. While a call is running, further
    calls with the same key wait for its result or exception. Results are not cached: a later call runs again.
    ``key(*args, **kwargs)`` returns the key; by default the arguments are the key. If one caller is cancelled, the
    running call continues for the others; without others a coroutine is cancelled too. Also a decorator. Raises
    ``ArgumentTypeError`` for a key that is not hashable.

    >>> import asyncio, weft as wf
    >>> @wf.utils.single_flight
    ... async def load(name):
    ...     print("loading", name)
    ...     await asyncio.sleep(0.01)
    ...     return name.upper()
    >>> async def requests():
    ...     return await asyncio.gather(load("a"), load("a"), load("b"))
    >>> asyncio.run(requests())
    loading a
    loading b
    ['A', 'A', 'B']
    """
    if key is not None and not callable(key):
        raise ArgumentTypeError(mistake("single_flight", "key", f"a {type(key).__name__}", "a function"))
    if function is None:
        return lambda given: single_flight(given, key=key)
    return SingleFlight(_checked("single_flight", function), key)


def _checked(where: str, function: Callable[P, Any]) -> Callable[P, Any]:
    if not callable(function):
        raise ArgumentTypeError(
            mistake(where, "function", f"a {type(function).__name__}", "a function or coroutine function")
        )
    return function


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  (an object whose __call__ is async)
    )
