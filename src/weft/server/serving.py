"""``Service``: one endpoint as an ASGI application: keys, places, the body, the deadline, clients that leave."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from weft.server.core import Call, Core
from weft.server.errors import ServerError, anthropic_error, from_exception, openai_error

log = logging.getLogger("weft.server")


@dataclass(frozen=True)
class Exchange:
    """What a handler is given: the server's core, the HTTP request, the checked body, and the call's resources."""

    core: Core
    http: Request
    body: Any
    call: Call


Handler = Callable[[Exchange], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as data; the routes and the OpenAPI document are made from it.

    Args:
        method: the HTTP method.
        path: the path, with parameters in braces.
        handle: makes the response.
        summary: a sentence for the document.
        body: the model of the request's body.
        answer: the model of the JSON answer.
        media: the type of an answer that is not JSON.
        streams: whether ``stream`` in the body makes the answer an event stream.
        guarded: whether a key is needed where the server has keys.
    """

    method: str
    path: str
    handle: Handler
    summary: str
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    media: str = "application/json"
    streams: bool = False
    guarded: bool = True


class EventStream(Response):
    """Server-sent events. An error after the beginning becomes the last event, by ``failed``."""

    media_type = "text/event-stream"

    def __init__(
        self, call: Call, events: AsyncGenerator[bytes], failed: Callable[[ServerError], bytes]
    ) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(headers=headers)
        del self.headers["content-length"]  # an event stream ends when it ends
        self._call, self._events, self._failed = call, events, failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; comments keep the connection open while there are none."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        loop = asyncio.get_running_loop()
        sent = loop.time()

        async def put(data: bytes) -> None:
            nonlocal sent
            sent = loop.time()
            await send({"type": "http.response.body", "body": data, "more_body": True})

        async def keep_alive(pause: float) -> None:
            while True:
                await asyncio.sleep(max(0.01, sent + pause - loop.time()))
                if loop.time() - sent >= pause:
                    await put(b": keep-alive\n\n")

        comments = asyncio.create_task(keep_alive(self._call.core.settings.keep_alive))
        try:
            async with self._call.limited(), aclosing(self._events) as events:
                async for data in events:
                    await put(data)
        except Exception as error:
            await put(self._failed(from_exception(error)))
        finally:
            comments.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def event(data: Any, name: str | None = None) -> bytes:
    """Return a server-sent event with JSON data."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


class Service:
    """Serves one endpoint."""

    def __init__(self, core: Core, endpoint: Endpoint) -> None:
        self.core, self.endpoint = core, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and leave nothing of it behind."""
        http, path, start = Request(scope, receive), self.endpoint.path, time.perf_counter()
        call, status, request_id = Call(self.core), 0, uuid4().hex

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                ids = [(b"x-request-id", request_id.encode()), (b"request-id", request_id.encode())]
                message = {**message, "headers": [*message["headers"], *ids]}
            elif self.endpoint.streams and message["body"] and first:
                first.clear()
                self.core.metrics.first(path, time.perf_counter() - start)
            await send(message)

        first = [True]
        try:
            body = await self._admit(http, call)
            await attended(receive, self._answer(Exchange(self.core, http, body, call), scope, tell))
        except ClientDisconnect:
            status = status or 499
            self.core.metrics.left(path)
        except Exception as error:
            told = from_exception(error)
            if status:
                log.error("%s: an answer broke off", path, exc_info=error)
            else:
                await failure(scope, told, request_id)(scope, receive, tell)
        finally:
            call.close()
            self.core.metrics.answered(path, status, time.perf_counter() - start)

    async def _admit(self, http: Request, call: Call) -> Any:
        """Check the key, take a place, and read the body."""
        if self.endpoint.guarded:
            check_key(http, self.core.settings.api_keys)
        if self.endpoint.body is None:
            return None
        call.take(1)
        return self.endpoint.body.model_validate_json(await read(http, self.core))

    async def _answer(self, exchange: Exchange, scope: Scope, send: Send) -> None:
        async with exchange.call.limited():
            response = await self.endpoint.handle(exchange)
        await response(scope, exchange.http.receive, send)


def check_key(http: Request, keys: tuple[str, ...]) -> None:
    """Raise ``ServerError`` 401 where keys are needed and the request has none of them."""
    if not keys:
        return
    scheme, _, token = http.headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else http.headers.get("x-api-key", "")
    # every key is compared, each in constant time
    if not sum(hmac.compare_digest(given.encode(), key.encode()) for key in keys):
        message = "no API key" if not given else "wrong API key"
        expected = "expected Authorization: Bearer KEY, or x-api-key: KEY, with a key of this server"
        raise ServerError(
            401, f"{message}; {expected}", code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"}
        )


async def read(http: Request, core: Core) -> bytes:
    """Return the body of a request; ``ServerError`` where it is no JSON by its type, too large or too slow."""
    media = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        given = f"{media[:60]!r}" if media else "missing"
        raise ServerError(415, f"Content-Type is {given}, expected application/json")
    most, data = core.settings.max_body, bytearray()
    try:
        async with asyncio.timeout(core.settings.body_timeout), aclosing(http.stream()) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > most:
                    message = f"the body has more than {most} bytes, the server's limit"
                    raise ServerError(413, message, headers={"Connection": "close"})
    except TimeoutError as error:
        message = f"the body did not arrive within {core.settings.body_timeout:g} s"
        raise ServerError(408, message, headers={"Connection": "close"}) from error
    return bytes(data)


async def attended(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, unless the client leaves before: then cancel it and raise ``ClientDisconnect``."""

    async def leaving() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(leaving())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        task.result()
    finally:
        for each in (task, watch):
            each.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await each


def failure(scope: Scope, error: ServerError, request_id: str) -> Response:
    """Return an error as a response, in the shape of the client's protocol."""
    anthropic = scope["path"].startswith("/v1/messages") or any(
        name == b"anthropic-version" for name, _ in scope["headers"]
    )
    body = anthropic_error(error, request_id) if anthropic else openai_error(error)
    return JSONResponse(body, error.status, error.headers)
