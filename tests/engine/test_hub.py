"""Models by their id on the Hugging Face Hub: found in the library's own store, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.test_engine import TEMPLATE, directory, path
from weft.engine.hub import locate
from weft.errors import MissingFileError

__all__ = ["path"]
pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def stored(home: Path, source: Path) -> None:
    """Lay a model out as the library keeps what it downloaded."""
    repository = home / "hub" / "models--somebody--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    folder = repository / "snapshots" / COMMIT
    if source.is_dir():
        shutil.copytree(source, folder)
    else:
        folder.mkdir(parents=True)
        shutil.copy(source, folder / source.name)


def generate(home: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run ``weft generate`` with the library's store in ``home`` and no network."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    command = [
        sys.executable,
        "-m",
        "weft.cli",
        "generate",
        "--model",
        name,
        "--max-tokens",
        "3",
        "--json",
        "hello",
    ]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_a_repository_answers(tmp_path: Path) -> None:
    stored(tmp_path / "home", directory(tmp_path / "a", chat_template=TEMPLATE))
    answer = generate(tmp_path / "home", "somebody/tiny")
    assert answer.returncode == 0, answer.stderr
    assert '"tokens"' in answer.stdout


def test_a_file_of_a_repository_answers(tmp_path: Path, path: Path) -> None:
    stored(tmp_path / "home", path)
    answer = generate(tmp_path / "home", f"somebody/tiny/{path.name}")
    assert answer.returncode == 0, answer.stderr


def test_an_unknown_repository_is_named(tmp_path: Path) -> None:
    answer = generate(tmp_path, "somebody/other")
    assert answer.returncode == 1
    assert "somebody/other" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("name", ["model.gguf", "folder/model.gguf", "/a/b", "a/b/c", "./a/b", "../b"])
def test_paths_are_no_ids(name: str) -> None:
    assert locate(name) == Path(name)


def test_what_exists_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "somebody" / "tiny").mkdir(parents=True)
    assert locate("somebody/tiny") == Path("somebody/tiny")


def test_an_error_of_the_library_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingFileError, match="somebody/none"):
        locate("somebody/none")
