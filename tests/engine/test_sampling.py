"""Values of ``Sampling``: the possible ones, and errors that name the others."""

from __future__ import annotations

import math
from typing import Any

import pytest

from weft.engine import Sampling
from weft.errors import ArgumentError


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
