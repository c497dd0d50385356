"""Each row of the table of families against transformers on the same checkpoint, in odd sizes, read and written."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import weft as wf
from tests.models.checkpoints import model, ready
from tests.models.dense_cases import DENSE, LLAMA3
from tests.models.mixed_cases import MIXED
from weft.devices.base import Device
from weft.engine.runner import Runner
from weft.errors import FormatError, MissingFileError, UnsupportedError
from weft.models import Decoder, load, save
from weft.models.cache import pages_for
from weft.models.families import FAMILIES

Array = np.ndarray[Any, Any]
BATCH, TOKENS, NEW, LENGTH = 2, 21, 64, 96
CASES = {**DENSE, **MIXED}
FIRST = {case.family: name for name, case in reversed(CASES.items())}.values()
"""A case of each family."""
ROTATIONS = ("llama-llama3", "llama-dynamic", "phi3-long", "gpt_neox-serial")
UNEVEN = ("llama", "gemma2", "phi3-long", "mixtral", "lfm2", "qwen3_5")
"""Cases of parts that treat padding by themselves."""


def cases(webgpu: Collection[str]) -> pytest.MarkDecorator:
    """Run a test for every case on the CPU, and for some on ``webgpu``, where compiling takes longest."""
    chosen = {"cpu": CASES, "webgpu": webgpu}
    pairs = [
        pytest.param(device, name, marks=getattr(pytest.mark, device))
        for device, names in chosen.items()
        for name in names
    ]
    return pytest.mark.parametrize(("device", "name"), pairs, indirect=["device"])


@lru_cache(maxsize=None)
def reference(name: str) -> tuple[Any, Array, Array]:
    """Return the model of transformers, tokens (B, T), and its logits (B, T, vocab)."""
    made = model(CASES[name])
    ids = np.random.default_rng(1).integers(0, made.config.vocab_size, (BATCH, TOKENS))
    with torch.no_grad():
        return made, ids, made(torch.from_numpy(ids)).logits.numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("families")


def checkpoint(folder: Path, name: str) -> Path:
    """Return the directory that transformers' ``save_pretrained`` writes."""
    path = folder / name
    if not path.exists():
        reference(name)[0].save_pretrained(path)
    return path


def close(found: Any, expected: Array) -> None:
    """Compare within 1e-3 of the largest logit."""
    assert found.shape == expected.shape
    error = np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()
    assert error < 1e-3, error


def stepwise(decoder: Decoder, ids: Array, pieces: list[int], device: str) -> Array:
    """Return the logits of the tokens (B, T), read in pieces with a cache."""
    cache = decoder.cache(1 + len(ids) * pages_for(LENGTH), len(ids) + 1)
    parts, at, reach = [], 0, [ids.shape[1]] * len(ids)
    for piece in pieces:
        positions = np.tile(np.arange(at, at + piece), (len(ids), 1))
        tokens = wf.tensor(ids[:, at : at + piece], device=device)
        parts.append(
            decoder(tokens, wf.tensor(positions, device=device), cache.view(positions, reach=reach)).numpy()
        )
        at += piece
    assert at == ids.shape[1]
    return np.concatenate(parts, 1)


@cases([*FIRST, *ROTATIONS])
def test_logits_equal_those_of_transformers_at_once_and_in_pieces(
    device: Device, folder: Path, name: str
) -> None:
    _, ids, logits = reference(name)
    decoder = load(checkpoint(folder, name), device=device.name)
    with wf.no_grad():
        both = decoder(wf.tensor(ids, device=device.name)).numpy()
        close(both, logits)
        alone = decoder(wf.tensor(ids[1:], device=device.name)).numpy()
        np.testing.assert_allclose(alone, both[1:], rtol=0, atol=1e-5 * np.abs(logits).max())
        close(stepwise(decoder, ids, [8, *[1] * 5, 8], device.name), logits)


@cases(UNEVEN)
def test_rows_of_different_lengths_equal_those_alone(device: Device, folder: Path, name: str) -> None:
    """Read rows in padded chunks, one row later than the other, with steps in between."""
    _, ids, logits = reference(name)
    decoder = load(checkpoint(folder, name), device=device.name)
    cache = decoder.cache(1 + BATCH * pages_for(LENGTH), BATCH + 1)
    at = np.zeros(BATCH, np.int64)
    found = np.zeros_like(logits)
    for lengths in ((8, 3), (5, 8), (1, 1), (1, 0), (0, 4), (6, 5)):
        width = max(lengths)
        places = [np.minimum(at[row] + np.arange(width), TOKENS - 1) for row in range(BATCH)]
        tokens = np.stack([ids[row, place] for row, place in enumerate(places)])
        positions = at[:, None] + np.arange(width)
        view = cache.view(positions, lengths, [TOKENS] * BATCH)
        with wf.no_grad():
            part = decoder(wf.tensor(tokens, device=device.name), view.positions, view).numpy()
        for row, length in enumerate(lengths):
            found[row, at[row] : at[row] + length] = part[row, :length]
        at += lengths
    assert (at == TOKENS).all()
    close(found, logits)


