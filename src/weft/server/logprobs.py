"""Log-probabilities of tokens in OpenAI's two shapes."""

from __future__ import annotations

from collections.abc import Sequence

from weft.engine import Engine
from weft.engine.choosing import TokenLogprob
from weft.server.fields import Reply


class TopLogprob(Reply):
    """A token that could have been chosen."""

    token: str
    logprob: float
    bytes: list[int]


class ChatLogprob(TopLogprob):
    """The chosen token, and the most likely ones."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(Reply):
    """Log-probabilities of an answer in the shape of chat completions."""

    content: list[ChatLogprob]
    refusal: None = None


class CompletionLogprobs(Reply):
    """Log-probabilities of a text in the shape of completions."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]
