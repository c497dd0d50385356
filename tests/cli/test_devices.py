"""``weft devices``: each explanation from invented facts, the facts from invented file systems, the report as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from weft.cli import main
from weft.cli.devices import report
from weft.devices.explain import Facts, explanations, gather
from weft.devices.webgpu.adapters import AdapterInfo

SOFTWARE = AdapterInfo("webgpu:software", "CPU", "Vulkan", "llvmpipe", "Mesa 25", (), frozenset())
REAL = AdapterInfo(
    "webgpu", "DiscreteGPU", "Vulkan", "NVIDIA H200", "580.1",
    (("max-buffer-size", 1 << 40), ("max-storage-buffer-binding-size", (1 << 32) - 4)), frozenset({"subgroup"}),
)  # fmt: skip
BARE = Facts(processor="EPYC", cores=2)
SITUATIONS = {
    "no loader": (replace(BARE, loader=False), ["loader (libvulkan.so.1) is not installed"]),
    "wsl": (replace(BARE, wsl=True, gpus=("NVIDIA",), adapters=(SOFTWARE,)), ["This is WSL2"]),
    "container without graphics": (
        replace(BARE, container=True, gpus=("NVIDIA",), nvidia_capabilities="compute,utility"),
        ["NVIDIA_DRIVER_CAPABILITIES=all"],
    ),
    "container without any": (
        replace(BARE, container=True, gpus=("NVIDIA",)),
        ["NVIDIA_DRIVER_CAPABILITIES=all"],
    ),
    "nvidia without driver": (
        replace(BARE, container=True, gpus=("NVIDIA",), nvidia_capabilities="all", drivers=("lvp_icd.json",)),
        ["no nvidia_icd.json"],
    ),
    "nvidia driver fails": (
        replace(BARE, gpus=("NVIDIA",), drivers=("nvidia_icd.json",), adapters=(SOFTWARE,)),
        ["the driver does not start"],
    ),
    "amd blocked": (
        replace(BARE, gpus=("AMD",), blocked=("/dev/dri/renderD128",), drivers=("radeon_icd.json",)),
        ["usermod -aG render"],
    ),
    "intel without driver": (replace(BARE, gpus=("Intel",)), ["no Vulkan driver for it. Install Mesa's"]),
    "intel too old": (replace(BARE, gpus=("Intel",), drivers=("intel_icd.json",)), ["does not offer it"]),
    "nothing": (BARE, ["no GPU and no software Vulkan driver"]),
    "mac": (replace(BARE, platform="darwin"), ["Metal offers no GPU"]),
    "windows": (replace(BARE, platform="win32"), ["Direct3D 12 nor Vulkan"]),
    "library": (
        replace(BARE, library_error="no libwgpu", loader=False),
        ["wgpu library cannot be used: no libwgpu"],
    ),
    "software alone": (replace(BARE, adapters=(SOFTWARE,)), []),
    "all well": (replace(BARE, adapters=(REAL,), gpus=("NVIDIA", "Intel"), container=True), []),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_situation_has_its_explanation(situation: str) -> None:
    facts, expected = SITUATIONS[situation]
    given = explanations(facts)
    assert len(given) == len(expected)
    for message, part in zip(given, expected, strict=True):
        assert part in message


def write(root: Path, path: str, text: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_facts_are_read_from_the_file_system(tmp_path: Path) -> None:
    write(tmp_path, "sys/bus/pci/devices/0000:00/class", "0x030000\n")
    write(tmp_path, "sys/bus/pci/devices/0000:00/vendor", "0x1002\n")
    write(tmp_path, "sys/bus/pci/devices/0000:01/class", "0x020000\n")
    write(tmp_path, "sys/bus/pci/devices/0000:01/vendor", "0x8086\n")
    write(tmp_path, "dev/nvidia0")
    write(tmp_path, "usr/share/vulkan/icd.d/radeon_icd.x86_64.json")
    write(tmp_path, "etc/vulkan/icd.d/nvidia_icd.json")
    write(tmp_path, "run/.containerenv")
    write(tmp_path, "proc/version", "Linux version 5.15-microsoft-standard-WSL2")
    write(tmp_path, "proc/cpuinfo", "model name\t: A Processor\n")
    facts = gather({"NVIDIA_DRIVER_CAPABILITIES": "compute"}, tmp_path)
    assert facts.gpus == ("AMD", "NVIDIA")
    assert facts.drivers == ("nvidia_icd.json", "radeon_icd.x86_64.json")
    assert facts.container
    assert facts.wsl
    assert facts.nvidia_capabilities == "compute"
    assert facts.processor == "A Processor"
    empty = gather({"VK_DRIVER_FILES": "/opt/a.json:/opt/b.json"}, tmp_path / "none")
    assert (empty.gpus, empty.drivers, empty.container, empty.wsl) == ((), ("a.json", "b.json"), False, False)


def test_the_report_names_the_default_and_why() -> None:
    text = report(
        replace(BARE, adapters=(REAL, replace(SOFTWARE)), gpus=("NVIDIA",)), "webgpu", "it is the first GPU"
    )
    lines = text.splitlines()
    assert lines[0].split() == ["cpu", "EPYC", "(2", "cores)"]
    assert "* webgpu           NVIDIA H200" in lines
    assert "Vulkan, 580.1" in text
    assert "buffers to 1.0 TiB, bindings to 4.0 GiB; no f16 arithmetic, subgroups, no immediates" in text
    assert lines[-1] == "The default is webgpu: it is the first GPU."


def test_the_report_of_a_machine_without_a_gpu_says_what_to_do() -> None:
    text = report(replace(BARE, gpus=("AMD",), blocked=("/dev/dri/renderD128",)), "cpu", "there is no GPU")
    assert "* cpu" in text
    assert "usermod -aG render" in text
    assert "/dev/dri/renderD128: permission denied" in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_a_default_that_is_not_there_is_said() -> None:
    assert "But webgpu:1 is not there." in report(BARE, "webgpu:1", "WEFT_DEVICE asks for it")


def test_the_command_runs_on_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_DEVICE", "cpu")
    assert main(["devices"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("* cpu ")
    assert "The default is cpu: WEFT_DEVICE asks for it." in printed
    monkeypatch.setenv("WEFT_DEVICE", "tpu")
    assert main(["devices"]) == 0
    assert "There is no default: device 'tpu' is not known" in capsys.readouterr().out


def test_wrong_usage_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["nonsense"])
    assert caught.value.code == 2
    assert "invalid choice: 'nonsense'" in capsys.readouterr().err
