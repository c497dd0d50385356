"""Requests that run together: their tokens depend on nobody, pages and slots come back, and errors reach all."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft as wf
from tests.engine import byte_vocabulary
from tests.engine.demo import demo, needs_demo_model
from tests.engine.test_engine import CONTEXT, VOCABULARY, path
from tests.models.checkpoints import Case
from tests.models.checkpoints import model as hf_model
from tests.models.mixed_cases import MIXED
from tests.models.test_families import CASES
from weft.devices.base import Device
from weft.engine import Completion, Engine
from weft.errors import ArgumentError, DeviceError
from weft.models import Decoder, DecoderConfig, LayerConfig, RopeConfig, load
from weft.models.cache import PAGE
from weft.models.source import RandomSource

__all__ = ["path"]
OPTIONS: dict[str, Any] = {"max_tokens": 12, "ignore_eos": True}
LONG: dict[str, Any] = {"max_tokens": 1000, "ignore_eos": True}


def prompts(count: int, longest: int = 40) -> list[list[int]]:
    """Return random prompts of different lengths."""
    random = np.random.default_rng(5)
    return [random.integers(0, VOCABULARY, random.integers(1, longest)).tolist() for _ in range(count)]


def alone(engine: Engine, prompt: list[int], **options: Any) -> list[int]:
    """Return the tokens of a prompt that runs by itself."""
    return engine.generate(prompt, **{**OPTIONS, **options}).tokens


def test_a_batch_gives_each_prompt_the_tokens_that_it_gets_alone(device: Device, path: Path) -> None:
    engine = Engine.load(path, device=device.name, cache_tokens=16 * CONTEXT)
    sampled = [{"temperature": 1.3, "seed": seed} if seed % 2 else {} for seed in range(16)]
    requests = [engine.submit(ids, **OPTIONS, **more) for ids, more in zip(prompts(16), sampled, strict=True)]
    together = [request.result().tokens for request in requests]
    assert engine.stats().steps < 16 * 12 / 2
    expected = [alone(engine, ids, **more) for ids, more in zip(prompts(16), sampled, strict=True)]
    assert together == expected


def test_a_request_that_joins_late_gives_the_same_tokens(path: Path) -> None:
    engine = Engine.load(path, cache_tokens=4 * CONTEXT)
    first, late, last = prompts(3)
    expected = [alone(engine, ids) for ids in (first, late, last)]
    leading = engine.submit(first, **OPTIONS)
    pieces = iter(leading)
    next(pieces)
    joined = engine.submit(late, **OPTIONS)
    next(iter(joined))  # leaves the iteration: cancelled
    assert engine.submit(last, **OPTIONS).result().tokens == expected[2]
    assert joined.completion.finish_reason == "cancelled"
    assert joined.completion.tokens == expected[1][: len(joined.completion.tokens)]
    list(pieces)
    assert leading.completion.tokens == expected[0]
    assert engine.stats().running == 0


def test_layers_with_windows_give_back_the_pages_that_they_do_not_see() -> None:
    wf.manual_seed(4)
    layers = (LayerConfig(33), LayerConfig(), LayerConfig(33))
    config = DecoderConfig(
        "llama", VOCABULARY, 16, 24, 2, 1, 8, layers, RopeConfig(10000.0, 8), 1e-5, 1024, tied=True
    )
    model = Decoder(config, RandomSource(0.5))
    engine = Engine(model, byte_vocabulary.byte_tokenizer(), slots=2, context=700, cache_tokens=1400)
    paging = engine.driver.scheduler.paging
    assert paging.pools[33].pages < paging.pools[None].pages
    random = np.random.default_rng(1)
    given = [random.integers(0, VOCABULARY, count).tolist() for count in (290, 3)]
    requests = [engine.submit(ids, max_tokens=350, ignore_eos=True) for ids in given]
    for ids, request in zip(given, requests, strict=True):
        tokens = request.result().tokens
        with wf.no_grad():
            logits = model(wf.tensor([[*ids, *tokens]])).numpy()[0, len(ids) - 1 : -1]
        best = np.sort(logits, -1)[:, -2:]
        same = logits.argmax(-1) == np.array(tokens)
        assert same[best[:, 1] - best[:, 0] > 1e-4].all()
    longer = [*given[0], *requests[0].completion.tokens]
    again = engine.generate(longer, max_tokens=5, ignore_eos=True)
    assert again.cached_tokens == (len(longer) - 1) // PAGE * PAGE
    fresh = Engine(model, engine.tokenizer, context=700)
    assert again.tokens == fresh.generate(longer, max_tokens=5, ignore_eos=True).tokens
    assert paging.free == paging.total


def test_short_convolutions_in_batches(device: Device, tmp_path: Path) -> None:
    batched_as_alone(tmp_path, "lfm2", device.name)


@pytest.mark.parametrize("name", ["qwen3_5", "qwen3_moe"])
def test_states_and_mixtures_in_batches(tmp_path: Path, name: str) -> None:
    batched_as_alone(tmp_path, name, "cpu")


def batched_as_alone(tmp_path: Path, name: str, device: str) -> None:
    """Check that a family's tokens depend on no neighbour, and that the beginning of a second turn is reused."""
    case = {**CASES, **MIXED}[name]
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": 256}
    made = hf_model(Case(case.family, {**case.changed, **sizes}))
    made.save_pretrained(tmp_path / name)
    weights = load(tmp_path / name, device=device)
    engine = Engine(weights, byte_vocabulary.byte_tokenizer(), slots=3, cache_tokens=400)
    given = [*prompts(5, 90), [7]]
    requests = [engine.submit(ids, **OPTIONS) for ids in given]
    together = [request.result().tokens for request in requests]
    fresh = Engine(weights, engine.tokenizer, slots=1)
    assert together == [alone(fresh, ids) for ids in given]
    longest = max(given, key=len)
    turn = [*longest, *requests[given.index(longest)].completion.tokens, 3, 4, 5]
    again = engine.generate(turn, **OPTIONS)
    assert again.cached_tokens >= PAGE
    assert again.tokens == alone(Engine(weights, engine.tokenizer, slots=1), turn)


