"""``Chooser`` against NumPy versions of the definitions: exactly for given numbers, and in frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.autograd import no_grad
from weft.devices.base import Device
from weft.engine import Sampling
from weft.engine.choosing import Chooser, Chosen, Needs
from weft.errors import ArgumentError

Array = np.ndarray[Any, Any]
UNIT = 2.0**-17
"""Distances of two logits that count as equal."""


def nearest(weights: Array, distance: Array, measure: Array, goal: float) -> Array:
    """Return the weights of the nearest tokens that measure at least ``goal``, others 0, by sorting."""
    places = np.floor(distance / UNIT)
    kept = np.zeros(len(weights), bool)
    for place in np.unique(places):
        if measure[kept].sum() >= goal:
            break
        kept |= places == place
    return np.where(kept, weights, 0.0)


def probabilities(logits: Array, sampling: Sampling) -> Array:
    """Return the distribution of a row, (V), float64, by the definition of each filter, one after the other."""
    if sampling.greedy:
        return np.eye(len(logits))[int(logits.argmax())]
    distance = (logits.max() - logits.astype(np.float64)) / sampling.temperature
    weights = np.exp(-distance)
    if sampling.top_k:
        weights = nearest(weights, distance, np.ones(len(weights)), sampling.top_k)
    if sampling.top_p < 1:
        weights = nearest(weights, distance, weights, sampling.top_p * weights.sum())
    weights = np.where(weights >= sampling.min_p * weights.max(), weights, 0.0)
    if sampling.typical_p < 1:
        shares = weights / weights.sum()
        information = -np.log(shares, where=shares > 0, out=np.full(len(shares), -1000.0))
        entropy = (shares[shares > 0] * information[shares > 0]).sum()
        weights = nearest(weights, np.abs(information - entropy), weights, sampling.typical_p * weights.sum())
    return weights / weights.sum()


def penalised(logits: Array, sampling: Sampling, prompt: Sequence[int], answer: Sequence[int]) -> Array:
    """Return the logits after bias and penalties, token by token."""
    result = logits.astype(np.float64)
    for token, bias in sampling.logit_bias.items():
        result[token] += bias
    for token in {*prompt, *answer}:
        penalty = sampling.repetition_penalty
        result[token] = result[token] / penalty if result[token] > 0 else result[token] * penalty
    for token in set(answer):
        result[token] -= sampling.presence_penalty + sampling.frequency_penalty * answer.count(token)
    return result


FILTERS = [
    {},
    {"temperature": 0.0},
    {"temperature": 0.7, "top_k": 5},
    {"temperature": 1.3, "top_p": 0.8},
    {"min_p": 0.2},
    {"typical_p": 0.5},
    {"typical_p": 0.95, "temperature": 0.6},
    {"temperature": 2.0, "top_k": 7, "top_p": 0.9, "min_p": 0.1},
    {"temperature": 1.5, "top_k": 30, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.7},
    {"temperature": 0.5, "top_k": 1},
    {"top_p": 1e-6},
    {"top_k": 1000, "min_p": 1.0},
    {"temperature": 0.0, "top_k": 3, "top_p": 0.5, "min_p": 0.5, "typical_p": 0.5},
    {"temperature": 50.0},
    {"temperature": 1e-3, "top_k": 4},
]
SETTINGS = [Sampling(**{"temperature": 1.0, **given}) for given in FILTERS]


class Rows:
    """A chooser whose slot ``row + 1`` has the row's sampling; slot 0 is for padding."""

    def __init__(
        self, device: Device, samplings: Sequence[Sampling], vocabulary: int, prompt: Sequence[int] = (0,)
    ) -> None:
        self.device, self.slots = device, list(range(1, 1 + len(samplings)))
        self.chooser = Chooser(1 + len(samplings), vocabulary, device.name)
        for row, sampling in enumerate(samplings):
            self.chooser.assign(row + 1, sampling, prompt)

    def __call__(self, logits: Array, uniform: Array | None = None, masks: Array | None = None) -> Chosen:
        needs = self.chooser.needs(self.slots, masks is not None)
        numbers = None if uniform is None else self.put(uniform.astype(np.float32))
        with no_grad():
            return self.chooser.choose(
                self.put(logits),
                self.put(np.array(self.slots)),
                numbers,
                needs,
                None if masks is None else self.put(masks),
            )

    def put(self, array: Array) -> wf.Tensor:
        return wf.tensor(array, device=self.device.name)


