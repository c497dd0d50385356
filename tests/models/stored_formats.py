"""Quantised matrices as MLX, GPTQ and AWQ store them, written element by element from the formats' descriptions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

Array = np.ndarray[Any, Any]
Matrix = tuple[dict[str, Array], Array]
"""Tensors by suffix, and the numbers that they mean, float64 (rows, columns)."""


def words(entries: Array, bits: int, order: tuple[int, ...] | None = None) -> Array:
    """Pack unsigned entries (n, m) along the last dimension: the i-th bits of a word hold entry ``order[i]``."""
    count = 32 // bits
    made = np.zeros((entries.shape[0], entries.shape[1] // count), np.uint32)
    for place in range(count):
        source = place if order is None else order[place]
        made |= entries[:, source::count].astype(np.uint32) << np.uint32(bits * place)
    return made


def mlx(rng: np.random.Generator, rows: int, columns: int, bits: int, group: int) -> Matrix:
    """``w = scale * q + bias``; neighbouring columns in a word, the first in its lowest bits."""
    q = rng.integers(0, 2**bits, (rows, columns))
    s = (rng.uniform(0.02, 0.3, (rows, columns // group)) / 2**bits).astype(np.float16)
    b = rng.uniform(-0.1, 0.05, s.shape).astype(np.float16)
    meant = q * s.astype(np.float64).repeat(group, 1) + b.astype(np.float64).repeat(group, 1)
    return {"weight": words(q, bits), "scales": s, "biases": b}, meant


def gptq(
    rng: np.random.Generator, rows: int, columns: int, bits: int, group: int, *, symmetric: bool = False,
    version: int = 1, groups: Array | None = None,
) -> Matrix:  # fmt: skip
    """``w = scale * (q - zero)``; tensors are (columns, rows); version 1 stores zero - 1; ``groups`` is g_idx."""
    index = np.arange(columns) // group if groups is None else groups
    count = int(index.max()) + 1
    q = rng.integers(0, 2**bits, (rows, columns))
    zero = rng.integers(1, 2**bits, (count, rows))
    if symmetric:
        zero[:] = 2 ** (bits - 1)
    s = (rng.uniform(0.02, 0.3, (count, rows)) / 2**bits).astype(np.float16)
    meant = s.T.astype(np.float64)[:, index] * (q - zero.T[:, index])
    tensors = {
        "qweight": words(q, bits).T.view(np.int32),
        "qzeros": words(zero - (version == 1), bits).view(np.int32),
        "scales": s,
        "g_idx": index.astype(np.int32),
    }
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, meant


def awq(rng: np.random.Generator, rows: int, columns: int, group: int) -> Matrix:
    """``w = scale * (q - zero)``; tensors are (columns, rows), neighbouring rows in a word, even ones first."""
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    q = rng.integers(0, 16, (columns, rows))
    zero = rng.integers(0, 16, (columns // group, rows))
    s = rng.uniform(0.001, 0.02, zero.shape).astype(np.float16)
    meant = s.astype(np.float64).repeat(group, 0) * (q - zero.repeat(group, 0))
    tensors = {
        "qweight": words(q, 4, order).view(np.int32),
        "qzeros": words(zero, 4, order).view(np.int32),
        "scales": s,
    }
    return tensors, meant.T


@dataclass(frozen=True)
class Way:
    """A way to store matrices: ``make(rng, rows, columns)``, and the fields of ``config.json`` that say so."""

    make: Callable[[np.random.Generator, int, int], Matrix]
    config: Mapping[str, Any]
    embeddings: bool = False
    weights: Mapping[str, Any] = field(default_factory=dict)


def _gptq(bits: int, group: int, shuffled: bool = False, **options: Any) -> Way:
    def make(rng: np.random.Generator, rows: int, columns: int) -> Matrix:
        size = group if group > 0 else columns
        groups = rng.permutation(np.arange(columns) // size) if shuffled else None
        return gptq(rng, rows, columns, bits, size, groups=groups, **options)

    config: dict[str, Any] = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": shuffled}
    config |= {"sym": options.get("symmetric", False), "damp_percent": 0.1, "true_sequential": True}
    if options.get("version") == 2:
        config["checkpoint_format"] = "gptq_v2"
    return Way(make, {"quantization_config": config})


def _mlx(bits: int, group: int) -> Way:
    said = {"bits": bits, "group_size": group}
    return Way(
        lambda rng, rows, columns: mlx(rng, rows, columns, bits, group),
        {"quantization": said, "quantization_config": said},
        embeddings=True,
    )


def _awq(group: int) -> Way:
    config = {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True}
    config["modules_to_not_convert"] = None
    return Way(
        lambda rng, rows, columns: awq(rng, rows, columns, group if group > 0 else columns),
        {"quantization_config": config},
    )


WAYS = {
    **{f"mlx-{bits}-{group}": _mlx(bits, group) for bits in (4, 8) for group in (32, 64, 128)},
    "gptq-4-64": _gptq(4, 64),
    "gptq-4-32-symmetric": _gptq(4, 32, symmetric=True),
    "gptq-8-128": _gptq(8, 128),
    "gptq-8-32-symmetric": _gptq(8, 32, symmetric=True),
    "gptq-4-row": _gptq(4, -1),
    "gptq-4-64-v2": _gptq(4, 64, version=2),
    "gptq-4-32-desc_act": _gptq(4, 32, shuffled=True),
    "gptq-8-64-desc_act-symmetric": _gptq(8, 64, shuffled=True, symmetric=True),
    "awq-128": _awq(128),
    "awq-32": _awq(32),
    "awq-row": _awq(-1),
}


def quantised(
    source: Path, target: Path, way: Way, keep: Callable[[str], bool] = lambda name: False
) -> dict[str, Array]:
    """Write a checkpoint like ``source`` with random quantised matrices; return the numbers of its weights.

    ``keep`` chooses names of weights that stay as they are.
    """
    target.mkdir()
    weights = load_file(source / "model.safetensors")
    rng = np.random.default_rng(5)
    written: dict[str, Array] = {}
    meant: dict[str, Array] = {}
    for name, weight in weights.items():
        is_matrix = weight.ndim == 2 and (way.embeddings or "proj" in name)
        if not is_matrix or keep(name):
            written[name] = meant[name] = weight
            continue
        tensors, meant[name] = way.make(rng, *weight.shape)
        written |= {f"{name.removesuffix('weight')}{suffix}": tensor for suffix, tensor in tensors.items()}
    save_file(written, target / "model.safetensors")
    config = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **way.config}))
    for extra in source.glob("*.json"):
        if not (target / extra.name).exists():
            shutil.copy(extra, target)
    return meant