@needs_demo_model
def test_the_demo_model_answers_the_same_in_a_batch() -> None:
    engine = demo()
    texts = [f"Count to {count}:" for count in range(5)] + ["Once upon a time", "def main():"]
    expected = [engine.generate(text, max_tokens=16).tokens for text in texts]
    requests = [engine.submit(text, max_tokens=16) for text in texts]
    assert [request.result().tokens for request in requests] == expected


def test_the_beginning_of_an_earlier_prompt_is_not_computed_again(path: Path) -> None:
    engine = Engine.load(path, cache_tokens=4 * CONTEXT)
    random = np.random.default_rng(3)
    ids = random.integers(0, VOCABULARY, PAGE + 9).tolist()
    first = engine.generate(ids, **OPTIONS)
    again = engine.generate(ids, **OPTIONS)
    assert (first.cached_tokens, again.cached_tokens) == (0, PAGE)
    assert again.tokens == first.tokens
    fork = [*ids[:PAGE], *random.integers(0, VOCABULARY, 5).tolist()]
    forked = engine.generate(fork, **OPTIONS)
    assert forked.cached_tokens == PAGE
    fresh = Engine.load(path).generate(fork, **OPTIONS)
    assert (fresh.cached_tokens, fresh.tokens) == (0, forked.tokens)
    other = engine.generate([ids[0] ^ 1, *ids[1:]], **OPTIONS)
    assert other.cached_tokens == 0
    assert engine.stats().cached_tokens == 2 * PAGE


def test_an_answer_is_reused_by_the_next_turn(path: Path) -> None:
    engine = Engine.load(path, cache_tokens=2 * CONTEXT)
    ids = prompts(1, 30)[0][:9]
    answer = engine.generate(ids, max_tokens=PAGE, ignore_eos=True)
    turn = engine.generate([*ids, *answer.tokens, 5, 6, 7], **OPTIONS)
    assert turn.cached_tokens == PAGE
    assert turn.tokens == Engine.load(path).generate([*ids, *answer.tokens, 5, 6, 7], **OPTIONS).tokens


def test_requests_give_way_where_the_pages_do_not_suffice(path: Path) -> None:
    roomy = Engine.load(path, cache_tokens=8 * CONTEXT)
    tight = Engine.load(path, cache_tokens=CONTEXT)
    given = prompts(5, 30)
    expected = [request.result() for request in [roomy.submit(ids, **LONG) for ids in given]]
    found = [request.result() for request in [tight.submit(ids, **LONG) for ids in given]]
    assert [answer.tokens for answer in found] == [answer.tokens for answer in expected]
    assert roomy.stats().preempted == 0 < tight.stats().preempted
    assert tight.stats().pages_free == tight.stats().pages == CONTEXT // PAGE


def test_more_requests_than_slots_wait(path: Path) -> None:
    engine = Engine.load(path, slots=2, cache_tokens=4 * CONTEXT)
    requests = [engine.submit(ids, **OPTIONS) for ids in prompts(7)]
    next(iter(requests[0]))
    stats = engine.stats()
    assert (stats.running + stats.waiting, stats.slots) == (7, 2)
    assert stats.running <= 2
    for request in requests[1:]:
        assert len(request.result().tokens) == 12
    assert engine.stats().finished == 6