def ids(chosen: Chosen) -> Array:
    return np.asarray(chosen.ids.numpy())


@pytest.mark.parametrize("vocabulary", [53, 600])
def test_the_token_is_the_place_of_the_number_in_the_distribution(device: Device, vocabulary: int) -> None:
    rng = np.random.default_rng(vocabulary)
    samplings = SETTINGS * 20
    logits = (rng.standard_normal((len(samplings), vocabulary)) * 2).astype(np.float32)
    uniform = rng.random(len(samplings), dtype=np.float32)
    found = ids(Rows(device, samplings, vocabulary)(logits, uniform))
    compared = 0
    for row, sampling in enumerate(samplings):
        shares = probabilities(logits[row], sampling)
        assert shares[found[row]] > 0, sampling
        sums = shares.cumsum()
        if sampling.greedy or np.abs(sums - uniform[row]).min() > 1e-5:  # else rounding decides
            expected = int((sums <= (0.0 if sampling.greedy else uniform[row])).sum())
            assert found[row] == expected, sampling
            compared += 1
    assert compared > len(samplings) * 0.9


@pytest.mark.parametrize(
    "given", [given for given in FILTERS if not Sampling(**{"temperature": 1.0, **given}).greedy], ids=str
)
def test_frequencies_are_those_of_the_distribution(device: Device, given: Any) -> None:
    rng = np.random.default_rng(1)
    logits = (rng.standard_normal(40) * 1.5).astype(np.float32)
    sampling, count = Sampling(**{"temperature": 1.0, **given}), 3000
    rows = Rows(device, [sampling], 40)
    rows.slots = [1] * count
    found = ids(rows(np.tile(logits, (count, 1)), rng.random(count, np.float32)))
    shares = probabilities(logits, sampling)
    counts = np.bincount(found, minlength=40)
    assert (counts[shares == 0] == 0).all()
    some = shares > 0
    chi_squared = (((counts - count * shares) ** 2)[some] / (count * shares[some])).sum()
    freedom = int(some.sum()) - 1
    assert chi_squared < freedom + 4.5 * (2 * freedom) ** 0.5 + 1e-9  # a probability below 1e-4


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    "given",
    [
        {"repetition_penalty": 1.8},
        {"repetition_penalty": 0.5},
        {"presence_penalty": 1.5},
        {"presence_penalty": -2.0},
        {"frequency_penalty": 0.7},
        {"logit_bias": {3: 4.0, 0: -100.0}},
        {
            "repetition_penalty": 1.3,
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
            "logit_bias": {5: 3.0},
        },
    ],
    ids=str,
)
def test_penalties_count_the_prompt_and_the_answer(device: Device, given: Any, temperature: float) -> None:
    rng = np.random.default_rng(3)
    vocabulary, steps, rows = 11, 12, 6
    sampling = Sampling(temperature=temperature, **given)
    prompt = [1, 2, 2, 9]
    chooser = Rows(device, [sampling] * rows, vocabulary, prompt)
    answers: list[list[int]] = [[] for _ in range(rows)]
    compared = 0
    for _ in range(steps):
        logits = (rng.standard_normal((rows, vocabulary)) * 2).astype(np.float32)
        uniform = rng.random(rows, dtype=np.float32)
        found = ids(chooser(logits, uniform))
        for row, answer in enumerate(answers):
            shares = probabilities(penalised(logits[row], sampling, prompt, answer), sampling)
            sums = shares.cumsum()
            if np.abs(sums - uniform[row]).min() > 1e-5:
                expected = int((sums <= (0.0 if sampling.greedy else uniform[row])).sum())
                assert found[row] == expected, (answer, sampling)
                compared += 1
            answer.append(int(found[row]))
    assert compared > steps * rows * 0.9
    resumed = Rows(device, [sampling] * rows, vocabulary, prompt)
    for row, answer in enumerate(answers):
        resumed.chooser.assign(row + 1, sampling, prompt, answer)
    logits, uniform = rng.standard_normal((rows, vocabulary)).astype(np.float32), rng.random(rows)
    assert ids(resumed(logits, uniform)).tolist() == ids(chooser(logits, uniform)).tolist()


