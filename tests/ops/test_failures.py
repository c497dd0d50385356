"""Every device call of a program fails once: memory, in-place targets, versions and histories are as before the failure.

Faults are injected through ``Device.before_call``, which every device calls before it does anything.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.nn import functional as F
from weft.ops import OPS, bind

State = dict[str, Any]


class InjectedFaultError(Exception):
    """The error that the hook raises."""


@dataclass
class Faults:
    """A hook that counts device calls and raises at the ``at``-th."""

    at: int
    kinds: list[str] = field(default_factory=list)

    def __call__(self, kind: str) -> None:
        self.kinds.append(kind)
        if len(self.kinds) == self.at:
            raise InjectedFaultError(f"device call {self.at}, {kind}")


def tensors(device: str, **shapes: tuple[int, ...]) -> State:
    draw = np.random.default_rng(0)
    return {
        name: wf.tensor(draw.uniform(0.5, 1.5, shape).astype("float32"), device=device)
        for name, shape in shapes.items()
    }


def _conv_step(s: State) -> Any:
    x, w = s["x"].detach().requires_grad_(), s["w"].detach().requires_grad_()
    F.conv2d(x, w, stride=2, padding=1).sum().backward()
    return x.grad, w.grad


def _adam(s: State) -> Any:
    options = {"decoupled": False, "maximize": 0.0, "weight_decay": 0.0, "beta2": 0.999, "one_minus_beta2": 0.001,
               "log_beta2": -0.001, "eps": 1e-8}  # fmt: skip
    own = (s["p"], s["m"], s["v"])
    return bind(
        OPS["adam_step"], s["lr"], s["step"], 0.1, -0.105, s["p"], s["g"], s["m"], s["v"], into=own, **options
    )


def _history(s: State) -> Any:
    y = s["leaf"] * 2.0
    y[1:].mul_(s["b"][1:])
    return y


def _two_targets(s: State) -> Any:
    s["x"][0].copy_(s["x"][1].half())
    return s["x"]


CALLS: dict[str, tuple[Callable[[State], Any], dict[str, tuple[int, ...]]]] = {
    "add": (lambda s: s["a"] + s["b"], {"a": (3, 4), "b": (4,)}),
    "add in place": (lambda s: s["a"].add_(s["b"]), {"a": (3, 4), "b": (4,)}),
    "overlapping add": (lambda s: s["a"][1:].add_(s["a"][:-1]), {"a": (5,)}),
    "matmul": (lambda s: s["a"][:, ::2] @ s["b"].t()[::2], {"a": (3, 4), "b": (5, 4)}),
    "conv2d and back": (_conv_step, {"x": (2, 2, 5, 5), "w": (3, 2, 3, 3)}),
    "long sum": (lambda s: s["x"].sum(), {"x": (1 << 17,)}),
    "cat": (lambda s: wf.cat([s["a"], s["b"].half(), s["a"]], 0), {"a": (3, 4), "b": (2, 4)}),
    "copy through a view": (lambda s: s["x"].t()[1::2].copy_(s["b"]), {"x": (3, 4), "b": (2, 3)}),
    "convert through a view": (_two_targets, {"x": (2, 4)}),
    "setitem from the host": (lambda s: s["x"].__setitem__(1, [1, 2, 3]), {"x": (2, 3)}),
    "reshape with a copy": (lambda s: s["a"].t().reshape(-1) * 2, {"a": (3, 4)}),
    "adam": (_adam, {"p": (7,), "g": (7,), "m": (7,), "v": (7,), "lr": (), "step": ()}),
    "write with history": (_history, {"leaf": (4,), "b": (4,)}),
    "softmax loss": (
        lambda s: F.cross_entropy(s["x"], wf.tensor([1, 0], device=str(s["x"].device))).item(), {"x": (2, 3)},
    ),
    "random": (lambda s: wf.nn.functional.dropout(s["x"], 0.5), {"x": (2, 3)}),
    "from the host": (lambda s: wf.tensor([[1, 2], [3, 4]], device=str(s["x"].device)), {"x": (1,)}),
    "to the host": (lambda s: s["x"].t().tolist(), {"x": (2, 3)}),
    "to the cpu": (lambda s: s["x"].to("cpu", wf.float16), {"x": (2, 3)}),
}  # fmt: skip


@pytest.fixture
def hooked(device: Any) -> Iterator[Any]:
    yield device
    device.before_call = None


def snapshot(state: State) -> dict[str, tuple[bytes, int, Any, bool]]:
    return {
        name: (tensor.detach().numpy().tobytes(), tensor._data.version, tensor.grad, tensor.requires_grad)
        for name, tensor in state.items()
    }


@pytest.mark.parametrize("name", CALLS)
def test_every_device_call_may_fail(hooked: Any, name: str) -> None:
    call, shapes = CALLS[name]
    state = tensors(hooked.name, **shapes)
    if "leaf" in state:
        state["leaf"].requires_grad_()
    wf.rand(1, device=hooked.name)  # the generator's state is on the device from now on
    hooked.synchronize()
    gc.collect()
    fail_everywhere(hooked, name, state, lambda: call(state))
    check_result(name, call, shapes, state, hooked.name)


def fail_everywhere(hooked: Any, name: str, state: State, call: Callable[[], Any]) -> None:
    """Make the first device call of a call fail, then the second, and so on, until it goes through."""
    for at in range(1, 500):
        before, memory = snapshot(state), hooked.memory_stats()
        faults = Faults(at)
        hooked.before_call = faults
        try:
            call()
        except InjectedFaultError as error:
            error.__traceback__ = None  # frames hold tensors
            failed = True
        else:
            failed = False
        hooked.before_call = None
        if not failed:
            break
        after = hooked.memory_stats()
        place = f"{name}: call {at} of {faults.kinds}"
        assert (after.storages, after.in_use) == (memory.storages, memory.in_use), place
        assert snapshot(state) == before, place
    assert at > 1 or (name, hooked.name) == ("to the host", "cpu"), "the call made no device call at all"
    assert at == len(faults.kinds) + 1


def check_result(name: str, call: Callable[[State], Any], shapes: Any, state: State, device: str) -> None:
    """Assert that the call after all failures has the result of a call without failures."""
    fresh = tensors(device, **shapes)
    if "leaf" in fresh:
        fresh["leaf"].requires_grad_()
    call(fresh)
    for key, tensor in fresh.items():
        np.testing.assert_array_equal(
            tensor.detach().numpy(), state[key].detach().numpy(), err_msg=f"{name}: {key}"
        )


STEPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"momentum": 0.9, "dampening": 0.1}), "Adam": ("Adam", {"amsgrad": True}),
    "RMSprop": ("RMSprop", {"centered": True, "momentum": 0.9}),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPPED)
def test_a_step_that_fails_leaves_all_groups_as_they_were(hooked: Any, name: str) -> None:
    """A step of two groups with thirty parameters in buffers of their own takes many dispatches: all or none count."""
    kind, options = STEPPED[name]

    def made() -> tuple[State, Any]:
        sizes = {f"p{at}": (at % 5 + 1, 3) for at in range(30)}
        state = tensors(hooked.name, **sizes)
        for tensor in state.values():
            tensor.requires_grad_()
        first, second = list(state.values())[:17], list(state.values())[17:]
        optimizer = getattr(wf.optim, kind)(
            [{"params": first}, {"params": second, "lr": 0.5}], lr=0.1, **options
        )
        for parameter, drawn in zip(state.values(), tensors(hooked.name, **sizes).values(), strict=True):
            parameter.grad = drawn * 0.5
        for key, kept in zip(sizes, state.copy().values(), strict=True):
            state |= {f"{key} {part}": tensor for part, tensor in optimizer.state[kept].items()}
        for at, group in enumerate(optimizer.param_groups):
            state[f"step {at}"] = group.cohorts[0].step
        return state, optimizer

    state, optimizer = made()
    hooked.synchronize()
    gc.collect()
    fail_everywhere(hooked, name, state, optimizer.step)
    fresh, other = made()
    other.step()
    for key, tensor in fresh.items():
        np.testing.assert_array_equal(tensor.detach().numpy(), state[key].detach().numpy(), err_msg=key)
    started = [cohort.started for group in optimizer.param_groups for cohort in group.cohorts]
    assert started == [True, True]


def test_several_results_written_to_given_tensors_fail_together(hooked: Any) -> None:
    state = tensors(hooked.name, x=(4, 5), values=(4, 2), places=(4, 2))
    state["places"] = state["places"].long()
    fail_everywhere(
        hooked, "topk", state, lambda: wf.topk(state["x"], 2, out=(state["values"], state["places"]))
    )
    assert state["values"].tolist() == wf.topk(state["x"], 2).values.tolist()


def test_a_failed_draw_takes_no_numbers_twice(hooked: Any) -> None:
    """A draw that fails may leave a gap in the counter, but later draws never repeat numbers."""
    wf.manual_seed(4)
    first = wf.rand(8, device=hooked.name).tolist()
    hooked.before_call = Faults(1)
    with pytest.raises(InjectedFaultError):
        wf.rand(8, device=hooked.name)
    hooked.before_call = None
    assert not set(wf.rand(8, device=hooked.name).tolist()) & set(first)


def test_out_of_memory_is_such_an_error(hooked: Any) -> None:
    def refuse(kind: str) -> None:
        if kind == "allocate":
            raise wf.errors.OutOfMemoryError("webgpu: 400 bytes were asked for")

    x = wf.ones(10, 10, device=hooked.name)
    hooked.before_call = refuse
    with pytest.raises(MemoryError):
        x @ x
    x.add_(1)  # needs no memory
    hooked.before_call = None
    assert (x @ x)[0, 0].item() == 40.0
