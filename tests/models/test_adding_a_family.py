"""docs/models.md: the row that shows how a family is added makes that family work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import weft as wf
from tests.models.checkpoints import SIZES
from tests.models.test_family_configs import least, plain, theirs
from weft.models import load, save
from weft.models.families import FAMILIES, family

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> str:
    """Add the page's row to the table; return its name."""
    section = PAGE.read_text().split("## Adding a family")[1]
    row = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert row is not None
    assert len(row[1].splitlines()) <= 10
    ((name, found),) = eval("{" + row[1] + "}", vars(family)).items()
    assert name not in FAMILIES
    monkeypatch.setitem(FAMILIES, name, found)  # type: ignore[arg-type]
    return str(name)


def test_the_row_of_the_page_makes_the_family_work(name: str, tmp_path: Path) -> None:
    assert plain(least(name)) == theirs(least(name))
    sizes: dict[str, Any] = {**SIZES, "head_dim": 10, "attention_out_bias": True}
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(name, **sizes))
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(0.0, 0.3)
    made.eval().save_pretrained(tmp_path / "a")
    ids = np.random.default_rng(0).integers(0, 131, (2, 9))
    with torch.no_grad(), wf.no_grad():
        expected = made(torch.from_numpy(ids)).logits.numpy()
        loaded = load(tmp_path / "a")
        assert np.abs(loaded(wf.tensor(ids)).numpy() - expected).max() < 1e-3 * np.abs(expected).max()
    save(loaded, tmp_path / "b")
    again, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "b", output_loading_info=True
    )
    assert not any(report.values()), report
    with torch.no_grad():
        torch.testing.assert_close(again(torch.from_numpy(ids)).logits, torch.from_numpy(expected))
