"""Eager training loops with ``wf.compile(model)`` against the same loops without: equal losses, equal state."""

from __future__ import annotations

import numpy
import pytest

import weft as wf
from tests.compiler.programs import MODELS, training
from tests.compiler.test_training import PAIRS, each_case
from weft.autograd.node import Saved, keeper

STEPS = 20


def losses(made) -> list[float]:
    return [made.step(*made.batches[at % len(made.batches)]).item() for at in range(STEPS)]


@each_case
@pytest.mark.parametrize("model", MODELS)
def test_losses_of_twenty_steps(device, dtype: str, bound: float, model: str) -> None:
    optimizer = PAIRS[model]
    eager = training(model, optimizer, device.name, dtype)
    expected = losses(eager)
    made = training(model, optimizer, device.name, dtype, wrap=wf.compile)
    found = losses(made)
    numpy.testing.assert_allclose(found, expected, rtol=bound)
    assert made.model.compilations == 1
    assert list(made.model.state_dict()) == list(eager.model.state_dict())
    if dtype == "float32" and optimizer != "SGD":
        return  # Adam takes full steps on biases without influence, whose gradient is rounding alone
    for (name, actual), (_, wanted) in zip(
        made.model.state_dict().items(), eager.model.state_dict().items(), strict=True
    ):
        numpy.testing.assert_allclose(
            actual.numpy(), wanted.numpy(), rtol=20 * bound, atol=2 * bound, err_msg=name
        )


class Counting:
    """A keeper that adds up the memory that the tape holds, each storage once, parameters and inputs apart."""

    def __init__(self, outside) -> None:
        self.held = {id(value._data.storage): 0 for value in outside}
        self.storages = []

    def keep(self, saved: Saved) -> Saved:
        storage = saved.data.storage
        if id(storage) not in self.held:
            self.held[id(storage)] = storage.size
            self.storages.append(storage)  # so that its identity stays its own
        return saved

    @property
    def bytes(self) -> int:
        return sum(self.held.values())


def held_bytes(made, batch) -> int:
    outside = [*made.model.parameters(), *made.model.buffers(), *batch]
    counting = Counting(outside)
    token = keeper.set(counting)
    try:
        made.model(batch[0])
    finally:
        keeper.reset(token)
    return counting.bytes


@pytest.mark.parametrize("model", MODELS)
def test_less_memory_is_held_between_forward_and_backward_than_eagerly(model: str) -> None:
    eager = training(model, "SGD", "cpu", batches=1)
    compiled = training(model, "SGD", "cpu", batches=1, wrap=wf.compile)
    theirs, ours = held_bytes(eager, eager.batches[0]), held_bytes(compiled, compiled.batches[0])
    assert 0 < ours < theirs


@pytest.mark.parametrize("model", MODELS)
def test_only_cheap_ops_are_recomputed(model: str) -> None:
    from weft.graph.grad.partition import repeatable

    made = training(model, "SGD", "cpu", batches=1, wrap=wf.compile)
    made.step(*made.batches[0])
    (program,) = made.model.compiled._programs
    first = {out.id: node for node in program.split.forward.nodes for out in node.outputs}
    again = [node for node in program.split.backward.nodes if node.outputs[0].id in first]
    assert all(repeatable(node) for node in again)
    assert not {node.op for node in again} & {
        "matmul",
        "convolution",
        "dropout",
        "random_normal",
        "sum",
        "softmax",
    }
