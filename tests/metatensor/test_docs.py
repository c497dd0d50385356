"""docs/metatensor.md: its Python runs, and its numbers and names agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weft.metatensor import header, scalars, schema

PAGE = (Path(__file__).parents[2] / "docs" / "metatensor.md").read_text(encoding="utf-8")


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/metatensor.md", "exec"), {})
    assert (tmp_path / "model.mt").exists()


def test_the_numbers_are_the_codes() -> None:
    assert f"{header.MOST_HEADER:,}" in PAGE
    assert f"deeper than {header.MOST_LEVELS} levels" in PAGE
    assert f"deeper than {schema.MOST_LEVELS} levels" in PAGE
    assert schema.MOST_BYTES == 2**62
    assert f"the version, {header.VERSION}" in PAGE


def test_every_name_is_told() -> None:
    names = [name for name in schema.ANNOTATIONS if not re.match(r"Uint(16|32)", name)]
    notes = {note for allowed in schema.ANNOTATIONS.values() for note in allowed} | {
        "align",
        *schema.ENCODINGS,
    }
    assert [name for name in (*names, *notes, *scalars.TENSORS, *header.KEYS) if name not in PAGE] == []
