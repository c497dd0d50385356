"""Host memory that loading a checkpoint takes: ``python -m benchmarks.loading [MiB]`` (default 2048).

Synthetic checkpoints, whose embedding and output layer are a quarter of the bytes each, are written and loaded, each in
a process of its own. Measured is ``RssAnon`` of ``/proc/self/status``, sampled each millisecond by a thread: anonymous
memory alone, so that pages of mapped files do not count. ``peak`` is its highest value while loading, above that
before; ``kept`` what the model itself holds on ``cpu``, the bytes of its parameters and buffers. ``over`` is their
difference, and ``bound`` is 1.2 times the largest tensor in the file plus 200 MB. Sizes are in MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from weft import dtypes
from weft import metatensor as mt
from weft.io import shards
from weft.models import load
from weft.models.quant.integers import QUANTIZE
from weft.models.quant.tensors import TensorFormat, awq, gptq, mlx

MIB = 1 << 20
HIDDEN = 1024
Tensors = dict[tuple[str, ...], mt.Pending]


def anonymous() -> int:
    """Return the process's anonymous resident memory in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("no RssAnon in /proc/self/status")


def measured(action: Callable[[], Any]) -> tuple[Any, int]:
    """Return an action's result, and the highest anonymous memory during it above that before."""
    before, highest, ended = anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not ended.is_set():
            highest = max(highest, anonymous())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = action()
    finally:
        ended.set()
        watcher.join()
    return result, max(highest, anonymous()) - before


def _pending(shape: tuple[int, ...], dtype: str) -> mt.Pending:
    """Return a tensor of small numbers, made when it is written."""
    kinds = {"BF16": dtypes.bfloat16.numpy, "F16": np.float16, "F32": np.float32}

    def read() -> Any:
        row = np.random.default_rng(0).integers(0, 2**31, (1, *shape[1:]), dtype=np.int64)
        if dtype in ("I32", "U32"):
            return np.ascontiguousarray(
                np.broadcast_to(row.astype(np.int32 if dtype == "I32" else np.uint32), shape)
            )
        return np.ascontiguousarray(np.broadcast_to((row / 2**36).astype(kinds[dtype]), shape))

    return mt.Pending(dtype, shape, read)


def write(folder: Path, mib: int, way: str) -> int:
    """Write a checkpoint of about ``mib`` MiB; return the bytes of its largest tensor."""
    form: TensorFormat | None = {"mlx": mlx(4, 64), "gptq": gptq(4, 128), "awq": awq(128)}.get(way)
    each = {"bfloat16": 2.0, "float16": 2.0, "float32": 4.0}.get(way, 0.5)
    kind = {"bfloat16": "BF16", "float32": "F32"}.get(way, "F16")
    # the embedding and the output layer are a quarter each, so that one is the largest
    vocabulary = int(mib * MIB / 4 / HIDDEN / (each if way != "gptq" and way != "awq" else 2.0)) // 16 * 16
    inner = 4 * HIDDEN
    layer = (3 * inner + 4 * HIDDEN) * HIDDEN
    layers = max(int(mib * MIB / 2 / each / layer), 1)
    tensors: Tensors = {}

    def matrix(name: str, rows: int, columns: int, quantised: bool = True) -> None:
        if form is None or not quantised:
            tensors[(f"{name}.weight",)] = _pending((rows, columns), kind)
            return
        for suffix, shape in form.shapes(rows, columns).items():
            packed = form.dtypes(suffix)[0] == "int32"
            stored = ("U32" if way == "mlx" else "I32") if packed else "F16"
            tensors[(f"{name}.{suffix}",)] = _pending(shape, stored)

    for at in range(layers):
        prefix = f"model.layers.{at}"
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[(f"{prefix}.{name}.weight",)] = _pending((HIDDEN,), kind)
        for name in ("q", "k", "v", "o"):
            matrix(f"{prefix}.self_attn.{name}_proj", HIDDEN, HIDDEN)
        matrix(f"{prefix}.mlp.gate_proj", inner, HIDDEN)
        matrix(f"{prefix}.mlp.up_proj", inner, HIDDEN)
        matrix(f"{prefix}.mlp.down_proj", HIDDEN, inner)
    tensors[("model.norm.weight",)] = _pending((HIDDEN,), kind)
    for name in ("model.embed_tokens", "lm_head"):
        matrix(name, vocabulary, HIDDEN, way == "mlx")
    config: dict[str, Any] = {
        "model_type": "llama", "vocab_size": vocabulary, "hidden_size": HIDDEN, "intermediate_size": inner,
        "num_attention_heads": 16, "num_hidden_layers": layers, "tie_word_embeddings": False,
    }  # fmt: skip
    if way == "mlx":
        config["quantization"] = {"bits": 4, "group_size": 64}
    elif form is not None:
        config["quantization_config"] = {"quant_method": way, "bits": 4, "group_size": 128}
    (folder / "config.json").write_text(json.dumps(config))
    shards.write(folder / "model.safetensors", tensors, {"format": "pt"}, {}, None)
    return max(shards.bytes_of(tensor) for tensor in tensors.values())


def child(folder: str, quantize: str, dtype: str) -> None:
    """Load a checkpoint; print what it took, as JSON."""
    form = QUANTIZE.get(quantize)
    start = time.process_time()
    model, peak = measured(lambda: load(folder, quantize=form, dtype=dtypes.named(dtype)))
    parts = {id(part): part for part in (*model.parameters(), *model.buffers())}.values()
    kept = sum(part.numel() * part.element_size() for part in parts)
    print(json.dumps({"peak": peak, "kept": kept, "seconds": time.process_time() - start}))


def measure(folder: Path, quantize: str = "", dtype: str = "float32") -> dict[str, Any]:
    """Load a checkpoint in a process of its own; return peak, kept and seconds."""
    code = f"from benchmarks.loading import child; child({str(folder)!r}, {quantize!r}, {dtype!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


CASES = [
    ("bfloat16", "", "float32"),
    ("bfloat16", "", "bfloat16"),
    ("bfloat16", "int4", "float32"),
    ("float32", "", "float32"),
    ("float16", "int8", "float32"),
    ("mlx", "", "float32"),
    ("gptq", "", "float32"),
    ("awq", "", "float32"),
]
"""The checkpoint's type or format, ``quantize``, and the model's type."""


def main() -> None:
    """Print a row for each case."""
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
    print("checkpoint quantize dtype      largest     kept     peak    over   bound  CPU s")

    for way, quantize, dtype in CASES:
        with tempfile.TemporaryDirectory() as folder:
            largest = write(Path(folder), mib, way)
            found = measure(Path(folder), quantize, dtype)
        over, bound = found["peak"] - found["kept"], 1.2 * largest + 200e6
        sizes = [largest, found["kept"], found["peak"], over, bound]
        row = " ".join(f"{size / 1e6:{width}.0f}" for size, width in zip(sizes, (8, 8, 8, 7, 7), strict=True))
        print(f"{way:10} {quantize or '-':8} {dtype:9} {row} {found['seconds']:6.1f}", flush=True)


if __name__ == "__main__":
    main()
