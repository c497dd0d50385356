"""Each family against transformers on the same random weights, in odd sizes, with and without a cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

import weft as wf
from tests.models.checkpoints import CASES, keys, model, tensors, write
from weft.devices.base import Device
from weft.errors import FormatError, UnsupportedError, WeftError
from weft.models import Decoder
from weft.models.cache import pages_for
from weft.models.gguf import GGUFFile, load_gguf
from weft.models.quant.projection import QuantizedMatrix

Array = np.ndarray[Any, Any]
BATCH, TOKENS = 2, 21


@lru_cache(maxsize=None)
def reference(name: str) -> tuple[Any, Array, Array]:
    """Return the model of transformers, tokens (B, T), and its logits (B, T, vocab)."""
    made = model(CASES[name])
    ids = np.random.default_rng(1).integers(0, made.config.vocab_size, (BATCH, TOKENS))
    with torch.no_grad():
        logits = made(torch.from_numpy(ids)).logits.numpy()
    return made, ids, logits


def loaded(path: Path, name: str, device: str = "cpu") -> Decoder:
    write(path, reference(name)[0])
    with GGUFFile(path) as file:
        return load_gguf(file, wf.float32, device)


def close(found: Any, expected: Array) -> None:
    """Compare within 1e-3 of the largest logit."""
    assert found.shape == expected.shape
    error = np.abs(np.asarray(found.numpy()) - expected).max() / np.abs(expected).max()
    assert error < 1e-3, error


def cached(decoder: Decoder, ids: Array, device: str, pieces: list[int], length: int = 32) -> Array:
    """Return the logits of the tokens, read in pieces with a cache."""
    rows, where = len(ids), 0
    cache = decoder.cache(1 + rows * pages_for(length), rows + 1)
    parts = []
    for piece in pieces:
        positions = np.tile(np.arange(where, where + piece), (rows, 1))
        tokens = wf.tensor(ids[:, where : where + piece], device=device)
        logits = decoder(tokens, wf.tensor(positions, device=device), cache.view(positions))
        parts.append(np.asarray(logits.numpy()))
        where += piece
    assert where == ids.shape[1]
    return np.concatenate(parts, 1)


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_those_of_transformers(device: Device, tmp_path: Path, name: str) -> None:
    _, ids, logits = reference(name)
    decoder = loaded(tmp_path / "a.gguf", name, device.name)
    with wf.no_grad():
        close(decoder(wf.tensor(ids, device=device.name)), logits)


@pytest.mark.parametrize("name", ["llama", "qwen2-tied", "qwen3"])
def test_reading_in_chunks_and_token_by_token_equals_a_single_pass(
    device: Device, tmp_path: Path, name: str
) -> None:
    _, ids, logits = reference(name)
    decoder = loaded(tmp_path / "a.gguf", name, device.name)
    with wf.no_grad():
        chunks = cached(decoder, ids, device.name, [8, 5, 8])
        steps = cached(decoder, ids[:, :12], device.name, [6, *[1] * 6])
    scale = np.abs(logits).max()
    np.testing.assert_allclose(chunks / scale, logits / scale, atol=1e-3, rtol=0)
    np.testing.assert_allclose(steps / scale, logits[:, :12] / scale, atol=1e-3, rtol=0)


def test_a_row_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    _, ids, _ = reference("llama")
    decoder = loaded(tmp_path / "a.gguf", "llama")
    with wf.no_grad():
        both, alone = decoder(wf.tensor(ids)).numpy(), decoder(wf.tensor(ids[1:])).numpy()
    np.testing.assert_allclose(both[1:], alone, atol=1e-5)


def test_the_weights_of_a_tied_model_are_not_stored_twice(tmp_path: Path) -> None:
    tied, untied = (loaded(tmp_path / f"{name}.gguf", name) for name in ("llama-tied", "llama"))
    assert tied.lm_head is None
    assert "lm_head.weight" not in dict(tied.named_parameters())
    assert dict(untied.named_parameters())["lm_head.weight"].shape == (131, 36)


def test_all_misfitting_tensors_are_named_in_a_single_error(tmp_path: Path) -> None:
    made = reference("llama")[0]
    weights = tensors(made)
    del weights["blk.1.ffn_up.weight"]
    weights["output_norm.weight"] = weights["output_norm.weight"][:-1]
    weights["blk.0.attn_q.bias"] = np.zeros(36, np.float32)
    weights["blk.7.attn_norm.weight"] = np.zeros(36, np.float32)
    weights["something.else"] = np.zeros(4, np.float32)
    with (
        GGUFFile(write(tmp_path / "a.gguf", made, weights=weights)) as file,
        pytest.raises(FormatError) as raised,
    ):
        load_gguf(file)
    message = str(raised.value)
    for part in (
        "model.layers.1.mlp.up_proj.weight is missing",
        "model.norm.weight is (35,), expected (36,)",
        "model.layers.0.self_attn.q_proj.bias is unexpected",
        "model.layers.7.input_layernorm.weight is unexpected",
        "something.else is unexpected",
        str(tmp_path / "a.gguf"),
    ):
        assert part in message
    assert message.count(";") == 4


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", reference("llama")[0], architecture="llama9")
    with GGUFFile(path) as file, pytest.raises(UnsupportedError, match=r"llama9.*qwen3"):
        load_gguf(file)


def without(key: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda given: {name: value for name, value in given.items() if name != key}


def changed(**values: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda given: given | {key.replace("__", "."): value for key, value in values.items()}


@pytest.mark.parametrize(
    ("change", "part", "kind"),
    [
        (changed(attention__sliding_window=16), "llama.attention.sliding_window", UnsupportedError),
        (changed(expert_count=8), "llama.expert_count", UnsupportedError),
        (changed(rope__scaling__type="yarn"), "llama.rope.scaling.type", UnsupportedError),
        (without("embedding_length"), "llama.embedding_length", FormatError),
        (without("attention.layer_norm_rms_epsilon"), "llama.attention.layer_norm_rms_epsilon", FormatError),
        (changed(block_count=0), "llama.block_count", FormatError),
        (changed(block_count=2**32 - 1), "llama.block_count", FormatError),
        (changed(block_count="3"), "llama.block_count", FormatError),
        (changed(attention__head_count=True), "llama.attention.head_count", FormatError),
        (changed(attention__head_count_kv=4), "llama.attention.head_count_kv", FormatError),
        (changed(attention__key_length="6"), "llama.attention.key_length", FormatError),
        (changed(attention__value_length=8), "llama.attention.value_length", FormatError),
        (changed(rope__dimension_count=5), "llama.rope.dimension_count", FormatError),
        (changed(rope__dimension_count=8), "llama.rope.dimension_count", FormatError),
        (changed(rope__dimension_count=[6]), "llama.rope.dimension_count", FormatError),
        (changed(rope__scaling__type=["none"]), "llama.rope.scaling.type", UnsupportedError),
        (changed(embedding_length=[36]), "llama.embedding_length", FormatError),
        (changed(vocab_size=130), "llama.vocab_size", FormatError),
        (changed(context_length=float("inf")), "llama.context_length", FormatError),
        (changed(rope__freq_base=float("inf")), "llama.rope.freq_base", FormatError),
        (changed(attention__layer_norm_rms_epsilon=float("nan")), "llama.attention.layer_norm_rms_epsilon", FormatError),
    ],
)  # fmt: skip
def test_metadata_that_is_not_covered_or_impossible_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], part: str, kind: type[WeftError]
) -> None:
    made = reference("llama")[0]
    path = write(tmp_path / "a.gguf", made, metadata=change(keys(made)))
    with GGUFFile(path) as file, pytest.raises(kind, match=part.replace(".", r"\.")) as raised:
        load_gguf(file)
    assert str(path) in str(raised.value)


def test_factors_of_llama_3_become_its_scaling_and_others_divide_the_frequencies(tmp_path: Path) -> None:
    assert loaded(tmp_path / "a.gguf", "llama-llama3").config.rope.scaling == "llama3"
    made = reference("llama")[0]
    factors = np.array([1.0, 3.0, 2.5], np.float32)
    weights = {**tensors(made), "rope_freqs.weight": factors}
    with GGUFFile(write(tmp_path / "b.gguf", made, weights=weights)) as file:
        found = load_gguf(file)
    ids = reference("llama")[1]
    angle = made.model.rotary_emb
    before = angle.inv_freq.clone()
    angle.inv_freq /= torch.from_numpy(factors)
    with torch.no_grad():
        expected = made(torch.from_numpy(ids)).logits.numpy()
    angle.inv_freq.copy_(before)
    close(found(wf.tensor(ids)), expected)


@pytest.mark.parametrize("factors", [[1.0, 2.0], [1.0, 0.0, 2.0], [1.0, float("nan"), 2.0]])
def test_impossible_factors_are_named(tmp_path: Path, factors: list[float]) -> None:
    made = reference("llama")[0]
    weights = {**tensors(made), "rope_freqs.weight": np.array(factors, np.float32)}
    path = write(tmp_path / "a.gguf", made, weights=weights)
    with GGUFFile(path) as file, pytest.raises(FormatError, match=r"rope_freqs\.weight"):
        load_gguf(file)


@pytest.mark.parametrize("name", ["phi3", "gpt2", "gemma3"])
def test_quantised_tensors_of_several_weights_and_shifted_norms(tmp_path: Path, name: str) -> None:
    sizes = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 96}
    if name == "gpt2":
        del sizes["intermediate_size"]
    else:
        sizes["head_dim"] = 32
    case = CASES[name]
    own = model(replace(case, changed={**case.changed, **sizes}))
    given = tensors(own)
    path = tmp_path / "a.gguf"
    write(path, own, weights=given, quants=gguf.GGMLQuantizationType.Q8_0)
    with GGUFFile(path) as file:
        kept, floats = load_gguf(file), load_gguf(file, quantized=False)
    ids = wf.tensor(np.arange(10)[None] * 11 % 131)
    exact, found = (made(ids).numpy() for made in (floats, kept))
    assert 0 < np.abs(exact - found).max() / np.abs(exact).max() < 0.05
    assert any(isinstance(part, QuantizedMatrix) for part in kept.modules())
