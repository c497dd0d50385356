"""Training by a jitted step against the eager run: equal losses, equal state, for small models of many kinds."""

from __future__ import annotations

import numpy
import pytest

import weft as wf
from examples.digits.train import load_data, make_model
from tests.compiler.programs import MODELS, Recurrent, training
from weft import devices
from weft.compiler import trace
from weft.graph import Graph, compile_graph
from weft.plan import Loop

STEPS = 50
CASES = [("cpu", "float64", 1e-9), ("cpu", "float32", 1e-3), ("webgpu", "float32", 1e-3)]
each_case = pytest.mark.parametrize(
    ("device", "dtype", "bound"),
    [pytest.param(*case, marks=getattr(pytest.mark, case[0]), id=f"{case[0]}-{case[1]}") for case in CASES],
    indirect=["device"],
)


def losses(made, step) -> list[float]:
    found = []
    for at in range(STEPS):
        found.append(step(*made.batches[at % len(made.batches)]))
        made.schedule.step()
    return [value.item() for value in found]


PAIRS = {
    "mlp": "SGD", "cnn": "Adam", "vae": "AdamW", "gpt": "Adam", "nerf": "AdamW", "lstm": "Adam", "gru": "SGD",
    "bidirectional": "AdamW",
}  # fmt: skip
"""Every model with one of the optimizers."""


@each_case
@pytest.mark.parametrize("model", MODELS)
def test_losses_of_fifty_steps(device, dtype: str, bound: float, model: str) -> None:
    optimizer = PAIRS[model]
    eager = training(model, optimizer, device.name, dtype)
    expected = losses(eager, eager.step)
    made = training(model, optimizer, device.name, dtype)
    step = wf.jit(made.step)
    found = losses(made, step)
    numpy.testing.assert_allclose(found, expected, rtol=bound)
    assert numpy.mean(expected[-10:]) < numpy.mean(expected[:10])
    assert step.compilations == 1
    assert all(parameter.grad is None for parameter in made.model.parameters())
    if dtype == "float32" and optimizer != "SGD":
        return  # Adam takes full steps on biases without influence, whose gradient is rounding alone
    for (name, actual), (_, wanted) in zip(
        made.model.state_dict().items(), eager.model.state_dict().items(), strict=True
    ):
        numpy.testing.assert_allclose(
            actual.numpy(), wanted.numpy(), rtol=20 * bound, atol=2 * bound, err_msg=name
        )


@pytest.mark.parametrize("scheduler", ["StepLR", "OneCycleLR"])
def test_schedules_change_no_code(device, scheduler: str) -> None:
    options = {"StepLR": {"step_size": 3, "gamma": 0.5}, "OneCycleLR": {"max_lr": 0.05, "total_steps": 60}}[
        scheduler
    ]

    def run(compiled: bool):
        made = training("mlp", "SGD" if scheduler == "OneCycleLR" else "Adam", device.name)
        schedule = getattr(wf.optim.lr_scheduler, scheduler)(made.optimizer, **options)
        step = wf.jit(made.step) if compiled else made.step
        found = []
        for at in range(20):
            found.append(step(*made.batches[at % 10]).item())
            schedule.step()
        return found, step

    expected, _ = run(False)
    found, step = run(True)
    numpy.testing.assert_allclose(found, expected, rtol=1e-3)
    assert step.compilations == 1


def test_betas_of_a_schedule_are_read_at_each_step(device) -> None:
    def run(compiled: bool):
        made = training("mlp", "Adam", device.name)
        schedule = wf.optim.lr_scheduler.OneCycleLR(made.optimizer, max_lr=0.05, total_steps=60)
        step = wf.jit(made.step) if compiled else made.step
        found = []
        for at in range(15):
            found.append(step(*made.batches[at % 10]).item())
            schedule.step()
        return found, step

    expected, _ = run(False)
    found, step = run(True)
    numpy.testing.assert_allclose(found, expected, rtol=1e-3)
    assert step.compilations == 1


def test_a_changed_option_recompiles(device) -> None:
    made = training("mlp", "AdamW", device.name)
    step = wf.jit(made.step)
    step(*made.batches[0])
    made.optimizer.param_groups[0]["weight_decay"] = 0.5
    step(*made.batches[0])
    assert step.compilations == 2


@each_case
def test_the_digits_example(device, dtype: str, bound: float) -> None:
    images, labels = load_data(device.name)[0].tensors
    images = images.to(getattr(wf, dtype))

    def run(compiled: bool) -> list[float]:
        wf.manual_seed(0)
        model = make_model().to(device.name, getattr(wf, dtype)).train()
        optimizer = wf.optim.Adam(model.parameters(), lr=0.01, eps=1e-4)
        schedule = wf.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)

        def step(x, y):
            loss = wf.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run_step = wf.jit(step) if compiled else step
        kept = []
        for at in range(STEPS):
            kept.append(run_step(images[at * 16 : at * 16 + 16], labels[at * 16 : at * 16 + 16]))
            schedule.step()
        return [value.item() for value in kept]

    numpy.testing.assert_allclose(run(True), run(False), rtol=bound)


