"""``compile_training``: losses compared with a hand-written loop, state, and errors."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from tests.conftest import ADAPTER
from weft import nn
from weft.devices import Device
from weft.errors import (
    Aborted,
    ArgumentError,
    ArgumentTypeError,
    DeviceError,
    DisposedError,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    StateError,
    UnsupportedError,
)

F = nn.functional
S = wf.optim.lr_scheduler
STEPS = 30
ROWS = 8
RANDOM = numpy.random.default_rng(0)
BATCHES = [
    (RANDOM.standard_normal((ROWS, 6)).astype("float32"), RANDOM.integers(0, 3, ROWS)) for _ in range(STEPS)
]
INPUTS = {"x": (ROWS, 6), "y": ((ROWS,), wf.int64)}


def network(device: str, seed: int = 0, dropout: float = 0.2) -> nn.Module:
    wf.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 16, device=device), nn.ReLU(), nn.Dropout(dropout), nn.LayerNorm(16, device=device),
        nn.Linear(16, 3, device=device),
    )  # fmt: skip


def cost(model: nn.Module, x: wf.Tensor, y: wf.Tensor) -> wf.Tensor:
    return F.cross_entropy(wf.capture("logits", model(x)), y)


def adam(model: nn.Module) -> wf.optim.Optimizer:
    return wf.optim.Adam(model.parameters(), lr=0.01)


def decaying(model: nn.Module) -> wf.optim.Optimizer:
    groups = wf.optim.decay_groups(model.named_parameters(), 0.1, lambda name, _: name.endswith("4.weight"))
    return wf.optim.AdamW(groups, lr=0.02)


def warm(optimizer: wf.optim.Optimizer) -> S.LRScheduler:
    return S.SequentialLR(
        optimizer, [S.LinearLR(optimizer, 0.1, total_iters=5), S.CosineAnnealingLR(optimizer, 25)], [5]
    )


def started(device: Device, **options: Any) -> wf.compiler.CompiledTraining:
    given = {"optimizer": adam, "seed": 7, **options}
    return wf.compile_training(network(device.name), cost, given.pop("optimizer"), INPUTS, **given)


def run(train: wf.compiler.CompiledTraining, batches: Any) -> list[float]:
    return [result.loss for result in [train.step(x=x, y=y) for x, y in batches]]


def by_hand(
    device: str, optimizer: Callable[..., Any], limit: Callable[[Any], Any], schedule: Any
) -> list[float]:
    """The same training as an eager loop."""
    model = network(device)
    steps = optimizer(model)
    rates = None if schedule is None else schedule(steps)
    wf.manual_seed(7)
    losses = []
    for x, y in BATCHES:
        loss = F.cross_entropy(model(wf.tensor(x, device=device)), wf.tensor(y, device=device))
        steps.zero_grad()
        loss.backward()
        limit(model.parameters())
        steps.step()
        if rates is not None:
            rates.step()
        losses.append(loss.item())
    return losses


LOOPS = {
    "adam": (adam, {}, lambda parameters: None, None),
    "decay, clipping, warm-up": (
        decaying, {"max_norm": 0.5}, lambda parameters: nn.utils.clip_grad_norm_(parameters, 0.5), warm,
    ),
    "momentum, limits": (
        lambda model: wf.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
        {"max_value": 0.05}, lambda parameters: nn.utils.clip_grad_value_(parameters, 0.05),
        lambda optimizer: S.StepLR(optimizer, 8, gamma=0.5),
    ),
    "normal gradients": (
        lambda model: wf.optim.SGD(model.parameters(), lr=0.3), {"normalize_grads": True},
        lambda parameters: nn.utils.normalize_grads_(parameters), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_the_losses_are_those_of_a_loop_by_hand(name: str, device: Device) -> None:
    optimizer, options, limit, schedule = LOOPS[name]
    expected = by_hand(device.name, optimizer, limit, schedule)
    train = started(device, optimizer=optimizer, schedule=schedule, **options)
    found = run(train, BATCHES)
    numpy.testing.assert_allclose(found, expected, rtol=2e-4)
    assert len(set(found)) == STEPS and numpy.mean(found[-8:]) < found[0]
    assert (train.steps, train.compilations) == (STEPS, 1)


def test_normalized_gradients_against_pytorch() -> None:
    model = nn.Linear(6, 3, device="cpu")
    theirs = torch.nn.Linear(6, 3)
    theirs.load_state_dict(
        {name: torch.tensor(tensor.numpy()) for name, tensor in model.state_dict().items()}
    )
    train = wf.compile_training(
        model, cost, lambda model: wf.optim.SGD(model.parameters(), lr=0.3), INPUTS, normalize_grads=True
    )
    found, expected = run(train, BATCHES[:10]), []
    for x, y in BATCHES[:10]:
        loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y))
        theirs.zero_grad()
        loss.backward()
        with torch.no_grad():
            norm = sum((parameter.grad**2).sum() for parameter in theirs.parameters()).sqrt()
            for value in theirs.parameters():
                value -= 0.3 * value.grad / (norm + 1e-6)
        expected.append(loss.item())
    numpy.testing.assert_allclose(found, expected, rtol=1e-5)


# Results.


def test_reading_a_result_waits_for_the_device(device: Device) -> None:
    train = started(device)
    result = train.step(x=BATCHES[0][0], y=BATCHES[0][1])
    assert repr(result) == "StepResult(number=1, being computed)"
    assert result.tensor.shape == () and result.tensor.device == device.name
    assert isinstance(result.loss, float) and result.loss == float(result) == result.tensor.item()
    assert repr(result) == f"StepResult(number=1, loss={result.loss:.6g})"
    later = train.step(x=BATCHES[1][0], y=BATCHES[1][1])
    assert later.loss != result.loss and result.loss == result.tensor.item()  # the memory is its own

    async def awaited() -> float:
        return (await train.step(x=BATCHES[2][0], y=BATCHES[2][1])).loss

    assert asyncio.run(awaited()) > 0


def test_device_errors_are_raised_at_the_read(device: Device) -> None:
    train = started(device)
    with pytest.raises(IndexOutOfRangeError, match="target 7 is out of range"):
        _ = train.step(x=BATCHES[0][0], y=numpy.full(ROWS, 7)).loss
    assert train.step(x=BATCHES[0][0], y=BATCHES[0][1]).loss > 0


def test_captures(device: Device) -> None:
    train = started(device, optimizer=lambda model: wf.optim.SGD(model.parameters(), lr=0.0))
    found = train.step(x=BATCHES[0][0], y=BATCHES[0][1])
    logits = found.captures["logits"].numpy().astype("float64")
    exact = numpy.log(numpy.exp(logits).sum(1)) - logits[numpy.arange(ROWS), BATCHES[0][1]]
    assert found.loss == pytest.approx(exact.mean(), rel=1e-5)
    assert list(found.captures) == ["logits"]
    with pytest.raises(ArgumentError, match="captures: the name is 'hidden', expected one of logits"):
        found.captures["hidden"]
    with pytest.raises(
        ShapeError, match=r"per_head: the capture 'logits' is \[8, 3\], expected \[..., heads"
    ):
        found.captures.per_head("logits")


class Attention(nn.Module):
    def __init__(self, device: str) -> None:
        super().__init__()
        self.project = nn.Linear(6, 12, device=device)

    def forward(self, x: wf.Tensor) -> wf.Tensor:
        q, k = self.project(x).reshape(*x.shape[:2], 2, 2, 3).permute(2, 0, 3, 1, 4).unbind(0)
        return wf.capture("attention", (q @ k.mT).softmax(-1))


def test_captures_per_head(device: Device) -> None:
    model = Attention(device.name)
    train = wf.compile_training(model, lambda model, x: model(x).square().mean(), adam, {"x": (4, 5, 6)})
    x = RANDOM.standard_normal((4, 5, 6)).astype("float32")
    weight, bias = (parameter.detach().numpy().astype("float64") for parameter in model.parameters())
    heads = train.step(x=x).captures.per_head("attention")
    parts = (x @ weight.T + bias).reshape(4, 5, 2, 2, 3)
    for at, head in enumerate(heads):
        scores = numpy.exp(parts[:, :, 0, at] @ parts[:, :, 1, at].transpose(0, 2, 1))
        numpy.testing.assert_allclose(head.numpy(), scores / scores.sum(-1, keepdims=True), rtol=1e-4)
    assert [head.shape for head in heads] == [(4, 5, 5)] * 2


# State.


def test_a_state_resumes_exactly(device: Device) -> None:
    train = started(device, optimizer=decaying, schedule=warm, max_norm=0.5)
    run(train, BATCHES[:7])
    kept = train.state_dict()
    expected = run(train, BATCHES[7:15])
    train.load_state_dict(kept)
    assert train.steps == 7
    assert run(train, BATCHES[7:15]) == expected
    assert train.compilations == 1
    other = started(device, optimizer=decaying, schedule=warm, max_norm=0.5, seed=99)
    run(other, BATCHES[20:23])
    other.load_state_dict(kept)
    assert run(other, BATCHES[7:15]) == expected
    assert other.optimizer.param_groups[0]["lr"] == train.optimizer.param_groups[0]["lr"]


def test_half_precision_with_a_scaler(device: Device) -> None:
    def half(model: nn.Module, x: wf.Tensor, y: wf.Tensor) -> wf.Tensor:
        with wf.autocast(device.name.partition(":")[0], wf.float16):
            logits = model(x)
        return F.cross_entropy(logits.float(), y)

    def made() -> wf.compiler.CompiledTraining:
        scaler = wf.amp.GradScaler(device.name, init_scale=2.0**20, growth_interval=4)
        model = network(device.name, dropout=0.0)
        return wf.compile_training(model, half, adam, INPUTS, max_norm=1.0, scaler=scaler)

    train = made()
    found = run(train, BATCHES[:12])
    kept = train.state_dict()
    assert 2.0**8 < kept["scaler"]["scale"] != 2.0**20
    expected = run(train, BATCHES[12:20])
    other = made()
    other.load_state_dict(kept)
    assert run(other, BATCHES[12:20]) == expected
    model = network(device.name, dropout=0.0)
    scaler, optimizer = wf.amp.GradScaler(device.name, init_scale=2.0**20, growth_interval=4), adam(model)
    by_hand = []
    for x, y in BATCHES[:12]:
        loss = half(model, wf.tensor(x, device=device.name), wf.tensor(y, device=device.name))
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        by_hand.append(loss.item())
    numpy.testing.assert_allclose(found, by_hand, rtol=5e-3)
    assert scaler.get_scale() == kept["scaler"]["scale"]


def test_reset_begins_again(device: Device) -> None:
    train = started(device, optimizer=decaying, schedule=warm)
    before = {name: tensor.numpy().copy() for name, tensor in train.model.state_dict().items()}
    first = run(train, BATCHES[:6])
    train.reset()
    for name, tensor in train.model.state_dict().items():
        numpy.testing.assert_array_equal(tensor.numpy(), before[name])
    assert train.steps == 0 and train.schedule.get_last_lr() == [0.002, 0.002]
    assert run(train, BATCHES[:6]) == first
    train.reset(seed=8)
    assert run(train, BATCHES[:6]) != first
    assert train.compilations == 1


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    train = started(wf.devices.open("cpu"), optimizer=decaying, schedule=warm)
    run(train, BATCHES[:2])
    kept = train.state_dict()
    others = {**kept, "model": {name: value + 1 for name, value in kept["model"].items()}, "steps": 77}
    groups = copy.deepcopy(others)
    groups["optimizer"]["param_groups"].pop()
    wrong: list[tuple[Any, type[Exception], str]] = [
        ({**kept, "model": {}}, StateError, "Missing key"),
        (groups, ArgumentError, "of 1 parameter groups, expected 2"),
        (
            {**kept, "schedule": None},
            ArgumentError,
            "state_dict is without a schedule, expected a state with",
        ),
        ({**others, "random": [1, 2]}, ArgumentError, "four integers"),
        ({"model": kept["model"]}, ArgumentError, r"is \['model'\], expected a dict with model, optimizer"),
        (3, ArgumentError, "state_dict is int, expected a dict"),
    ]
    expected = run(train, BATCHES[2:5])
    train.load_state_dict(kept)
    for state, kind, message in wrong:
        with pytest.raises(kind, match=message):
            train.load_state_dict(state)
    assert train.steps == 2 and run(train, BATCHES[2:5]) == expected


def test_seeds(device: Device) -> None:
    still = {"optimizer": lambda model: wf.optim.SGD(model.parameters(), lr=0.0)}
    train = started(device, **still)
    first = run(train, BATCHES[:1] * 3)
    assert len(set(first)) == 3  # each step drops others
    train.seed(7)
    assert run(train, BATCHES[:1] * 3) == first
    outside = wf.rand(3, device=device.name).tolist()
    wf.manual_seed(5)
    expected = wf.rand(3, device=device.name).tolist()
    wf.manual_seed(5)
    run(train, BATCHES[:1])
    assert wf.rand(3, device=device.name).tolist() == expected != outside  # its numbers are its own
    shared = started(device, **still, seed=None)
    wf.manual_seed(5)
    one = run(shared, BATCHES[:1] * 2)
    wf.manual_seed(5)
    assert run(shared, BATCHES[:1] * 2) == one
    shared.seed(5)
    assert run(shared, BATCHES[:1] * 2) == one
    assert (train.compilations, shared.compilations) == (1, 1)


def test_learning_rates(device: Device) -> None:
    train = started(device, optimizer=decaying)
    train.set_lr(0.5)
    run(train, BATCHES[:1])
    train.set_lr([0.25, 0.0])
    before = [parameter.detach().numpy().copy() for parameter in train.model.parameters()]
    run(train, BATCHES[:1])
    after = [parameter.detach().numpy() for parameter in train.model.parameters()]
    changed = [not numpy.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [name == "4.weight" for name in train.parameter_names]
    assert train.compilations == 1
    train.set_lr(0.1)
    train.set_lr(lambda optimizer: S.StepLR(optimizer, 1, gamma=0.5))
    run(train, BATCHES[:3])
    assert train.schedule.get_last_lr() == [0.0125, 0.0125]
    rates = [rate.item() for group in train.optimizer.param_groups for rate in group.rates.values()]
    assert rates == pytest.approx([0.0125, 0.0125])
    train.set_lr(0.3)
    run(train, BATCHES[:2])
    assert train.schedule is None
    assert [group["lr"] for group in train.optimizer.param_groups] == [0.3, 0.3]
    with pytest.raises(ArgumentError, match="lr is 3 numbers, expected a number, or 2 numbers, one for each"):
        train.set_lr([1.0, 2.0, 3.0])


# Forward passes, and other models.


def test_attached_passes_see_each_step_and_any_size(device: Device) -> None:
    train = started(device)
    model = train.model
    predict = train.attach(lambda model, x: model(x).argmax(1), {"x": (None, 6)})
    for size in (1, 5, 1, 12, 5):
        x = RANDOM.standard_normal((size, 6)).astype("float32")
        found = predict(x=x)
        assert all(module.training for module in model.modules())
        model.eval()
        expected = model(wf.tensor(x, device=device.name)).argmax(1)
        model.train()
        assert found.tolist() == expected.tolist()
        run(train, BATCHES[:1])
    assert predict.compilations == 3 and train.compilations == 1
    score = train.attach(lambda model, x: wf.capture("scores", model(x)).sum(), {"x": (2, 6)})
    total, captures = score.with_captures(x=numpy.ones((2, 6)))
    assert total.item() == pytest.approx(captures["scores"].numpy().sum(), rel=1e-4)
    assert not total.requires_grad


def test_eight_sizes_are_kept() -> None:
    train = started(wf.devices.open("cpu"))
    predict = train.attach(lambda model, x: model(x), {"x": (None, 6)})
    for size in range(1, 10):
        predict(x=numpy.zeros((size, 6)))
    assert predict.compilations == 9
    for size in range(2, 10):
        predict(x=numpy.zeros((size, 6)))
    assert predict.compilations == 9
    predict(x=numpy.zeros((1, 6)))
    assert predict.compilations == 10


def test_open_sizes_agree() -> None:
    train = started(wf.devices.open("cpu"))
    both = train.attach(lambda model, a, b: model(a) + model(b), {"a": (None, 6), "b": (None, 6)})
    assert both(a=numpy.zeros((3, 6)), b=numpy.ones((3, 6))).shape == (3, 3)
    with pytest.raises(
        ShapeError, match="None is 3 in dimension 0 of a and 4 in dimension 0 of b, expected one"
    ):
        both(a=numpy.zeros((3, 6)), b=numpy.ones((4, 6)))
    with pytest.raises(ShapeError, match=r"a is float32\[3, 7\], expected float32\[None, 6\]"):
        both(a=numpy.zeros((3, 7)), b=numpy.ones((3, 6)))


def test_steps_of_open_size(device: Device) -> None:
    inputs = {"x": (None, 6), "y": ((None,), wf.int64)}
    train = wf.compile_training(network(device.name, dropout=0.0), cost, adam, inputs)
    assert train.compilations == 0
    losses = [train.step(x=x[:size], y=y[:size]) for size, (x, y) in zip((8, 3, 8, 3), BATCHES, strict=False)]
    assert train.compilations == 2 and all(result.loss > 0 for result in losses)


def test_a_model_is_replaced(device: Device) -> None:
    train = started(device, schedule=warm)
    predict = train.attach(lambda model, x: model(x), {"x": (None, 6)})
    predict(x=numpy.zeros((2, 6)))
    read, pending = (train.step(x=x, y=y) for x, y in BATCHES[:2])
    first = read.loss
    wf.manual_seed(3)
    new = nn.Linear(6, 3, device=device.name)
    expected = copy.deepcopy(new)
    train.replace_model(new, seed=1)
    assert read.loss == first and read.captures["logits"].shape == (ROWS, 3)
    for look in (
        lambda: pending.loss,
        lambda: pending.captures,
        lambda: pending.tensor,
        lambda: float(pending),
    ):
        with pytest.raises(Aborted, match=r"step 2: its result is read after replace_model\(\)"):
            look()
    assert "replace_model" in repr(pending)
    assert train.model is new and train.steps == 0 and train.parameter_names == ["weight", "bias"]
    x = numpy.ones((2, 6), dtype="float32")
    numpy.testing.assert_allclose(
        predict(x=x).numpy(), expected(wf.tensor(x, device=device.name)).detach().numpy(), rtol=1e-5
    )
    other = wf.compile_training(expected, cost, adam, INPUTS, schedule=warm)
    numpy.testing.assert_allclose(run(train, BATCHES[:8]), run(other, BATCHES[:8]), rtol=1e-6)
    assert train.schedule.get_last_lr() == other.schedule.get_last_lr()
    train.replace_model(network(device.name), optimizer=decaying)
    assert type(train.optimizer) is wf.optim.AdamW


def test_a_model_that_does_not_fit_changes_nothing() -> None:
    model = network("cpu", dropout=0.0)
    train = wf.compile_training(model, cost, adam(model), INPUTS)
    pending = train.step(x=BATCHES[0][0], y=BATCHES[0][1])
    with pytest.raises(
        ArgumentError,
        match="optimizer is None, expected the optimizer of the new model, since the first was given",
    ):
        train.replace_model(nn.Linear(6, 3, device="cpu"))
    with pytest.raises(ShapeError, match=r"linear: input's shape is \(8, 6\), expected \(\*, 7\)"):
        train.replace_model(nn.Linear(7, 3, device="cpu"), optimizer=adam)
    with pytest.raises(ArgumentTypeError, match="model is a str, expected a Module"):
        train.replace_model("model", optimizer=adam)
    assert pending.loss > 0 and train.model is model
    run(train, BATCHES[1:3])
    assert train.compilations == 1


def test_threads_take_turns() -> None:
    train = started(wf.devices.open("cpu"))
    predict = train.attach(lambda model, x: model(x), {"x": (4, 6)})
    found: list[Any] = []

    def train_some() -> None:
        found.extend(run(train, BATCHES[:20]))

    def look() -> None:
        found.extend(predict(x=numpy.ones((4, 6))).shape for _ in range(20))

    workers = [threading.Thread(target=value) for value in (train_some, look, train_some, look)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 80 and train.steps == 40
    assert all(module.training for module in train.model.modules())


# Mistakes.


def test_inputs_that_are_not_as_declared() -> None:
    train = started(wf.devices.open("cpu"))
    x, y = BATCHES[0]
    before = train.state_dict()
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        (
            {"x": x},
            ArgumentTypeError,
            r"train.step: the inputs is x, expected x: float32\[8, 6\], y: int64\[8\]",
        ),
        ({}, ArgumentTypeError, "the inputs is none, expected x:"),
        ({"x": x, "y": y, "z": y}, ArgumentTypeError, "the inputs is x, y, z, expected"),
        ({"x": x[:4], "y": y}, ShapeError, r"x is float32\[4, 6\], expected float32\[8, 6\]"),
        ({"x": x[None], "y": y}, ShapeError, r"x is float32\[1, 8, 6\], expected float32\[8, 6\]"),
        (
            {"x": x.astype(int), "y": y},
            DTypeError,
            r"x is int64\[8, 6\], expected float32\[8, 6\]; convert it by",
        ),
        (
            {"x": wf.tensor(x), "y": wf.tensor(y).float()},
            DTypeError,
            r"y is float32\[8\], expected int64\[8\]",
        ),
        (
            {"x": "pixels", "y": y},
            ArgumentTypeError,
            r"x is a str, expected a tensor or an array of float32\[8, 6\]",
        ),
    ]
    for given, kind, message in wrong:
        with pytest.raises(kind, match=message):
            train.step(**given)
    assert train.steps == 0
    after = train.state_dict()
    for name in before["model"]:
        numpy.testing.assert_array_equal(after["model"][name].numpy(), before["model"][name].numpy())
    train.step(x=wf.tensor(x, device="cpu"), y=y.tolist())  # tensors and lists are as good


@pytest.mark.webgpu
def test_a_model_is_replaced_on_another_device() -> None:
    train = started(wf.devices.open("cpu"))
    predict = train.attach(lambda model, x: model(x), {"x": (2, 6)})
    train.replace_model(network(ADAPTER))
    assert predict(x=numpy.ones((2, 6))).device == ADAPTER
    assert len(set(run(train, BATCHES[:1] * 3))) == 3
    with pytest.raises(DeviceError, match=r"scaler is on webgpu.*, expected on cpu, as the model"):
        wf.compile_training(network("cpu"), cost, adam, INPUTS, scaler=wf.amp.GradScaler(ADAPTER))


@pytest.mark.webgpu
def test_inputs_on_another_device() -> None:
    train = started(wf.devices.open("cpu"))
    x = wf.tensor(BATCHES[0][0], device=ADAPTER)
    with pytest.raises(
        DeviceError, match=r"x is on webgpu.*, expected on cpu, as the model; move it by x.to\('cpu'\)"
    ):
        train.step(x=x, y=BATCHES[0][1])


def vector(model: nn.Module, x: wf.Tensor) -> wf.Tensor:
    return model(x).sum(1)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            {"loss": vector},
            ShapeError,
            r"vector \(defined at test_training_handle.py:\d+\): its result is float32\[8\]",
        ),
        ({"loss": lambda model, x: 1.0}, ArgumentTypeError, "its result is a float, expected a 0-d tensor"),
        (
            {"loss": lambda model, x: (x @ x).sum()},
            ShapeError,
            r"matmul.*\(at test_training_handle.py:\d+\)",
        ),
        ({"model": adam}, ArgumentTypeError, "compile_training: model is a function, expected a Module"),
        (
            {"optimizer": 0.1},
            ArgumentTypeError,
            "optimizer is a float, expected an Optimizer of weft, or a function",
        ),
        (
            {"optimizer": lambda model: 3},
            ArgumentTypeError,
            "optimizer is a function that returns a int, expected",
        ),
        (
            {"optimizer": lambda model: adam(network("cpu"))},
            ArgumentError,
            "without parameters of the model",
        ),
        (
            {"schedule": 0.1},
            ArgumentTypeError,
            "schedule is a float, expected a schedule of weft.optim.lr_scheduler",
        ),
        (
            {"schedule": lambda o: S.StepLR(adam(network("cpu")), 2)},
            ArgumentError,
            "schedule is of another optimizer",
        ),
        (
            {"schedule": lambda o: S.LambdaLR(o, lambda step: 1.0)},
            UnsupportedError,
            "LambdaLR.step: is called while",
        ),
        ({"inputs": [3]}, ArgumentTypeError, "inputs is list, expected a dict from names"),
        (
            {"inputs": {"x": "many"}},
            ArgumentTypeError,
            r"inputs\['x'\] is 'many', expected an example tensor",
        ),
        ({"inputs": {"x": (2.5, 6)}}, ArgumentTypeError, r"inputs\['x'\] is \(2.5, 6\), expected an example"),
        (
            {"inputs": {"x": (-2, 6)}},
            ArgumentError,
            r"inputs\['x'\] is \(-2, 6\), expected sizes of 0 or more",
        ),
        ({"scaler": 2.0}, ArgumentTypeError, "scaler is a float, expected a GradScaler of weft.amp, or None"),
        ({"max_norm": 0.0}, ArgumentError, "max_norm is 0.0, expected above 0, or None"),
        (
            {"max_norm": 1.0, "normalize_grads": True},
            ArgumentError,
            "normalize_grads is True, with max_norm=1.0",
        ),
    ],
)
def test_mistakes_in_compiling_are_named(change: dict[str, Any], kind: type[Exception], message: str) -> None:
    given = {
        "model": network("cpu"), "loss": lambda model, x: model(x).sum(), "optimizer": adam,
        "inputs": {"x": (ROWS, 6)}, **change,
    }  # fmt: skip
    with pytest.raises(kind, match=message):
        wf.compile_training(**given)


def test_examples_and_types_declare_inputs() -> None:
    loss = lambda model, x, y: cost(model, x, y)  # noqa: E731
    inputs = {"x": wf.zeros(ROWS, 6, device="cpu"), "y": wf.ops.TensorType((ROWS,), wf.int64)}
    train = wf.compile_training(network("cpu"), loss, adam, inputs)
    assert run(train, BATCHES[:1])[0] > 0
    still = wf.compile_training(nn.Linear(2, 1, device="cpu"), lambda model: model.weight.sum(), adam, {})
    assert still.step().loss > still.step().loss


def test_after_close(device: Device) -> None:
    with started(device) as train:
        predict = train.attach(lambda model, x: model(x), {"x": (None, 6)})
        model = train.model
        read, pending = (train.step(x=x, y=y) for x, y in BATCHES[:2])
        first = read.loss
    train.close()
    assert read.loss == first and repr(train) == "<closed training>"
    with pytest.raises(Aborted, match=r"step 2: its result is read after close\(\)"):
        _ = pending.loss
    uses: dict[str, Callable[[], Any]] = {
        "step": lambda: train.step(x=BATCHES[0][0], y=BATCHES[0][1]),
        "attach": lambda: train.attach(lambda model, x: x, {"x": (1,)}),
        "replace_model": lambda: train.replace_model(model),
        "set_lr": lambda: train.set_lr(0.1),
        "seed": lambda: train.seed(0),
        "reset": lambda: train.reset(),
        "state_dict": lambda: train.state_dict(),
        "load_state_dict": lambda: train.load_state_dict({}),
        "model": lambda: train.parameter_names,
        "__enter__": lambda: train.__enter__(),
    }
    for name, use in uses.items():
        with pytest.raises(DisposedError, match=rf"train.{name}: is used after close\(\)"):
            use()
    with pytest.raises(DisposedError, match=r"is called after train.close\(\)"):
        predict(x=numpy.zeros((1, 6)))
    assert model(wf.ones(1, 6, device=device.name)).shape == (1, 3)
