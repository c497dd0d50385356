"""Plans in another process, without the source of their functions, and on other devices."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import weft as wf
from tests.compiler import programs
from tests.conftest import ADAPTER
from weft import nn
from weft.compiler import load_plan
from weft.errors import ArgumentError, DeviceError, DTypeError, FormatError, UnsupportedError

SOURCE = Path(wf.__file__).parents[1]
APART = """
# Nothing but weft is on the path. Arguments: where it lies, a directory, a device (or "" for the one that plans were
# saved on). Each plan in the directory is given the batches of NAME.npz in order; NAME.out.npz gets what it gives.
import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import numpy

import weft as wf

folder, device = Path(sys.argv[2]), sys.argv[3] or None
assert importlib.util.find_spec("programs") is None and importlib.util.find_spec("tests") is None
for path in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
    plan = wf.compiler.load_plan(path, device)
    given = numpy.load(folder / f"{path.name}.npz")
    made = {}
    for call in range(int(given["calls"])):
        names = sorted(name for name in given.files if name.startswith(f"{call}."))
        found = plan(*[wf.tensor(given[name], device=plan.device) for name in names])
        for at, result in enumerate(found if isinstance(found, tuple) else (found,)):
            made[f"{call}.{at}"] = result.numpy()
    made |= {f"state.{name}": tensor.numpy() for name, tensor in plan.state_dict().items()}
    numpy.savez(folder / f"{path.name}.out.npz", **made)
