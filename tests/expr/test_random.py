"""Philox against the known answers of its authors' library, and the distributions that are computed from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.expr.arithmetic import run
from weft import dtypes
from weft.expr import FUNCTIONS, call, expand, variable, walk
from weft.expr.functions.random import philox

NAMES = ("counter_low", "counter_high", "key_low", "key_high")
WORDS = [variable(name, dtypes.uint32) for name in NAMES]

# Random123, tests/kat_vectors, the lines "philox4x32 10": counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_reference_gives_the_known_answers(counter: Any, key: Any, words: Any) -> None:
    assert philox(counter, key) == words


def some_words(count: int = 20_000) -> dict[str, Any]:
    random = np.random.default_rng(1)
    values = random.integers(0, 2**32, (4, count), dtype="uint64").astype("uint32")
    values[:, 0], values[:, 1] = 0, 0xFFFFFFFF
    return dict(zip(NAMES, values, strict=True))


@pytest.mark.parametrize("wide", [False, True], ids=["16-bit pieces", "64-bit products"])
def test_the_expressions_are_philox(wide: bool) -> None:
    given = some_words()
    low, high, *key = (given[name].astype("uint64") for name in NAMES)
    expected = philox((low, high, np.zeros_like(low), np.zeros_like(low)), (key[0], key[1]))
    assert int(expected[0][0]) == 0x6627E8D5, "the first sample is the known answer for zeros"
    for word, name in enumerate(("random_bits", "random_bits2")):
        got = run(call(name, *WORDS), given, fused=False, wide=wide)
        np.testing.assert_array_equal(got, expected[word])


def test_high_words_of_products_are_exact() -> None:
    edges = np.array([0, 1, 2, 0xFFFF, 0x10000, 0x10001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF], "uint32")
    random = np.random.default_rng(2).integers(0, 2**32, 500, dtype="uint64").astype("uint32")
    x, y = (
        grid.ravel() for grid in np.meshgrid(np.concatenate([edges, random]), np.concatenate([edges, random]))
    )
    product = call("mulhi", variable("x", dtypes.uint32), variable("y", dtypes.uint32))
    for wide in (False, True):
        got = run(product, {"x": x, "y": y}, fused=False, wide=wide)
        np.testing.assert_array_equal(got, [int(a) * int(b) >> 32 for a, b in zip(x, y, strict=True)])


def counted(count: int) -> dict[str, Any]:
    words = np.zeros((4, count), "uint32")
    words[0] = np.arange(count)
    words[2:] = 12345
    return dict(zip(NAMES, words, strict=True))


def test_uniform_numbers_are_multiples_of_2_to_the_minus_24_below_1() -> None:
    given = counted(200_000)
    got = run(call("uniform", *WORDS), given, fused=False)
    assert got.dtype == np.float32
    assert got.min() >= 0
    assert got.max() < 1
    np.testing.assert_array_equal(got * 2**24, np.rint(got * 2**24))
    np.testing.assert_array_equal(got, FUNCTIONS["uniform"].numpy(*given.values()))
    filled, _ = np.histogram(got, bins=64, range=(0, 1))
    statistic = np.sum((filled - len(got) / 64) ** 2) / (len(got) / 64)
    assert 30 < statistic < 115, "chi-squared with 63 degrees of freedom, 0.01 % on each side"
    assert abs(np.corrcoef(got[:-1], got[1:])[0, 1]) < 0.01


def test_normal_numbers_are_normal_and_finite() -> None:
    given = counted(200_000)
    got = run(call("normal", *WORDS), given, fused=False).astype("float64")
    np.testing.assert_allclose(got, FUNCTIONS["normal"].numpy(*given.values()), rtol=2e-5, atol=1e-6)
    assert np.all(np.isfinite(got))
    assert abs(got.mean()) < 0.01
    assert abs(got.std() - 1) < 0.01
    assert abs(np.mean(got**3)) < 0.03
    assert abs(np.mean(got**4) - 3) < 0.06


def test_the_largest_radius_is_finite() -> None:
    """The Box-Muller transform takes the logarithm of ((word >> 8) + 1) / 2**24: at least 2**-24, at most 1."""
    smallest = np.array([2.0**-24, 1.0], "float32")
    radius = run(
        call("sqrt", call("mul", call("log", variable("u", dtypes.float32)), -2.0)), {"u": smallest}, False
    )
    np.testing.assert_allclose(radius, [5.768108, 0.0], rtol=1e-6)


def test_targets_without_64_bit_integers_get_none() -> None:
    types = {node.dtype for node in walk(expand(call("normal", *WORDS)))}
    assert dtypes.int64 not in types
    assert dtypes.int64 in {node.dtype for node in walk(expand(call("normal", *WORDS), wide=True))}
