"""``GET /health`` and ``GET /metrics``: whether the server answers, and its figures."""

from __future__ import annotations

import time
from typing import Literal

from starlette.responses import JSONResponse, Response

from weft.server.fields import Reply
from weft.server.metrics import CONTENT_TYPE
from weft.server.serving import Exchange


class Health(Reply):
    """Whether the server takes requests: ``ok`` with 200, ``stopping`` with 503."""

    status: Literal["ok", "stopping"]
    model: str
    slots: int
    running: int
    waiting: int
    seconds: float


async def health(exchange: Exchange) -> Response:
    """Say whether the server takes requests."""
    core = exchange.core
    stats = core.engine.stats()
    reply = Health(
        status="stopping" if core.stopping else "ok",
        model=core.engine.name,
        slots=stats.slots,
        running=stats.running,
        waiting=stats.waiting,
        seconds=time.time() - core.created,
    )
    return JSONResponse(reply.model_dump(), 503 if core.stopping else 200)


async def metrics(exchange: Exchange) -> Response:
    """Return the metrics in Prometheus' text format."""
    return Response(exchange.core.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