def test_cancelled_requests_free_their_places(path: Path) -> None:
    engine = Engine.load(path, slots=2, cache_tokens=2 * CONTEXT)
    for ids in prompts(5):
        request = engine.submit(ids, **LONG)
        request.cancel()
        assert request.result().finish_reason == "cancelled"
    waiting = [engine.submit(ids, **LONG) for ids in prompts(5)]
    for request in waiting:
        request.cancel()
    engine.generate([1, 2, 3], **OPTIONS)
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.pages_free) == (0, 0, stats.pages)
    assert stats.cancelled == 10


def test_async_iterations_of_many_requests(path: Path) -> None:
    engine = Engine.load(path, cache_tokens=8 * CONTEXT)
    given = prompts(8)
    expected = [alone(engine, ids) for ids in given]

    async def read(ids: list[int]) -> list[int]:
        tokens: list[int] = []
        async for piece in engine.submit(ids, **OPTIONS):
            tokens += piece.tokens
        return tokens

    async def everything() -> list[list[int]]:
        return list(await asyncio.gather(*map(read, given)))

    assert asyncio.run(everything()) == expected
    assert alone(engine, given[0]) == expected[0]  # while the thread in the background runs
    engine.close()
    with pytest.raises(ArgumentError, match="closed"):
        engine.generate([1])


def test_a_request_that_meets_the_end_of_the_engine_is_refused(path: Path) -> None:
    engine = Engine.load(path)
    late = engine.submit([1, 2], **OPTIONS)
    engine.close()
    with pytest.raises(ArgumentError, match="closed"):
        late.result()
    with pytest.raises(ArgumentError, match="closed"):
        engine.driver.add(late)


def test_threads_share_an_engine(path: Path) -> None:
    with Engine.load(path, cache_tokens=8 * CONTEXT) as engine:
        given = prompts(8)
        expected = [alone(engine, ids) for ids in given]
        found: dict[int, list[int]] = {}

        def work(number: int) -> None:
            found[number] = alone(engine, given[number])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [found[number] for number in range(8)] == expected


def test_an_error_of_the_device_ends_every_request(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.load(path, slots=2, cache_tokens=4 * CONTEXT)
    expected = alone(engine, [1, 2, 3])
    requests = [engine.submit(ids, **LONG) for ids in prompts(3)]
    pieces = iter(requests[0])
    next(pieces)

    def lost(*given: object) -> None:
        raise DeviceError("the adapter is lost")

    with monkeypatch.context() as patch:
        patch.setattr(engine.driver.scheduler.runner, "step", lost)
        with pytest.raises(DeviceError, match="lost"):
            list(pieces)
    for request in requests[1:]:
        with pytest.raises(DeviceError, match="lost"):
            request.result()
    stats = engine.stats()
    assert (stats.failed, stats.running, stats.waiting, stats.pages_free) == (3, 0, 0, stats.pages)
    assert alone(engine, [1, 2, 3]) == expected


def test_a_thousand_requests_leave_memory_flat(path: Path) -> None:
    engine = Engine.load(path, cache_tokens=4 * CONTEXT)
    given = prompts(50)

    def round_of() -> None:
        requests = [engine.submit(ids, max_tokens=2, ignore_eos=True) for ids in given]
        for place, request in enumerate(requests):
            if place % 5 == 0:
                request.cancel()
            else:
                assert isinstance(request.result(), Completion)

    for _ in range(3):
        round_of()
    gc.collect()
    tracemalloc.start()
    try:
        round_of()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(16):
            round_of()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 50_000, grown
    assert engine.stats().requests == 1000


@pytest.mark.parametrize(("name", "value"), [("slots", 0), ("slots", 1000), ("cache_tokens", CONTEXT - 1)])
def test_impossible_sizes(path: Path, name: str, value: int) -> None:
    with pytest.raises(ArgumentError, match=name):
        Engine.load(path, **{name: value})


@pytest.mark.parametrize("dtype", [wf.float16, wf.bfloat16])
def test_keys_and_values_in_16_bits(device: Device, path: Path, dtype: wf.dtype) -> None:
    half, full = (
        Engine.load(path, device=device.name, cache_dtype=kind, slots=2, context=40) for kind in (dtype, None)
    )
    sizes = [engine.driver.scheduler.runner.cache.nbytes for engine in (half, full)]
    assert 2 * sizes[0] == sizes[1]
    options: dict[str, Any] = {"max_tokens": 4, "ignore_eos": True, "logprobs": 1}
    given = prompts(6, 30)
    pairs = [[engine.generate(ids, **options).logprobs[0] for engine in (half, full)] for ids in given]
    near = [
        abs(first.logprob - second.logprob) < 0.02 for first, second in pairs if first.token == second.token
    ]
    assert sum(near) >= 5
