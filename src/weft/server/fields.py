"""Bases of the models of bodies and answers, and the fields that OpenAI's two ways of generating share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from weft.engine import Engine, Sampling
from weft.server.core import Run
from weft.server.errors import ServerError

JSONObject = dict[str, Any]
StopText = Annotated[str, Field(min_length=1)]
TokenText = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]
"""The id of a token as the key of an object."""


class Body(BaseModel):
    """A part of a request's body: its types are exact, and a field that it does not declare is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Reply(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid")


class StreamOptions(Body):
    """What a stream holds besides the answer."""

    include_usage: bool = False
    include_obfuscation: bool = False


class UsageDetails(Reply):
    """Where the prompt's tokens came from."""

    cached_tokens: int


class Usage(Reply):
    """Tokens of a request in OpenAI's shape."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: UsageDetails


class SamplingFields(Body):
    """Fields of OpenAI's chat completions and completions; null means the default.

    ``top_k``, ``min_p``, ``repetition_penalty`` and ``ignore_eos`` are weft's own.
    """

    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=16)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[TokenText, Annotated[float, Field(ge=-100, le=100)]] | None = None
    user: str | None = None
    top_k: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    ignore_eos: bool | None = None

    def options(self) -> JSONObject:
        """Return the fields of ``Sampling`` that the body states; the temperature is 1 where it states none."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        given = {
            "temperature": 1.0 if self.temperature is None else float(self.temperature),
            "seed": None if self.seed is None else self.seed % 2**64,
            "stop": tuple(stop) if stop else None,
            "logit_bias": {int(token): value for token, value in (self.logit_bias or {}).items()} or None,
            **{name: getattr(self, name) for name in SAME},
        }
        return {name: value for name, value in given.items() if value is not None}


SAME = (
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "ignore_eos",
    "n",
)
"""Fields that ``Sampling`` has under the same name."""


def sampling(engine: Engine, max_tokens: int | None, options: Mapping[str, Any]) -> Sampling:
    """Return the checked sampling; without ``max_tokens`` an answer may fill the context."""
    return Sampling(max_tokens=max_tokens or engine.context, **options)


def check_model(engine: Engine, name: str) -> None:
    """Raise ``ServerError`` 404 where a body names another model than the server's."""
    if name != engine.name:
        message = f"model {name[:80]!r} is not served here, expected {engine.name!r}"
        raise ServerError(404, message, "model", "model_not_found")


def refused(field: str, message: str) -> ServerError:
    """Return an error about the value of a field."""
    return ServerError(400, f"{field}: {message}", field)


def usage(run: Run) -> Usage:
    """Return the tokens of a run so far."""
    prompt, made = run.prompt_tokens, run.completion_tokens
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=made,
        total_tokens=prompt + made,
        prompt_tokens_details=UsageDetails(cached_tokens=run.cached_tokens),
    )
