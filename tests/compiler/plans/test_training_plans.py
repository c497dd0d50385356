"""Plans of compiled trainings and forward passes: saved in the middle, they go on as if nothing had been."""

from __future__ import annotations

import numpy
import pytest

import weft as wf
from weft import nn, optim
from weft.compiler import load_plan
from weft.errors import DisposedError, ShapeError

F = nn.functional


def _model() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


def _batches(device, count):
    draw = numpy.random.default_rng(0)
    for _ in range(count):
        x, y = draw.random((5, 6), "float32"), draw.integers(0, 3, 5)
        yield {"x": wf.tensor(x, device=device), "y": wf.tensor(y, device=device)}


def _loss(model, x, y):
    return F.cross_entropy(wf.capture("logits", model(x)), y)


def test_a_training_goes_on_from_a_file(device, tmp_path) -> None:
    train = wf.compile_training(
        _model().to(device.name), _loss, lambda model: optim.AdamW(model.parameters(), lr=0.01),
        {"x": (5, 6), "y": ((5,), wf.int64)}, seed=4,
        schedule=lambda optimizer: optim.lr_scheduler.StepLR(optimizer, 2, 0.5),
    )  # fmt: skip
    batches = list(_batches(device.name, 6))
    for batch in batches[:2]:
        train.step(**batch)
    plan = train.plan(**batches[0])
    plan.save(tmp_path / "plan")
    loaded = load_plan(tmp_path / "plan")
    assert set(train.model.state_dict()) - {"1.num_batches_tracked"} <= set(loaded.state_dict())
    for batch in batches[2:]:
        result = train.step(**batch)
        loss, captures = loaded(**batch)
        assert loss.item() == result.loss
        assert captures["logits"].tolist() == result.captures["logits"].tolist()
    with pytest.raises(ShapeError):
        train.plan(x=batches[0]["x"][:2], y=batches[0]["y"][:2])
    train.close()
    with pytest.raises(DisposedError, match=r"train\.plan: is used after close"):
        train.plan(**batches[0])


def test_a_forward_pass_is_one_of_evaluation(device, tmp_path) -> None:
    model = _model().to(device.name).train()
    predict = wf.compile_forward(model, {"input": (None, 6)})
    (batch,) = _batches(device.name, 1)
    plan = predict.plan(input=batch["x"])
    expected = predict(input=batch["x"]).tolist()
    assert plan(input=batch["x"]).tolist() == expected and model.training
    plan.save(tmp_path / "plan")
    loaded = load_plan(tmp_path / "plan")
    assert loaded(input=batch["x"]).tolist() == expected
    model[0].weight.data = model[0].weight * 2
    assert plan(input=batch["x"]).tolist() == predict(input=batch["x"]).tolist() != expected
    assert loaded(input=batch["x"]).tolist() == expected
    assert {"0.weight", "1.running_mean", "4.bias"} <= set(loaded.state_dict())
