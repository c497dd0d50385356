"""``wf.amp.GradScaler``: the scales and steps of PyTorch's for the same infinities, eager and compiled."""

from __future__ import annotations

import math

import numpy
import pytest
import torch

import weft as wf
from tests.conftest import ADAPTER
from weft import nn
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from weft.ops import OPS, bind

F = nn.functional
OPTIONS = {"init_scale": 8.0, "growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 3}
INPUTS = (1.0, 2.0, 0.5, math.inf, 1.0, math.nan, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0, -math.inf, 1.0)
OPTIMIZERS = {"SGD": {"lr": 0.1, "momentum": 0.9}, "Adam": {"lr": 0.1}, "RMSprop": {"lr": 0.1}}


def losses_of_torch(optimizer: str) -> tuple[list[float], list[list[float]]]:
    w = torch.tensor([1.0, -2.0], requires_grad=True)
    made = getattr(torch.optim, optimizer)([w], **OPTIMIZERS[optimizer])
    scaler = torch.amp.GradScaler("cpu", **OPTIONS)
    scales, weights = [], []
    for x in INPUTS:
        made.zero_grad()
        scaler.scale((w.square() * x).sum()).backward()
        scaler.step(made)
        scaler.update()
        scales.append(scaler.get_scale())
        weights.append(w.tolist())
    return scales, weights


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_scales_and_steps_are_those_of_pytorch(device, optimizer: str, compiled: bool) -> None:
    w = wf.tensor([1.0, -2.0], device=device.name, requires_grad=True)
    made = getattr(wf.optim, optimizer)([w], **OPTIMIZERS[optimizer])
    scaler = wf.amp.GradScaler(device.name, **OPTIONS)

    def step(x):
        made.zero_grad()
        scaler.scale((w.square() * x).sum()).backward()
        scaler.step(made)
        scaler.update()

    run = wf.jit(step) if compiled else step
    scales, weights = [], []
    for x in INPUTS:
        run(wf.tensor(x, device=device.name))
        scales.append(scaler.get_scale())
        weights.append(w.tolist())
    expected, theirs = losses_of_torch(optimizer)
    assert scales == expected and len(set(scales)) > 4
    numpy.testing.assert_allclose(weights, theirs, rtol=2e-5, atol=1e-6)
    if compiled:
        assert run.compilations == 1


def training(device, how: str):
    """Thirty steps of an MLP in float16 under autocast, with a scale that overflows at first."""
    wf.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4)).to(device.name)
    optimizer = wf.optim.Adam(model.parameters(), lr=0.02)
    scaler = wf.amp.GradScaler(device.name, init_scale=2.0**20, growth_interval=7)
    values = numpy.random.default_rng(0).standard_normal((64, 8)).astype("float32")
    x, y = wf.tensor(values, device=device.name), wf.tensor(values[:, :4].argmax(1), device=device.name)

    forward = lambda x, y: F.cross_entropy(model(x), y)  # noqa: E731
    if how == "compile":
        forward = wf.compile(forward)

    def step(x, y):
        optimizer.zero_grad()
        with wf.autocast(device.name.partition(":")[0], wf.float16):
            loss = forward(x, y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
        return loss

    run = wf.jit(step) if how == "jit" else step
    losses, scales = [], []
    for _ in range(30):
        losses.append(run(x, y).item())
        scales.append(scaler.get_scale())
    return losses, scales, [parameter.detach().numpy() for parameter in model.parameters()]


@pytest.mark.parametrize("how", ["jit", "compile"])
def test_training_in_float16_converges_and_compiled_steps_are_equal(device, how: str) -> None:
    losses, scales, weights = training(device, "eager")
    assert losses[-1] < 0.3 * losses[0] and scales[0] == 2.0**19 and scales[-1] > min(scales)
    found, others, theirs = training(device, how)
    assert others == scales
    numpy.testing.assert_allclose(found, losses, rtol=1e-3)
    for expected, actual in zip(theirs, weights, strict=True):
        # the last bits before the one rounding differ, and with them which side of 0 a unit's sample falls on
        assert numpy.isclose(expected, actual, rtol=1e-2, atol=1e-3).mean() > 0.9
        numpy.testing.assert_allclose(expected, actual, rtol=0, atol=0.03)


def test_a_skipped_step_leaves_everything_as_it_was(device) -> None:
    """Bit by bit, in a compiled step too, the optimizer's moments and counters included."""
    w = wf.tensor([1.0, 2.0], device=device.name, requires_grad=True)
    optimizer, scaler = wf.optim.Adam([w], lr=0.1), wf.amp.GradScaler(device.name)

    @wf.jit
    def step(x):
        optimizer.zero_grad()
        scaler.scale((w * x).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    def held():
        (entry,) = optimizer.state_dict()["state"].values()
        return [w.detach().numpy().copy(), *(state.numpy().copy() for state in entry.values())]

    step(wf.ones(2, device=device.name))
    before = held()
    step(wf.tensor([1.0, math.inf], device=device.name))
    for actual, expected in zip(held(), before, strict=True):
        numpy.testing.assert_array_equal(actual, expected)
    step(wf.ones(2, device=device.name))
    assert not numpy.array_equal(held()[0], before[0])


def test_several_optimizers_are_skipped_each_by_itself(device) -> None:
    tensors = [wf.ones(2, device=device.name, requires_grad=True) for _ in range(2)]
    optimizers = [wf.optim.SGD([tensor], lr=1.0) for tensor in tensors]
    scaler = wf.amp.GradScaler(device.name, init_scale=4.0)
    scaler.scale((tensors[0] * math.inf).sum() + (tensors[1] * 0.5).sum()).backward()
    for optimizer in optimizers:
        scaler.step(optimizer)
    scaler.update()
    assert tensors[0].tolist() == [1.0, 1.0] and tensors[1].tolist() == [0.5, 0.5]
    assert scaler.get_scale() == 2.0


def test_the_graph_of_a_step_checks_all_gradients_at_once() -> None:
    model = nn.Sequential(*[nn.Linear(4, 4, device="cpu") for _ in range(3)])
    optimizer, scaler = wf.optim.SGD(model.parameters(), lr=0.1), wf.amp.GradScaler("cpu")

    @wf.jit
    def step(x):
        optimizer.zero_grad()
        scaler.scale(model(x).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    x = wf.ones(2, 4, device="cpu")
    ops = [node.op for node in step.graph(x).nodes]
    assert ops.count("any_non_finite") == ops.count("scale_all") == ops.count("sgd_step") == 1
    step(x)
    scaler.set_growth_interval(1)  # built into the step
    step(x)
    assert step.compilations == 2 and scaler.get_scale() == 2.0**17


@pytest.mark.parametrize("place", [0, 1023, 1024, 2999])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_any_non_finite_finds_each(device, place: int, value: float, dtype: str) -> None:
    kind = getattr(wf, dtype)
    large = wf.full((3000,), 6e4 if dtype == "float16" else 3e38, dtype=kind, device=device.name)
    small = wf.ones(2, 3, dtype=kind, device=device.name)
    assert bind(OPS["any_non_finite"], small, large, small.t()).item() == 0.0
    large[place] = value
    assert bind(OPS["any_non_finite"], small, large, small.t()).item() == 1.0
    assert bind(OPS["any_non_finite"], large.reshape(2, 1500)[:, 3:1499]).item() == (
        0.0 if place != 1023 and place != 1024 else 1.0
    )


# State and mistakes.


def test_state_goes_to_pytorch_and_back(device) -> None:
    scaler = wf.amp.GradScaler(device.name, **OPTIONS)
    w = wf.ones(2, device=device.name, requires_grad=True)
    optimizer = wf.optim.SGD([w], lr=0.1)
    scaler.scale(w.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    saved = scaler.state_dict()
    assert saved == {
        "scale": 8.0,
        "growth_factor": 3.0,
        "backoff_factor": 0.25,
        "growth_interval": 3,
        "_growth_tracker": 1,
    }
    theirs = torch.amp.GradScaler("cpu")
    theirs.load_state_dict(saved)
    assert theirs.state_dict() == saved
    other = wf.amp.GradScaler(device.name)
    other.load_state_dict(theirs.state_dict())
    assert other.state_dict() == saved
    other.update(16.0)
    assert other.get_scale() == 16.0
    other.update(wf.tensor([32.0], device=device.name))
    assert other.get_scale() == 32.0


def test_a_disabled_scaler_does_nothing(device) -> None:
    scaler = wf.amp.GradScaler(device.name, enabled=False)
    w = wf.ones(2, device=device.name, requires_grad=True)
    optimizer = wf.optim.SGD([w], lr=0.5)
    loss = w.sum()
    assert scaler.scale(loss) is loss and scaler.get_scale() == 1.0 and not scaler.is_enabled()
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert w.tolist() == [0.5, 0.5] and scaler.state_dict() == {}


def test_several_outputs_are_scaled(device) -> None:
    scaler = wf.amp.GradScaler(device.name, init_scale=4.0)
    ones = wf.ones(2, device=device.name)
    a, (b, c) = scaler.scale([ones, (ones, ones * 2)])
    assert a.tolist() == b.tolist() == [4.0, 4.0] and c.tolist() == [8.0, 8.0]
    assert [x.tolist() for x in scaler.scale(iter([ones]))] == [[4.0, 4.0]]


def test_mistakes(device) -> None:
    scaler = wf.amp.GradScaler(device.name)
    w = wf.ones(2, device=device.name, requires_grad=True)
    optimizer = wf.optim.SGD([w], lr=0.1)
    with pytest.raises(UnsupportedError, match="no step was taken"):
        scaler.update()
    with pytest.raises(UnsupportedError, match="has a gradient"):
        scaler.unscale_(optimizer)
    scaler.scale(w.sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(UnsupportedError, match=r"unscale_\(\) was called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(UnsupportedError, match=r"step\(\) was called"):
        scaler.step(optimizer)
    with pytest.raises(UnsupportedError, match=r"step\(\) was called"):
        scaler.unscale_(optimizer)
    scaler.update()
    with pytest.raises(UnsupportedError, match="closure"):
        scaler.step(optimizer, closure=lambda: None)
    half = wf.ones(2, dtype=wf.float16, device=device.name, requires_grad=True)
    half.grad = wf.ones(2, dtype=wf.float16, device=device.name)
    with pytest.raises(UnsupportedError, match="float16"):
        scaler.unscale_(wf.optim.SGD([half], lr=0.1))
    with pytest.raises(ArgumentTypeError, match="an Optimizer"):
        scaler.step(3)
    with pytest.raises(ArgumentTypeError, match="outputs"):
        scaler.scale(3)
    with pytest.raises(ArgumentError, match="a disabled scaler saves"):
        scaler.load_state_dict({})
    for options in (
        {"growth_factor": 1.0},
        {"backoff_factor": 1.0},
        {"growth_interval": 0},
        {"init_scale": 0.0},
    ):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            wf.amp.GradScaler(device.name, **options)


@pytest.mark.webgpu
def test_a_scaler_follows_the_model_of_a_jitted_step() -> None:
    """A scaler that was made on ``cpu`` moves to the device of the model when the step is traced."""
    model = wf.nn.Linear(2, 1).to(ADAPTER)
    optimizer = wf.optim.SGD(model.parameters(), lr=0.1)
    scaler = wf.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)

    @wf.jit
    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    losses = [step(wf.ones(4, 2, device=ADAPTER)).item() for _ in range(3)]
    assert losses == sorted(losses, reverse=True) and scaler.get_scale() == 32.0 and step.compilations == 1
