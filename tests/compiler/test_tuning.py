"""Tuning on a software rasteriser: choices are measured, used by later compilations, stored on disk, and recorded."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft import devices
from weft.cli import main
from weft.compiler import subjects, trace, tune, tuning
from weft.devices.base import Device
from weft.devices.webgpu import WebGpuDevice, find
from weft.devices.webgpu.tuned import load, path_of, save
from weft.errors import UnsupportedError
from weft.graph import compile_graph
from weft.ops.matmul.products import Asked, Choice, candidates, possible
from weft.tensors.eager import EAGER
from weft.tensors.tensor import Tensor

pytestmark = pytest.mark.webgpu


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """The untuned test adapter, marked as a software rasteriser, with a temporary directory for stored choices."""
    monkeypatch.setenv("WEFT_CACHE", "1")
    monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path))
    opened = devices.open(ADAPTER)
    before = opened.profile
    opened.profile = replace(before, choices={}, software=True)
    yield opened
    opened.profile = before
    EAGER.forget()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's default handling of Ctrl-C, which a shell disables for background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def given() -> tuple[Tensor, Tensor]:
    rng = numpy.random.default_rng(0)
    return tuple(
        wf.tensor(rng.standard_normal(shape).astype("float32"), device=ADAPTER)
        for shape in ((96, 200), (200, 64))
    )


def program(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return wf.relu(a @ b), (a @ b).transpose(0, 1).contiguous() * 2


def prefer(monkeypatch: pytest.MonkeyPatch, chosen: Choice) -> None:
    """Make a choice win whatever its time, since the tests check the use of the winner."""
    real, own = tuning._seconds, subjects.Product.dispatches
    fold = subjects.Fold.dispatches
    winning: list[Any] = []  # kept alive: the number of a freed object may be that of a later one

    def noted(made: Any, choice: Choice) -> Any:
        if choice == chosen:
            winning.append(made)
        return made

    def seconds(device: Any, made: Any) -> float:
        return real(device, made) * (1e-3 if any(made is value for value in winning) else 1.0)

    monkeypatch.setattr(subjects.Product, "dispatches", lambda self, choice: noted(own(self, choice), choice))
    monkeypatch.setattr(subjects.Fold, "dispatches", lambda self, choice: noted(fold(self, choice), choice))
    monkeypatch.setattr(tuning, "_seconds", seconds)


def test_choices_are_measured_and_taken(gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = given()
    graph = trace(program, a, b).graph
    before = compile_graph(graph, gpu.profile)
    assert before.choices == ()
    prefer(monkeypatch, ("wide", 1))
    found = tune(program, a, b)
    (one,) = found.measured
    assert one.asked == str(Asked(1, 96, 64, 200, fours=("depth", "outer")))
    assert (one.chosen, one.shipped) == (("wide", 1), candidates(gpu.profile, Asked(1, 96, 64, 200))[0])
    assert 0 < one.after < one.before
    assert "wide, 1 (" in str(found)
    after = compile_graph(graph, gpu.profile)
    assert after.choices == ((one.asked, ("wide", 1)),)
    assert f"measured: {one.asked}: wide, 1" in repr(after)
    assert {each.spec.workgroup_size[0] for each in after.dispatches()} == {128}
    assert {each.spec.workgroup_size[0] for each in before.dispatches()} == {64}
    wanted = a.numpy().astype("float64") @ b.numpy().astype("float64")
    for results in (wf.jit(program)(a, b), program(a, b)):
        numpy.testing.assert_allclose(results[0].numpy(), numpy.maximum(wanted, 0), atol=1e-4)
        numpy.testing.assert_allclose(results[1].numpy(), 2 * wanted.T, atol=1e-4)


def test_eager_calls_take_a_choice(gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = given()
    prefer(monkeypatch, ("small", 1))
    first = (a @ b).numpy()
    tune(program, a, b)
    with wf.profiler.profile() as found:
        second = (a @ b).numpy()
    assert found.events[0].groups[0] == 3 * 2  # tiles of 32 x 32
    numpy.testing.assert_allclose(first, second, atol=1e-4)


def test_really_measured(gpu: Device) -> None:
    """Nothing replaced: whichever wins computes the same."""
    a, b = given()
    before = [result.numpy() for result in program(a, b)]
    (one,) = tune(wf.jit(program), a, b).measured
    assert one.chosen in possible(gpu.profile, Asked(1, 96, 64, 200, fours=("depth", "outer")))
    assert one.after <= one.before
    for now, then in zip(program(a, b), before, strict=True):
        numpy.testing.assert_allclose(now.numpy(), then, atol=1e-4)


def test_batches_types_and_cut_depths_are_measured(gpu: Device) -> None:
    gpu.profile = replace(gpu.profile, software=False)  # as if it were hardware: there depths are cut
    x = wf.randn(2, 3, 40, 600, device=ADAPTER)
    half = wf.randn(36, 520, device=ADAPTER).half()

    def several(x: Tensor, half: Tensor) -> list[Tensor]:
        return [
            x.transpose(-1, -2)[..., :40, :] @ x[..., :36],
            half @ half.transpose(0, 1),
            x[0] @ x[1].transpose(-1, -2),
        ]

    found = tune(several, x, half)
    assert (
        sum(measurement.asked.startswith("matmul") for measurement in found.measured) == 3
    )  # the others sum a depth's pieces
    assert any("float16" in measurement.asked for measurement in found.measured)
    wanted = [value.float().numpy() for value in several(x.to("cpu"), half.to("cpu"))]
    for now, then in zip(wf.jit(several)(x, half), wanted, strict=True):
        numpy.testing.assert_allclose(now.float().numpy(), then, rtol=2e-3, atol=2e-2)


def test_choices_are_kept_for_the_next_process(gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    prefer(monkeypatch, ("tall", 1))
    found = tune(program, *given())
    assert found.path is not None and found.path.stat().st_mode & 0o077 == 0
    opened = WebGpuDevice(find(ADAPTER))  # what another process does
    assert (
        opened.profile.choices
        == gpu.profile.choices
        == {measurement.asked: measurement.chosen for measurement in found.measured}
    )
    opened.dispose()
    assert sorted(path.name for path in found.path.parent.iterdir()) == sorted([found.path.name, "key"])


DAMAGED = {
    "{": "Expecting property name",
    "\xff": "can't decode",
    "[]": "it is no list of choices",
    "[" * 100_000: "maximum recursion depth",
    '{"format": 3}': "its format is 3, expected 2, that of this version of weft",
    '{"format": 2, "device": "other"}': "it is of 'other'",
}


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_ignored_with_a_warning(gpu: Device, text: str) -> None:
    info = find(ADAPTER).info
    path = path_of(info)
    assert path is not None
    path.write_text(text, encoding="latin-1")
    with pytest.warns(RuntimeWarning, match=f"is ignored: .*{DAMAGED[text]}.*`weft tune` writes it anew"):
        assert load(info) == {}
    assert save(info, {"x": ("small", 1)}) == path
    assert load(info) == {"x": ("small", 1)}
    for answer in (["small"], ["small", 1.5], ["small", -1], [1, 1], "small"):
        found = json.loads(path.read_text()) | {"choices": {"x": answer}}
        path.write_text(json.dumps(found))
        with pytest.warns(RuntimeWarning, match="the choice for 'x' is .*expected a name and a number"):
            assert load(info) == {}
    save(info, {"x": ("small", 1)})
    path.write_text(path.read_text().replace('"small"', '"large"'))
    with pytest.warns(RuntimeWarning, match="its digest is not that of its choices"):
        assert load(info) == {}


def test_nothing_is_kept_where_keeping_is_off(gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_CACHE", "0")
    found = tune(program, *given())
    assert found.path is None and "not stored" in str(found)
    assert gpu.profile.choices and load(find(ADAPTER).info) == {}


def test_an_interrupt_stores_the_measurements_and_leaves_a_usable_device(
    gpu: Device, monkeypatch: pytest.MonkeyPatch, interruptible: None
) -> None:
    a, b = given()
    real, calls = tuning._measured, []

    def interrupted(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(tuning, "_measured", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(lambda a, b: (a @ b, b @ b.transpose(0, 1)), a, b)
    assert list(gpu.profile.choices) == [str(Asked(1, 96, 64, 200, fours=("depth", "outer")))]
    assert load(find(ADAPTER).info) == gpu.profile.choices
    assert gpu.observers == ()
    numpy.testing.assert_allclose((a @ b).numpy(), a.numpy() @ b.numpy(), atol=1e-4)


def test_an_interrupt_within_a_measurement(
    gpu: Device, monkeypatch: pytest.MonkeyPatch, interruptible: None
) -> None:
    a, b = given()
    real = tuning._run

    def interrupted(*args: Any) -> None:
        real(*args)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tuning, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(program, a, b)
    assert gpu.profile.choices == {} and gpu.observers == ()
    numpy.testing.assert_allclose((a @ b).numpy(), a.numpy() @ b.numpy(), atol=1e-4)


def test_the_processor_has_nothing_to_tune() -> None:
    with pytest.raises(UnsupportedError, match="tune: the values are on cpu, where kernels have no choices"):
        tune(lambda x: x @ x, wf.ones(64, 64, device="cpu"))


# Folds.


def folds(x: Tensor) -> tuple[Tensor, Tensor]:
    return (x * 2 + 1).sum(1), wf.relu(x).sum(0)


@pytest.mark.parametrize("number", [0, 1, 16])
def test_teams_of_folds_are_measured_and_taken(
    gpu: Device, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    x = wf.tensor(numpy.random.default_rng(0).standard_normal((24, 300)).astype("float32"), device=ADAPTER)
    prefer(monkeypatch, ("team", number))
    found = tune(folds, x)
    assert {measurement.asked for measurement in found.measured} == {
        "fold 24x300 side by side",
        "fold 300x24 apart",
    }
    assert {measurement.chosen for measurement in found.measured} == {("team", number)}
    graph = trace(folds, x).graph
    plan = compile_graph(graph, gpu.profile)
    assert {asked for asked, _ in plan.choices} == {measurement.asked for measurement in found.measured}
    for results in (wf.jit(folds)(x), folds(x)):
        for now, then in zip(results, folds(x.to("cpu")), strict=True):
            numpy.testing.assert_allclose(now.numpy(), then.numpy(), rtol=1e-5, atol=1e-4)


# The command.

FILE = """
import weft as wf

