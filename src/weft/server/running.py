"""``serve``: an application on a socket until a signal, and the drain at its end."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress

import uvicorn

from weft.engine import Engine
from weft.errors import ArgumentError, mistake
from weft.server.app import create_app
from weft.server.settings import Settings

GRACE = 2.0
"""Seconds after the drain in which ended answers are written."""


class Server(uvicorn.Server):
    """Uvicorn's server, which tells the application when it stops, and somebody when it listens."""

    def __init__(
        self, engine: Engine, settings: Settings, listening: Callable[[], None] | None = None
    ) -> None:
        app = create_app(engine, settings)
        drain = settings.drain + GRACE
        super().__init__(
            uvicorn.Config(
                app, lifespan="off", log_level="info", timeout_graceful_shutdown=int(drain + 0.999),
                timeout_keep_alive=65, server_header=False, ws="none",
            )
        )  # fmt: skip
        self.core, self._listening = app.state.core, listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self._listening is not None:
            self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse new requests, let running answers end for a while, then end them."""
        self.core.stop()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address; ``ArgumentError`` where it is taken or not of this machine."""
    try:
        ((family, kind, protocol, _, address), *_) = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with ExitStack() as opened:
            bound = opened.enter_context(socket.socket(family, kind, protocol))
            if sys.platform != "win32":
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen()  # two sockets may be bound to an address, but a single one listens
            opened.pop_all()
    except OSError as error:
        expected = "a free address of this machine"
        raise ArgumentError(
            mistake("serve", "the address", f"{host}:{port}", expected, str(error))
        ) from error
    return bound


def serve(
    engine: Engine, bound: socket.socket, settings: Settings, listening: Callable[[], None] | None = None
) -> None:
    """Serve an engine on a bound socket until SIGINT or SIGTERM; then drain, and return.

    Args:
        engine: the engine; it is not closed.
        bound: the socket, from ``bind``.
        settings: how clients are treated.
        listening: is called once clients can connect.
    """
    server = Server(engine, settings, listening)
    # uvicorn raises the signal again when it has shut down, for the handler that was there before
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets=[bound])
    finally:
        signal.signal(signal.SIGTERM, before)
