"""``Sampling``: how the tokens of an answer are chosen and when it ends, as validated data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from weft.errors import ArgumentError, mistake


@dataclass(frozen=True)
class Range:
    """The values that a field may have: numbers from ``least`` to ``most``, without ``least`` where it is ``open``."""

    kind: type
    least: float
    most: float
    expected: str
    open: bool = False
    optional: bool = False

    def holds(self, value: object) -> bool:
        """Return whether the value is in the range."""
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, int if self.kind is int else (int, float)):
            return False
        return (
            self.least <= value <= self.most
            and math.isfinite(value)
            and not (self.open and value == self.least)
        )


RANGES: Mapping[str, Range] = {
    "temperature": Range(float, 0, math.inf, "a number from 0 on, below infinity"),
    "top_k": Range(int, 0, 2**31 - 1, "an integer from 0 on; 0 for all"),
    "top_p": Range(float, 0, 1, "a number above 0, up to 1", open=True),
    "min_p": Range(float, 0, 1, "a number from 0 to 1"),
    "typical_p": Range(float, 0, 1, "a number above 0, up to 1", open=True),
    "repetition_penalty": Range(
        float, 0, math.inf, "a number above 0, below infinity; 1 for none", open=True
    ),
    "presence_penalty": Range(float, -2, 2, "a number from -2 to 2"),
    "frequency_penalty": Range(float, -2, 2, "a number from -2 to 2"),
    "seed": Range(int, 0, 2**64 - 1, "an integer from 0 to 2**64 - 1, or None", optional=True),
    "n": Range(int, 1, 128, "an integer from 1 to 128"),
    "logprobs": Range(int, 0, 20, "an integer from 0 to 20, or None", optional=True),
    "max_tokens": Range(int, 1, 2**31 - 1, "an integer from 1 on"),
}
BIAS = Range(float, -100, 100, "a number from -100 to 100")


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen and when a text ends.

    The logits pass these stages in this order, which is that of transformers; llama.cpp differs in that it divides by
    the temperature last: ``logit_bias``; ``repetition_penalty``; ``presence_penalty`` and ``frequency_penalty``; the
    mask of a grammar; ``temperature``; ``top_k``; ``top_p``; ``min_p``; ``typical_p``. Each filter sees the
    distribution that the filters before it leave. Equally likely tokens (to 1e-5) are kept or dropped together.

    Args:
        temperature: divides the logits; 0 always takes the most likely token.
        top_k: only the k most likely tokens; 0 for all.
        top_p: the fewest tokens whose probabilities add up to at least p (Holtzman et al. 2020).
        min_p: only tokens at least min_p times as likely as the most likely one.
        typical_p: the tokens whose information is nearest to the entropy, the fewest whose probabilities add up to at
            least p (Meister et al. 2023).
        repetition_penalty: divides the positive logits of tokens of the prompt and of the answer, and multiplies the
            negative ones (Keskar et al. 2019, CTRL).
        presence_penalty: is subtracted from the logits of tokens of the answer.
        frequency_penalty: is subtracted from the logit of a token as often as the answer has it.
        logit_bias: is added to logits, by token id: ``{id: bias}``, from -100 (practically never) to 100.
        seed: of the request's random numbers; None draws one.
        n: answers to the prompt.
        logprobs: log-probabilities of the tokens, and of so many of the most likely ones at each place, by the model's
            own distribution, before all stages; None for no log-probabilities.
        max_tokens: most tokens that are made.
        stop: texts before which the answer ends; they are not part of it.
        ignore_eos: go on after the model's end token.

    Raises:
        ArgumentError: names a field whose value is impossible.

    >>> Sampling(temperature=0.7, top_p=0.9).top_k
    0
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    seed: int | None = None
    n: int = 1
    logprobs: int | None = None
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    def __post_init__(self) -> None:
        """Check every value."""
        for name, allowed in RANGES.items():
            value = getattr(self, name)
            if not allowed.holds(value):
                raise ArgumentError(mistake("Sampling", name, repr(value)[:60], allowed.expected))
        if not isinstance(self.stop, tuple) or not all(isinstance(text, str) and text for text in self.stop):
            raise ArgumentError(
                mistake("Sampling", "stop", repr(self.stop)[:80], "a tuple of texts, none empty")
            )
        self._check_bias(self.logit_bias)
        object.__setattr__(self, "logit_bias", dict(self.logit_bias))

    @staticmethod
    def _check_bias(given: Any) -> None:
        if not isinstance(given, Mapping):
            raise ArgumentError(
                mistake("Sampling", "logit_bias", repr(given)[:80], "a dictionary {id: bias}")
            )
        for token, bias in given.items():
            if isinstance(token, bool) or not isinstance(token, int) or token < 0:
                expected = "token ids, integers from 0 on"
                raise ArgumentError(mistake("Sampling", "logit_bias", f"the key {token!r}"[:80], expected))
            if not BIAS.holds(bias):
                given = f"{bias!r} for token {token}"[:80]
                raise ArgumentError(mistake("Sampling", "logit_bias", given, BIAS.expected))

    def check_vocabulary(self, size: int) -> None:
        """Raise ``ArgumentError`` where ``logit_bias`` has a token that a vocabulary of ``size`` lacks."""
        wrong = next((token for token in self.logit_bias if token >= size), None)
        if wrong is not None:
            expected = f"ids of the vocabulary, 0 to {size - 1}"
            raise ArgumentError(mistake("Sampling", "logit_bias", f"token {wrong}", expected))

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0 or self.top_k == 1

    def answers(self) -> tuple[Sampling, ...]:
        """Return the sampling of each of the ``n`` answers: ``n`` is 1 there, and seeds follow one another.

        >>> [answer.seed for answer in Sampling(seed=7, n=2).answers()]
        [7, 8]
        """
        seeds = [None if self.seed is None else (self.seed + number) % 2**64 for number in range(self.n)]
        return tuple(replace(self, n=1, seed=seed) for seed in seeds)
