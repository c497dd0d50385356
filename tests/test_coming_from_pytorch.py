"""docs/coming-from-pytorch.md: its examples run, and its tables of names are correct."""

from __future__ import annotations

import doctest
import re

import pytest

from scripts import coming_from_pytorch as page

TEXT = page.PAGE.read_text(encoding="utf-8")


def test_examples_run() -> None:
    written = re.sub(r"^```.*$", "", TEXT.partition(page.MARKER)[0], flags=re.M)
    test = doctest.DocTestParser().get_doctest(written, {}, page.PAGE.name, None, 0)
    assert len(test.examples) > 10
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test).failed == 0


def test_names_are_true() -> None:
    pytest.importorskip("torch")
    assert list(page.faults(TEXT)) == []


def test_faults_are_found() -> None:
    pytest.importorskip("torch")
    promised = TEXT.replace("In weft:\n\n`abs`", "In weft:\n\n`there_is_no_such_name`, `abs`", 1)
    assert "torch: the page says that weft has there_is_no_such_name" in list(page.faults(promised))
    forgotten = re.sub(r"`zeros_like`", "", TEXT)
    assert "torch: the page leaves out zeros_like" in list(page.faults(forgotten))
    assert any(
        "torch.optim has no section" in each for each in page.faults(TEXT.replace("### `torch.optim`\n", ""))
    )
