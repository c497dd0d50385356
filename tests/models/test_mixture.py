"""Mixtures of experts against a loop over tokens in NumPy, for few rows and many, and in both stackings of checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.compiler.jit import jit
from weft.devices.base import Device
from weft.errors import DTypeError, ShapeError
from weft.models import DecoderConfig, LayerConfig, RopeConfig
from weft.models.mixture import Experts, Mixture, tiled, ways_of
from weft.models.source import RandomSource
from weft.ops import bind
from weft.ops.matmul.indexed import INDEXED_LINEAR

Array = np.ndarray[Any, Any]
HIDDEN, INNER = 22, 13
CONFIG = DecoderConfig(
    "mixtral", 11, HIDDEN, INNER, 2, 1, 4, (LayerConfig(),), RopeConfig(1e4, 4), 1e-5, 32, True,
    experts=6, experts_chosen=2, expert_size=INNER,
)  # fmt: skip
CASES = {
    "chosen": CONFIG,
    "whole": replace(CONFIG, renormalise=False, experts_chosen=3),
    "biases": replace(
        CONFIG, expert_bias=True, expert_stacking="interleaved", gate_slope=1.702, gate_limit=0.5, experts=5
    ),
}


def mixture(name: str, device: str) -> Mixture:
    wf.manual_seed(3)
    made = Mixture(CASES[name], RandomSource(0.5, wf.float32, device))
    for weight in made.parameters():
        weight.normal_(0.0, 0.5)
    return made


def softmax(scores: Array) -> Array:
    powers: Array = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def expected(name: str, made: Mixture, rows: Array) -> Array:
    """Return the sum of each row's experts by the definition, in float64."""
    config = CASES[name]
    weights = {key: np.asarray(value.numpy(), np.float64) for key, value in made.named_parameters()}
    result = np.zeros(rows.shape)
    for at, row in enumerate(rows.astype(np.float64)):
        scores = weights["router.weight"] @ row + weights.get("router.bias", 0)
        chosen = np.argsort(-scores)[: config.experts_chosen]
        shares = softmax(scores[chosen]) if config.renormalise else softmax(scores)[chosen]
        for expert, share in zip(chosen, shares, strict=True):
            inner = weights["experts.gate_up"][expert] @ row
            if config.expert_bias:
                inner = inner + weights["experts.gate_up_bias"][expert]
            gate, up = inner[:INNER], inner[INNER:]
            if config.gate_limit is None or config.gate_slope is None:
                gated = gate / (1 + np.exp(-gate)) * up
            else:
                gate, up = np.minimum(gate, config.gate_limit), up.clip(-config.gate_limit, config.gate_limit)
                gated = (up + 1) * gate / (1 + np.exp(-config.gate_slope * gate))
            outer = weights["experts.down"][expert] @ gated
            if config.expert_bias:
                outer = outer + weights["experts.down_bias"][expert]
            result[at] += share * outer
    return result


@pytest.mark.parametrize("tokens", [1, 2, 3, 9])
@pytest.mark.parametrize("name", CASES)
def test_few_rows_and_many_are_sums_of_their_own_experts(device: Device, name: str, tokens: int) -> None:
    made = mixture(name, device.name)
    rows = np.random.default_rng(tokens).standard_normal((tokens, HIDDEN)).astype(np.float32)
    target = expected(name, made, rows)
    given = wf.tensor(rows[None], device=device.name)
    with wf.no_grad():
        for program in (made, jit(made)):
            found = program(given).numpy()[0]
            np.testing.assert_allclose(found, target, atol=1e-4 * np.abs(target).max(), rtol=0)


@pytest.mark.parametrize("tile", [0, 1, 4, 32])
@pytest.mark.parametrize("name", CASES)
def test_every_way_gives_the_same(device: Device, name: str, tile: int) -> None:
    made, config = mixture(name, device.name), CASES[name]
    random = np.random.default_rng(7)
    for tokens in (1, 40):
        rows = random.standard_normal((tokens, HIDDEN)).astype(np.float32)
        target = expected(name, made, rows)
        way = next(way for way in ways_of(tokens, config.experts_chosen, config.experts) if way.tile == tile)
        given = wf.tensor(rows, device=device.name)
        with wf.no_grad():
            scores = made.router(given)
            best, chosen = scores.topk(config.experts_chosen)
            shares = best.softmax(-1) if config.renormalise else scores.softmax(-1).gather(1, chosen)
            found = made.experts.by(way, given, shares, chosen).numpy()
        np.testing.assert_allclose(found, target, atol=1e-4 * np.abs(target).max(), rtol=0)


@pytest.mark.parametrize("tile", [1, 2, 5])
def test_tiles_hold_every_pair_of_one_expert(tile: int) -> None:
    experts, random = 6, np.random.default_rng(tile)
    for chosen in (random.integers(0, experts, (9, 3)), np.full((7, 1), 4), random.integers(0, 2, (5, 2))):
        tiles = tiled(wf.tensor(chosen), experts, tile)
        places = tiles.places.numpy()
        assert len(set(places.tolist())) == chosen.size
        assert len(tiles.source) == len(tiles.index) * tile
        np.testing.assert_array_equal(tiles.index.numpy()[places // tile], chosen.reshape(-1))
        rows = np.repeat(np.arange(len(chosen)), chosen.shape[1])
        np.testing.assert_array_equal(tiles.source.numpy()[places], rows)


def test_a_step_reads_only_chosen_experts_and_a_long_prompt_does_not_multiply_all() -> None:
    step, prompt = ways_of(1, 8, 128)[0], ways_of(1024, 8, 128)[0]
    assert (step.tile, step.gathered, step.cost) == (1, False, 8 * 9)
    assert prompt.gathered
    assert prompt.cost < 1024 * 128 / 3
    assert ways_of(4, 4, 4)[0].tile == 0, "all tokens take all experts"


@pytest.mark.parametrize("name", CASES)
def test_weights_of_checkpoints_are_those_that_were_read(name: str) -> None:
    made: dict[str, wf.Tensor] = {}

    class Given(RandomSource):
        """Draws weights and remembers them by name."""

        def __truediv__(self, name: str) -> Given:
            return Given(self.std, self.dtype, self.device, f"{self.prefix}{name}.")

        def tensor(self, name: str, shape: Any) -> wf.Tensor:
            made[self.prefix + name] = wf.randn(*shape)
            return made[self.prefix + name]

    stored = Experts(CASES[name], Given()).stored()
    assert set(stored) == set(made)
    for key, weight in made.items():
        np.testing.assert_array_equal(stored[key].numpy(), weight.numpy())


def test_mistakes_of_products_with_chosen_matrices_are_named() -> None:
    x, weight, index = wf.ones(2, 1, 4), wf.ones(3, 5, 4), wf.tensor([0, 1])
    with pytest.raises(ShapeError, match="weight"):
        bind(INDEXED_LINEAR, x, weight[0], index)
    with pytest.raises(ShapeError, match="input"):
        bind(INDEXED_LINEAR, x[..., :3], weight, index)
    with pytest.raises(ShapeError, match="index"):
        bind(INDEXED_LINEAR, x, weight, index[:1])
    with pytest.raises(DTypeError, match="float16"):
        bind(INDEXED_LINEAR, x.to(wf.float16), weight, index)
    with pytest.raises(DTypeError, match="index"):
        bind(INDEXED_LINEAR, x, weight, index.to(wf.float32))
    with pytest.raises(IndexError, match="indexed_linear"):
        bind(INDEXED_LINEAR, x, weight, wf.tensor([0, 3])).numpy()