def example():
    return (lambda x: wf.relu(x @ x)), (wf.ones(48, 48),)

def other():
    return 5
"""


def test_the_command_tunes_the_function_of_a_file(
    gpu: Device, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "step.py"
    path.write_text(FILE)
    for named in (str(path), f"{path}:example"):
        assert main(["tune", named, "--device", ADAPTER]) == 0
        printed = capsys.readouterr().out
        assert "1 kernel measured" in printed and "matmul 1x48x48x48 float32" in printed
    for named, expected in (
        (f"{path}:other", "what other() gives is int, expected (function, tuple of its arguments)"),
        (f"{path}:missing", "expected a file with a function missing()"),
        (str(tmp_path / "none.py"), "expected a Python file, or file.py:function"),
    ):
        assert main(["tune", named, "--device", ADAPTER]) == 1
        assert expected in capsys.readouterr().err
    assert main(["tune", str(path), "--device", "cpu"]) == 1
    assert "have no choices" in capsys.readouterr().err


def test_the_command_reports_an_interrupt(
    gpu: Device, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], interruptible: None
) -> None:
    def interrupted(*_: Any) -> Any:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tuning, "_measured", interrupted)
    assert main(["tune", "--device", ADAPTER]) == 130
    assert "interrupted; what was measured so far is kept" in capsys.readouterr().err
