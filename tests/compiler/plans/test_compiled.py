"""Plans of functions: arguments and results, shared state, and errors."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest

import weft as wf
from weft import nn
from weft.compiler import CompiledPlan, load_plan
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, UnsupportedError

Pair = namedtuple("Pair", ["first", "second"])


@dataclass
class Batch:
    x: object
    scale: float


def _f(x, batch, *, mode="sum"):
    y = x * batch["a"][0]
    return y.sum() if mode == "sum" else y


@pytest.fixture
def arguments():
    return (wf.ones(2, 3, device="cpu"), {"a": [wf.full((3,), 2.0, device="cpu"), 1.5]})


def test_calls_by_position_and_by_name(arguments) -> None:
    x, batch = arguments
    plan = wf.jit(_f).plan(x, batch, mode="sum")
    assert isinstance(plan, CompiledPlan)
    assert plan(x, batch, mode="sum").item() == plan(x, mode="sum", batch=batch).item() == 12.0
    assert plan(x.T.contiguous().T, batch, mode="sum").item() == 12.0  # other strides are brought in order


MISTAKES = [
    (lambda x, b: ((x,), {"mode": "sum"}), ArgumentTypeError, r"the argument batch is missing, expected \(x, batch, mode=\)"),
    (lambda x, b: ((x, b, 1), {"mode": "sum"}), ArgumentTypeError, "the call is 3 arguments by position, expected 2"),
    (lambda x, b: ((x, b), {"mode": "sum", "y": 1}), ArgumentTypeError, "the argument y is given, expected"),
    (lambda x, b: ((x, b), {"mode": "sum", "x": x}), ArgumentTypeError, "the argument x is given twice"),
    (lambda x, b: ((x, b), {"mode": "mean"}), ArgumentError, "mode is 'mean', expected 'sum', which is compiled into"),
    (lambda x, b: ((x[:1], b), {"mode": "sum"}), ArgumentError, r"x is float32\[1, 3\] on cpu, expected float32\[2, 3\] on cpu"),
    (lambda x, b: ((x.int(), b), {"mode": "sum"}), ArgumentError, r"x is int32\[2, 3\] on cpu, expected float32"),
    (lambda x, b: ((x.detach().clone().requires_grad_(), b), {"mode": "sum"}), ArgumentError, "x is .*requires_grad, expected"),
    (lambda x, b: ((1.0, b), {"mode": "sum"}), ArgumentTypeError, r"x is 1\.0, expected float32\[2, 3\]"),
    (lambda x, b: ((x, {"b": b["a"]}), {"mode": "sum"}), ArgumentTypeError, "batch is a dict of 'b', expected a dict of 'a'"),
    (lambda x, b: ((x, {"a": b["a"][:1]}), {"mode": "sum"}), ArgumentTypeError, r"batch\['a'\] is a list of 1, expected a list of 2"),
    (lambda x, b: ((x, {"a": tuple(b["a"])}), {"mode": "sum"}), ArgumentTypeError, r"batch\['a'\] is a tuple of 2, expected a list of 2"),
    (lambda x, b: ((x, {"a": [b["a"][0], 1]}), {"mode": "sum"}), ArgumentTypeError, r"batch\['a'\]\[1\] is 1, expected a float"),
    (lambda x, b: ((x, {"a": [b["a"][0], True]}), {"mode": "sum"}), ArgumentTypeError, r"batch\['a'\]\[1\] is True, expected a float"),
    (lambda x, b: ((x, {"a": [object(), 1.5]}), {"mode": "sum"}), ArgumentTypeError, r"batch\['a'\]\[0\] is a object, expected"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES)
def test_calls_that_do_not_fit(arguments, tmp_path, call, kind, message) -> None:
    plan = wf.jit(_f).plan(*arguments, mode="sum")
    plan.save(tmp_path / "plan")
    args, kwargs = call(*arguments)
    for value in (plan, load_plan(tmp_path / "plan")):
        with pytest.raises(kind, match=f"plan of _f: {message}"):
            value(*args, **kwargs)


def test_named_tuples_and_dataclasses(tmp_path) -> None:
    plan = wf.jit(lambda batch: Pair(batch.x * batch.scale, Batch(batch.x.sum(), "kept"))).plan(
        Batch(wf.ones(2, device="cpu"), 2.0)
    )
    plan.save(tmp_path / "plan")
    with pytest.raises(
        FormatError, match=r"tree\.class is .*\.Batch, expected one of the classes given .*classes=\[Batch\]"
    ):
        load_plan(tmp_path / "plan")
    loaded = load_plan(tmp_path / "plan", classes=[Pair, Batch])
    for value in (plan, loaded):
        found = value(Batch(wf.ones(2, device="cpu"), 3.0))
        assert isinstance(found, Pair) and isinstance(found.second, Batch)
        assert (
            found.first.tolist() == [3.0, 3.0] and found.second.x.item() == 2 and found.second.scale == "kept"
        )
        with pytest.raises(ArgumentTypeError, match="batch is a Pair, expected a Batch"):
            value(Pair(wf.ones(2, device="cpu"), 3.0))
    with pytest.raises(ArgumentTypeError, match="classes is 'Batch', expected named tuples"):
        load_plan(tmp_path / "plan", classes=["Batch"])

    @dataclass
    class Other:
        y: object

    Other.__module__, Other.__qualname__ = Batch.__module__, "Batch"
    with pytest.raises(
        FormatError, match=r"class is .*Batch with y, expected a record with the fields x, scale"
    ):
        load_plan(tmp_path / "plan", classes=[Pair, Other])


def test_only_plain_data_is_saved(tmp_path) -> None:
    model, x = nn.Linear(2, 2, device="cpu"), wf.ones(1, 2, device="cpu")
    plan = wf.jit(lambda model, x: model(x)).plan(model, x)
    assert plan(model, x).shape == (1, 2)
    with pytest.raises(
        UnsupportedError,
        match=r"save: the argument model is a weft.nn.linear.Linear, expected plain data.*closure",
    ):
        plan.save(tmp_path / "plan")
    plan = wf.jit(lambda x: (x, {"at": [len]})).plan(x)
    with pytest.raises(
        UnsupportedError, match=r"save: the result, at 1, at 'at', at 0 is a builtins.builtin_function"
    ):
        plan.save(tmp_path / "plan")
    plan = wf.jit(lambda x: OrderedDict(a=x)["a"]).plan(x)
    plan.save(tmp_path / "plan")
    with pytest.raises(
        UnsupportedError, match=r"the argument x is a collections.OrderedDict, expected a plain dict"
    ):
        wf.jit(lambda x: x["a"]).plan(OrderedDict(a=x)).save(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]


def test_a_living_plan_shares_the_functions_state(device) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).to(device.name)
    model[1].weight = model[0].weight
    optimizer = wf.optim.Adam(model.parameters(), lr=0.01)
    x = wf.ones(2, 3, device=device.name)

    @wf.jit
    def step(x):
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    plan = step.plan(x)
    assert step.compilations == 1
    names = set(plan.state_dict())
    assert {"0.weight", "1.weight", "0.bias", "1.bias", "optimizer.lr", "optimizer.step"} <= names
    assert {"optimizer.0.weight.exp_avg", "optimizer.1.bias.exp_avg_sq"} <= names
    losses = [plan(x).item(), step(x).item(), plan(x).item()]
    assert losses == sorted(losses, reverse=True) and step.compilations == 1
    assert plan.state_dict()["0.weight"].tolist() == model[0].weight.tolist()
    optimizer.param_groups[0]["lr"] = 0.0
    assert plan(x).item() == plan(x).item() and plan.state_dict()["optimizer.lr"].item() == 0
    model.eval()
    with pytest.raises(
        UnsupportedError, match=r"plan of step: training of \w+ is False, was True, expected the state that"
    ):
        plan(x)


def test_states_are_written_whole_or_not_at_all(device) -> None:
    w, v = wf.ones(2, device=device.name), wf.ones(3, device=device.name)
    plan = wf.jit(lambda x: (x + w.add_(1), v.mul_(2))).plan(wf.ones(2, device=device.name))
    assert set(plan.state_dict()) == {"w", "v"}
    good = {"w": wf.full((2,), 7.0, device="cpu"), "v": wf.full((3,), 8.0, device=device.name)}
    for change, kind, message in [
        ({"u": w}, ArgumentError, "a name is 'u', expected one of v, w"),
        ({"v": w}, ArgumentError, r"'v' is float32\[2\], expected float32\[3\]"),
        ({"v": v.int()}, ArgumentError, r"'v' is int32\[3\], expected float32\[3\]"),
        ({"v": [1.0]}, ArgumentTypeError, "'v' is a list, expected a tensor"),
    ]:
        with pytest.raises(kind, match=message):
            plan.load_state_dict(good | change)
    with pytest.raises(ArgumentError, match="'v' is missing"):
        plan.load_state_dict({"w": good["w"]})
    with pytest.raises(ArgumentTypeError, match="state_dict is a list"):
        plan.load_state_dict([])
    assert w.tolist() == [1, 1]
    plan.load_state_dict(good)
    assert w.tolist() == [7, 7] and v.tolist() == [8, 8, 8]


def test_names_of_several_models_and_of_nobodys_tensors() -> None:
    x = wf.ones(2, device="cpu")
    actor, critic = nn.Linear(2, 2, device="cpu"), nn.Linear(2, 1, device="cpu")
    hidden = [wf.ones(2, device="cpu")]
    plan = wf.jit(lambda x: critic(actor(x)) + hidden[0].sum() + wf.tensor([1.0], device="cpu")).plan(x)
    assert {"actor.weight", "actor.bias", "critic.weight", "critic.bias"} < set(plan.state_dict())
    rest = [name for name in plan.state_dict() if "." not in name]
    assert rest and all(name.startswith("state") for name in rest)

    class Trainer:
        def __init__(self) -> None:
            self.model = nn.Linear(2, 2, device="cpu")
            self.total = wf.zeros(2, device="cpu")

        def step(self, x):
            self.total.add_(self.model(x).detach())
            return self.total * 1

    trainer = Trainer()
    assert set(wf.jit(trainer.step).plan(x).state_dict()) == {"weight", "bias", "total"}


def test_plans_within_traces_are_refused() -> None:
    x = wf.ones(2, device="cpu")
    inner = wf.jit(lambda x: x * 2)
    plan = inner.plan(x)
    with pytest.raises(
        UnsupportedError, match="a plan is called in a traced function, expected a call outside"
    ):
        wf.jit(lambda x: plan(x))(x)
    with pytest.raises(
        UnsupportedError, match="a plan is made in a traced function, expected a call outside"
    ):
        wf.jit(lambda x: inner.plan(x)(x))(x)


def test_random_numbers_drawn_by_the_host_come_before(device, tmp_path) -> None:
    """What eager calls took of the generator's counter since is in the state that is saved."""
    f = wf.jit(lambda x: x + wf.rand(3, device=device.name))
    x = wf.zeros(3, device=device.name)
    wf.manual_seed(11)
    plan = f.plan(x)
    wf.rand(7, device=device.name)
    plan.save(tmp_path / "plan")
    expected = [f(x).tolist() for _ in range(2)]
    loaded = load_plan(tmp_path / "plan")
    assert [loaded(x).tolist() for _ in range(2)] == expected


def test_plans_of_compiled_functions_and_modules(device, tmp_path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh()).to(device.name)
    x = wf.ones(4, 3, device=device.name)
    compiled = wf.compile(model)
    expected = compiled(x).tolist()
    with pytest.raises(
        UnsupportedError, match=r"a plan is made of a call whose results have gradients, .* no_grad\(\)"
    ):
        compiled.compiled.plan(x)
    with wf.no_grad():
        plan = compiled.compiled.plan(x)
        other = wf.compile(lambda x: model(x) * 1.0).plan(x)
    plan.save(tmp_path / "plan")
    assert list(plan.state_dict()) == list(other.state_dict()) == list(model.state_dict())
    for value in (plan, other, load_plan(tmp_path / "plan")):
        assert value(x).tolist() == expected
