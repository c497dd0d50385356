"""Devices keep a limited number of compiled kernels and free the others, so that host memory stays flat."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft import devices
from weft.devices import folders
from weft.devices.cpu import cache, compiler
from weft.devices.cpu import kernels as cpu_kernels
from weft.devices.recent import Recent
from weft.devices.webgpu import pipelines
from weft.expr import const
from weft.kernels import Builder
from weft.kernels.builder import Operand

LIMIT, COUNT = 24, 120


def test_values_in_use_stay() -> None:
    kept: Recent[int, str] = Recent(8)
    for turn in range(100):
        kept.put(turn, str(turn))
        assert kept.get(0) == "0"
        assert len(kept) <= 8
    assert kept.get(99) == "99"
    assert kept.get(50) is None
    kept.clear()
    assert kept.get(0) is None


def test_values_that_are_referenced_are_found_beyond_the_limit() -> None:
    class Value:
        pass

    kept: Recent[int, Value] = Recent(4, alive=True)
    held = [Value() for _ in range(10)]
    for key, value in enumerate(held):
        kept.put(key, value)
    for key in range(100, 120):
        kept.put(key, Value())
    assert [kept.get(key) for key in range(10)] == held
    held.clear()
    for key in range(200, 220):
        kept.put(key, Value())
    assert kept.get(0) is None


SHAPES = """
import gc, logging, resource, sys
from pathlib import Path
import weft as wf

logging.getLogger("weft.compiler").setLevel(logging.ERROR)

def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

f = wf.jit(lambda x: (x * 2 + 1).sum())
sizes = []
for length in range(1, 801):
    assert f(wf.ones(length, device=sys.argv[1])).item() == 3 * length
    if length % 100 == 0:
        sizes.append(resident())
print(*[(after - before) // 100 for before, after in zip(sizes, sizes[1:])])
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is asked of Linux")
@pytest.mark.cpu
def test_memory_levels_over_many_shapes_of_a_jitted_function(tmp_path: Path) -> None:
    """With kernels from the disk cache, since LLVM's optimiser leaks about 70 KB each time that it runs."""
    environment = {**os.environ, "WEFT_CACHE": "1", "WEFT_CACHE_DIR": str(tmp_path / "cache")}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SHAPES, "cpu"], capture_output=True, text=True, timeout=400, check=False,
            env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    growth = [int(number) for number in done.stdout.split()]
    assert sum(growth[-2:]) / 2 < 25_000, f"bytes for each new shape, by hundreds of shapes: {growth}"


def resident() -> int:
    """Return the resident memory of the process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def specs(profile: Any) -> list[Any]:
    """Return kernels that differ in a constant: x[i] + number."""
    from weft.codegen import generate

    made = []
    for number in range(COUNT):
        builder = Builder(f"plus{number}")
        x = Operand(0, wf.float32, (64,), (1,), 0)
        y = Operand(1, wf.float32, (64,), (1,), 1)
        (index,) = builder.axes((64,))
        builder.store(y, [index], builder.load(x, [index], (1,)) + const(float(number), wf.float32), (1,))
        step = builder.finish()
        made.append((generate.__wrapped__(step.kernel, profile), step.arguments))
    return made


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is asked of Linux")
@pytest.mark.parametrize("name", ["cpu", pytest.param("webgpu", marks=pytest.mark.webgpu)])
def test_more_kernels_than_are_kept(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cpu_kernels, "KERNELS", LIMIT)
    monkeypatch.setattr(pipelines, "KERNELS", LIMIT)
    # kernels that are compiled again come from the cache, since llvmlite leaks memory
    monkeypatch.setattr(compiler, "_disk_cache", lambda: cache.Cache(folders.Folder(tmp_path)))
    monkeypatch.setattr(compiler, "_TOGETHER", 50)
    monkeypatch.setattr(devices, "_devices", {})
    device: Any = devices.open("cpu" if name == "cpu" else ADAPTER)
    x = wf.arange(64, device=device.name).float()
    y = wf.zeros(64, device=device.name)
    kernels = specs(device.profile)
    sizes = []
    for _ in range(4):
        for number, (spec, arguments) in enumerate(kernels):
            values = [argument if isinstance(argument, int | float) else 0 for argument in arguments]
            device.dispatch_kernel(spec, [x._data.storage, y._data.storage], values)
            if number % 17 == 0:
                assert y[3].item() == 3 + number
        gc.collect()
        sizes.append(resident())
    held = device.kernels if name == "cpu" else device.pipelines._by_value
    assert len(held) <= LIMIT
    assert sizes[-1] - sizes[1] < 6 << 20, sizes  # 240 kernels: kept, they would take 12 to 200 MB
    device.dispose()
