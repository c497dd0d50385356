"""Rotations that depend on the length in use, while texts grow: against transformers, which reads them anew."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tests.engine.byte_vocabulary import byte_tokenizer
from tests.engine.test_engine import VOCABULARY, greedy
from tests.models.checkpoints import Case, model
from weft.devices.base import Device
from weft.engine import Engine
from weft.models import load

ORIGINAL = 40
CASE = Case(
    "phi3",
    {
        "vocab_size": VOCABULARY,
        "num_hidden_layers": 2,
        "original_max_position_embeddings": ORIGINAL,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 500.0,
            "factor": 3.0,
            "short_factor": [1.0, 1.25, 1.5],
            "long_factor": [2.0, 3.0, 5.0],
        },
    },
)


@lru_cache(maxsize=None)
def expected(length: int, count: int) -> tuple[list[int], list[int]]:
    """Return a prompt, and transformers' tokens after it."""
    ids = np.random.default_rng(300 + length).integers(0, VOCABULARY, length).tolist()
    tokens, gap = greedy(model(CASE), ids, count)
    assert gap > 1e-4, "the seed gives a tie"
    return ids, tokens


def engine(folder: Any, device: str = "cpu") -> Engine:
    """Return an engine of the model."""
    model(CASE).save_pretrained(folder)
    return Engine(load(folder, device=device), byte_tokenizer(), cache_tokens=4 * 96)


def test_a_text_that_grows_over_the_original_length_is_read_again_with_the_long_rotations(
    device: Device, tmp_path: Any
) -> None:
    loaded = engine(tmp_path, device.name)
    for length, count in ((34, 24), (ORIGINAL, 12), (ORIGINAL + 8, 12), (8, 12)):
        ids, tokens = expected(length, count)
        assert loaded.generate(ids, max_tokens=count, ignore_eos=True).tokens == tokens, length


def test_texts_of_both_rotations_run_together_and_share_no_pages(tmp_path: Any) -> None:
    loaded = engine(tmp_path)
    cases = [expected(length, 24) for length in (34, 38, 48)]
    long, _ = expected(70, 8)
    short = long[:36]  # begins with the same page, which has other keys
    both = [loaded.submit(ids, max_tokens=24, ignore_eos=True) for ids, _ in cases]
    assert [request.result().tokens for request in both] == [tokens for _, tokens in cases]
    first = loaded.generate(long, max_tokens=8, ignore_eos=True)
    second = loaded.generate(short, max_tokens=3, ignore_eos=True)
    again = loaded.generate(long, max_tokens=8, ignore_eos=True)
    assert (first.cached_tokens, second.cached_tokens, again.cached_tokens) == (0, 0, 64)
    assert first.tokens == again.tokens == expected(70, 8)[1]
    assert second.tokens == greedy(model(CASE), short, 3)[0]
