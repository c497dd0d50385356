"""A thousand training steps: device and host memory stay as they are after the first epoch."""

from __future__ import annotations

import gc
import tracemalloc

import numpy
import pytest

import weft as wf
from weft.devices.base import Device

STEPS, EPOCH = 1000, 50


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_thousand_steps_take_no_new_memory(device: Device, momentum: float) -> None:
    steps = STEPS if device.name == "cpu" else 300
    generator = numpy.random.default_rng(0)
    data = generator.normal(size=(EPOCH, 16, 20)).astype("float32")
    labels = generator.integers(0, 4, (EPOCH, 16))
    with wf.devices.using(device.name):
        model = wf.nn.Sequential(wf.nn.Linear(20, 32), wf.nn.ReLU(), wf.nn.Linear(32, 4))
        optimizer = wf.optim.SGD(model.parameters(), lr=0.05, momentum=momentum)
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
        epoch()
        gc.collect()
        losses.clear()
        first = device.memory_stats()
        tracemalloc.start()
        host = tracemalloc.get_traced_memory()[0]
        try:
            for _ in range(steps // EPOCH):
                epoch()
                now = device.memory_stats()
                assert now.allocations == first.allocations
                assert (now.in_use, now.storages, now.peak) == (first.in_use, first.storages, first.peak)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - host
        finally:
            tracemalloc.stop()
    assert grown < 200_000  # a hundred bytes a step would be a leak; the losses are 32 each
    assert numpy.mean(losses[-EPOCH:]) < numpy.mean(losses[:EPOCH])