@lru_cache(maxsize=None)
def greedy(name: str) -> list[int]:
    """Return the tokens after those of the first sequence, by transformers."""
    _, ids, _ = reference(name)
    config = transformers.GenerationConfig(
        max_new_tokens=NEW, do_sample=False, output_logits=True, return_dict_in_generate=True, pad_token_id=0
    )
    # a model that has read longer texts keeps their rotations
    found = model(CASES[name]).generate(torch.from_numpy(ids[:1]), generation_config=config)
    best = torch.cat(found.logits).topk(2).values
    assert float((best[:, 0] - best[:, 1]).min()) > 1e-4, "the seed gives a tie"
    tokens: list[int] = found.sequences[0, TOKENS:].tolist()
    return tokens


@cases([*FIRST, *ROTATIONS])
def test_greedy_tokens_equal_those_of_transformers(device: Device, folder: Path, name: str) -> None:
    _, ids, _ = reference(name)
    runner = Runner(load(checkpoint(folder, name), device=device.name), 1, LENGTH)
    for window in runner.cache.pages:
        runner.set_pages(window, 1, 0, range(1, 1 + pages_for(LENGTH)))
    prompt = ids[0].tolist()
    runner.prefill(1, prompt[:-1], 0, len(prompt))
    runner.start(1, prompt[-1], len(prompt) - 1)
    needs = runner.chooser.needs([1])
    assert [int(runner.step([1], [0.0], needs).ids.item()) for _ in range(NEW)] == greedy(name)


@pytest.mark.parametrize("name", CASES)
def test_transformers_loads_what_weft_writes(folder: Path, tmp_path: Path, name: str) -> None:
    _, ids, logits = reference(name)
    loaded = load(checkpoint(folder, name))
    save(loaded, tmp_path / "a", max_shard_size="20KB")
    assert len(list((tmp_path / "a").glob("*.safetensors"))) > 2
    made, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "a", output_loading_info=True)
    assert not any(report.values()), report
    with torch.no_grad():
        close(ready(made)(torch.from_numpy(ids)).logits.numpy(), logits)
    assert load(tmp_path / "a").config == loaded.config


def test_every_row_has_a_case() -> None:
    assert {case.family for case in CASES.values()} == set(FAMILIES)


