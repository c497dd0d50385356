"""weft.metatensor against the safetensors library and Arrow: ``python -m benchmarks.metatensor``.

Both libraries write to ``--folder``, by default a memory file system, so that the disk is not measured. weft flushes to
disk and renames; the safetensors library does neither, so that its row with fsync is the fair comparison on a disk.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import safe_open

import weft as wf
from benchmarks.harness import Row, measure, report
from weft import metatensor as mt
from weft.metatensor import header

MEGABYTES = 128
COUNT = 200


def sparse(folder: Path, size: int = 4 << 30) -> Path:
    """Write a sparse file with one tensor of ``size`` bytes that are not stored."""
    path = folder / "sparse.mt"
    schema = {
        "TypeDef:Struct": True,
        "properties": {"w": {"TypeDef:Tensor": {"dtype": "U8", "shape": [size]}}},
    }
    head = header.encode({"metatensor": 1, "schema": schema, "offsets": {"w": [0, size]}})
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return path


def opening(folder: Path) -> list[Row]:
    """Return the rows of opening a large sparse file, and a file of a thousand tensors."""
    large = sparse(folder)
    tracemalloc.start()
    with mt.open(large) as file:
        file["w"]
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"opening 4 GiB, sparse: {peak / 1e6:.2f} MB of memory at most")
    many = {f"layer{n}.weight": np.full((8, 8), n, "f4") for n in range(1000)}
    mt.save(folder / "many.mt", many)
    safetensors.numpy.save_file(many, folder / "many.safetensors")
    theirs = safe_open(folder / "many.safetensors", "numpy")
    ours, name = mt.open(folder / "many.mt"), "layer500.weight"

    def opened() -> None:
        mt.open(folder / "many.mt").close()

    return [
        measure("open 4 GiB, sparse", lambda: mt.open(large).close(), {}),
        measure(
            "open 1,000 tensors",
            opened,
            {"safetensors": lambda: safe_open(folder / "many.safetensors", "numpy")},
        ),
        measure(
            "one tensor of 1,000",
            lambda: ours[name],
            {"safetensors": lambda: theirs.get_tensor(name)},
        ),
    ]


def throughput(folder: Path) -> list[Row]:
    """Return the rows of sequential writing and reading of large tensors."""
    tree = {f"w{n}": np.random.default_rng(n).standard_normal(MEGABYTES << 15, "f4") for n in range(8)}
    size = sum(array.nbytes for array in tree.values())
    ours, theirs = folder / "large.mt", folder / "large.safetensors"

    def save_flushed() -> None:
        safetensors.numpy.save_file(tree, theirs)
        flushed(theirs)

    def read_ours() -> Any:
        with mt.open(ours) as file:
            return {name: np.array(file[name]) for name in file}

    writing = {
        "safetensors": lambda: safetensors.numpy.save_file(tree, theirs),
        "safetensors, fsync": save_flushed,
    }
    reading = {"safetensors": lambda: safetensors.numpy.load_file(theirs)}
    return [
        measure(f"write {size >> 20} MB", lambda: mt.save(ours, tree), writing, turns=5, bytes_moved=size),
        measure(f"read {size >> 20} MB", read_ours, reading, turns=5, bytes_moved=size),
    ]


def flushed(path: Path) -> None:
    """Wait until a file is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def arrays() -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Iterate over tensors of 2 MB by name, 400 MB in all."""
    return ((f"layer{n}.weight", np.full((512, 1024), n, "f4")) for n in range(COUNT))


def checkpoints(folder: Path) -> list[Row]:
    """Return the rows of ``weft.save`` and ``weft.load`` of a state dict on the processor."""
    ours = {name: wf.tensor(array, device="cpu") for name, array in arrays()}
    tensors = {name: torch.from_numpy(array) for name, array in arrays()}
    flat = {name: tensor.numpy() for name, tensor in tensors.items()}
    size = sum(array.nbytes for array in flat.values())
    theirs = folder / "theirs.safetensors"
    writers = {
        "safetensors.torch": lambda: safetensors.torch.save_file(tensors, theirs),
        "safetensors.numpy": lambda: safetensors.numpy.save_file(flat, theirs),
    }
    readers = {
        # copied, because its tensors are views of a mapped file and cost nothing until they are read
        "safetensors.torch": lambda: [
            tensor.clone() for tensor in safetensors.torch.load_file(theirs).values()
        ],
        "safetensors.numpy": lambda: safetensors.numpy.load_file(theirs),
    }
    rows = []
    for suffix in ("safetensors", "mt"):
        path = folder / f"ours.{suffix}"
        save, load = partial(wf.save, ours, path), partial(wf.load, path, device="cpu")
        rows.append(measure(f"save {size >> 20} MB as .{suffix}", save, writers, turns=5, bytes_moved=size))
        rows.append(measure(f"load {size >> 20} MB of .{suffix}", load, readers, turns=5, bytes_moved=size))
    return rows


MEMORY = {
    "weft.save": ("wf.tensor(array, device='cpu')", "wf.save(state, path)"),
    "weft.load": ("", "state = wf.load(path, device='cpu')"),
    "safetensors.torch.save_file": ("torch.from_numpy(array)", "safetensors.torch.save_file(state, path)"),
    "safetensors.torch.load_file": (
        "",
        "state = [t.clone() for t in safetensors.torch.load_file(path).values()]",
    ),
}
"""How a state dict is built from arrays, and the call whose memory is measured in a separate process."""


def memory(folder: Path) -> None:
    """Print the additional peak memory of saving and loading, each in a separate process; mapped files count too.

    Linux alone says it, and not in ``ru_maxrss``, which begins with the parent's there.
    """
    for name, (build, call) in MEMORY.items() if sys.platform == "linux" else ():
        for suffix in ("safetensors",) if name.startswith("safetensors") else ("safetensors", "mt"):
            lines = [
                "import sys",
                "from benchmarks.metatensor import *",
                "def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])",
                f"state = {{name: {build} for name, array in arrays()}}" if build else "",
                "wf.ones(1, device='cpu')",
                f"path, before = sys.argv[1] + '/memory.{suffix}', peak()",
                call,
                "print((peak() - before) / 1024)",
            ]
            done = subprocess.run(
                [sys.executable, "-c", "\n".join(lines), str(folder)],
                capture_output=True,
                text=True,
                check=True,
            )
            print(f"{name}, .{suffix}: {float(done.stdout):.0f} MB at most above the memory before")


def datasets(folder: Path) -> list[Row]:
    """Return the rows of a million records, and of a million strings."""
    rows = np.zeros(1_000_000, [("id", "<u4"), ("score", "<f4"), ("label", "u1")])
    rows["id"] = np.arange(len(rows))
    mt.save(folder / "rows.mt", rows)
    records = mt.open(folder / "rows.mt")
    rng = random.Random(0)
    texts = ["".join(rng.choices("abcdefgh ", k=rng.randrange(24))) for _ in range(1_000_000)]
    other = [text + "é" for text in texts]
    schema = mt.Struct(mt.ArrayOf("t", mt.Field("s", "String", encoding="offset-indirect")))
    table = pa.array(texts)
    mt.save(folder / "t.mt", {"t": texts}, schema)
    mt.save(folder / "u.mt", {"t": other}, schema)
    blob, accents = mt.open(folder / "t.mt").blob("t"), mt.open(folder / "u.mt").blob("t")
    their_accents = pa.array(other)
    picks = [rng.randrange(len(texts)) for _ in range(1000)]
    layout = mt.compile(schema)

    def write_ours() -> Any:
        from weft.metatensor.saving import piece_of

        return piece_of(layout.sections["t"], texts)

    return [
        measure(
            "1,000,000 records as one array",
            lambda: records.records().array,
            {"a copy of it": rows.copy},
            turns=7,
        ),
        measure(
            "1,000 of 1,000,000 strings",
            lambda: [blob[n] for n in picks],
            {"arrow": lambda: [table[n].as_py() for n in picks]},
        ),
        measure("1,000,000 strings to a list", blob.tolist, {"arrow": table.to_pylist}, turns=5),
        measure("1,000,000 strings, not ASCII", accents.tolist, {"arrow": their_accents.to_pylist}, turns=5),
        measure("1,000,000 strings to their index", write_ours, {"arrow": lambda: pa.array(texts)}, turns=5),
    ]


def main() -> None:
    """Run all benchmarks of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder) as name:
        folder = Path(name)
        memory(folder)
        report("metatensor", [*opening(folder), *throughput(folder), *checkpoints(folder), *datasets(folder)])


if __name__ == "__main__":
    main()
