"""Choosing tokens, against a NumPy version of the definition: exactly for given numbers, and in frequencies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.devices.base import Device
from weft.engine import Sampling
from weft.engine.sampling import choose
from weft.errors import ArgumentError

Array = np.ndarray[Any, Any]


def probabilities(logits: Array, temperature: float, top_k: int, top_p: float, min_p: float) -> Array:
    """Return the distribution of a row, (V), float64, by the definition of each filter."""
    if temperature == 0:
        return np.eye(len(logits))[int(logits.argmax())]
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    order = np.argsort(-weights, kind="stable")
    kept = order[:top_k] if top_k else order
    total, so_far, chosen = weights[kept].sum(), 0.0, []
    for token in kept:
        if so_far >= top_p * total:
            break
        chosen.append(token)
        so_far += weights[token]
    result = np.zeros_like(weights)
    for token in chosen:
        if weights[token] >= min_p * weights.max():
            result[token] = weights[token]
    return result / result.sum()


SETTINGS = [
    (1.0, 0, 1.0, 0.0),
    (0.0, 0, 1.0, 0.0),
    (0.7, 5, 1.0, 0.0),
    (1.3, 0, 0.8, 0.0),
    (1.0, 0, 1.0, 0.2),
    (2.0, 7, 0.9, 0.1),
    (0.5, 1, 1.0, 0.0),
    (1.0, 0, 1e-6, 0.0),
    (1.0, 1000, 1.0, 1.0),
    (0.0, 3, 0.5, 0.5),
]


def chosen(
    device: Device, logits: Array, settings: list[tuple[float, int, float, float]], uniform: Array
) -> Array:
    """Return the ids that ``choose`` takes, row by row."""
    where = device.name
    columns = [list(column) for column in zip(*settings, strict=True)]
    kinds = (wf.float32, wf.int64, wf.float32, wf.float32)
    arguments = [
        wf.tensor(column, dtype=kind, device=where) for column, kind in zip(columns, kinds, strict=True)
    ]
    result = choose(
        wf.tensor(logits, device=where), *arguments, wf.tensor(uniform.astype(np.float32), device=where)
    )
    return np.asarray(result.numpy())


def test_each_row_has_its_settings_and_the_choice_is_the_place_in_the_distribution(device: Device) -> None:
    rng = np.random.default_rng(0)
    rows, vocabulary = 40 * len(SETTINGS), 53
    logits = (rng.standard_normal((rows, vocabulary)) * 2).astype(np.float32)
    settings = SETTINGS * 40
    uniform = rng.random(rows)
    found = chosen(device, logits, settings, uniform)
    compared = 0
    for row, setting in enumerate(settings):
        shares = probabilities(logits[row], *setting)
        order = np.argsort(-logits[row], kind="stable")
        sums = shares[order].cumsum()
        if np.abs(sums - uniform[row]).min() < 1e-5:
            continue  # rounding decides
        assert found[row] == order[int((sums <= uniform[row]).sum())], setting
        compared += 1
    assert compared > rows * 0.9


@pytest.mark.parametrize("setting", [(1.0, 0, 1.0, 0.0), (0.8, 6, 0.95, 0.02)])
def test_frequencies(device: Device, setting: tuple[float, int, float, float]) -> None:
    rng = np.random.default_rng(1)
    logits = (rng.standard_normal(12) * 1.5).astype(np.float32)
    rows = 4000
    found = chosen(device, np.tile(logits, (rows, 1)), [setting] * rows, rng.random(rows))
    shares = probabilities(logits, *setting)
    counts = np.bincount(found, minlength=12)
    assert (counts[shares == 0] == 0).all()
    some = shares > 0
    chi_squared = (((counts - rows * shares) ** 2)[some] / (rows * shares[some])).sum()
    assert chi_squared < 40  # 11 degrees of freedom: 40 has a probability of 3.6e-5


def test_the_largest_and_smallest_numbers_choose_tokens_that_are_allowed(device: Device) -> None:
    logits = np.array([[0.0, 30.0, -30.0, 29.0]], np.float32).repeat(4, 0)
    settings = [(1.0, 2, 1.0, 0.0), (1.0, 0, 1.0, 0.0), (1.0, 0, 0.5, 0.0), (1.0, 0, 1.0, 0.5)]
    uniform = np.full(4, np.nextafter(np.float32(1), np.float32(0)))
    found = chosen(device, logits, settings, uniform)
    assert [found[0], found[2], found[3]] == [3, 1, 1]
    assert found[1] in (0, 2, 3)
    assert chosen(device, logits, settings, np.zeros(4)).tolist() == [1, 1, 1, 1]


def test_of_equal_logits_the_first_is_the_most_likely(device: Device) -> None:
    logits = np.array([[1.0, 5.0, 5.0, 5.0]], np.float32)
    assert chosen(device, logits, [(0.0, 0, 1.0, 0.0)], np.array([0.9])).tolist() == [1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("temperature", value) for value in (-0.1, math.inf, math.nan, "1", True, None)],
        *[("top_k", value) for value in (-1, 1.5, True, 2**31)],
        *[("top_p", value) for value in (0.0, -1, 1.1, math.nan, "p")],
        *[("min_p", value) for value in (-0.1, 1.5, math.nan)],
        *[("max_tokens", value) for value in (0, -1, 2.0, None)],
        *[("seed", value) for value in (-1, 2**64, 1.0, True)],
        *[("typical_p", value) for value in (0.0, 1.1, math.nan, "p")],
        *[("repetition_penalty", value) for value in (0.0, -1.0, math.inf, None)],
        *[("presence_penalty", value) for value in (-2.1, 2.1, math.nan)],
        *[("frequency_penalty", value) for value in (-2.1, 2.1, "1")],
        *[("n", value) for value in (0, 129, 1.0, True)],
        *[("logprobs", value) for value in (-1, 21, 1.0, True)],
        *[
            ("logit_bias", value)
            for value in ([1], None, {"1": 1.0}, {-1: 1.0}, {True: 1.0}, {1: 101.0}, {1: None})
        ],
        *[("stop", value) for value in ("text", ["a"], ("",), (1,), None)],
    ],
)
def test_impossible_values_are_named(field: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=field):
        Sampling(**{field: value})


def test_possible_values_at_the_borders() -> None:
    Sampling(temperature=0, top_k=0, top_p=1, min_p=1, seed=2**64 - 1, max_tokens=1, stop=("a", "b"))
    Sampling(
        typical_p=1,
        presence_penalty=-2,
        frequency_penalty=2,
        n=128,
        logprobs=20,
        logit_bias={0: -100, 9: 100},
    )


def test_a_bias_that_the_caller_changes_later_stays_as_it_was() -> None:
    given = {1: 2.0}
    sampling = Sampling(logit_bias=given)
    given[1] = 200.0
    assert sampling.logit_bias == {1: 2.0}
    assert hash(sampling) == hash(Sampling())


def test_each_of_several_answers_has_its_seed() -> None:
    assert [each.seed for each in Sampling(seed=2**64 - 1, n=3).answers()] == [2**64 - 1, 0, 1]
    assert Sampling(n=2).answers() == (Sampling(), Sampling())
