"""The MLP's training step and the chain of ``programs`` in tinygrad, by its ``TinyJit``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tinygrad import Device, Tensor, TinyJit, nn
from tinygrad.helpers import DEV


def mlp(device: str = "CPU:LLVM") -> Callable[[], Any]:
    """Return an MLP, 64 → 128 → 10, on a batch of 64, with tinygrad's Adam."""
    DEV.value = device
    rng = np.random.default_rng(0)
    first, second = nn.Linear(64, 128), nn.Linear(128, 10)
    optimizer = nn.optim.Adam([first.weight, first.bias, second.weight, second.bias], lr=1e-3)
    x = Tensor(rng.standard_normal((64, 64), np.float32)).realize()
    y = Tensor(rng.integers(0, 10, 64).astype(np.int32)).realize()

    @TinyJit
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = second(first(x).relu()).sparse_categorical_crossentropy(y)
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    def run() -> Any:
        with Tensor.train():
            loss = step(x, y)
        Device[device.split(":")[0]].synchronize()
        return loss

    return warmed(run)


def chain(device: str = "CPU:LLVM") -> Callable[[], Any]:
    """Six element-wise operations in a row."""
    DEV.value = device
    x = Tensor(np.random.default_rng(0).standard_normal(4 << 20, np.float32)).realize()

    @TinyJit
    def apply(x: Any) -> Any:
        return (((x * 2.0 + 1.0).relu() - x).abs() * 0.5).realize()

    def run() -> Any:
        result = apply(x)
        Device[device.split(":")[0]].synchronize()
        return result

    return warmed(run)


def warmed(run: Callable[[], Any]) -> Callable[[], Any]:
    """Return a recorded call: the first call runs eagerly, the second records."""
    for _ in range(3):
        run()
    return run


MAKERS = {"MLP step": mlp, "6 pointwise ops, 4 Mi": chain}
