"""Devices keep so many compiled kernels and free the others: more kernels than that leave host memory flat."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft import devices
from weft.devices import folders
from weft.devices.cpu import cache, compiler
from weft.devices.cpu import device as cpu_device
from weft.devices.recent import Recent
from weft.devices.webgpu import pipelines
from weft.expr import const
from weft.kernels import Builder
from weft.kernels.builder import Operand

LIMIT, COUNT = 24, 120


def test_what_is_used_stays() -> None:
    kept: Recent[int, str] = Recent(8)
    for turn in range(100):
        kept.put(turn, str(turn))
        assert kept.get(0) == "0"
        assert len(kept) <= 8
    assert kept.get(99) == "99"
    assert kept.get(50) is None
    kept.clear()
    assert kept.get(0) is None


def resident() -> int:
    """Bytes of memory that the process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def specs(profile: Any) -> list[Any]:
    """Kernels that differ in a number: x[i] + number."""
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
    monkeypatch.setattr(cpu_device, "KERNELS", LIMIT)
    monkeypatch.setattr(pipelines, "KERNELS", LIMIT)
    monkeypatch.setattr(
        compiler, "_kept", lambda: cache.Cache(folders.Folder(tmp_path))
    )  # what is compiled anew is llvmlite's leak
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
    held = device._kernels if name == "cpu" else device.pipelines._by_value
    assert len(held) <= LIMIT
    assert sizes[-1] - sizes[1] < 6 << 20, sizes  # 240 kernels: kept, they would take 12 to 200 MB
    device.dispose()
