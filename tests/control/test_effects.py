"""Side effects of bodies: writes to captured tensors, and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import weft as wf
from tests.control.test_cond import draw
from weft import nn
from weft.compiler import cond, scan, trace, while_loop
from weft.errors import GradError, UnsupportedError
from weft.utils.checkpoint import checkpoint

F = nn.functional
MODES: dict[str, Callable[[Callable[..., Any], list[Any]], Any]] = {
    "run": lambda run, given: run(*given),
    "traced": lambda run, given: trace(run, *given)(*given),
    "planned": lambda run, given: wf.jit(run)(*given),
}
LENGTH = 5


def looped(
    f: Callable[..., Any], init: Any, xs: Any, length: int | None = None, reverse: bool = False
) -> Any:
    """A scan as a loop of Python."""
    count = len(xs) if xs is not None else int(length or 0)
    carry, ys = init, []
    for at in reversed(range(count)) if reverse else range(count):
        carry, y = f(carry, xs[at] if xs is not None else None)
        ys.append(y)
    return carry, wf.stack(ys[::-1] if reverse else ys)


def tensors(device: Any, *shapes: tuple[int, ...]) -> list[Any]:
    kind = wf.float64 if device.supports(wf.float64) else wf.float32
    return [
        wf.tensor(draw(*shape, seed=at), dtype=kind, device=device.name) for at, shape in enumerate(shapes)
    ]


# Random numbers.


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mode", ["traced", "planned"])
def test_a_loop_draws_the_numbers_that_python_would(device, mode: str, reverse: bool) -> None:
    """Dropout, several draws a step, draws before and after, from call to call; the same in both directions."""

    def run(loop: Any, x: Any) -> list[Any]:
        def body(c: Any, x: Any) -> Any:
            return F.dropout(c + x, 0.3), wf.rand(2, device=device.name) + wf.randn(1, device=device.name)

        first = wf.rand(3, device=device.name)
        last, ys = loop(body, first, x, reverse=reverse)
        return [first, last, ys, wf.rand(2, device=device.name)]

    (x,) = tensors(device, (LENGTH, 3))
    x = x.float()
    jitted = wf.jit(lambda x: run(scan, x))
    wf.manual_seed(7)
    expected = [result.numpy() for _ in range(3) for result in run(looped, x)]
    wf.manual_seed(7)
    found = [
        value.numpy()
        for _ in range(3)
        for value in (jitted(x) if mode == "planned" else MODES[mode](lambda x: run(scan, x), [x]))
    ]
    for actual, wanted in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(actual, wanted, rtol=1e-6)
    assert len({value.tobytes() for value in found[2::4]}) == 3  # each call draws others


@pytest.mark.parametrize("mode", ["traced", "planned"])
def test_loops_within_loops_draw_the_numbers_that_python_would(device, mode: str) -> None:
    def run(loop: Any) -> list[Any]:
        def inner(c: Any, _: Any) -> Any:
            return c + wf.rand(2, device=device.name), wf.rand(1, device=device.name)

        def outer(c: Any, _: Any) -> Any:
            c = c + wf.rand(2, device=device.name)
            c, ys = loop(inner, c, None, 3)
            return c, ys.sum(0) + wf.rand(1, device=device.name)

        last, ys = loop(outer, wf.zeros(2, device=device.name), None, 2)
        return [last, ys, wf.rand(2, device=device.name)]

    wf.manual_seed(3)
    expected = [result.numpy() for _ in range(2) for result in run(looped)]
    wf.manual_seed(3)
    found = [value.numpy() for _ in range(2) for value in MODES[mode](lambda: run(scan), [])]
    for actual, wanted in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(actual, wanted, rtol=1e-6)


def test_a_generator_of_ones_own(device) -> None:
    own = wf.Generator(device.name)

    def run(loop: Any) -> Any:
        body = lambda c, _: (c + wf.rand(2, generator=own), wf.rand(2, device=device.name))  # noqa: E731
        return loop(body, wf.zeros(2, device=device.name), None, 3)

    results = []
    jitted = wf.jit(lambda: run(scan))
    for program in (lambda: run(looped), jitted):
        wf.manual_seed(0)
        own.manual_seed(11)
        results.append([value.numpy() for _ in range(2) for value in program()])
    for actual, wanted in zip(*results, strict=True):
        numpy.testing.assert_allclose(actual, wanted, rtol=1e-6)


def test_a_draw_in_a_gradient_is_the_one_of_the_value(device) -> None:
    """Dropout within a loop: where the value was dropped, so is the gradient, in every step."""

    def run(x: Any) -> Any:
        x = x.detach().requires_grad_()
        _, ys = scan(lambda c, x: (c, F.dropout(x, 0.5)), x[0], x)
        return ys.detach(), *wf.autograd.grad(ys.sum(), [x])

    wf.manual_seed(2)
    ys, grad = wf.jit(run)(wf.ones(20, 8, device=device.name))
    numpy.testing.assert_array_equal(ys.numpy(), grad.numpy())
    assert set(numpy.unique(ys.numpy())) == {0.0, 2.0}


def test_checkpoints_around_and_within_loops_that_draw(device) -> None:
    """The second run draws the same: as without a checkpoint."""

    def run(x: Any, again: bool, within: bool) -> Any:
        x = x.detach().requires_grad_()

        def cell(c: Any, x: Any) -> Any:
            return (F.dropout(c, 0.5) * x).sin()

        def body(c: Any, x: Any) -> Any:
            c = checkpoint(cell, c, x) if within else cell(c, x)
            return c, c * 2

        def loop(x: Any) -> Any:
            return scan(body, x[0], x)[1]

        ys = checkpoint(loop, x) if again else loop(x)
        return ys.detach(), *wf.autograd.grad((ys * ys).sum(), [x])

    x = wf.tensor(draw(LENGTH, 6), dtype=wf.float32, device=device.name)
    results = []
    for again, within in ((False, False), (True, False), (False, True), (True, True)):
        wf.manual_seed(4)
        results.append([value.numpy() for value in wf.jit(lambda x, a=again, w=within: run(x, a, w))(x)])
    for other in results[1:]:
        for result, same in zip(results[0], other, strict=True):
            numpy.testing.assert_allclose(result, same, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_around_a_branch_that_draws_is_refused(device) -> None:
    def run(x: Any) -> Any:
        x = x.detach().requires_grad_()
        y = checkpoint(lambda x: cond(x.sum() > 0, lambda x: F.dropout(x), lambda x: x * 1, (x,)).sin(), x)
        return wf.autograd.grad(y.sum(), [x])

    with pytest.raises(
        UnsupportedError, match="checkpoint: the function is one with random numbers in a cond or while_loop"
    ):
        wf.jit(run)(wf.ones(3, device=device.name))


# Writes to tensors from outside.


def test_running_statistics_go_from_step_to_step(device) -> None:
    """BatchNorm in a loop, with gradients of its parameters: as in a loop of Python."""

    def made() -> Any:
        wf.manual_seed(0)
        return nn.BatchNorm1d(3).to(device.name)

    def run(loop: Any, norm: Any, x: Any) -> Any:
        def body(c: Any, x: Any) -> Any:
            c = norm(c + x).tanh()
            return c, c * 2

        last, ys = loop(body, x[0], x)
        loss = (ys * ys).sum() + last.sum()
        return [loss.detach(), *wf.autograd.grad(loss, list(norm.parameters()))]

    x = wf.tensor(draw(LENGTH, 4, 3), dtype=wf.float32, device=device.name)
    eager, compiled = made(), made()
    step = wf.jit(lambda x: run(scan, compiled, x))
    for _ in range(2):
        for actual, wanted in zip(step(x), run(looped, eager, x), strict=True):
            numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=2e-4, atol=2e-5)
        for actual, wanted in zip(compiled.buffers(), eager.buffers(), strict=True):
            numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-5)
    assert compiled.num_batches_tracked.item() == 2 * LENGTH


VIEWS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda x: x, "row": lambda x: x[1], "transposed": lambda x: x.t()[0], "stepped": lambda x: x[:, ::2][2],
    "detached": lambda x: x.detach()[0],
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("inside", [False, True])
def test_writes_through_views(device, view: str, mode: str, inside: bool) -> None:
    """A view is taken in the body or before it, and another view is read in the same step and afterwards."""
    held = wf.zeros(3, 4, device=device.name)
    expected = numpy.zeros((3, 4), "float32")
    outer = VIEWS[view](held)

    def run(xs: Any) -> Any:
        def body(c: Any, x: Any) -> Any:
            target = VIEWS[view](held) if inside else outer
            target.mul_(0.5).add_(x)
            return c + held[:, 0], held.sum()

        return *scan(body, xs[0, :1].expand(3) * 0, xs[:, 0]), held[1] * 2

    xs = draw(LENGTH, 1).astype("float32")
    c, sums = numpy.zeros(3, "float32"), []
    target = {"transposed": expected.T[0], "detached": expected[0]}.get(view)
    target = VIEWS[view](expected) if target is None else target
    for x in xs[:, 0]:
        target *= 0.5
        target += x
        c = c + expected[:, 0]
        sums.append(expected.sum())
    found = MODES[mode](run, [wf.tensor(xs, device=device.name)])
    for actual, wanted in zip(found, (c, numpy.array(sums), expected[1] * 2), strict=True):
        numpy.testing.assert_allclose(actual.numpy(), wanted, rtol=1e-5, atol=1e-6)
    numpy.testing.assert_allclose(held.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_writes_to_values_of_the_program_around(device, mode: str) -> None:
    """The tensors have a history: gradients flow through the writes of each step."""

    def run(x: Any) -> Any:
        x = x.detach().requires_grad_()
        total = x.sum(0) * 0.5

        def body(c: Any, x: Any) -> Any:
            total.add_(x * c)
            return c + 1, (total * 1).sin()

        _, ys = scan(body, wf.zeros((), dtype=x.dtype, device=device.name), x)
        return ys.detach(), total.detach(), *wf.autograd.grad((ys * ys).sum() + total.sum(), [x])

    def plain(x: Any) -> Any:
        import torch

        x = torch.tensor(x, requires_grad=True)
        total, rows = x.sum(0) * 0.5, []
        for at in range(LENGTH):
            total = total + x[at] * at
            rows.append(total.sin())
        ys = torch.stack(rows)
        return ys, total, *torch.autograd.grad((ys * ys).sum() + total.sum(), [x])

    (x,) = tensors(device, (LENGTH, 3))
    bound = 1e-10 if device.supports(wf.float64) else 1e-4
    for actual, wanted in zip(MODES[mode](run, [x]), plain(x.numpy()), strict=True):
        numpy.testing.assert_allclose(actual.numpy(), wanted.detach().numpy(), rtol=bound, atol=bound)


def test_a_body_that_fails_changes_nothing(device) -> None:
    held = wf.zeros(3, device=device.name)

    def body(c: Any, x: Any) -> Any:
        held.add_(1)
        wf.rand(2, device=device.name)
        return c @ wf.ones(7, device=device.name), x

    wf.manual_seed(1)
    state = wf.random.default_generator(device.name).get_state()
    with pytest.raises(RuntimeError, match=r"\(at test_effects\.py"):
        wf.jit(lambda x: scan(body, x[0], x))(wf.ones(2, 3, device=device.name))
    assert held.sum().item() == 0
    assert wf.random.default_generator(device.name).get_state() == state
    (held * 2).sum()


@pytest.mark.parametrize("mode", ["traced", "planned"])
def test_an_argument_is_not_written_from_a_body(device, mode: str) -> None:
    def run(x: Any, held: Any) -> Any:
        return scan(lambda c, x: (c + x, held.add_(x).sum()), x[0], x)

    if mode == "planned":
        with pytest.raises(UnsupportedError, match="the argument held is written in place"):
            MODES[mode](run, [wf.ones(2, 3, device=device.name), wf.zeros(3, device=device.name)])


@pytest.mark.parametrize("mode", MODES)
def test_a_leaf_that_requires_grad_is_written_only_without_gradients(device, mode: str) -> None:
    """A step of gradient descent in every step of a loop; and with gradients on the error of an eager write."""
    weight = wf.zeros(3, device=device.name).requires_grad_()

    def step(c: Any, x: Any) -> Any:
        inner = weight.detach().requires_grad_()
        (grad,) = wf.autograd.grad(((inner - x) ** 2).sum(), [inner])
        with wf.no_grad():
            weight.sub_(grad * 0.25)
        return c, weight.sum()

    def run(x: Any) -> Any:
        with wf.no_grad():
            weight.zero_()
        return scan(step, x[0], x)[1].detach()

    x = wf.ones(3, 3, device=device.name)
    numpy.testing.assert_allclose(MODES[mode](run, [x]).numpy(), [1.5, 2.25, 2.625], rtol=1e-5)
    assert weight.requires_grad and weight.is_leaf
    with pytest.raises(GradError, match="a leaf tensor that requires grad is written in place"):
        MODES[mode](lambda x: scan(lambda c, x: (c, weight.add_(x).sum()), x[0], x)[1], [x])


def test_steps_of_training_in_a_loop(device) -> None:
    """Parameters and the optimizer's state go from step to step: as in a loop of Python."""

    def made() -> Any:
        wf.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).to(device.name)
        return model, wf.optim.Adam(model.parameters(), lr=0.01)

    def run(loop: Any, model: Any, optimizer: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            loss = (model(x) - x.sum(-1, True)).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return c, loss.detach()

        return loop(step, xs[0, 0], xs)[1]

    xs = wf.tensor(draw(LENGTH, 6, 3), dtype=wf.float32, device=device.name)
    (model, optimizer), (other, other_optimizer) = made(), made()
    compiled = wf.jit(lambda xs: run(scan, model, optimizer, xs))
    for _ in range(2):
        expected = run(looped, other, other_optimizer, xs)
        numpy.testing.assert_allclose(compiled(xs).numpy(), expected.numpy(), rtol=1e-4)
    for parameter, same in zip(model.parameters(), other.parameters(), strict=True):
        numpy.testing.assert_allclose(parameter.detach().numpy(), same.detach().numpy(), rtol=1e-4, atol=1e-6)
        assert parameter.is_leaf and parameter.grad is None


def test_gradients_add_up_over_a_loop(device) -> None:
    """Gradients accumulate in an existing ``grad``; without one, an error gives advice."""
    weight = wf.ones(3, device=device.name).requires_grad_()
    optimizer = wf.optim.SGD([weight], lr=0.1)

    def run(x: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            (weight * x).sum().backward()
            return c, ()

        scan(step, x[0], x)
        return weight.grad * 1

    x = wf.tensor(draw(LENGTH, 3), dtype=wf.float32, device=device.name)
    with pytest.raises(
        UnsupportedError,
        match=r"grad of a tensor \[3\] is None before the body and set by it, expected None after it",
    ):
        wf.jit(run)(x)
    assert weight.grad is None
    weight.grad = wf.zeros(3, device=device.name)
    optimizer.zero_grad(set_to_none=False)
    numpy.testing.assert_allclose(wf.jit(run)(x).numpy(), x.numpy().sum(0), rtol=1e-5)
    numpy.testing.assert_allclose(weight.grad.numpy(), x.numpy().sum(0), rtol=1e-5)


# What a gradient needs.


@pytest.mark.parametrize("mode", MODES)
def test_operands_of_a_loop_may_be_written_afterwards(device, mode: str) -> None:
    """A gradient reads the operands as they were before the write."""

    def run(x: Any) -> Any:
        x = x.detach().requires_grad_()
        xs, start = x * 2, x[0] * 1
        last, ys = scan(lambda c, x: (c + x * 3, c + 1), start, xs)
        xs.mul_(5)
        start.zero_()
        ys.mul_(2)
        return wf.autograd.grad(last.sum() + ys.sum() + xs.sum(), [x])[0]

    (x,) = tensors(device, (3, 2))
    expected = numpy.array([[2 * 3 + 10 + 1 + 6 + 12 * 2], [2 * 3 + 10 + 12], [2 * 3 + 10]]) + numpy.zeros(
        (3, 2)
    )
    numpy.testing.assert_allclose(MODES[mode](run, [x]).numpy(), expected, rtol=1e-6)


def test_the_gradient_of_a_loop_takes_only_what_it_reads(device) -> None:
    def operands(body: Callable[..., Any]) -> int:
        def run(x: Any, w: Any) -> Any:
            x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
            last, _ = scan(lambda c, x: (body(c, x, w), c), x[0], x)
            return wf.autograd.grad(last.sum(), [x, w], allow_unused=True)

        graph = trace(run, *(tensor.float() for tensor in tensors(device, (4, 3), (3,)))).graph
        _, backward = [node for node in graph.nodes if node.op == "scan"]
        return len(backward.inputs)

    assert operands(lambda c, x, w: c + x + w) == 2  # the gradients that it carries: of c, and summed up of w
    assert operands(lambda c, x, w: c * x + w) == 4  # and what each step began with, and its element
    assert operands(lambda c, x, w: (c + x) * w) == 5  # all


def test_captures_in_a_body_are_refused(device) -> None:
    def run(x: Any) -> Any:
        return scan(lambda c, x: (wf.capture("sum", c + x), ()), x[0], x)[0]

    x = wf.ones(3, 2, device=device.name)
    function = wf.jit(run)
    numpy.testing.assert_array_equal(function(x).numpy(), [4, 4])
    with pytest.raises(
        UnsupportedError, match="capture: the call is of 'sum' in the body of a loop or a branch"
    ):
        function.with_captures(x)


def test_a_traced_value_that_leaves_its_body_is_an_error(device) -> None:
    kept: list[Any] = []

    def run(x: Any) -> Any:
        last, _ = scan(lambda c, x: (kept.append(c * x), (c + x, c))[1], x[0], x)
        return last + kept[0]

    with pytest.raises(UnsupportedError, match="a traced tensor is used outside of its trace"):
        wf.jit(run)(wf.ones(3, 2, device=device.name))
    kept.clear()


def test_each_step_of_a_while_loop_draws_numbers(device) -> None:
    """Later draws continue behind all draws of the loop."""

    def run(limit: Any) -> Any:
        _, total = while_loop(
            lambda n, t: n < limit, lambda n, t: (n + 1, t + wf.rand((), device=device.name)),
            (wf.zeros((), dtype=wf.int64, device=device.name), wf.zeros((), device=device.name)),
        )  # fmt: skip
        return total, wf.rand((), device=device.name)

    function = wf.jit(run)
    for limit in (0, 1, 4):
        wf.manual_seed(9)
        drawn = [wf.rand((), device=device.name).item() for _ in range(limit + 1)]
        wf.manual_seed(9)
        total, after = function(wf.tensor(limit, device=device.name))
        assert after.item() == drawn[-1]
        numpy.testing.assert_allclose(total.item(), sum(drawn[:-1]), rtol=1e-6)
