"""The choice of adapters and of their device names, without a driver."""

from __future__ import annotations

import pytest

from weft import devices
from weft.devices.webgpu.adapters import Adapter, AdapterInfo, select


def info(kind: str, backend: str, device: str) -> AdapterInfo:
    features = frozenset({"immediates", "x"})
    return AdapterInfo("", kind, backend, device, "driver", (("max-immediate-size", 64),), features)


def names(*found: AdapterInfo) -> list[tuple[str, str, str]]:
    return [(info.name, info.device, info.backend) for _, info in select(found)]


def test_a_gpu_seen_by_several_drivers_is_offered_once() -> None:
    found = [
        info("Unknown", "OpenGL", "A"),
        info("DiscreteGPU", "D3D12", "A"),
        info("DiscreteGPU", "Vulkan", "A"),
    ]
    assert names(*found) == [("webgpu", "A", "Vulkan")]
    assert select(found)[0][0] == 2


def test_two_equal_gpus_are_two() -> None:
    found = [
        info("DiscreteGPU", "Vulkan", "A"),
        info("DiscreteGPU", "Vulkan", "A"),
        info("DiscreteGPU", "D3D12", "A"),
    ]
    assert names(*found) == [("webgpu", "A", "Vulkan"), ("webgpu:1", "A", "Vulkan")]


def test_discrete_gpus_come_first_and_software_last() -> None:
    found = [
        info("CPU", "Vulkan", "llvmpipe"),
        info("CPU", "OpenGL", "llvmpipe"),
        info("IntegratedGPU", "Vulkan", "small"),
        info("DiscreteGPU", "Vulkan", "large"),
        info("CPU", "D3D12", "basic"),
    ]
    assert names(*found) == [
        ("webgpu", "large", "Vulkan"), ("webgpu:1", "small", "Vulkan"), ("webgpu:software", "llvmpipe", "Vulkan"),
    ]  # fmt: skip


def test_opengl_alone_is_not_enough() -> None:
    assert names(info("IntegratedGPU", "OpenGL", "old")) == []


def test_a_profile_has_what_kernels_can_use() -> None:
    profile = Adapter(info("CPU", "Vulkan", "llvmpipe"), None).profile()
    assert profile.dialect == "wgsl-native"
    assert profile.features == {"immediates"}
    assert profile.limits == {"max-immediate-size": 64}
    assert profile.software


def test_a_default_is_a_gpu_and_never_software(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEFT_DEVICE", raising=False)
    software = AdapterInfo("webgpu:software", "CPU", "Vulkan", "llvmpipe", "", (), frozenset())
    real = AdapterInfo("webgpu", "DiscreteGPU", "Vulkan", "GPU", "", (), frozenset())
    for offered, expected in (([], "cpu"), ([software], "cpu"), ([real, software], "webgpu")):
        monkeypatch.setattr(devices, "_adapters", lambda offered=offered: offered)
        assert devices.default_name()[0] == expected
        assert devices.available() == ["cpu", *(info.name for info in offered)]
    monkeypatch.setenv("WEFT_DEVICE", "webgpu:software")
    assert devices.default_name() == ("webgpu:software", "WEFT_DEVICE asks for it")


def test_the_program_may_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

    monkeypatch.setattr(devices, "_open", Fake)
    monkeypatch.setattr(devices, "_devices", {})
    monkeypatch.setenv("WEFT_DEVICE", "cpu")
    with devices.using("webgpu:1") as inner:
        assert devices.default() is inner
        with devices.using("webgpu:software"):
            assert devices.default().name == "webgpu:software"
        assert devices.default() is inner
    assert devices.default().name == "cpu"
    devices.set_default("webgpu")
    assert devices.default_name() == ("webgpu", "set by the program")
    devices.set_default(None)
    assert devices.default().name == "cpu"
