"""``create_app``: the table of endpoints as a Starlette application over an engine."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from weft.engine import Engine
from weft.server import chat, completions, embeddings, listing, messages, monitoring, page
from weft.server.chat_body import ChatBody
from weft.server.core import Core
from weft.server.document import document
from weft.server.errors import ServerError
from weft.server.messages_body import CountBody, MessagesBody
from weft.server.serving import Endpoint, Exchange, Service, failure
from weft.server.settings import Settings


async def openapi(exchange: Exchange) -> Response:
    """Return the OpenAPI document of the server."""
    return JSONResponse(document(ENDPOINTS, exchange.core))


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "POST", "/v1/chat/completions", chat.chat, "Answer messages (OpenAI).",
        body=ChatBody, answer=chat.ChatReply, streams=True,
    ),
    Endpoint(
        "POST", "/v1/completions", completions.completions, "Continue texts (OpenAI).",
        body=completions.CompletionBody, answer=completions.CompletionReply, streams=True,
    ),
    Endpoint(
        "POST", "/v1/embeddings", embeddings.embeddings, "Embed texts (OpenAI).",
        body=embeddings.EmbeddingBody, answer=embeddings.EmbeddingReply,
    ),
    Endpoint("GET", "/v1/models", listing.models, "List the model.", answer=listing.Models),
    Endpoint("GET", "/v1/models/{model}", listing.model, "Describe the model.", answer=listing.Model),
    Endpoint(
        "POST", "/v1/messages", messages.messages, "Answer messages (Anthropic).",
        body=MessagesBody, answer=messages.MessageReply, streams=True,
    ),
    Endpoint(
        "POST", "/v1/messages/count_tokens", messages.count_tokens, "Count the tokens of messages (Anthropic).",
        body=CountBody, answer=messages.CountReply,
    ),
    Endpoint(
        "GET", "/health", monitoring.health, "Say whether the server takes requests.",
        answer=monitoring.Health, guarded=False,
    ),
    Endpoint("GET", "/metrics", monitoring.metrics, "Figures in Prometheus' text format.", media="text/plain"),
    Endpoint("GET", "/", page.page, "The chat page.", media="text/html", guarded=False),
    Endpoint("GET", "/openapi.json", openapi, "This document.", guarded=False),
)  # fmt: skip
"""All endpoints: the routes and the OpenAPI document are made from this table."""


def create_app(engine: Engine, settings: Settings | None = None) -> Starlette:
    """Return the ASGI application that serves an engine.

    ``app.state.core`` is the server's ``Core``. The application does not close the engine.
    """
    core = Core(engine, settings or Settings())

    def route(endpoint: Endpoint) -> Route:
        path = endpoint.path.replace("{model}", "{model:path}")  # a name may have slashes
        return Route(path, Service(core, endpoint), methods=[endpoint.method])

    middleware = []
    if core.settings.cors:
        middleware.append(
            Middleware(
                CORSMiddleware, allow_origins=core.settings.cors, allow_methods=["GET", "POST"],
                allow_headers=["*"], expose_headers=["x-request-id", "request-id", "retry-after"],
            )
        )  # fmt: skip
    app = Starlette(
        routes=[route(endpoint) for endpoint in ENDPOINTS],
        middleware=middleware,
        exception_handlers={HTTPException: _not_served},
    )
    app.state.core = core
    return app


async def _not_served(request: Request, error: Exception) -> Response:
    """Answer a path or a method that is not served."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    message = {
        404: f"{path!r} is not served; /openapi.json lists what is",
        405: f"{request.method} is not served at {path!r}, expected {(error.headers or {}).get('Allow')}",
    }.get(error.status_code, error.detail)
    told = ServerError(error.status_code, message, headers=error.headers)
    return failure(request.scope, told, uuid4().hex)
