"""Measures an engine: rates of prefill and decode, the time to the first token, memory, and the use of bandwidth."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from weft import devices
from weft.engine.engine import Engine
from weft.errors import ArgumentError, mistake
from weft.models import Decoder
from weft.models.mixture import Experts
from weft.tensors.creation import ones, zeros
from weft.tensors.tensor import Tensor

COPIED = {True: 32 << 20, False: 256 << 20}
"""Bytes that are copied to measure the bandwidth, on a software rasteriser and on other devices."""
FIRST = 16
"""Tokens of the prompt whose first token is waited for."""


@dataclass(frozen=True)
class Measured:
    """The figures of an engine; rates are the best of the rounds.

    Attributes:
        device: where the model runs.
        prompt_tokens: tokens of the prompt, read at ``prefill`` tokens a second.
        new_tokens: tokens written after it, at ``decode`` tokens a second.
        first_token: seconds from a prompt of 16 tokens to the first token.
        weights: bytes of the weights, ``cache`` those of the cache.
        device_peak: the most bytes in use on the device.
        process_peak: the most bytes of memory of this process; None where the system does not tell.
        token_bytes: bytes of weights and cache that a token of the answer reads.
        bandwidth: bytes a second that the device reads and writes in a copy.
    """

    device: str
    prompt_tokens: int
    new_tokens: int
    prefill: float
    decode: float
    first_token: float
    weights: int
    cache: int
    device_peak: int
    process_peak: int | None
    token_bytes: int
    bandwidth: float

    @property
    def bandwidth_share(self) -> float:
        """The share of the copy's bandwidth that decoding uses."""
        return self.decode * self.token_bytes / self.bandwidth


def measure(engine: Engine, prompt_tokens: int = 256, new_tokens: int = 64, rounds: int = 3) -> Measured:
    """Measure an engine that answers nothing else; one round before is not counted, in which programs are compiled.

    Raises:
        ArgumentError: for sizes that do not fit the context.
    """
    if not 0 < prompt_tokens <= engine.context - new_tokens:
        expected = f"1 to {engine.context - new_tokens}: the context holds {engine.context} tokens in all"
        raise ArgumentError(mistake("bench", "prompt_tokens", prompt_tokens, expected))
    if new_tokens < 2 or rounds < 1:
        given = f"{new_tokens} and {rounds}"
        raise ArgumentError(mistake("bench", "new_tokens and rounds", given, "at least 2 and at least 1"))
    numbers = np.random.default_rng(0)

    def run(length: int, count: int) -> tuple[float, float]:
        ids = numbers.integers(0, engine.tokenizer.size, length).tolist()  # new ones, which no cache has
        answer = engine.generate(ids, max_tokens=count, ignore_eos=True)
        return answer.prompt_seconds, answer.tokens_per_second

    first = min(FIRST, engine.context - 1)
    results = [(run(prompt_tokens, new_tokens), run(first, 1)[0]) for _ in range(rounds + 1)][1:]
    device = devices.open(engine.driver.scheduler.runner.device)
    return Measured(
        device=device.name,
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        prefill=prompt_tokens / min(seconds for (seconds, _), _ in results),
        decode=max(rate for (_, rate), _ in results),
        first_token=min(seconds for _, seconds in results),
        weights=sum(map(_bytes, weights(engine.model))),
        cache=engine.driver.scheduler.runner.cache.nbytes,
        device_peak=device.memory_stats().peak,
        process_peak=_process_peak(),
        token_bytes=token_bytes(engine.model, prompt_tokens + new_tokens // 2),
        bandwidth=bandwidth(device.name, rounds),
    )


def weights(model: Decoder) -> list[Tensor]:
    """Return the parameters and buffers of a model, each once."""
    return list({id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}.values())


def token_bytes(model: Decoder, length: int) -> int:
    """Return the bytes that a token of the answer reads: weights, and what the cache holds of ``length`` tokens.

    Of an embedding that is not the output layer too, one row is read; of experts, those that are chosen.
    """
    config = model.config
    total = float(sum(map(_bytes, weights(model))))
    if not config.tied:
        embedding = sum(map(_bytes, model.model.embed_tokens.parameters())) + sum(
            map(_bytes, model.model.embed_tokens.buffers())
        )
        total -= embedding * (1 - 1 / config.vocab_size)
    for part in model.modules():
        if isinstance(part, Experts):
            experts = sum(map(_bytes, [*part.parameters(), *part.buffers()]))
            total -= experts * (1 - config.experts_chosen / config.experts)
    cache = model.cache(1, 1)
    for layer, stores in zip(cache.stored, model.stores(), strict=True):
        for name, stored in stores.items():
            element = layer[name].element_size() * int(np.prod(stored.shape))
            seen = 1 if stored.of_sequence else min(length, stored.window or length)
            total += element * seen
    return int(total)


def bandwidth(device: str, rounds: int = 3) -> float:
    """Return the bytes a second that a copy on the device reads and writes, the best of the rounds."""
    opened = devices.open(device)
    count = COPIED[opened.profile.software] // 4
    source, target = ones(count, device=device), zeros(count, device=device)

    def copy() -> None:
        target.copy_(source)
        opened.synchronize()

    copy()
    return 8 * count / min(_seconds(copy) for _ in range(rounds))


def _seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _process_peak() -> int | None:
    """Return the most bytes of memory that the process had."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
