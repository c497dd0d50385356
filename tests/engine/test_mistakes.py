"""Mistakes: each a ``WeftError`` that names it, in Python and in the command's single line; nothing is left behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from tests.cli.running import process, weft
from tests.engine import byte_vocabulary
from tests.engine.chat_templates import HERMES
from tests.engine.test_chat import ASK, reference, saved
from tests.models.checkpoints import write
from weft.engine import Engine
from weft.errors import ArgumentError, FormatError, UnsupportedError, WeftError

Capture = pytest.CaptureFixture[str]
Weights = dict[str, np.ndarray[Any, Any]]
NORM, UP = "model.layers.1.input_layernorm.weight", "model.layers.0.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("mistakes") / "tiny.gguf", HERMES)


def in_one_line(capsys: Capture, *words: object) -> str:
    """Run a command that fails; return its line."""
    done = weft(capsys, *words)
    assert (done.status, done.out, len(done.err.splitlines())) == (1, "", 1)
    return done.err


def renamed(weights: Weights) -> None:
    weights["model.layers.1.input_layer_norm.weight"] = weights.pop(NORM)


def left_out(weights: Weights) -> None:
    del weights[UP]


def misshapen(weights: Weights) -> None:
    weights[UP] = weights[UP][:, :-1].copy()


def transposed(weights: Weights) -> None:
    weights[UP] = weights[UP].T.copy()


def unknown(weights: Weights) -> None:
    weights["model.layers.0.self_attn.sinks"] = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (renamed, [NORM, "input_layer_norm.weight"]),
        (left_out, [UP]),
        (misshapen, [UP]),
        (transposed, [UP]),
        (unknown, ["self_attn.sinks"]),
    ],
)
def test_tensors_of_a_directory(
    tmp_path: Path, capsys: Capture, change: Callable[[Weights], None], parts: list[str]
) -> None:
    reference().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = safetensors.numpy.load_file(file)
    change(weights)
    safetensors.numpy.save_file(weights, file)
    with pytest.raises(FormatError) as raised:
        Engine.load(tmp_path)
    line = in_one_line(capsys, "generate", "--model", tmp_path, "hello")
    for part in parts:
        assert part in str(raised.value)
        assert part in line


def test_a_truncated_directory(tmp_path: Path, capsys: Capture) -> None:
    reference().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    whole = file.read_bytes()
    for size in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert "model.safetensors" in in_one_line(capsys, "generate", "--model", tmp_path, "hello")


def test_a_tokenizer_of_another_vocabulary(tmp_path: Path, capsys: Capture) -> None:
    more = [*byte_vocabulary.TOKENS, *(f"<extra{number}>" for number in range(5))]
    changed = byte_vocabulary.metadata(tokens=more, token_type=[1] * len(more))
    file = write(tmp_path / "other.gguf", reference(), extra=changed)
    line = in_one_line(capsys, "generate", "--model", file, "hello")
    assert f"{len(more)} tokens" in line
    assert str(len(byte_vocabulary.TOKENS)) in line


@pytest.mark.parametrize(
    ("template", "kind", "part"),
    [
        ("{{ raise_exception('roles must alternate') }}", ArgumentError, "roles must alternate"),
        ("{{ messages[7].content }}", ArgumentError, "chat template"),
        ("{% for %}", FormatError, "line 1"),
        ("{{ ().__class__.__bases__[0].__subclasses__() }}", ArgumentError, "chat template"),
    ],
)
def test_a_template_that_raises(
    tmp_path: Path, capsys: Capture, template: str, kind: type[WeftError], part: str
) -> None:
    file = saved(tmp_path / "raises.gguf", template)
    assert part in in_one_line(capsys, "chat", "--model", file, "hello")
    with pytest.raises(kind, match=part), Engine.load(file) as engine:
        try:
            engine.chat(ASK)
        finally:
            assert (engine.stats().running, engine.stats().waiting) == (0, 0)


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"temperature": -1.0}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"temperature": float("inf")}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": 0.0}, "top_p"),
    ({"top_p": 1.5}, "top_p"),
    ({"top_k": -1}, "top_k"),
    ({"top_k": 1.5}, "top_k"),
    ({"min_p": -0.1}, "min_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**64}, "seed"),
    ({"stop": ("",)}, "stop"),
    ({"stop": "text"}, "stop"),
]


def test_impossible_values_and_prompts_leave_nothing_behind(path: Path) -> None:
    with Engine.load(path) as engine:
        before = engine.stats()
        for options, part in IMPOSSIBLE:
            with pytest.raises(ArgumentError, match=part):
                engine.submit("hello", **options)
            with pytest.raises(ArgumentError, match=part):
                engine.submit_chat(ASK, **options)
        for prompt in ([0] * 512, [0] * 5000, "x" * 600, [], "", [-1], [10**9]):
            with pytest.raises(ArgumentError, match="prompt"):
                engine.submit(prompt)
        with pytest.raises(TypeError):
            engine.submit("hello", temprature=1.0)
        assert engine.stats() == before


def test_damaged_files_load_or_are_named(tmp_path: Path, path: Path) -> None:
    """Bytes of the header are changed: counts, texts, types, alignments, offsets, and what they mean."""
    whole = path.read_bytes()
    header = whole.index(b"output_norm") + 400
    rng = random.Random(5)
    file = tmp_path / "damaged.gguf"
    messages = []
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(4, header)
            data[at : at + 1] = bytes([rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])])
        file.write_bytes(data if rng.random() < 0.8 else data[: rng.randrange(len(data))])
        try:
            Engine.load(file).close()
        except WeftError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert max(map(len, messages)) < 2000


LOST = """
import sys
from weft import devices
from weft.engine import Engine
from weft.errors import DeviceError

NAME = "webgpu:software"
engine = Engine.load(sys.argv[1], device=NAME)
options = {"max_tokens": 40, "ignore_eos": True}
before = engine.generate("hello", **options).tokens
requests = [engine.submit("hello", **options) for _ in range(20)]
messages = []
try:
    for count, delta in enumerate(requests[0]):
        if count == 3:
            devices.open(NAME)._wgpu.destroy()
except DeviceError as error:
    messages.append(str(error))
for request in requests[1:]:
    try:
        request.result()
    except DeviceError as error:
        messages.append(str(error))
assert len(messages) == 20, messages
assert all("was lost" in message for message in messages), messages
stats = engine.stats()
assert (stats.running, stats.waiting, stats.failed, stats.pages_free) == (0, 0, 20, stats.pages), stats
for call in (engine.generate, engine.score):
    try:
        call("hello")
        raise AssertionError("no error")
    except DeviceError as error:
        assert "load the engine again" in str(error), error
engine.close()
assert Engine.load(sys.argv[1], device=NAME).generate("hello", **options).tokens == before
print("done")
"""


@pytest.mark.webgpu
def test_an_adapter_that_is_lost_in_mid_stream(path: Path) -> None:
    done = process(path, code=LOST)
    assert (done.status, done.out.strip()) == (0, "done"), done.err


def test_tools_of_a_template_without_a_form_for_them(tmp_path: Path) -> None:
    file = saved(tmp_path / "plain.gguf", "{{ tools }}{{ messages[0].content }}")
    tools = [{"type": "function", "function": {"name": "f"}}]
    with Engine.load(file) as engine:
        with pytest.raises(UnsupportedError, match="known format"):
            engine.chat(ASK, tools=tools)
        with pytest.raises(ArgumentError, match="name"):
            engine.chat(ASK, tools=[{"type": "function", "function": {}}])
        assert engine.stats().requests == 0
