"""``weft quantize``: what it writes loads again with the same logits and tokens; mistakes leave nothing behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf as gguf_types
import numpy as np
import pytest
from safetensors.numpy import load_file

import weft as wf
from tests.cli.running import weft
from tests.engine import byte_vocabulary
from tests.models.checkpoints import Case, model, write
from tests.models.stored_formats import WAYS, quantised
from weft.engine import Engine
from weft.models import load, save
from weft.models.gguf import GGUFFile, load_gguf
from weft.models.quant.integers import INTEGERS
from weft.models.quant.projection import QuantizedMatrix

Capture = pytest.CaptureFixture[str]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}"
SIZES = {
    "hidden_size": 64, "intermediate_size": 128, "vocab_size": len(byte_vocabulary.TOKENS), "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "num_hidden_layers": 2, "max_position_embeddings": 64,
}  # fmt: skip
IDS = np.arange(12)[None] * 7 % 131


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    extra = {**byte_vocabulary.metadata(), "tokenizer.chat_template": TEMPLATE}
    return write(tmp_path_factory.mktemp("gguf") / "tiny.gguf", model(Case("llama", SIZES)), extra=extra)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, gguf: Path) -> Path:
    """Return the same model as a directory of floats, with the tokenizer that the command makes of the file's."""
    folder = tmp_path_factory.mktemp("directory")
    with GGUFFile(gguf) as file:
        save(load_gguf(file, quantized=False), folder)
    assert shutil.copy(gguf, folder / "ignored.gguf")
    return folder


def logits(made: Any) -> Any:
    return made(wf.tensor(IDS)).numpy()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("--bits", 4, "--group-size", 64), "int4-64-minima"),
        (("--bits", 8, "--group-size", 32, "--symmetric"), "int8-32"),
        (("--symmetric",), "int4-32"),
        (("--bits", 8), "int8-32-minima"),
    ],
)
def test_a_file_loads_again_as_it_was_quantised(
    capsys: Capture, tmp_path: Path, gguf: Path, options: tuple[Any, ...], name: str
) -> None:
    done = weft(capsys, "quantize", gguf, tmp_path / "q", *options, "--json")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    assert (report["format"], report["matrices"]) == (name, {name: 16})
    assert report["bytes_after"] < report["bytes_before"]
    found = load(tmp_path / "q")
    with GGUFFile(gguf) as file:
        expected = load_gguf(file, quantize=INTEGERS[name])
    ours, theirs = (
        {key: part for key, part in made.named_modules() if isinstance(part, QuantizedMatrix)}
        for made in (found, expected)
    )
    assert list(ours) == list(theirs)
    for key, part in ours.items():
        assert (part.format, part.zero, part.nbytes) == (name, theirs[key].zero, theirs[key].nbytes)
    np.testing.assert_array_equal(logits(found), logits(expected))


def test_tokenizer_template_and_end_tokens_are_carried_over(
    capsys: Capture, tmp_path: Path, gguf: Path
) -> None:
    done = weft(capsys, "quantize", gguf, tmp_path / "q", "--bits", 8, "--symmetric")
    assert done.status == 0, done.err
    assert "16 int8-32" in done.out
    before, after = Engine.load(gguf, quantize="int8"), Engine.load(tmp_path / "q")
    messages = [{"role": "user", "content": "hello 12<|im_end|> é"}]
    assert before.template is not None
    assert after.template is not None
    assert after.template.tokens(messages, after.tokenizer) == before.template.tokens(
        messages, before.tokenizer
    )
    assert (after.tokenizer.eos, after.tokenizer.bos) == (before.tokenizer.eos, before.tokenizer.bos)
    assert after.chat(messages, max_tokens=8).tokens == before.chat(messages, max_tokens=8).tokens


def test_a_directory_loads_again_as_it_was_quantised(
    capsys: Capture, tmp_path: Path, directory: Path
) -> None:
    (directory / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    done = weft(capsys, "quantize", directory, tmp_path / "q", "--group-size", 32)
    assert done.status == 0, done.err
    assert (tmp_path / "q" / "tokenizer_config.json").read_text() == '{"eos_token": "</s>"}'
    assert not (tmp_path / "q" / "ignored.gguf").exists()
    expected = load(directory, quantize=INTEGERS["int4-32-minima"])
    np.testing.assert_array_equal(logits(load(tmp_path / "q")), logits(expected))
    stored = load_file(tmp_path / "q" / "model.safetensors")
    assert stored["model.layers.0.mlp.up_proj.weight"].dtype == np.uint32
    config = json.loads((tmp_path / "q" / "config.json").read_text())["quantization_config"]
    assert config == {"quant_method": "weft", "bits": 4, "group_size": 32, "zero": 0, "minima": True}


@pytest.mark.parametrize("way", ["gptq-4-32-desc_act", "gptq-8-64-desc_act-symmetric", "awq-32", "mlx-8-64"])
def test_quantised_checkpoints_keep_their_quants(tmp_path: Path, directory: Path, way: str) -> None:
    quantised(directory, tmp_path / "a", WAYS[way], keep=lambda name: "o_proj" in name)
    before = load(tmp_path / "a", quantize=INTEGERS["int4-64"])
    save(before, tmp_path / "b")
    np.testing.assert_array_equal(logits(load(tmp_path / "b")), logits(before))
    assert "modules" in json.loads((tmp_path / "b" / "config.json").read_text())["quantization_config"]


def test_mistakes_are_one_line_and_leave_nothing(capsys: Capture, tmp_path: Path, gguf: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "bad.gguf").write_bytes(gguf.read_bytes()[:-1000])
    before = sorted(path.name for path in tmp_path.iterdir())
    for source, target, part in (
        (gguf, "there", "is there already"),
        (tmp_path / "none.gguf", "q", "none.gguf"),
        (gguf, "no/folder/q", "no/folder/q"),
        (tmp_path / "bad.gguf", "q", "tensor"),
        (tmp_path / "there", "q", "config.json"),
    ):
        done = weft(capsys, "quantize", source, tmp_path / target)
        assert (done.status, done.out) == (1, "")
        assert len(done.err.splitlines()) == 1
        assert part in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_quants_of_a_file_are_kept_unless_asked_otherwise(capsys: Capture, tmp_path: Path) -> None:
    path = write(
        tmp_path / "q8.gguf", model(Case("llama", SIZES)), extra=byte_vocabulary.metadata(),
        quants=gguf_types.GGMLQuantizationType.Q8_0,
    )  # fmt: skip
    kept = weft(capsys, "quantize", path, tmp_path / "kept")
    assert kept.status == 0, kept.err
    assert "16 Q8_0 (16 keep the source's quants; --requantize" in kept.out
    again = weft(capsys, "quantize", path, tmp_path / "again", "--requantize")
    assert again.status == 0, again.err
    assert "matrices: 16 int4-32-minima; " in again.out
    with GGUFFile(path) as file:
        before, anew = load_gguf(file), load_gguf(file, quantized=False, quantize=INTEGERS["int4-32-minima"])
    np.testing.assert_array_equal(logits(load(tmp_path / "kept")), logits(before))
    np.testing.assert_array_equal(logits(load(tmp_path / "again")), logits(anew))
