"""``weft bench``: its figures against sizes that are counted by hand, and mistakes in a single line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import weft
from tests.engine import byte_vocabulary
from tests.models.checkpoints import CASES, Case, model, write
from weft.devices.base import Device
from weft.engine import Engine
from weft.engine.measuring import bandwidth, measure, token_bytes
from weft.errors import ArgumentError

Capture = pytest.CaptureFixture[str]
VOCABULARY, CONTEXT = len(byte_vocabulary.TOKENS), 64


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("bench") / "tiny.gguf")


def saved(path: Path, **changed: object) -> Path:
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT, **changed}
    made = model(Case("llama", {**CASES["llama"].changed, **sizes}))
    return write(path, made, extra=byte_vocabulary.metadata())


def test_the_report_and_its_json(capsys: Capture, path: Path) -> None:
    words = ("--model", path, "--prompt-tokens", 20, "--new-tokens", 8, "--rounds", 1)
    done = weft(capsys, "bench", *words)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "tiny on cpu"
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "prefill",
        "decode",
        "first token",
        "memory",
        "bandwidth",
    ]
    found = json.loads(weft(capsys, "bench", *words, "--json").out)
    assert (found["model"], found["device"], found["prompt_tokens"], found["new_tokens"]) == (
        "tiny",
        "cpu",
        20,
        8,
    )
    for name in (
        "prefill",
        "decode",
        "first_token",
        "weights",
        "cache",
        "device_peak",
        "process_peak",
        "bandwidth",
    ):
        assert found[name] > 0, name
    share = found["decode"] * found["token_bytes"] / found["bandwidth"]
    assert found["bandwidth_share"] == pytest.approx(share)


@pytest.mark.parametrize("tied", [True, False])
def test_bytes_of_weights_and_of_a_token_are_those_of_transformers_parameters(
    tmp_path: Path, tied: bool
) -> None:
    made = model(
        Case("llama", {**CASES["llama"].changed, "vocab_size": VOCABULARY, "tie_word_embeddings": tied})
    )
    config = made.config
    with Engine.load(saved(tmp_path / "model.gguf", tie_word_embeddings=tied)) as engine:
        figures = measure(engine, 8, 4, 1)
        counted = [token_bytes(engine.model, length) for length in (0, 10)]
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    frequencies = head // 2  # of the rotation
    weights = 4 * (sum(part.numel() for part in made.parameters()) + frequencies)
    assert figures.weights == weights
    embedding = 4 * config.vocab_size * config.hidden_size
    expected = weights if tied else weights - embedding + 4 * config.hidden_size
    kept = 2 * 4 * 10 * config.num_key_value_heads * head * config.num_hidden_layers
    assert counted == [expected, expected + kept]


def test_the_bandwidth_of_a_copy(device: Device) -> None:
    assert 1e6 < bandwidth(device.name, 1) < 1e13


def test_sizes_that_do_not_fit(capsys: Capture, path: Path) -> None:
    for words, part in (
        (("--prompt-tokens", 60, "--new-tokens", 8), "prompt_tokens is 60, expected 1 to 56"),
        (("--prompt-tokens", 0), "prompt_tokens"),
        (("--prompt-tokens", 4, "--new-tokens", 1), "new_tokens"),
        (("--prompt-tokens", 4, "--new-tokens", 4, "--rounds", 0), "rounds"),
    ):
        done = weft(capsys, "bench", "--model", path, *words)
        assert (done.status, done.out, len(done.err.splitlines())) == (1, "", 1)
        assert part in done.err
    with Engine.load(path) as engine, pytest.raises(ArgumentError, match="context"):
        measure(engine, 1000)
