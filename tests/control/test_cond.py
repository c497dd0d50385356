"""``cond`` against PyTorch's ``if``: values and gradients of both orders, run, traced, planned and looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from tests.devices.plans import download, upload
from weft import nn
from weft.autograd.check import gradcheck, gradgradcheck
from weft.compiler import cond, scan, trace
from weft.compiler.jit import JitFunction
from weft.devices.cpu import CpuDevice
from weft.errors import ArgumentError, ArgumentTypeError, NotANumberError, ShapeError
from weft.graph import Graph
from weft.ops import lookup
from weft.plan import Branch, Plan

Tree = Any


def draw(*shape: int, seed: int = 0) -> numpy.ndarray:
    return numpy.random.default_rng(seed).uniform(-1, 1, shape)


def torch_cond(pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
    """What a cond is, in Python."""
    return (true_fn if bool(pred) else false_fn)(*operands)


def debugged(run: Callable[..., Any], given: list[Any]) -> Any:
    with wf.debug(nan=True):
        return wf.jit(run)(*given)


MODES: dict[str, Callable[[Callable[..., Any], list[Any]], Any]] = {
    "run": lambda run, given: run(*given),
    "traced": lambda run, given: trace(run, *given)(*given),
    "planned": lambda run, given: wf.jit(run)(*given),
    "debugged": debugged,
}


@dataclass(frozen=True)
class Case:
    """A program that takes ``cond`` and arrays, of which the first is the predicate."""

    program: Callable[..., Any]
    arrays: tuple[numpy.ndarray, ...]


def plain(cond, c, x, w):
    return cond(c.sum() > 0, lambda x: (x * w).sin(), lambda x: x - w * w, (x,))


def from_around(cond, c, x, w):
    y = x * 2
    return cond(c.sum() > 0, lambda: y * w, lambda: (y + x).cos())


def same(cond, c, x, w):
    """What is given is given back: the results share nothing."""
    a, b = cond(c.sum() > 0, lambda x, w: (x, w), lambda x, w: (w, x), (x, w))
    return a * 2, b, x


def views(cond, c, x, w):
    x = x.reshape(2, 2)
    return cond(c.sum() > 0, lambda x: x.t(), lambda x: x[:, :1] + w.reshape(2, 2)[1:], (x,)).sin()


def trees(cond, c, x, w):
    made = cond(
        c.sum() > 0,
        lambda p: {"a": p["x"] * p["w"][0], "b": [p["x"].sum()]},
        lambda p: {"a": p["w"][0].exp(), "b": [p["x"][0]]},
        ({"x": x, "w": (w,)},),
    )
    return made["a"] * made["b"][0]


def nested(cond, c, x, w):
    def inner(x):
        return cond(x.sum() > 0, lambda: x * w, lambda: x - w)

    return cond(c.sum() > 0, lambda: inner(x) * 2, lambda: inner(-x).cos())


def chained(cond, c, x, w):
    for _ in range(3):
        x = cond(x.sum() * c.sum() > 0, lambda x: x.sin() - w, lambda x: x.cos() + w, (x,))
    return x


def one_side_only(cond, c, x, w):
    return cond(c.sum() > 0, lambda x: x * w, lambda x: x * 0 + 1, (x,))


def constants(cond, c, x, w):
    return cond(c.sum() > 0, lambda x: x * 0 + 3, lambda x: x * x, (x,)) * w


def whole_numbers(cond, c, x, w):
    n, y = cond(c.sum() > 0, lambda x: ((x > 0).sum(), x * 2), lambda x: ((x < 0).sum() * 10, x), (x,))
    return y * n


def detached(cond, c, x, w):
    return cond(c.sum() > 0, lambda x: x.detach() * x * w, lambda x: (x * w).detach() + w, (x,))


def matrix(cond, c, x, w):
    m = x.reshape(2, 2)
    return cond(c.sum() > 0, lambda: m @ w.reshape(2, 2), lambda: (m @ m).softmax(-1))


def zero_sized(cond, c, x, w):
    empty, y = cond(c.sum() > 0, lambda: (x[:0], x * 2), lambda: (w[:0], w * 2))
    return y, empty


PROGRAMS = [
    plain, from_around, same, views, trees, nested, chained, one_side_only, constants, whole_numbers, detached, matrix,
    zero_sized,
]  # fmt: skip


def leaves_of(tree: Any) -> list[Any]:
    return [value for part in tree for value in leaves_of(part)] if isinstance(tree, tuple | list) else [tree]


def whole(
    program: Callable[..., Any], cond: Callable[..., Any], grad: Callable[..., Any]
) -> Callable[..., Any]:
    """Values, gradients, and gradients of the gradients' squares."""

    def run(*arrays: Any) -> list[Any]:
        leaves = [array.detach().requires_grad_() for array in arrays]
        results = leaves_of(program(cond, *leaves))
        floats = [result for result in results if result.is_floating_point()]
        total = sum((result * result).sin().sum() for result in floats)
        firsts = grad(total, leaves, create_graph=True, allow_unused=True)
        squares = sum(((first * first).sum() for first in firsts if first is not None), start=total * 0)
        seconds = grad(squares, leaves, allow_unused=True)
        zeros = [
            leaf * 0 for leaf in leaves
        ]  # where nothing depends on a leaf, one may say None, the other zeros
        made = [
            z if result is None else result
            for found in (firsts, seconds)
            for z, result in zip(zeros, found, strict=True)
        ]
        return [value.detach() for value in (*results, *made)]

    return run


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda value: value.__name__)
def test_values_and_gradients_are_those_of_an_if(device, program: Callable[..., Any], mode: str) -> None:
    kind = wf.float64 if device.supports(wf.float64) else wf.float32
    bound = 1e-10 if kind is wf.float64 else 2e-4
    run = whole(program, cond, wf.autograd.grad)
    jitted = wf.jit(run)
    for sign in (1, -1):
        arrays = [numpy.array([sign, 0.5 * sign]), draw(4, seed=1) + 0.3, draw(4, seed=2)]
        expected = whole(program, torch_cond, torch.autograd.grad)(*map(torch.tensor, arrays))
        given = [wf.tensor(array, dtype=kind, device=device.name) for array in arrays]
        found = jitted(*given) if mode == "planned" else MODES[mode](run, given)
        for at, (result, other) in enumerate(zip(found, expected, strict=True)):
            numpy.testing.assert_allclose(
                result.numpy(), other.numpy(), rtol=bound, atol=bound * 10, err_msg=f"{sign}, result {at}"
            )
    assert jitted.compilations == (mode == "planned")


