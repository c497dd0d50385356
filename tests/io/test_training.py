"""Trainings that are saved and continued: their losses equal those of an uninterrupted training bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import weft as wf
from weft import nn
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, StateError


class Run:
    """A small training with dropout, batch normalisation and a schedule."""

    def __init__(self, device: str, compiled: bool, seed: int) -> None:
        wf.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1)
        ).to(device)
        self.optimizer = wf.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.scheduler = wf.optim.lr_scheduler.StepLR(self.optimizer, step_size=2, gamma=0.5)
        x = wf.linspace(-1, 1, 32).reshape(8, 4).to(device)

        def step() -> wf.Tensor:
            loss = (self.model(x) - wf.rand(8, 1, device=device)).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss

        self.step = wf.jit(step) if compiled else step

    def go(self, steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            losses.append(self.step().item())
            self.scheduler.step()
        return losses

    @property
    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("shard", [None, 200])
def test_going_on_is_exact(compiled: bool, shard: int | None, tmp_path: Path, device: Device) -> None:
    path = tmp_path / "run.mt"
    first = Run(device.name, compiled, 1)
    first.go(3)
    wf.io.save_training(
        path, step=3, metadata={"best": 0.25, "seen": [1, 2]}, max_shard_size=shard, **first.parts
    )
    expected = first.go(5)
    second = Run(device.name, compiled, 2)
    second.go(1)  # compiled already, and somewhere else
    resumed = wf.io.load_training(path, **second.parts)
    assert (resumed.step, resumed.metadata) == (3, {"best": 0.25, "seen": [1, 2]})
    assert second.go(5) == expected


def test_nothing_changes_where_a_part_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "run.mt"
    first, second = Run("cpu", False, 1), Run("cpu", False, 2)
    first.go(2)
    wf.io.save_training(path, **first.parts)
    second.go(1)
    before = {name: value.tolist() for name, value in second.model.state_dict().items()}
    wrong = nn.Linear(3, 1)
    others = wf.optim.AdamW(wrong.parameters())
    words = wf.random.default_generator("cpu").get_state()
    for parts, error in (
        ({**second.parts, "optimizer": others}, ArgumentError), ({**second.parts, "model": wrong}, StateError),
    ):  # fmt: skip
        with pytest.raises(error):
            wf.io.load_training(path, **parts)
        assert {name: value.tolist() for name, value in second.model.state_dict().items()} == before
        assert wf.random.default_generator("cpu").get_state() == words


def test_numbers_of_a_device_that_is_not_there_are_left(tmp_path: Path) -> None:
    model, path = nn.Linear(1, 1), tmp_path / "run.mt"
    wf.io.save_training(path, model=model)
    tree = wf.load(path, device="cpu")
    words = [1, 2, 3, 4]
    wf.save(tree | {"random": {"cpu": words, "webgpu:7": words}}, path)
    wf.io.load_training(path, model=model)
    assert wf.random.default_generator("cpu").get_state() == words


def test_mistakes_are_named(tmp_path: Path) -> None:
    run, path = Run("cpu", False, 1), tmp_path / "run.mt"
    with pytest.raises(
        ArgumentError, match=r"expected a name that ends in .mt; safetensors holds tensors alone"
    ):
        wf.io.save_training(tmp_path / "a.safetensors", model=run.model)
    with pytest.raises(ArgumentError, match="step is -1"):
        wf.io.save_training(path, model=run.model, step=-1)
    with pytest.raises(ArgumentTypeError, match=r"model is a int, expected an object with state_dict\(\)"):
        wf.io.save_training(path, model=3)
    wf.io.save_training(path, model=run.model)
    with pytest.raises(
        ArgumentError, match="parts is model, optimizer, scheduler, expected those of the file, model"
    ):
        wf.io.load_training(path, **run.parts)
    with pytest.raises(ArgumentError, match="parts is none, expected those of the file, model"):
        wf.io.load_training(path)
    wf.save({"a": 1}, path)
    with pytest.raises(FormatError, match="holds no training"):
        wf.io.load_training(path, model=run.model)
    wf.save({"version": 2, "parts": {}, "random": {}, "step": 0, "metadata": None}, path)
    with pytest.raises(FormatError, match="version is 2, expected 1; a newer weft wrote it"):
        wf.io.load_training(path)
    wf.save({"version": 1, "parts": {}, "random": {"cpu": [1]}, "step": 0, "metadata": None}, path)
    with pytest.raises(ArgumentError, match="four integers of 32 bits"):
        wf.io.load_training(path)
    good = {"version": 1, "parts": {}, "random": {}, "step": 0, "metadata": None}
    for name, value in (("step", "x"), ("step", True), ("random", 3), ("random", {"cpu": 3})):
        wf.save(good | {name: value}, path)
        with pytest.raises(FormatError, match=f"{name} is .*, expected what save_training writes there"):
            wf.io.load_training(path)