"""
CALLS = 3


def _training(model: str, name: str):
    """A step that has trained before it is saved, and the batches that follow."""
    made = programs.training(model, "Adam", name, batches=2 + CALLS)
    step = wf.jit(made.step)
    for batch in made.batches[:2]:
        step(*batch)
    return step, made.batches[2:]


def _evaluation(name: str):
    """A net with batch norm in evaluation, its statistics moved by two steps."""
    made = programs.training("cnn", "SGD", name, batches=2 + CALLS)
    for batch in made.batches[:2]:
        made.step(*batch)
    made.model.eval()
    return wf.jit(made.model), [batch[:1] for batch in made.batches[2:]]


def _forward(name: str):
    """A GPT with dropout, which draws new random numbers at each call."""
    made = programs.training("gpt", "SGD", name, batches=CALLS)
    return wf.jit(made.model), [batch[:1] for batch in made.batches]


def _random(name: str):
    wf.manual_seed(3)
    wf.rand(5, device=name)
    return wf.jit(lambda x: (wf.nn.functional.dropout(x, 0.5), wf.randn(4, device=name))), [
        (wf.ones(16, device=name) * (at + 1),) for at in range(CALLS)
    ]


CASES = {
    "mlp": lambda name: _training("mlp", name),
    "lstm": lambda name: _training("lstm", name),
    "cnn": _evaluation,
    "gpt": _forward,
    "random": _random,
}


def _run_apart(folder: Path, device: str = "") -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [
        sys.executable,
        "-I",
        "-c",
        APART,
        str(SOURCE),
        str(folder),
        device,
    ]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


def _saved(folder: Path, name: str, case: str):
    """Save a case with its next batches; return the plan's device, the batches, and the plan's results."""
    step, batches = CASES[case](name)
    plan = step.plan(*batches[0])
    plan.save(folder / case)
    arrays = {
        f"{call}.{at}": tensor.numpy()
        for call, batch in enumerate(batches)
        for at, tensor in enumerate(batch)
    }
    numpy.savez(folder / f"{case}.npz", calls=len(batches), **arrays)
    return plan.device, batches, _continued(plan, batches)


def _continued(plan, batches) -> dict[str, numpy.ndarray]:
    found = {}
    for call, batch in enumerate(batches):
        made = plan(*batch)
        for at, result in enumerate(made if isinstance(made, tuple) else (made,)):
            found[f"{call}.{at}"] = result.numpy()
    return found | {f"state.{name}": tensor.numpy() for name, tensor in plan.state_dict().items()}


def test_another_process_continues_a_training(device, tmp_path) -> None:
    saved = {case: _saved(tmp_path, device.name, case) for case in CASES}
    _run_apart(tmp_path)
    for case, (_, _, expected) in saved.items():
        found = numpy.load(tmp_path / f"{case}.out.npz")
        assert set(found.files) == set(expected)
        for key, value in expected.items():
            assert found[key].dtype == value.dtype and found[key].tobytes() == value.tobytes(), (case, key)


@pytest.mark.cpu
@pytest.mark.webgpu
@pytest.mark.parametrize(("source", "target"), [("cpu", ADAPTER), (ADAPTER, "cpu")])
def test_a_plan_of_another_device_is_planned_again(source, target, tmp_path, caplog) -> None:
    saved = {case: _saved(tmp_path, source, case) for case in CASES}
    for case, (name, batches, expected) in saved.items():
        with caplog.at_level(logging.INFO, "weft.compiler"):
            loaded = load_plan(tmp_path / case, target)
        assert f"saved on {name}, planned again for {loaded.device}" in caplog.text
        found = _continued(loaded, [[tensor.to(target) for tensor in batch] for batch in batches])
        for key, value in expected.items():
            numpy.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-4, err_msg=f"{case} {key}")


@pytest.mark.cpu
@pytest.mark.webgpu
def test_float64_tensors_need_a_device_with_float64(tmp_path) -> None:
    w = wf.ones(3, dtype=wf.float64, device="cpu")
    wf.jit(lambda x: (x * w).sum()).plan(wf.ones(3, dtype=wf.float64, device="cpu")).save(tmp_path / "plan")
    with pytest.raises(DTypeError, match=r"load_plan: a value is float64\[3\] on webgpu.*on cpu"):
        load_plan(tmp_path / "plan", ADAPTER)
    x = wf.ones(3, device="cpu")
    wf.jit(lambda x: x.double().sum()).plan(x).save(tmp_path / "plan")
    with pytest.raises(DTypeError, match=r"a value \(at test_loading\.py:\d+\) is float64\[3\]"):
        load_plan(tmp_path / "plan", ADAPTER)


def test_numbers_donation_captures_and_trees(device, tmp_path) -> None:
    w = wf.ones(4, device=device.name)

    @wf.jit(donate="x")
    def f(x, batch, scale, mode="plain", *, shift):
        w.add_(shift)
        hidden = wf.capture("hidden", batch["a"] * scale + w)
        return {"x": x + hidden, "rest": [hidden.sum(), (mode, 3, None)]}, batch["b"]

    def given():
        return {"a": wf.arange(4, device=device.name).float(), "b": (wf.ones(2, device=device.name), 7)}

    def x():
        return wf.full((4,), 5.0, device=device.name)

    plan = f.plan(x(), given(), 2.0, shift=1.0)
    plan.save(tmp_path / "plain")
    f.plan_with_captures(x(), given(), 2.0, shift=1.0).save(tmp_path / "captures")
    loaded = load_plan(tmp_path / "plain")
    taken = x()
    expected = plan(x(), given(), 3.0, shift=0.5)
    found = loaded(taken, given(), 3.0, shift=0.5)
    assert found[0]["rest"][1] == ("plain", 3, None) and found[1][1].item() == 7
    assert found[0]["x"].tolist() == expected[0]["x"].tolist() and isinstance(found[0]["rest"], list)
    assert loaded.state_dict()["w"].tolist() == w.tolist() == [1.5] * 4
    with pytest.raises(DeviceError, match=r"donated to plan of f at test_loading.py"):
        taken.sum()
    result, captures = load_plan(tmp_path / "captures")(x(), given(), 3.0, shift=0.5)
    assert captures["hidden"].tolist() == [1.5, 4.5, 7.5, 10.5] and result[0]["rest"][0].item() == 24.0


def test_one_function_gives_a_plan_for_each_kind_of_call(tmp_path) -> None:
    f = wf.jit(lambda x, double=False: x * 2 if double else x)
    x, y = wf.ones(2, device="cpu"), wf.ones(3, device="cpu")
    for name, args in {"a": (x,), "b": (y,), "c": (x, True)}.items():
        f.plan(*args).save(tmp_path / name)
    a, b, c = (load_plan(tmp_path / name) for name in "abc")
    assert (a(x).tolist(), b(y).tolist(), c(x, True).tolist()) == ([1, 1], [1, 1, 1], [2, 2])
    with pytest.raises(
        ArgumentError, match="plan of <lambda>: double is False, expected True, which is compiled in"
    ):
        c(x, False)


def test_gradients_accumulate_over_calls_of_a_plan(device, tmp_path) -> None:
    """Steps accumulate gradients or replace them, as before the plan was made."""
    for name, replace in (("added", False), ("replaced", True)):
        wf.manual_seed(0)
        model = nn.Linear(3, 2, device=device.name)
        optimizer = wf.optim.SGD(model.parameters(), lr=0.1)
        x = wf.ones(4, 3, device=device.name)

        def step(x, model=model, optimizer=optimizer, replace=replace):
            if replace:
                optimizer.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            optimizer.step()
            return loss

        step(x)
        plan = wf.jit(step).plan(x)
        plan.save(tmp_path / name)
        loaded = load_plan(tmp_path / name)
        assert [plan(x).item() for _ in range(4)] == [loaded(x).item() for _ in range(4)]
        own, other = plan.state_dict(), loaded.state_dict()
        assert {key: value.tolist() for key, value in own.items()} == {
            key: value.tolist() for key, value in other.items()
        }
        assert ("weight.grad" in own) is not replace


def test_gradients_that_a_call_creates_or_removes_are_refused(tmp_path) -> None:
    model = nn.Linear(3, 2, device="cpu")
    x = wf.ones(4, 3, device="cpu")
    kept = wf.jit(lambda x: model(x).sum().backward(), keep_grads=True)
    with pytest.raises(UnsupportedError, match=r"a call creates the gradient of a tensor \[2\].*zero_grad"):
        kept.plan(x).save(tmp_path / "plan")
    assert not (tmp_path / "plan").exists()


def test_a_function_without_state_or_arguments(tmp_path) -> None:
    with wf.devices.using("cpu"):
        wf.jit(lambda: wf.arange(3) * 2).plan().save(tmp_path / "plan")
    assert load_plan(tmp_path / "plan")().tolist() == [0, 2, 4]


def test_a_plan_that_is_not_there(tmp_path) -> None:
    with pytest.raises(
        FormatError, match=r"load_plan: .*missing' is missing, expected the directory of a saved plan"
    ):
        load_plan(tmp_path / "missing")
    wf.jit(lambda x: x).plan(wf.ones(1, device="cpu")).save(tmp_path / "plan")
    (tmp_path / "plan" / "state.safetensors").unlink()
    with pytest.raises(FormatError, match=r"state\.safetensors in .* is missing"):
        load_plan(tmp_path / "plan")
    with pytest.raises(DeviceError, match="webgpu:77"):
        (tmp_path / "plan" / "state.safetensors").write_bytes(b"")
        load_plan(tmp_path / "plan", "webgpu:77")


def test_kernels_of_ones_own_are_registered_before(tmp_path) -> None:
    def register(expression: str):
        return wf.register_kernel("plan_test", expression=expression, inputs=["x: f32[n]"], replace=True)

    kernel = register("x * x + 1")
    x = wf.arange(3, device="cpu").float().requires_grad_()

    def f(x):
        (grad,) = wf.autograd.grad(kernel(x).sum(), x)
        return grad

    wf.jit(f).plan(x).save(tmp_path / "plan")
    assert load_plan(tmp_path / "plan")(x).tolist() == [0, 2, 4]
    register("x * x * x")
    with pytest.raises(FormatError, match=r"ops\.custom\.plan_test.* another kernel of that name"):
        load_plan(tmp_path / "plan")
    for name in [name for name in wf.ops.OPS if name.startswith("custom.plan_test")]:
        del wf.ops.OPS[name]
    with pytest.raises(
        FormatError, match=r"not registered, expected weft\.register_kernel\('plan_test', …\)"
    ):
        load_plan(tmp_path / "plan")
    register("x * x + 1")
    assert load_plan(tmp_path / "plan")(x).tolist() == [0, 2, 4]


TYPES = ("float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint32", "uint8", "bool_")


def test_states_of_every_type(device, tmp_path) -> None:
    held = [wf.arange(5, device=device.name).to(getattr(wf.dtypes, name)) for name in TYPES]
    empty, strided = (
        wf.zeros(0, 3, device=device.name),
        wf.arange(12, device=device.name).reshape(3, 4)[:, 1::2],
    )

    @wf.jit
    def f(x):
        strided.add_(1)
        return [value + x.to(value.dtype) for value in held], empty * 1.0, strided * 1

    x = wf.ones(5, device=device.name)
    plan = f.plan(x)
    plan(x)
    plan.save(tmp_path / "plan")
    found, expected = load_plan(tmp_path / "plan")(x), plan(x)
    for actual, wanted in zip(found[0], expected[0], strict=True):
        assert actual.dtype is wanted.dtype and actual.tolist() == wanted.tolist()
    assert found[1].shape == (0, 3) and found[2].tolist() == expected[2].tolist() == strided.tolist()


def test_a_plan_of_another_version_is_logged_and_planned(tmp_path, caplog) -> None:
    wf.jit(lambda x: x + 1).plan(wf.ones(1, device="cpu")).save(tmp_path / "plan")
    path = tmp_path / "plan" / "plan.json"
    path.write_text(path.read_text().replace(f'"weft": "{wf.__version__}"', '"weft": "0.0.7"'))
    with caplog.at_level(logging.INFO, "weft.compiler"):
        assert load_plan(tmp_path / "plan")(wf.ones(1, device="cpu")).tolist() == [2]
    assert f"saved by weft 0.0.7, planned again by weft {wf.__version__}" in caplog.text


def test_a_damaged_or_foreign_state_file_is_refused(tmp_path) -> None:
    w = wf.ones(4, device="cpu")
    wf.jit(lambda x: x * w).plan(wf.ones(4, device="cpu")).save(tmp_path / "plan")
    path = tmp_path / "plan" / "state.safetensors"
    whole = path.read_bytes()
    for data in (b"", whole[:-3], whole[:40], whole.replace(b'"F32"', b'"F99"'), b"\x80\x04" + whole):
        path.write_bytes(data)
        with pytest.raises((FormatError, ArgumentError), match=r"state\.safetensors"):
            load_plan(tmp_path / "plan")
    for state, message in (
        (
            {"w": wf.ones(3, device="cpu")},
            r"the tensor 'w' is float32\[3\], expected float32\[4\], as plan\.json says",
        ),
        ({"w": w.int()}, r"the tensor 'w' is int32\[4\]"),
        ({"w": w, "v": w}, "the tensor 'v' is present, expected the states of the plan: w"),
        ({}, "the tensor 'w' is missing"),
    ):
        wf.save(state, path)
        with pytest.raises(FormatError, match=message):
            load_plan(tmp_path / "plan")
    wf.save({"w": w * 3}, path)
    assert load_plan(tmp_path / "plan")(wf.ones(4, device="cpu")).tolist() == [3, 3, 3, 3]


def test_branches_and_loops_that_values_decide(device, tmp_path) -> None:
    w = wf.ones(3, device=device.name)

    @wf.jit
    def f(x):
        y = wf.compiler.cond(x.sum() > 4, lambda v: v * 2 + w, lambda v: v - w, (x,))
        first = (wf.tensor(0, device=device.name), y)
        return wf.compiler.while_loop(
            lambda n, z: z.sum() < 100, lambda n, z: (n + 1, z.abs() * 1.5 + 1), first
        )

    given = [wf.full((3,), value, device=device.name) for value in (1.0, 4.0)]
    f.plan(given[0]).save(tmp_path / "plan")
    loaded = load_plan(tmp_path / "plan")
    for x in given:
        expected = [value.tolist() for value in f(x)]
        assert [value.tolist() for value in loaded(x)] == expected
        timed = loaded.profile(x)
        assert [value.tolist() for value in timed.result] == expected
        assert max(timed.runs) >= expected[0] and min(timed.runs) == 0