def loops(graph: Graph) -> list[int]:
    """The lengths of a graph's loops."""
    return [dict(node.attributes)["length"] for node in graph.nodes if node.op == "scan"]


@pytest.mark.parametrize(
    ("kind", "layers", "bidirectional"), [("LSTM", 2, False), ("GRU", 1, True), ("RNN", 1, False)]
)
def test_recurrent_layers_are_loops_of_any_length(kind: str, layers: int, bidirectional: bool) -> None:
    """There is one loop for each layer and direction, forward and backward; a plan's steps do not grow with the length."""
    steps = {}
    for length in (12, 48):
        wf.manual_seed(0)
        model = Recurrent(kind, layers, bidirectional)
        optimizer = wf.optim.Adam(model.parameters())

        def step(x, y, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            wf.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

        graph = trace(step, wf.zeros(4, length, 3), wf.tensor([0, 1, 2, 3])).graph
        assert loops(graph) == [length] * (2 * layers * (1 + bidirectional))
        plan = compile_graph(graph, devices.open(str(next(model.parameters()).device)).profile)
        assert sum(isinstance(step, Loop) for step in plan.steps) == len(loops(graph))
        steps[length] = sum(1 for _ in plan.dispatches())
    assert steps[12] == steps[48]


def test_eager_and_jitted_steps_may_alternate(device) -> None:
    eager = training("mlp", "Adam", device.name)
    expected = [eager.step(*batch).item() for batch in eager.batches]
    made = training("mlp", "Adam", device.name)
    step = wf.jit(made.step)
    found = []
    for at, batch in enumerate(made.batches):
        found.append((step if at % 3 else made.step)(*batch).item())
    numpy.testing.assert_allclose(found, expected, rtol=1e-3)
    assert step.compilations == 1  # the first eager step left gradients, as later ones do


def test_eager_code_sees_the_optimizer_state(device) -> None:
    eager = training("mlp", "Adam", device.name)
    for batch in eager.batches[:3]:
        eager.step(*batch)
    made = training("mlp", "Adam", device.name)
    step = wf.jit(made.step)
    for batch in made.batches[:3]:
        step(*batch)
    for key, entry in eager.optimizer.state_dict()["state"].items():
        for name, value in entry.items():
            found = made.optimizer.state_dict()["state"][key][name]
            numpy.testing.assert_allclose(found.numpy(), value.numpy(), rtol=1e-3, atol=1e-6, err_msg=name)


def test_a_checkpoint_resumes_exactly(device) -> None:
    made = training("cnn", "Adam", device.name)
    step = wf.jit(made.step)
    generator = wf.random.generator.default_generator(device.name)
    for batch in made.batches[:3]:
        step(*batch)

    def copied(tree):
        if isinstance(tree, wf.Tensor):
            return tree.detach().clone()
        if isinstance(tree, dict):
            return {key: copied(value) for key, value in tree.items()}
        return [copied(leaf) for leaf in tree] if isinstance(tree, list) else tree

    kept = copied(made.model.state_dict()), copied(made.optimizer.state_dict()), generator.get_state()
    first = [step(*batch).item() for batch in made.batches[3:8]]
    made.model.load_state_dict(kept[0])
    made.optimizer.load_state_dict(kept[1])
    generator.set_state(kept[2])
    second = [step(*batch).item() for batch in made.batches[3:8]]
    assert second == first
    assert step.compilations == 1
    fresh = training("cnn", "Adam", device.name)
    fresh.model.load_state_dict(kept[0], assign=True)
    fresh_optimizer = wf.optim.Adam(fresh.model.parameters(), lr=0.01)
    assert len(fresh_optimizer.state) == len(made.optimizer.state)


def test_train_and_evaluate_share_a_model(device) -> None:
    made = training("cnn", "SGD", device.name)
    step = wf.jit(made.step)

    @wf.jit
    def evaluate(x, y):
        with wf.no_grad():
            return wf.nn.functional.cross_entropy(made.model(x), y)

    found, expected = [], []
    for batch in made.batches[:4]:
        step(*batch)
        made.model.eval()
        found.append(evaluate(*batch).item())
        with wf.no_grad():
            expected.append(wf.nn.functional.cross_entropy(made.model(batch[0]), batch[1]).item())
        made.model.train()
    numpy.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (step.compilations, evaluate.compilations) == (1, 1)