def test_a_slot_forgets_the_request_before(device: Device) -> None:
    strong = Sampling(repetition_penalty=50.0, frequency_penalty=2.0, logit_bias={4: 100.0})
    logits = np.linspace(3, 1, 6, dtype=np.float32)[None]
    rows = Rows(device, [strong], 6, [0])
    assert ids(rows(logits)).tolist() == [4]
    rows.chooser.release(1)
    rows.chooser.assign(1, Sampling(presence_penalty=0.5), [5])
    assert rows.chooser.needs([1]) == Needs(penalties=True)
    assert [ids(rows(logits)).tolist() for _ in range(3)] == [[0], [1], [0]]
    rows.chooser.assign(1, Sampling(), [5])
    assert rows.chooser.needs([1]) == Needs()
    assert ids(rows(logits)).tolist() == [0]


@pytest.mark.parametrize("vocabulary", [31, 32, 300, 512])
def test_masks_leave_the_tokens_whose_bits_are_set(device: Device, vocabulary: int) -> None:
    rng = np.random.default_rng(vocabulary)
    samplings = [Sampling(), Sampling(temperature=1.0), Sampling(temperature=1.0, top_p=0.9)] * 8
    logits = rng.standard_normal((len(samplings), vocabulary)).astype(np.float32)
    allowed = rng.random((len(samplings), vocabulary)) < 0.1
    allowed[:, vocabulary - 1] = True
    padded = np.zeros((len(samplings), -(-vocabulary // 32) * 32), bool)
    padded[:, :vocabulary] = allowed
    masks = np.packbits(padded, axis=1, bitorder="little").view(np.int32)
    found = ids(Rows(device, samplings, vocabulary)(logits, rng.random(len(samplings)), masks))
    assert allowed[np.arange(len(samplings)), found].all()
    best = np.where(allowed, logits, -np.inf).argmax(1)
    assert found[::3].tolist() == best[::3].tolist()


def test_what_the_grammar_leaves_may_be_a_banned_token(device: Device) -> None:
    sampling = Sampling(temperature=1.0, top_k=3, logit_bias={2: -100.0})
    masks = np.array([[0b100]], np.int32)
    found = ids(Rows(device, [sampling], 9)(np.zeros((1, 9), np.float32), np.array([0.5]), masks))
    assert found.tolist() == [2]


def test_log_probabilities_are_the_models_own(device: Device) -> None:
    rng = np.random.default_rng(5)
    wanted = [None, 0, 3, 5, 20]
    samplings = [
        Sampling(temperature=0.5, top_k=2, logit_bias={7: 100.0}, logprobs=count) for count in wanted
    ]
    logits = (rng.standard_normal((5, 130)) * 3).astype(np.float32)
    chosen = Rows(device, samplings, 130)(logits, rng.random(5))
    assert ids(chosen).tolist() == [7] * 5
    expected = logits - np.log(np.exp(logits.astype(np.float64)).sum(1, keepdims=True))
    for row, (count, found) in enumerate(zip(wanted, chosen.logprobs(wanted), strict=True)):
        if count is None:
            assert found is None
            continue
        assert found is not None
        assert found.token == 7
        assert found.logprob == pytest.approx(expected[row, 7], abs=1e-5)
        order = np.argsort(-logits[row], kind="stable")[:count]
        assert [token for token, _ in found.top] == order.tolist()
        assert [value for _, value in found.top] == pytest.approx(expected[row, order], abs=1e-5)
    with_few = Rows(device, [Sampling(logprobs=20)], 6)(logits[:1, :6])
    (few,) = with_few.logprobs([20])
    assert few is not None
    assert len(few.top) == 6


def test_the_largest_and_smallest_numbers_choose_tokens_that_are_allowed(device: Device) -> None:
    logits = np.array([[0.0, 30.0, -30.0, 29.0]], np.float32).repeat(4, 0)
    given: list[dict[str, Any]] = [{"top_k": 2}, {}, {"top_p": 0.5}, {"min_p": 0.5}]
    rows = Rows(device, [Sampling(temperature=1.0, **each) for each in given], 4)
    found = ids(rows(logits, np.full(4, np.nextafter(np.float32(1), np.float32(0)))))
    assert found.tolist() == [3, 3, 1, 1]
    assert ids(rows(logits, np.zeros(4))).tolist() == [1, 0, 1, 1]


def test_of_equal_logits_the_first_is_the_most_likely(device: Device) -> None:
    logits = np.array([[1.0, 5.0, 5.0, 5.0]], np.float32).repeat(2, 0)
    mixed = Rows(device, [Sampling(), Sampling(temperature=1.0, top_k=1)], 4)
    assert ids(mixed(logits, np.array([0.9, 0.9]))).tolist() == [1, 1]
    beside = Rows(device, [Sampling(), Sampling(temperature=1.0)], 4)
    assert ids(beside(logits, np.array([0.9, 0.9])))[0] == 1
    tied = Rows(device, [Sampling(temperature=1.0, top_k=2)] * 2, 4)
    assert ids(tied(logits, np.array([0.1, 0.9]))).tolist() == [1, 3]


def test_a_row_has_the_same_token_alone_and_among_others(device: Device) -> None:
    rng = np.random.default_rng(9)
    vocabulary, count = 1000, 32
    samplings = [SETTINGS[row % len(SETTINGS)] for row in range(count)]
    logits = (rng.standard_normal((count, vocabulary)) * 3).astype(np.float32)
    uniform = rng.random(count, dtype=np.float32)
    together = ids(Rows(device, samplings, vocabulary)(logits, uniform))
    for row in range(0, count, 4):
        alone = Rows(device, samplings[row : row + 1], vocabulary)(
            logits[row : row + 1], uniform[row : row + 1]
        )
        assert ids(alone).tolist() == [together[row]]
    order = rng.permutation(count)
    moved = ids(Rows(device, [samplings[row] for row in order], vocabulary)(logits[order], uniform[order]))
    assert moved.tolist() == together[order].tolist()


def test_needs_say_what_the_present_rows_need(device: Device) -> None:
    given: list[dict[str, Any]] = [
        {},
        {"temperature": 0.5},
        {"temperature": 1.0, "top_p": 0.9, "min_p": 0.1},
        {"temperature": 1.0, "top_k": 1, "top_p": 0.9},
        {"presence_penalty": 1.0},
        {"logit_bias": {1: 1.0}},
        {"logprobs": 0},
        {"logprobs": 3},
    ]
    chooser = Rows(device, [Sampling(**each) for each in given], 8).chooser
    assert chooser.needs([1, 4]) == Needs()
    assert chooser.needs([1, 2]) == Needs(sampled=True)
    assert chooser.needs([2, 3]) == Needs(sampled=True, filters=("top_p", "min_p"))
    assert chooser.needs([5]) == Needs(penalties=True)
    assert chooser.needs([6], masked=True) == Needs(bias=True, masked=True)
    assert chooser.needs([1, 7]) == Needs(logprobs=0)
    assert chooser.needs([7, 8]) == Needs(logprobs=5)
    assert hash(chooser.needs([0])) == hash(Needs())


def test_a_bias_for_a_token_that_the_vocabulary_lacks(device: Device) -> None:
    with pytest.raises(ArgumentError, match=r"logit_bias.*token 8\b"):
        Rows(device, [Sampling(logit_bias={8: 1.0})], 8)
    with pytest.raises(ArgumentError, match="0 to 7"):
        Sampling(logit_bias={8: 1.0}).check_vocabulary(8)


@pytest.mark.parametrize("dtype", [wf.float16, wf.bfloat16])
def test_logits_of_16_bits(device: Device, dtype: wf.dtype) -> None:
    logits = wf.tensor([[0.0, 2.0, 1.0]], device=device.name).to(dtype)
    chooser = Rows(device, [Sampling(logprobs=1)], 3).chooser
    chosen = chooser.choose(logits, wf.tensor([1], device=device.name), None, chooser.needs([1]))
    (found,) = chosen.logprobs([1])
    assert found is not None
    assert (found.token, found.top[0][0]) == (1, 1)