@pytest.mark.parametrize("sign", [1, -1])
def test_numeric_gradients(sign: int) -> None:
    x, w = (
        wf.tensor(draw(3, seed=at) + 0.1, dtype=wf.float64, device="cpu").requires_grad_() for at in (0, 1)
    )

    def run(x: Any, w: Any) -> Any:
        return cond(
            wf.tensor(sign, device="cpu") > 0, lambda x: (x * w).exp(), lambda x: (x / 2 - w).tanh(), (x,)
        )

    traced = trace(run, x, w)
    assert [node.op for node in traced.graph.nodes].count("cond") == 1
    assert gradcheck(run, [x, w])
    assert gradgradcheck(run, [x, w])


def plan_of(function: JitFunction) -> Plan:
    executor: Any = function._programs[0]._executor
    return getattr(executor, "plan", None) or executor.replay.plan


def test_a_plan_has_both_branches_and_runs_one(device) -> None:
    """A call has the dispatches of one branch; both branches write their results to the same memory, without copies."""

    def run(c: Any, x: Any) -> Any:
        return cond(c > 0, lambda x: x.sin().sum(0).exp(), lambda x: x[0] * 2, (x,))

    function = wf.jit(run)
    c, x = wf.tensor(1.0, device=device.name), wf.tensor(draw(64, 300), dtype=wf.float32, device=device.name)
    results = [function(sign * c, x) for sign in (1, -1)]
    plan = plan_of(function)
    (branch,) = [step for step in plan.steps if isinstance(step, Branch)]
    assert len(branch.otherwise) == 1
    targets = [
        {place for step in body for place in step.places if place.space == "output"}
        for body in (branch.then, branch.otherwise)
    ]
    assert targets[0] == targets[1] and len(targets[0]) == 1
    assert f"if {branch.predicate!r}:" in repr(plan) and "else:" in repr(plan)
    counts = []
    for sign in (1, -1):
        before = device.memory_stats().dispatches
        results.append(function(sign * c, x))
        counts.append(device.memory_stats().dispatches - before)
    outside = len([step for step in plan.steps if not isinstance(step, Branch)])
    if device.name == "cpu":
        assert counts == [outside + 1 + len(branch.then), outside + 1 + len(branch.otherwise)]
    for actual, wanted in zip(
        results, [numpy.exp(numpy.sin(x.numpy()).sum(0)), x.numpy()[0] * 2] * 2, strict=True
    ):
        numpy.testing.assert_allclose(actual.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_results_of_calls_are_apart(device) -> None:
    function = wf.jit(lambda c, x: cond(c > 0, lambda x: x * 2, lambda x: x + 1, (x,)))
    x = wf.ones(3, device=device.name)
    found = [function(wf.tensor(float(c), device=device.name), x * at) for at, c in enumerate((1, -1, 1, -1))]
    for actual, wanted in zip(found, (0, 2, 4, 4), strict=True):
        numpy.testing.assert_array_equal(actual.numpy(), numpy.full(3, wanted))


@pytest.mark.parametrize("mode", MODES)
def test_parameters_around_the_branches_get_gradients(device, mode: str) -> None:
    wf.manual_seed(0)
    first, second = nn.Linear(3, 3).to(device.name), nn.Linear(3, 3).to(device.name)
    parameters = [*first.parameters(), *second.parameters()]
    x = wf.randn(2, 3, device=device.name)

    def run(c: Any, x: Any) -> list[Any]:
        y = cond(c > 0, lambda x: first(x).tanh(), lambda x: second(x) * 2, (x,))
        found = wf.autograd.grad((y * y).sum(), parameters, allow_unused=True)
        return [wf.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]

    for sign in (1.0, -1.0):
        weights = [torch.tensor(parameter.detach().numpy(), requires_grad=True) for parameter in parameters]
        linear, given = torch.nn.functional.linear, torch.tensor(x.numpy())
        y = linear(given, *weights[:2]).tanh() if sign > 0 else linear(given, *weights[2:]) * 2
        expected = torch.autograd.grad((y * y).sum(), weights, allow_unused=True)
        found = MODES[mode](run, [wf.tensor(sign, device=device.name), x])
        for actual, wanted, weight in zip(found, expected, weights, strict=True):
            wanted = torch.zeros_like(weight) if wanted is None else wanted
            numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_the_gradient_is_a_branch_too(device) -> None:
    """The gradient takes only the operands that the gradients of the branches read."""
    x = wf.ones(3, device=device.name)

    def run(c: Any, x: Any, unread: Any) -> Any:
        x = x.detach().requires_grad_()
        y = cond(c > 0, lambda x: x * 2 + unread, lambda x: x.sin(), (x,))
        return wf.autograd.grad(y.sum(), [x])

    graph = trace(run, wf.tensor(1.0, device=device.name), x, x).graph
    forward, backward = [node for node in graph.nodes if node.op == "cond"]
    assert len(forward.inputs) == 3 and len(backward.inputs) == 3  # predicate, x, and unread or the gradient


def test_branches_keep_states_that_they_do_not_write(device) -> None:
    """One branch writes a captured tensor; the other branch does not change it."""
    state, untouched = wf.zeros(4, device=device.name), wf.zeros(2, device=device.name)

    def run(c: Any, x: Any) -> Any:
        def taken() -> Any:
            state.add_(x)
            state[1] = 7.0
            return state.sum()

        def other() -> Any:
            untouched.mul_(2).add_(1)
            return x.sum()

        return cond(c > 0, taken, other), state * 1

    for given_mode in (run, wf.jit(run)):
        with wf.no_grad():
            state.zero_()
            untouched.zero_()
        x = wf.ones(4, device=device.name)
        found = [given_mode(wf.tensor(float(c), device=device.name), x) for c in (1, -1, -1, 1)]
        assert [value[0].item() for value in found] == [10, 4, 4, 13]
        numpy.testing.assert_array_equal(found[1][1].numpy(), [1, 7, 1, 1])
        numpy.testing.assert_array_equal(state.numpy(), [2, 7, 2, 2])
        numpy.testing.assert_array_equal(untouched.numpy(), [3, 3])


def test_a_state_that_is_not_written_is_not_moved(device) -> None:
    """The writing branch works in place, and the other branch has no dispatch for the state."""
    state = wf.zeros(1 << 16, device=device.name)
    function = wf.jit(lambda c, x: cond(c > 0, lambda: (state.mul_(0.5).add_(x), ())[1], lambda: ()))
    x = wf.ones(1 << 16, device=device.name)
    for sign, expected in ((1.0, 1.0), (-1.0, 1.0), (1.0, 1.5), (-1.0, 1.5)):
        function(wf.tensor(sign, device=device.name), x)
        assert state.amax().item() == state.amin().item() == expected
    plan = plan_of(function)
    (branch,) = [step for step in plan.steps if isinstance(step, Branch)]
    assert (len(branch.then), len(branch.otherwise), sum(plan.arenas)) == (1, 0, 256)
    assert plan.steps[-1] is branch and len(plan.steps) == 2


@pytest.mark.parametrize("mode", ["run", "traced", "planned"])
def test_an_operand_may_be_a_view_of_a_written_tensor(device, mode: str) -> None:
    """The view and the tensor share memory in the branch."""
    state = wf.ones(3, 4, device=device.name)

    def run(c: Any, x: Any) -> Any:
        row = state[1]

        def taken(row: Any, x: Any) -> Any:
            state.mul_(0.5)
            x = x + row
            row.add_(1)
            return x + row, state.sum()

        return cond(c > 0, taken, lambda row, x: (row * 1, x.sum()), (row, x))

    found = MODES[mode](run, [wf.tensor(1.0, device=device.name), wf.zeros(4, device=device.name)])
    assert found[0].tolist() == [2.0] * 4 and found[1].item() == 10
    assert state.sum().item() == 10


SWAPS: dict[str, Callable[[Any, Any], Any]] = {
    "swapped": lambda a, b: (t := a * 1, a.copy_(b), b.copy_(t), ())[-1],
    "old and new": lambda a, b: (t := a * 1, a.add_(b), (t, a * 2))[-1],
    "one from the other": lambda a, b: (a.copy_(b), b.mul_(3), a + b)[-1],
    "reversed": lambda a, b: (a.copy_(a.flip(0)), b.add_(a), a - b)[-1],
    "the old one given": lambda a, b: (t := a.clone(), a.copy_(b), t)[-1],
}


@pytest.mark.parametrize("name", SWAPS)
def test_states_that_take_each_others_values(device, name: str) -> None:
    a, b = wf.zeros(4, device=device.name), wf.zeros(4, device=device.name)
    write = SWAPS[name]

    def run(c: Any) -> Any:
        like = write(a * 1, b * 1)  # what a branch gives that writes nothing
        return cond(c > 0, lambda: write(a, b), lambda: like)

    results = []
    for mode in (run, wf.jit(run)):
        a.copy_(wf.arange(4, device=device.name).float())
        b.copy_(wf.arange(4, device=device.name).float() * 10 + 1)
        made: list[Any] = []
        for sign in (1.0, -1.0, 1.0):
            made += [*leaves_of(mode(wf.tensor(sign, device=device.name))), a, b]
            made = [value.numpy().copy() if isinstance(value, wf.Tensor) else value for value in made]
        results.append(made)
    for actual, wanted in zip(*results, strict=True):
        numpy.testing.assert_array_equal(actual, wanted)


def test_branches_draw_the_numbers_that_python_would(device) -> None:
    def run(c: Any) -> list[Any]:
        x = cond(
            c > 0,
            lambda: wf.rand(3, device=device.name),
            lambda: nn.functional.dropout(wf.rand(8, device=device.name))[:3],
        )
        return [x, wf.rand(2, device=device.name)]

    results = []
    for mode in (run, wf.jit(run), lambda c: trace(run, c)(c)):
        wf.manual_seed(3)
        results.append(
            [value.numpy() for c in (1, -1, 1) for value in mode(wf.tensor(float(c), device=device.name))]
        )
    for other in results[1:]:
        for result, same in zip(results[0], other, strict=True):
            numpy.testing.assert_array_equal(result, same)


def test_a_scan_in_a_branch_and_a_branch_in_a_scan(device) -> None:
    def run(c: Any, xs: Any) -> Any:
        def body(h: Any, x: Any) -> Any:
            h = cond(x.sum() > 0, lambda h: (h + x).tanh(), lambda h: h * 0.5 - x, (h,))
            return h, h * 2

        return cond(c > 0, lambda: scan(body, xs[0], xs), lambda: scan(body, xs[1], xs, reverse=True))

    def expected(c: float, xs: Any) -> Any:
        h, rows, order = xs[0] if c > 0 else xs[1], [None] * 6, range(6) if c > 0 else reversed(range(6))
        for at in order:
            h = torch.tanh(h + xs[at]) if xs[at].sum() > 0 else h * 0.5 - xs[at]
            rows[at] = h * 2
        return h, torch.stack(rows)

    array = draw(6, 3)
    function = wf.jit(
        lambda c, xs: (lambda xs: [(y := run(c, xs))[0].detach(), y[1].detach(),
                                   *wf.autograd.grad((y[1] * y[1]).sum() + y[0].sum(), [xs])])(xs.detach().requires_grad_())
    )  # fmt: skip
    for sign in (1.0, -1.0):
        xs = torch.tensor(array, dtype=torch.float32, requires_grad=True)
        last, rows = expected(sign, xs)
        (grad,) = torch.autograd.grad((rows * rows).sum() + last.sum(), [xs])
        given = wf.tensor(array, dtype=wf.float32, device=device.name)
        found = function(wf.tensor(sign, device=device.name), given)
        for actual, wanted in zip(found, (last.detach(), rows.detach(), grad), strict=True):
            numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_a_python_bool_chooses_once() -> None:
    graph = trace(
        lambda x: cond(True, lambda x: x * 2, lambda x: x.sum(), (x,)), wf.ones(3, device="cpu")
    ).graph
    assert [node.op for node in graph.nodes] == ["mul"]


def test_threads_change_no_bit() -> None:
    """Results are bit-identical with one thread and two, and from run to run."""
    function = lambda c, x: cond(c > 0, lambda x: (x.sin() * 2).sum(0), lambda x: x.exp().mean(0), (x,))  # noqa: E731
    bits = set()
    x = wf.tensor(draw(512, 1024), dtype=wf.float32, device="cpu")
    for threads in (1, 2):
        own = CpuDevice(threads=threads)
        jitted = wf.jit(function)
        jitted(wf.tensor(1.0, device="cpu"), x)
        replay = own.prepare(plan_of(jitted))
        for sign in (1.0, -1.0, 1.0, -1.0):
            given = [upload(own, numpy.array(sign, "float32")), upload(own, x.numpy())]
            bits.add((sign, download(own, replay.run(given, [])[0]).tobytes()))
        own.dispose()
    assert len(bits) == 2


def test_references_are_numpy() -> None:
    x = wf.ones(3, device="cpu")
    graph: Graph = trace(lambda c, x: cond(c, lambda x: x * 2, lambda x: x.sin(), (x,)), x.sum() > 0, x).graph
    (node,) = graph.nodes
    op = lookup("cond")
    for flag, expected in ((True, 2.0), (False, numpy.sin(1.0))):
        (found,) = op.reference(numpy.array(flag), numpy.ones(3), **dict(node.attributes))
        numpy.testing.assert_allclose(found, numpy.full(3, expected))


def test_nan_is_found_within_a_branch(device) -> None:
    function = wf.jit(lambda x: cond(x.sum() < 0, lambda x: x.sqrt() * 2, lambda x: x, (x,)))
    with wf.debug(nan=True), pytest.raises(NotANumberError, match=r"sqrt: .* \(at test_cond\.py:\d+\)"):
        function(-wf.ones(3, device=device.name))
    with wf.debug(nan=True):
        assert function(wf.ones(3, device=device.name)).sum().item() == 3


def test_explain_shows_both_branches(capsys) -> None:
    x = wf.ones(3, device="cpu")
    found = wf.explain(lambda x: cond(x.sum() > 0, lambda x: x * 2, lambda x: x.sin(), (x,)), x)
    assert "then=graph(" in str(found) and "otherwise=graph(" in str(found)
    assert "cond<br/>float32[3]" in found.mermaid()
    assert capsys.readouterr().out


X = (3,)
WRONG: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "shapes": (lambda x: cond(x.sum() > 0, lambda x: x, lambda x: x[:2], (x,)), ShapeError,
               r"cond: the result of false_fn is float32\[2\], expected float32\[3\], as true_fn returns; .*\(at test_cond"),
    "dtypes": (lambda x: cond(x.sum() > 0, lambda x: x, lambda x: x > 0, (x,)), ShapeError,
               r"cond: the result of false_fn is bool\[3\], expected float32\[3\], as true_fn returns"),
    "trees": (lambda x: cond(x.sum() > 0, lambda x: {"a": x}, lambda x: {"a": x, "b": x}, (x,)), ShapeError,
              r"is a tree of 2 tensors \(result\['a'\], result\['b'\]\), expected a tree of 1 tensors \(result\['a'\]\)"),
}  # fmt: skip
WRONG_ANYHOW: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "number": (lambda x: cond(1, lambda x: x, lambda x: x, (x,)), ArgumentTypeError,
               "cond: pred is a int, expected a 0-d tensor of bool"),
    "float predicate": (lambda x: cond(x.sum(), lambda x: x, lambda x: x, (x,)), ArgumentTypeError,
                        r"cond: pred is float32\[\], expected a 0-d tensor of bool; compare"),
    "wide predicate": (lambda x: cond(x > 0, lambda x: x, lambda x: x, (x,)), ArgumentTypeError,
                       r"cond: pred is bool\[3\], expected a 0-d tensor of bool"),
    "number result": (lambda x: cond(x.sum() > 0, lambda x: 1.0, lambda x: x, (x,)), ArgumentError,
                      "cond: a result.* is a float, expected a tensor"),
    "number operand": (lambda x: cond(x.sum() > 0, lambda x: x, lambda x: x, (1.0,)), ArgumentError,
                       "cond: an operand is a float, expected a tensor"),
    "operands": (lambda x: cond(x.sum() > 0, lambda x: x, lambda x: x, x), ArgumentTypeError,
                 "cond: operands is a Tensor, expected a tuple of the functions' arguments"),
    "no function": (lambda x: cond(x.sum() > 0, x, lambda x: x, (x,)), ArgumentTypeError,
                    "cond: true_fn is a Tensor, expected a function"),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["traced", "planned"])
@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_difference_of_branches(device, name: str, mode: str) -> None:
    run, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        MODES[mode](run, [wf.ones(*X, device=device.name)])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WRONG_ANYHOW)
def test_errors_name_the_mistake(device, name: str, mode: str) -> None:
    run, kind, message = WRONG_ANYHOW[name]
    with pytest.raises(kind, match=message):
        MODES[mode](run, [wf.ones(*X, device=device.name)])


def test_an_error_in_a_branch_names_its_line_and_changes_nothing(device) -> None:
    state = wf.zeros(3, device=device.name)
    version = state._data.version

    def run(x: Any) -> Any:
        def bad() -> Any:
            state.add_(1)
            return x @ wf.ones(7, device=device.name)

        return cond(x.sum() > 0, bad, lambda: x.sum())

    with pytest.raises(ShapeError, match=r"\(at test_cond\.py:\d+\)"):
        wf.jit(run)(wf.ones(3, device=device.name))
    assert state.sum().item() == 0 and state._data.version == version
    state.add_(1)
