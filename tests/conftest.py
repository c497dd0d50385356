"""Configuration of all tests: devices, hypothesis profiles, and skipping without a driver or PyTorch.

A test that takes ``device`` runs once for each device; a test that opens a WebGPU device itself is marked
``@pytest.mark.webgpu``. ``--device cpu`` (or ``webgpu``) deselects the tests of the other device.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from weft.devices.base import Device

# Macs have no software adapter, and always have a GPU.
ADAPTER = os.environ.get("WEFT_TEST_DEVICE", "webgpu" if sys.platform == "darwin" else "webgpu:software")
DEVICES = {"cpu": "cpu", "webgpu": ADAPTER}
"""The marker of each device, and the name by which its tests open it."""

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
REQUIRE_WEBGPU = os.environ.get("WEFT_REQUIRE_WEBGPU") == "1" or IN_CI
REQUIRE_TORCH = os.environ.get("WEFT_REQUIRE_TORCH") == "1"

NO_DRIVER = (
    f"no Vulkan driver gives the adapter {ADAPTER!r}; install Mesa's software driver (Debian, Ubuntu: "
    "apt-get install mesa-vulkan-drivers libvulkan1), or run the cpu tests alone: make test DEVICES=cpu"
)
NO_TORCH = (
    "compares with PyTorch, which is not installed; `WEFT_TORCH=always make test` installs it (gigabytes)"
)

hypothesis.settings.register_profile("dev", deadline=None, max_examples=50)
hypothesis.settings.register_profile(
    "ci",
    deadline=None,
    max_examples=25,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "dev"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--device``."""
    parser.addoption("--device", choices=("all", *DEVICES), default="all", help="run the tests of one device")


def pytest_configure(config: pytest.Config) -> None:
    """Create the runtime directory that Vulkan's loader expects, and declare the device markers."""
    if sys.platform == "linux" and "XDG_RUNTIME_DIR" not in os.environ:
        runtime = Path(tempfile.gettempdir()) / f"weft-runtime-{os.getuid()}"
        runtime.mkdir(mode=0o700, exist_ok=True)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    for name in DEVICES:
        config.addinivalue_line("markers", f"{name}: needs the {name} device")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``device`` once for each device, with its marker, unless the test parametrises ``device``."""
    chosen = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    by_itself = any("device" in (names.split(",") if isinstance(names, str) else names) for names in chosen)
    if "device" in metafunc.fixturenames and not by_itself:
        parameters = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in DEVICES]
        metafunc.parametrize("device", parameters, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of devices other than ``--device``; tests that need no device stay."""
    chosen = config.getoption("device")
    if chosen == "all":
        return
    others = DEVICES.keys() - {chosen}
    deselected = [item for item in items if any(item.get_closest_marker(name) for name in others)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in set(deselected)]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a ``webgpu`` test without an adapter, with the reason; fail it where it must run (CI)."""
    if item.get_closest_marker("webgpu") and not webgpu_adapter_exists():
        if REQUIRE_WEBGPU:
            pytest.fail(NO_DRIVER, pytrace=False)
        pytest.skip(NO_DRIVER)


@lru_cache(maxsize=None)
def webgpu_adapter_exists() -> bool:
    """Return whether the machine has the adapter under test, according to wgpu and independent of weft."""
    import wgpu

    # OpenGL adapters are listed too; weft does not use them, because they lack features that its kernels need.
    found = [adapter.info for adapter in wgpu.gpu.enumerate_adapters_sync()]
    types = [info["adapter_type"] for info in found if info["backend_type"] != "OpenGL"]
    return "CPU" in types if ADAPTER == "webgpu:software" else bool(types)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Yield the device under test; an error that a kernel reported late fails the test that caused it."""
    import weft.devices

    opened = weft.devices.open(DEVICES[request.param])
    yield opened
    opened.synchronize()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a module that imports PyTorch if PyTorch is not installed, with the reason."""
    report = yield
    if report.failed and not REQUIRE_TORCH and "No module named 'torch'" in str(report.longrepr):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {NO_TORCH}")  # type: ignore[assignment]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many tests were skipped because a driver or PyTorch is missing."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    for name, reason in (("webgpu", NO_DRIVER), ("PyTorch", NO_TORCH)):
        count = sum(reason in text for text in reasons)
        if count:
            terminalreporter.write_line(
                f"NOT RUN: {count} tests or test files that need {name}: {reason}", yellow=True
            )
