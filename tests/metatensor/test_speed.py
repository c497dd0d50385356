"""Bounds on times, far above the measured ones (see benchmarks/metatensor.py): lazy reads stay lazy."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weft import metatensor as mt
from weft.metatensor import header


def best(run: Callable[[], Any], times: int = 20) -> float:
    """Return the least processor seconds of a call."""
    least = 1e9
    for _ in range(times):
        start = time.process_time()
        run()
        least = min(least, time.process_time() - start)
    return least


def test_opening_four_gigabytes(tmp_path: Path) -> None:
    count, each = 64, 64 << 20
    tensors = {f"w{n}": {"TypeDef:Tensor": {"dtype": "U8", "shape": [each]}} for n in range(count)}
    offsets = {f"w{n}": [n * each, (n + 1) * each] for n in range(count)}
    head = header.encode(
        {"metatensor": 1, "schema": {"TypeDef:Struct": True, "properties": tensors}, "offsets": offsets}
    )
    with open(tmp_path / "sparse.mt", "wb") as file:
        file.write(head)
        file.truncate(len(head) + count * each)
    assert best(lambda: mt.open(tmp_path / "sparse.mt").close()) < 0.005
    tracemalloc.start()
    try:
        with mt.open(tmp_path / "sparse.mt") as opened:
            assert opened["w63"][-1] == 0
            assert opened.size == 4 << 30
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_one_tensor_of_a_thousand(tmp_path: Path) -> None:
    mt.save(tmp_path / "a.mt", {f"layer{n}.weight": np.full((4, 4), n, "f4") for n in range(1000)})
    with mt.open(tmp_path / "a.mt") as file:
        assert best(lambda: [file["layer500.weight"] for _ in range(100)]) / 100 < 20e-6


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "a.mt"
    mt.save(path, {"few": [f"text {n}" for n in range(100)], "many": [f"text {n}" for n in range(300_000)]})
    return path


def test_an_entry_costs_the_same_whatever_their_number(texts: Path) -> None:
    with mt.open(texts) as file:
        few, many = file.blob("few"), file.blob("many")
        assert many[299_999] == "text 299999"
        costs = [best(lambda blob=blob: [blob[50] for _ in range(1000)], 50) for blob in (few, many)]  # type: ignore[misc]
        assert costs[1] < 3 * costs[0]
        assert best(lambda: file.blob("many")) < 1e-3  # nothing of the entries is read


def test_a_million_records_are_one_array(tmp_path: Path) -> None:
    rows = np.zeros(1_000_000, [("id", "<u4"), ("on", "?")])
    rows["id"] = np.arange(len(rows))
    mt.save(tmp_path / "a.mt", rows)
    with mt.open(tmp_path / "a.mt") as file:
        start = time.process_time()
        array = file.records().array
        assert time.process_time() - start < 0.05
        assert array["id"].sum() == rows["id"].sum(dtype="u8")
        assert file.records()[777_777].id == 777_777
