"""States in shared buffers: programs over many parameters on a device that binds eight buffers for each kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft import devices, nn
from weft.devices.base import Device
from weft.io import load, save
from weft.plan import Plan

COUNT = 4
"""Layers of the model: twice as many parameters."""
pytestmark = pytest.mark.webgpu


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """The device with a limit of eight buffers for each kernel."""
    opened = devices.open(ADAPTER)
    limits = {**opened.profile.limits, "max-storage-buffers-per-shader-stage": 8}
    monkeypatch.setattr(opened, "profile", replace(opened.profile, limits=limits))
    before = devices.chosen()
    wf.set_default_device(ADAPTER)
    yield opened
    wf.set_default_device(before)


class Training:
    """A step of a deep network. ``scattered``: its parameters and state lie each in a buffer of its own."""

    def __init__(self, scattered: bool = False, dtype: wf.DType = wf.float32, **options: object) -> None:
        wf.manual_seed(0)
        layers = [layer for _ in range(COUNT) for layer in (nn.Linear(12, 12), nn.Tanh())]
        self.model = nn.Sequential(*layers).to(ADAPTER, dtype)
        self.optimizer = wf.optim.Adam(self.model.parameters(), lr=0.01, eps=1e-4, **options)
        self.batch = wf.randn(16, 12).to(dtype)
        if scattered:
            for tensor in self.tensors():
                scatter(tensor)

    def tensors(self) -> list[wf.Tensor]:
        states = [value for entry in self.optimizer.state.values() for value in entry.values()]
        return [*self.model.parameters(), *states]

    def step(self, x: wf.Tensor) -> wf.Tensor:
        self.optimizer.zero_grad()
        loss = (self.model(x) - 1).square().mean()
        loss.backward()
        self.optimizer.step()
        return loss

    def values(self) -> list[numpy.ndarray]:
        return [tensor.detach().float().numpy() for tensor in self.tensors()]


def scatter(tensor: wf.Tensor) -> None:
    """Move a tensor's storage to a buffer of its own."""
    storage = tensor._data.storage
    place = storage.device.allocate(storage.size)
    storage.device.copy(storage, place)
    storage.move(place.buffer, place.offset)


def plan_of(step: wf.JitFunction) -> Plan:
    executor = step._programs[0]._executor
    return getattr(executor, "replay", executor).plan


def updates(step: wf.JitFunction) -> int:
    """The dispatches that update parameters."""
    plan = plan_of(step)
    for value in plan.dispatches():
        assert len(value.places) + value.spec.reports <= 8, value
    return sum("adam" in dispatch.spec.name for dispatch in plan.dispatches())


def equal(found: Training, expected: Training) -> None:
    for actual, wanted in zip(found.values(), expected.values(), strict=True):
        numpy.testing.assert_allclose(actual, wanted, rtol=2e-3, atol=1e-5)


def reference(steps: int, **options: object) -> tuple[Training, list[float]]:
    made = Training(**options)
    return made, [made.step(made.batch).item() for _ in range(steps)]


@pytest.mark.parametrize("scattered", [False, True], ids=["colocated", "scattered"])
@pytest.mark.parametrize("amsgrad", [False, True], ids=["adam", "amsgrad"])
def test_all_parameters_are_updated_in_two_dispatches(scattered: bool, amsgrad: bool) -> None:
    eager, expected = reference(6, amsgrad=amsgrad)
    made = Training(scattered, amsgrad=amsgrad)
    step = wf.jit(made.step)
    found = [step(made.batch).item() for _ in range(6)]
    numpy.testing.assert_allclose(found, expected, rtol=1e-4)
    equal(made, eager)
    assert updates(step) <= 2
    assert len({id(tensor._data.storage.buffer) for tensor in made.tensors()}) == 1


