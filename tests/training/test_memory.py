"""A thousand training steps: device and host memory stay as they are after the first epoch."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

import weft as wf
from weft.devices.base import Device

STEPS, EPOCH = 1000, 50


OPTIMIZERS: dict[str, Callable[[Any], wf.optim.Optimizer]] = {
    "SGD": lambda parameters: wf.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "Adam": lambda parameters: wf.optim.Adam(parameters, lr=0.003),
}


def host_memory() -> int:
    """Bytes of memory that the process holds; 0 where the system is not asked."""
    found = Path("/proc/self/statm")
    return int(found.read_text().split()[1]) * 4096 if found.exists() else 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_thousand_steps_take_no_new_memory(device: Device, name: str) -> None:
    """From the second epoch on nothing new is allocated on the device, and on the host nothing stays."""
    generator = numpy.random.default_rng(0)
    data = generator.normal(size=(EPOCH, 16, 20)).astype("float32")
    labels = generator.integers(0, 4, (EPOCH, 16))
    with wf.devices.using(device.name):
        model = wf.nn.Sequential(wf.nn.Linear(20, 32), wf.nn.ReLU(), wf.nn.Linear(32, 4))
        optimizer = OPTIMIZERS[name](model.parameters())
        losses = []

        def step(at: int) -> None:
            optimizer.zero_grad()
            loss = wf.nn.functional.cross_entropy(model(wf.tensor(data[at])), wf.tensor(labels[at]))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

        def epoch() -> None:
            for at in range(EPOCH):
                step(at)

        epoch()
        gc.collect()  # what tests before left in cycles
        first = device.memory_stats()
        epoch()
        gc.collect()
        losses.clear()
        held = host_memory()
        tracemalloc.start()
        host = tracemalloc.get_traced_memory()[0]
        try:
            for _ in range(STEPS // EPOCH):
                epoch()
                now = device.memory_stats()
                assert now.allocations == first.allocations
                assert (now.in_use, now.storages, now.peak) == (first.in_use, first.storages, first.peak)
                assert now.pooled == first.pooled
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - host
        finally:
            tracemalloc.stop()
    assert host_memory() - held < 16 << 20  # drivers' own, and tracemalloc's books
    assert grown < 200_000  # a hundred bytes a step would be a leak; the losses are 32 each
    assert numpy.mean(losses[-EPOCH:]) < numpy.mean(losses[:EPOCH])