def edited(folder: Path, target: Path, name: str = "llama", **changed: Any) -> Path:
    """Return a copy of a checkpoint with changed fields of ``config.json``; None removes a field."""
    target.mkdir()
    source = checkpoint(folder, name)
    (target / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    config = {**json.loads((source / "config.json").read_text()), **changed}
    config = {key: value for key, value in config.items() if value is not None}
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.mark.parametrize(
    ("changed", "part", "kind"),
    [
        ({"model_type": "llama9"}, "model_type.*'llama9'.*qwen3", UnsupportedError),
        ({"rotation_kind": 3, "extra": True}, "rotation_kind = 3, extra = True", UnsupportedError),
        ({"quantization_config": {"bits": 4}}, "quantization_config", UnsupportedError),
        ({"rope_parameters": {"rope_type": "spiral"}}, "rope_parameters.rope_type.*spiral", UnsupportedError),
        ({"rope_parameters": {"rope_type": "linear"}}, "rope_parameters.factor", FormatError),
        (
            {"rope_parameters": {"rope_type": "default", "twist": 2}},
            "rope_parameters.twist",
            UnsupportedError,
        ),
        ({"hidden_act": "wave"}, "hidden_act.*wave", UnsupportedError),
        ({"hidden_size": "36"}, "hidden_size", FormatError),
        ({"vocab_size": None}, "vocab_size", FormatError),
        ({"num_key_value_heads": 4}, "num_key_value_heads", FormatError),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps", FormatError),
        ({"eos_token_id": "2"}, "eos_token_id", FormatError),
        ({"is_decoder": True}, "is_decoder", UnsupportedError),
        ({"auto_map": {"AutoModel": "own.Model"}}, "auto_map", UnsupportedError),
        (
            {"model_type": "mixtral", "num_experts_per_tok": 9},
            "num_experts_per_tok.*9.*8 experts",
            FormatError,
        ),
        ({"model_type": "qwen3_moe"}, "num_local_experts.*missing", FormatError),
        (
            {"model_type": "qwen3_moe", "num_experts": 8, "mlp_only_layers": ["a"]},
            "mlp_only_layers",
            FormatError,
        ),
        (
            {"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"type": "linear", "factor": 2.0}},
            "rope_scaling",
            FormatError,
        ),
        (
            {"rope_parameters": {"rope_type": "default", "type": "linear", "factor": 2.0}},
            "rope_parameters.type",
            FormatError,
        ),
    ],
)
def test_fields_that_are_not_covered_or_impossible_are_named(
    folder: Path, tmp_path: Path, changed: dict[str, Any], part: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=part) as raised:
        load(edited(folder, tmp_path / "a", **changed))
    assert "config.json" in str(raised.value)


def test_the_older_fields_of_rotation_say_the_same(folder: Path, tmp_path: Path) -> None:
    older = {key: value for key, value in LLAMA3.items() if key != "rope_theta"}
    path = edited(
        folder, tmp_path / "a", "llama-llama3", rope_parameters=None, rope_theta=5000.0, rope_scaling=older
    )
    assert load(path).config.rope == load(checkpoint(folder, "llama-llama3")).config.rope
    older = {"type": "linear", "factor": 4.0}
    path = edited(
        folder, tmp_path / "b", "llama-linear", rope_parameters=None, rope_theta=5000.0, rope_scaling=older
    )
    assert load(path).config.rope == load(checkpoint(folder, "llama-linear")).config.rope


def rewritten(folder: Path, target: Path, name: str, change: dict[str, Array | None]) -> Path:
    """Return a copy of a checkpoint with changed tensors; None removes a tensor."""
    edited(folder, target, name)
    weights: dict[str, Any] = wf.load(target / "model.safetensors", device="cpu")
    weights |= {key: None if value is None else wf.tensor(value) for key, value in change.items()}
    kept = {key: value for key, value in weights.items() if value is not None}
    wf.save(kept, target / "model.safetensors")
    return target


def test_missing_misshapen_and_unexpected_tensors_are_named_in_a_single_error(
    folder: Path, tmp_path: Path
) -> None:
    change = {
        "model.layers.1.mlp.up_proj.weight": None,
        "lm_head.weight": None,
        "model.norm.weight": np.zeros(35, np.float32),
        "something.else": np.zeros(4, np.float32),
        "model.layers.0.input_layernorm.weight": np.zeros(36, np.int32),
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(3, np.float32),
    }
    with pytest.raises(FormatError) as raised:
        load(rewritten(folder, tmp_path / "a", "llama", change))
    for part in (
        "model.layers.1.mlp.up_proj.weight is missing",
        "lm_head.weight is missing",
        "model.norm.weight is (35,), expected (36,)",
        "model.layers.0.input_layernorm.weight is int32",
        "something.else is unexpected",
    ):
        assert part in str(raised.value)
    assert str(raised.value).count(";") == 4


def test_a_tied_model_ignores_the_output_layer_of_the_file(folder: Path, tmp_path: Path) -> None:
    _, ids, logits = reference("llama-tied")
    path = rewritten(folder, tmp_path / "a", "llama-tied", {"lm_head.weight": np.ones((131, 36), np.float32)})
    with wf.no_grad():
        close(load(path)(wf.tensor(ids)).numpy(), logits)


def test_half_precision_is_read_into_the_wanted_type(folder: Path, tmp_path: Path) -> None:
    _, ids, _ = reference("qwen2")
    half = model(CASES["qwen2"]).to(torch.bfloat16)
    half.save_pretrained(tmp_path / "a", max_shard_size="30KB")
    assert (tmp_path / "a" / "model.safetensors.index.json").exists()
    with torch.no_grad(), wf.no_grad():
        expected = half.float()(torch.from_numpy(ids)).logits.numpy()
        close(load(tmp_path / "a")(wf.tensor(ids)).numpy(), expected)


def test_end_tokens_of_both_files_are_joined(folder: Path, tmp_path: Path) -> None:
    path = edited(folder, tmp_path / "a", eos_token_id=3)
    (path / "generation_config.json").write_text('{"eos_token_id": [3, 8]}')
    assert load(path).config.eos == (3, 8)


def test_absent_and_broken_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="nowhere"):
        load(tmp_path / "nowhere")
    path = edited(folder, tmp_path / "a")
    (path / "model.safetensors").unlink()
    with pytest.raises(MissingFileError, match=r"model\.safetensors"):
        load(path)
    (path / "config.json").write_text("{")
    with pytest.raises(FormatError, match=r"config\.json"):
        load(path)
    (path / "config.json").unlink()
    with pytest.raises(MissingFileError, match=r"config\.json"):
        load(path)
