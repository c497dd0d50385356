"""The host's memory while a checkpoint is loaded, in a process of its own: little beside what the model keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.loading import measure, write

MOST = 48e6
"""Bytes beside the model: runs of rows, whatever the size of a tensor."""


@pytest.mark.parametrize(
    ("way", "quantize"), [("bfloat16", ""), ("bfloat16", "int8"), ("mlx", ""), ("gptq", ""), ("awq", "")]
)
def test_loading_takes_little_memory_beside_the_model(tmp_path: Path, way: str, quantize: str) -> None:
    largest = write(tmp_path, 120 if way == "bfloat16" else 100, way)
    found = measure(tmp_path, quantize)
    assert found["kept"] > largest / 2
    # a tensor's copy as float32 would be 104 MB, as bytes of quants 50
    assert found["peak"] - found["kept"] < MOST, found
