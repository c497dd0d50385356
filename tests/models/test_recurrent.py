"""The gated delta rule and short convolutions against their definitions, token by token in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.devices.base import Device
from weft.models import DecoderConfig, LayerConfig, RopeConfig
from weft.models.attention import Context
from weft.models.cache import KVCache
from weft.models.recurrent.delta_rule import CHUNK, gated_delta_rule
from weft.models.recurrent.gated_delta import GatedDeltaNet
from weft.models.recurrent.short_convolution import CausalConvolution
from weft.models.source import RandomSource

Array = np.ndarray[Any, Any]
BATCH, HEADS, KEYS, VALUES = 2, 3, 6, 5


def drawn(tokens: int, kind: str) -> list[Array]:
    """Return queries, keys, values, decays, rates and a state; ``kind`` makes them hard to invert."""
    random = np.random.default_rng(tokens)
    lead = (BATCH, HEADS, tokens)
    queries, keys = random.standard_normal((2, *lead, KEYS))
    if kind == "same keys":
        keys[:] = keys[:, :, :1]
    keys /= np.linalg.norm(keys, axis=-1, keepdims=True)
    values = random.standard_normal((*lead, VALUES))
    decays, rates = -random.exponential(0.3, lead), random.uniform(0, 1, lead)
    if kind == "same keys":
        decays, rates = decays * 0, rates * 0 + 1
    if kind == "forgetting":
        decays = decays * 200
    return [queries, keys, values, decays, rates, random.standard_normal((BATCH, HEADS, KEYS, VALUES))]


def expected(
    queries: Array, keys: Array, values: Array, decays: Array, rates: Array, state: Array
) -> tuple[Array, Array]:
    results = np.zeros(values.shape)
    for at in range(values.shape[2]):
        state = state * np.exp(decays[:, :, at])[..., None, None]
        key, rate = keys[:, :, at], rates[:, :, at, None]
        missing = values[:, :, at] - np.einsum("bhkv,bhk->bhv", state, key)
        state = state + np.einsum("bhk,bhv->bhkv", key, missing * rate)
        results[:, :, at] = np.einsum("bhkv,bhk->bhv", state, queries[:, :, at])
    return results, state


@pytest.mark.parametrize("kind", ["plain", "same keys", "forgetting"])
@pytest.mark.parametrize("tokens", [1, 2, 13, CHUNK, 2 * CHUNK + 1])
def test_chunks_equal_the_recurrence(device: Device, tokens: int, kind: str) -> None:
    given = drawn(tokens, kind)
    targets = expected(*given)
    tensors = [wf.tensor(part.astype(np.float32), device=device.name) for part in given]
    with wf.no_grad():
        found = gated_delta_rule(*tensors)
    for result, target in zip(found, targets, strict=True):
        np.testing.assert_allclose(result.numpy(), target, atol=2e-5 * np.abs(target).max(), rtol=0)


def context(cache: KVCache, positions: Array, lengths: list[int]) -> Context:
    view = cache.view(positions, lengths)
    return Context(view.positions, {}, view)


def test_a_convolution_sees_the_tokens_before_it_across_calls(device: Device) -> None:
    features, size, tokens = 7, 4, 11
    wf.manual_seed(0)
    layer = CausalConvolution(0, features, size, True, RandomSource(1.0, wf.float32, device.name))
    assert layer.bias is not None
    layer.bias.normal_()
    inputs = np.random.default_rng(0).standard_normal((BATCH, tokens, features)).astype(np.float32)
    weight = layer.weight.numpy()[:, 0]
    padded = np.pad(inputs, ((0, 0), (size - 1, 0), (0, 0)))
    target = np.stack([(padded[:, at : at + size] * weight.T).sum(1) for at in range(tokens)], 1)
    target = target + layer.bias.numpy()
    cache = KVCache([layer.stores()], BATCH + 1, BATCH + 1, wf.float32, device.name)
    at = np.zeros(BATCH, np.int64)
    found = np.zeros_like(target)
    for lengths in ([1, 5], [1, 0], [2, 2], [7, 4]):
        width = max(lengths)
        given = np.full((BATCH, width, features), 1e3, np.float32)  # padding would be seen
        for row, length in enumerate(lengths):
            given[row, :length] = inputs[row, at[row] : at[row] + length]
        where = context(cache, at[:, None] + np.arange(width), lengths)
        with wf.no_grad():
            part = layer(wf.tensor(given, device=device.name), where).numpy()
        for row, length in enumerate(lengths):
            found[row, at[row] : at[row] + length] = part[row, :length]
        at += lengths
    np.testing.assert_allclose(found, target, atol=1e-5)


def test_padding_and_earlier_sequences_do_not_enter_the_state(device: Device) -> None:
    config = DecoderConfig(
        "qwen3_5_text", 11, 12, 16, 2, 1, 4, (LayerConfig(mixer="delta"),), RopeConfig(1e4, 4), 1e-5, 32, True,
        conv_size=3, delta_key_heads=1, delta_value_heads=2, delta_key_size=4, delta_value_size=5,
    )  # fmt: skip
    wf.manual_seed(1)
    layer = GatedDeltaNet(config, 0, config.layers[0], RandomSource(0.5, wf.float32, device.name))
    cache = KVCache([layer.stores()], BATCH + 1, 3, wf.float32, device.name)
    random = np.random.default_rng(2)
    hidden = random.standard_normal((2, 6, 12)).astype(np.float32)

    def states(given: Array, lengths: list[int]) -> list[Array]:
        where = context(cache, np.tile(np.arange(given.shape[1]), (2, 1)), lengths)
        with wf.no_grad():
            layer(wf.tensor(given, device=device.name), where)
        return [np.asarray(cache.stored[0][name].numpy())[1:] for name in ("inputs", "state")]

    first = states(hidden[:, :4], [4, 3])
    hidden[0, 4:], hidden[1, 3:] = 50.0, -50.0
    for found, target in zip(states(hidden, [4, 3]), first, strict=True):
        np.testing.assert_allclose(found, target, atol=1e-5)
