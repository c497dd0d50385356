"""``single_flight``: calls from an event loop of which one runs, and the newest waits; those between are given up.

What a live preview wants: while a picture is computed, the pointer moves on ten times, and only the last place matters.
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


class SingleFlight(Generic[P, R]):
    """What ``single_flight`` gives: ``await`` its calls. It may be used from one event loop at a time."""

    def __init__(self, function: Callable[P, Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.__wrapped__ = function
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004  (an object whose __call__ is async)
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flying = False
        self._waiting: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call runs."""
        return self._flying

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, or ``Superseded`` where a newer call came before this one had its turn."""
        await self._turn()
        flight = asyncio.ensure_future(self._fly(*args, **kwargs))
        flight.add_done_callback(self._landed)
        try:
            return await asyncio.shield(flight)
        except asyncio.CancelledError:
            if self._is_async:
                flight.cancel()  # the next one has its turn when it has ended; a thread cannot be stopped
            raise

    async def _fly(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._is_async:
            return await cast("Awaitable[R]", self.__wrapped__(*args, **kwargs))
        return cast("R", await asyncio.to_thread(self.__wrapped__, *args, **kwargs))

    async def _turn(self) -> None:
        """Wait until no other call runs, unless a newer call comes meanwhile."""
        loop = asyncio.get_running_loop()
        if self._flying and self._loop is not loop:
            raise UnsupportedError(
                f"single_flight: {self._name} is called from an event loop while it runs in another, expected one "
                f"loop; make one for each"
            )
        self._loop = loop
        if not self._flying:
            self._flying = True
            return
        if self._waiting is not None:
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
                self._pass_on()  # its turn had come at the same time
            raise

    @property
    def _name(self) -> str:
        return getattr(self, "__name__", type(self.__wrapped__).__name__)

    def _landed(self, flight: asyncio.Future[R]) -> None:
        if not flight.cancelled():
            flight.exception()  # whoever awaited it has it; where that one was cancelled, nobody wants it
        self._pass_on()

    def _pass_on(self) -> None:
        """Give the turn to the call that waits."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        else:
            self._flying = False


def single_flight(function: Callable[P, Any]) -> SingleFlight[P, Any]:
    """A function for callers in an event loop: one call runs at a time, and of those that wait only the newest.

    ``function`` is a coroutine function, or a plain one, which runs in a thread so that the loop goes on. A call that
    waits when a newer one comes raises ``Superseded``; the one that runs ends as it would. A cancelled call gives its
    turn away. May be used as a decorator.

    >>> import asyncio, weft as wf
    >>> @wf.utils.single_flight
    ... async def preview(place):
    ...     await asyncio.sleep(0.01)
    ...     return place
    >>> async def pointer():
    ...     return await asyncio.gather(*(preview(place) for place in range(4)), return_exceptions=True)
    >>> asyncio.run(pointer())
    [0, Superseded('preview: a newer call came before this one had its turn'), Superseded(...), 3]
    """
    if not callable(function):
        raise ArgumentTypeError(
            mistake(
                "single_flight",
                "function",
                f"a {type(function).__name__}",
                "a function or coroutine function",
            )
        )
    return SingleFlight(function)
