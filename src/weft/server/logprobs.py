"""Log-probabilities of tokens in OpenAI's two shapes."""

from __future__ import annotations

from collections.abc import Sequence

from weft.engine.choosing import TokenLogprob
from weft.server.fields import Reply
from weft.server.tokens import TokenTexts


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
    """Log-probabilities of a text in the shape of completions; ``text_offset`` is where each token begins."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


def chat_logprobs(texts: TokenTexts, given: Sequence[TokenLogprob]) -> ChatLogprobs:
    """Return log-probabilities as chat completions have them."""

    def entry(token: int, logprob: float) -> TopLogprob:
        return TopLogprob(token=texts.text(token), logprob=logprob, bytes=list(texts.spelling(token)))

    content = [
        ChatLogprob(
            token=texts.text(each.token),
            logprob=each.logprob,
            bytes=list(texts.spelling(each.token)),
            top_logprobs=[entry(*top) for top in each.top],
        )
        for each in given
    ]
    return ChatLogprobs(content=content)


def completion_logprobs(
    texts: TokenTexts, given: Sequence[TokenLogprob], start: int = 0
) -> CompletionLogprobs:
    """Return log-probabilities as completions have them; the first token begins at ``start``."""
    tokens = [texts.text(each.token) for each in given]
    tops: list[dict[str, float]] = []
    for each in given:
        top: dict[str, float] = {}
        for token, logprob in each.top:
            top.setdefault(texts.text(token), logprob)  # the likeliest of tokens with the same text
        tops.append(top)
    offsets = [start + sum(map(len, tokens[:at])) for at in range(len(tokens))]
    return CompletionLogprobs(
        tokens=tokens, token_logprobs=[each.logprob for each in given], top_logprobs=tops, text_offset=offsets
    )
