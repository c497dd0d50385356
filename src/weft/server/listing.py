"""``GET /v1/models``: the served model, in a shape that OpenAI's and Anthropic's clients both read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from starlette.responses import JSONResponse, Response

from weft.server.core import Core
from weft.server.fields import Reply, check_model
from weft.server.serving import Exchange


class Model(Reply):
    """A model; ``created`` and ``created_at`` are when the server was started."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["weft"] = "weft"
    type: Literal["model"] = "model"
    display_name: str
    created_at: str
    max_input_tokens: int


class Models(Reply):
    """The models of the server: one."""

    object: Literal["list"] = "list"
    data: list[Model]
    first_id: str
    last_id: str
    has_more: Literal[False] = False


def _model(core: Core) -> Model:
    moment = datetime.fromtimestamp(core.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Model(
        id=core.engine.name,
        created=core.created,
        display_name=core.engine.name,
        created_at=moment,
        max_input_tokens=core.engine.context,
    )


async def models(exchange: Exchange) -> Response:
    """List the model."""
    model = _model(exchange.core)
    return JSONResponse(Models(data=[model], first_id=model.id, last_id=model.id).model_dump())


async def model(exchange: Exchange) -> Response:
    """Describe the model of a name."""
    check_model(exchange.core.engine, exchange.http.path_params["model"])
    return JSONResponse(_model(exchange.core).model_dump())