def test_narrow_types_share_bindings() -> None:
    eager, expected = reference(4, dtype=wf.bfloat16)
    made = Training(True, dtype=wf.bfloat16)
    step = wf.jit(made.step)
    numpy.testing.assert_allclose([step(made.batch).item() for _ in range(4)], expected, rtol=2e-2)
    for actual, wanted in zip(made.values(), eager.values(), strict=True):
        numpy.testing.assert_allclose(actual, wanted, rtol=5e-2, atol=2e-2)
    assert updates(step) <= 2


def test_eager_code_uses_the_states_between_steps() -> None:
    eager, _ = reference(6)
    made = Training(True)
    step = wf.jit(made.step)
    for at in range(6):
        (made.step if at % 3 == 1 else step)(made.batch)
        assert all(numpy.isfinite(value).all() for value in made.values())
    equal(made, eager)
    versions = [parameter._data.storage.version for parameter in made.model.parameters()]
    step(made.batch)
    assert [parameter._data.storage.version for parameter in made.model.parameters()] == [
        version + 1 for version in versions
    ]


def test_moved_states_are_planned_again() -> None:
    eager, _ = reference(8)
    made = Training()
    step = wf.jit(made.step)
    for at in range(8):
        if at == 2:
            scatter(made.tensors()[3])
        if at == 4:
            for tensor in made.tensors()[::2]:
                scatter(tensor)
        if at == 6:
            for tensor in made.tensors():
                scatter(tensor)
        step(made.batch)
    equal(made, eager)
    assert step.compilations == 1
    assert updates(step) <= 2


def test_programs_that_share_states_leave_them_where_they_are() -> None:
    eager, _ = reference(6)
    made = Training(True)
    step = wf.jit(made.step)

    @wf.jit
    def decay() -> None:
        with wf.no_grad():
            for parameter in made.model.parameters():
                parameter.mul_(0.5)

    @wf.jit
    def evaluate(x: wf.Tensor) -> wf.Tensor:
        with wf.no_grad():
            return (made.model(x) - 1).square().mean()

    for _ in range(6):
        step(made.batch)
        with wf.no_grad():
            expected = (made.model(made.batch) - 1).square().mean().item()
        assert evaluate(made.batch).item() == pytest.approx(expected, rel=1e-4)
    equal(made, eager)
    before = made.values()
    plans = []
    for _ in range(3):
        decay()
        plans.append((plan_of(step), plan_of(decay)))
        step(made.batch)
    assert [[*map(id, both)] for both in plans] == [[*map(id, plans[0])]] * 3
    assert not numpy.allclose(before[0], made.values()[0])


def test_checkpoints_in_between(tmp_path: Path) -> None:
    made = Training(True)
    step = wf.jit(made.step)
    for _ in range(3):
        step(made.batch)
    path = str(tmp_path / "model.safetensors")
    save(made.model.state_dict(), path)
    kept = {key: value.numpy() for key, value in made.model.state_dict().items()}
    optimizer = {
        key: {name: value.detach().clone() for name, value in entry.items()}
        for key, entry in made.optimizer.state_dict()["state"].items()
    }
    groups = made.optimizer.state_dict()["param_groups"]
    first = [step(made.batch).item() for _ in range(3)]
    for assign in (False, True):
        made.model.load_state_dict(load(path, device=ADAPTER), assign=assign)
        for key, value in made.model.state_dict().items():
            numpy.testing.assert_array_equal(value.numpy(), kept[key])
        if not assign:  # an optimizer keeps the parameters that it was given
            made.optimizer.load_state_dict({"state": optimizer, "param_groups": groups})
            assert [step(made.batch).item() for _ in range(3)] == first
            assert step.compilations == 1


def test_a_tensor_that_is_disposed_leaves_the_others() -> None:
    made = Training(True)
    step = wf.jit(made.step)
    step(made.batch)
    before = made.values()
    first, *others = made.tensors()
    first._data.storage.dispose()
    for tensor, values in zip(others, before[1:], strict=True):
        numpy.testing.assert_array_equal(tensor.detach().numpy(), values)
    with pytest.raises(wf.errors.DisposedError):
        step(made.batch)
