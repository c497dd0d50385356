"""``POST /v1/embeddings``: OpenAI's embeddings, where the server was started with a pooling."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Literal

from pydantic import Field
from starlette.responses import JSONResponse, Response

from weft.engine.embedding import embed
from weft.server.completions import Prompt, encoded, several
from weft.server.errors import ServerError
from weft.server.fields import Body, Reply, check_model
from weft.server.serving import Exchange


class EmbeddingBody(Body):
    """A request for embeddings of texts, or of token ids."""

    model: str
    input: Prompt
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None


class Embedding(Reply):
    """The embedding of one input: numbers, or little-endian float32 in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Reply):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingReply(Reply):
    """Embeddings in the order of the inputs."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: EmbeddingUsage


async def embeddings(exchange: Exchange) -> Response:
    """Embed texts."""
    core, body = exchange.core, exchange.body
    engine, pooling = core.engine, core.settings.pooling
    check_model(engine, body.model)
    if pooling is None:
        message = (
            f"{engine.name!r} is served for generation, not for embeddings; "
            "start the server with --pooling mean or --pooling last to allow them"
        )
        raise ServerError(400, message, "model", "embeddings_disabled")
    size = engine.model.config.hidden_size
    if body.dimensions not in (None, size):
        message = f"dimensions: {body.dimensions}, expected {size}, the size of the model's states"
        raise ServerError(400, message, "dimensions")

    def prepared() -> list[list[int]]:
        return [encoded(engine, text, "input") for text in several(body.input)]

    inputs = await asyncio.to_thread(prepared)
    data = []
    for index, ids in enumerate(inputs):
        vector = await asyncio.to_thread(embed, engine, ids, pooling)
        coded = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        form = coded if body.encoding_format == "base64" else vector.tolist()
        data.append(Embedding(index=index, embedding=form))
    tokens = sum(map(len, inputs))
    core.metrics.ran(tokens, 0, 0)
    reply = EmbeddingReply(
        model=engine.name, data=data, usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens)
    )
    return JSONResponse(reply.model_dump())
