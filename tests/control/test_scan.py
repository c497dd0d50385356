"""``scan`` against loops of PyTorch: values and gradients of first and second order, run, traced and planned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import pytest
import torch

import weft as wf
from weft import nn
from weft.autograd.check import gradcheck, gradgradcheck
from weft.compiler import scan, trace
from weft.errors import ArgumentError, ShapeError
from weft.graph import Graph, compile_graph, interpret
from weft.utils.tree import flatten

Tree = Any
LENGTH = 5


def draw(*shape: int, seed: int = 0) -> numpy.ndarray:
    return numpy.random.default_rng(seed).uniform(-1, 1, shape)


def looped(
    f: Callable[..., Any], init: Tree, xs: Tree, length: int | None, reverse: bool
) -> tuple[Tree, Tree]:
    """What a scan is, in PyTorch."""
    leaves, rebuild = flatten(xs if xs is not None else ())
    count = len(leaves[0]) if leaves else int(length or 0)
    carry, rows, like = init, [], None
    for at in reversed(range(count)) if reverse else range(count):
        carry, y = f(carry, rebuild([leaf[at] for leaf in leaves]) if xs is not None else None)
        found, like = flatten(y)
        rows.append(found)
    columns = [torch.stack(list(column)) for column in zip(*(rows[::-1] if reverse else rows), strict=True)]
    assert like is not None
    return carry, like(columns)


@dataclass(frozen=True)
class Case:
    """A body with its trees of arrays; ``closed`` are captured values."""

    body: Callable[..., Any]
    init: Tree
    xs: Tree = None
    length: int | None = None
    reverse: bool = False
    closed: tuple[numpy.ndarray, ...] = ()
    inner: bool = False
    """Whether the body takes the loop's own function first: it has a loop within."""


def cell(h, x, w):
    h = (h @ w + x).tanh()
    return h, h * 2


def trees(carry, x):
    a, b = carry["a"], carry["b"][0]
    a, b = (a + x[0]).sin(), b * 0.5 + x[1]["u"] * a
    return {"a": a, "b": (b,)}, {"sum": a + b, "pair": [a * b, b]}


def counted(carry, x):
    count, h = carry
    return (count + 1, (h * 0.9 + x * count).sin()), (count, h * count)


def nested(loop, h, x, w):
    """A loop over rows with an inner loop of three steps; the last loop runs in reverse."""

    def inner(state, row):
        state = (state * w[0] + row).tanh()
        return state, state * h

    state, rows = loop(inner, x[0] * h, x, None, True)
    return (h + state).sin(), rows.sum(0) + state


def three_deep(loop, h, x):
    """Nested loops that use only carried values."""

    def middle(state, row):
        last, rows = loop(lambda a, b: ((a * b).sin(), a + b), state, row, None, False)
        return last, rows.sum(0)

    state, rows = loop(middle, h, x, None, True)
    return state * 0.5 + h, rows * state


CASES: dict[str, Case] = {
    "cell": Case(cell, draw(3, 4), draw(LENGTH, 3, 4, seed=1), closed=(draw(4, 4, seed=2),)),
    "reverse": Case(cell, draw(3, 4), draw(LENGTH, 3, 4, seed=1), reverse=True, closed=(draw(4, 4, seed=2),)),
    "one step": Case(cell, draw(3, 4), draw(1, 3, 4, seed=1), closed=(draw(4, 4, seed=2),)),
    "trees": Case(
        trees, {"a": draw(3), "b": (draw(3, seed=1),)}, (draw(LENGTH, 3, seed=2), {"u": draw(LENGTH, 3, seed=3)})
    ),
    "without xs": Case(lambda h, _, w: ((h * w).sin(), h.cos()), draw(3), None, 4, closed=(draw(3, seed=1),)),
    "without xs in reverse": Case(lambda h, _: (h.sin(), h.cos()), draw(3), None, 4, True),
    "without a carry": Case(lambda carry, x: (carry, x * x), (), draw(LENGTH, 3)),
    "no ys": Case(lambda h, x: ((h * x).cos(), ()), draw(3), draw(LENGTH, 3, seed=1)),
    "integers": Case(counted, (numpy.array(1), draw(3)), draw(LENGTH, 3, seed=1)),
    "integer xs": Case(lambda h, n: (h * 0.5 + n, h * n), draw(3), numpy.arange(LENGTH)),
    "swap": Case(lambda c, x: ((c[1], c[0]), c[0] * x), (draw(3), draw(3, seed=1)), draw(LENGTH, 3, seed=2)),
    "swap and change": Case(
        lambda c, x: ((c[1] * x, c[0].sin()), c[0] - c[1]), (draw(3), draw(3, seed=1)), draw(LENGTH, 3, seed=2)
    ),
    "rotate three": Case(
        lambda c, x: ((c[1], c[2], c[0] + x), c[2] * 2), (draw(3), draw(3, seed=1), draw(3, seed=2)), draw(LENGTH, 3, seed=3)
    ),
    "one from two": Case(
        lambda c, x: ((c[1], c[1]), c[0] * x), (draw(3), draw(3, seed=1)), draw(LENGTH, 3, seed=2)
    ),
    "unchanged": Case(
        lambda c, x: ((c[0], c[1] * c[0] + x), c[1]), (draw(3), draw(3, seed=1)), draw(LENGTH, 3, seed=2)
    ),
    "nothing changes": Case(lambda c, x: (c, c * x), draw(3), draw(LENGTH, 3, seed=1)),
    "ys are the carry": Case(lambda c, x: (c + x, c), draw(3), draw(LENGTH, 3, seed=1)),
    "ys are the new carry twice": Case(lambda c, x: ((h := c.sin() + x), (h, h)), draw(3), draw(LENGTH, 3, seed=1)),
    "ys are the xs": Case(lambda c, x: (c * x, x), draw(3), draw(LENGTH, 3, seed=1)),
    "ys are views": Case(
        lambda c, x: ((c * 0.5 + x).sin(), (c.t(), c[1], x[:, ::2])), draw(4, 3), draw(LENGTH, 4, 3, seed=1)
    ),
    "ys from around": Case(lambda c, x, w: (c + x, w), draw(3), draw(LENGTH, 3, seed=1), closed=(draw(2, seed=2),)),
    "carry is a view of itself": Case(lambda c, x: (c.t(), c * x), draw(3, 3), draw(LENGTH, 3, 3, seed=1)),
    "carry is a view of the other": Case(
        lambda c, x: ((c[1].t(), c[0].t().sin()), x * c[0][0]), (draw(3, 2), draw(2, 3, seed=1)), draw(LENGTH, 2, seed=2)
    ),
    "carry from around": Case(
        lambda c, x, w: (w, c * x), draw(3), draw(LENGTH, 3, seed=1), closed=(draw(3, seed=2),)
    ),
    "carry is x": Case(lambda c, x: (x, c * x), draw(3), draw(LENGTH, 3, seed=1)),
    "numbers": Case(lambda c, x: (c * 0.5 + x, c), numpy.array(0.3), draw(LENGTH)),
    "two from around": Case(
        lambda c, x, w, v: (c @ w + v, (c * v).sum()), draw(2, 3), draw(LENGTH, 1), closed=(draw(3, 3), draw(3, seed=4))
    ),
    "nested": Case(nested, draw(3), draw(2, 4, 3, seed=1), closed=(draw(2, 3, seed=2),), inner=True),
    "three deep": Case(three_deep, draw(3), draw(2, 2, 3, 3, seed=1), inner=True),
    "nested in reverse": Case(
        nested, draw(3), draw(2, 4, 3, seed=1), reverse=True, closed=(draw(2, 3, seed=2),), inner=True
    ),
}  # fmt: skip


def program(case: Case, loop: Callable[..., Any], grad: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Values, gradients, and gradients of the gradients' squares, as a function of all leaves."""
    init, rebuild_init = flatten(case.init)
    xs, rebuild_xs = flatten(case.xs if case.xs is not None else ())

    def run(*leaves: Any) -> list[Any]:
        leaves = tuple(
            leaf.detach().requires_grad_() if leaf.is_floating_point() else leaf for leaf in leaves
        )
        carry = rebuild_init(list(leaves[: len(init)]))
        sequences = rebuild_xs(list(leaves[len(init) : len(init) + len(xs)])) if case.xs is not None else None
        closed = leaves[len(init) + len(xs) :]
        first = (loop,) if case.inner else ()
        found = loop(
            lambda c, x: case.body(*first, c, x, *closed), carry, sequences, case.length, case.reverse
        )
        results = [value for part in found for value in flatten(part)[0]]
        total = sum((result * result).sin().sum() for result in results if result.is_floating_point())
        wanted = [leaf for leaf in leaves if leaf.is_floating_point()]
        firsts = grad(total, wanted, create_graph=True, allow_unused=True)
        squares = sum((first * first).sum() for first in firsts if first is not None)
        seconds = grad(squares, wanted, allow_unused=True)
        # where nothing depends on a leaf, one of the two may say None and the other zeros
        zeros = [name * 0 for name in wanted]
        firsts, seconds = (
            [z if result is None else result for result, z in zip(made, zeros, strict=True)]
            for made in (firsts, seconds)
        )
        return [value.detach() for value in (*results, *firsts, *seconds)]

    return run


def leaves_of(case: Case) -> list[numpy.ndarray]:
    return [*flatten(case.init)[0], *(flatten(case.xs)[0] if case.xs is not None else []), *case.closed]


def expected_of(case: Case) -> list[numpy.ndarray]:
    run = program(case, looped, torch.autograd.grad)
    return [value.numpy() for value in run(*[torch.tensor(result) for result in leaves_of(case)])]


def given_on(device: Any, case: Case) -> list[Any]:
    kind = wf.float64 if device.supports(wf.float64) else wf.float32
    return [
        wf.tensor(value, dtype=kind if value.dtype.kind == "f" else wf.int64, device=device.name)
        for value in leaves_of(case)
    ]


MODES: dict[str, Callable[[Callable[..., Any], list[Any]], Any]] = {
    "run": lambda run, given: run(*given),
    "traced": lambda run, given: trace(run, *given)(*given),
    "planned": lambda run, given: wf.jit(run)(*given),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_a_loop(device, name: str, mode: str) -> None:
    case = CASES[name]
    found = MODES[mode](program(case, scan, wf.autograd.grad), given_on(device, case))
    bound = 1e-10 if device.supports(wf.float64) else 2e-4
    for at, (result, other) in enumerate(zip(found, expected_of(case), strict=True)):
        scale = max(float(numpy.abs(other).max(initial=0)), 1.0)
        numpy.testing.assert_allclose(
            result.numpy(), other, rtol=bound, atol=bound * scale, err_msg=f"result {at}"
        )


@pytest.mark.parametrize("mode", MODES)
def test_numeric_gradients(mode: str) -> None:
    """Against differences of values, in both orders."""
    given = [
        wf.tensor(draw(*shape, seed=at), dtype=wf.float64, device="cpu").requires_grad_()
        for at, shape in enumerate([(2, 3), (3, 2, 3), (3, 3)])
    ]

    def run(h: Any, xs: Any, w: Any) -> Any:
        last, ys = scan(lambda h, x: cell(h, x, w), h, xs)
        return last, ys

    whole = run if mode == "run" else (lambda *args: trace(run, *args)(*args))
    assert gradcheck(run, given)
    assert gradgradcheck(run, given)
    values = whole(*given)
    for actual, wanted in zip(values, run(*given), strict=True):
        numpy.testing.assert_allclose(actual.detach().numpy(), wanted.detach().numpy(), rtol=1e-12)


def test_a_graph_that_was_traced_without_gradients_has_them() -> None:
    """The loop does not return the carried values that its gradient reads, so a second run computes them."""
    given = [wf.tensor(draw(*shape), dtype=wf.float64, device="cpu") for shape in ((2, 3), (4, 2, 3), (3, 3))]
    graph = trace(lambda h, xs, w: scan(lambda h, x: cell(h, x, w), h, xs), *given).graph
    leaves = [value.detach().requires_grad_() for value in given]
    (last, ys), _ = interpret(graph, leaves, [])
    found = wf.autograd.grad((ys * ys).sum() + last.sum(), leaves)
    others = [value.detach().requires_grad_() for value in given]
    last, ys = scan(lambda h, x: cell(h, x, others[2]), others[0], others[1])
    for actual, wanted in zip(found, wf.autograd.grad((ys * ys).sum() + last.sum(), others), strict=True):
        numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_parameters_around_the_body_get_gradients(device, mode: str) -> None:
    """Captured parameters are states of the trace."""
    wf.manual_seed(0)
    layer = nn.Linear(3, 3).to(device.name)
    h, xs = wf.randn(2, 3, device=device.name), wf.randn(LENGTH, 2, 3, device=device.name)

    def run(h: Any, xs: Any) -> list[Any]:
        last, ys = scan(lambda h, x: ((layer(h) + x).tanh(),) * 2, h, xs)
        return list(wf.autograd.grad((ys * ys).sum() + last.sum(), list(layer.parameters())))

    state = torch.tensor(h.numpy())
    weight, bias = (
        torch.tensor(parameter.detach().numpy(), requires_grad=True) for parameter in layer.parameters()
    )
    total = torch.zeros(())
    for x in torch.tensor(xs.numpy()):
        state = (torch.nn.functional.linear(state, weight, bias) + x).tanh()
        total = total + (state * state).sum()
    expected = torch.autograd.grad(total + state.sum(), [weight, bias])
    for actual, wanted in zip(MODES[mode](run, [h, xs]), expected, strict=True):
        numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_values_of_the_program_around_the_body(device, mode: str) -> None:
    """Captured values are computed before the loop, one of them from a view, and read after the loop."""

    def run(x: Any) -> list[Any]:
        x = x.detach().requires_grad_()
        doubled = x * 2
        row = doubled[1]
        last, ys = scan(lambda c, value: (c * row + value, c + doubled[0]), x.sum(0), doubled)
        return [last, ys, *wf.autograd.grad((last * ys).sum(), [x])]

    given = draw(4, 3)
    x = torch.tensor(given, requires_grad=True)
    doubled = x * 2
    c, rows = x.sum(0), []
    for at in range(4):
        rows.append(c + doubled[0])
        c = c * doubled[1] + doubled[at]
    ys = torch.stack(rows)
    expected = [c, ys, *torch.autograd.grad((c * ys).sum(), [x])]
    found = MODES[mode](run, [wf.tensor(given, dtype=wf.float32, device=device.name)])
    for actual, wanted in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(actual.detach().numpy(), wanted.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_writes_to_values_of_the_body(device, mode: str) -> None:
    """A step writes in place, through a view, to a value that it has computed."""

    def body(c: Any, x: Any) -> tuple[Any, Any]:
        made = c * 2
        made[1] = x
        made.add_(0.5)
        return made * 0.5, made

    given = [
        wf.tensor(value, dtype=wf.float32, device=device.name) for value in (draw(3), draw(LENGTH, seed=1))
    ]
    found = MODES[mode](lambda c, xs: scan(body, c, xs), given)
    c, rows = torch.tensor(draw(3)), []
    for x in torch.tensor(draw(LENGTH, seed=1)):
        made = c * 2
        made[1] = x
        made.add_(0.5)
        rows.append(made)
        c = made * 0.5
    for actual, wanted in zip(found, (c, torch.stack(rows)), strict=True):
        numpy.testing.assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_the_carry_that_is_given_stays(device, mode: str) -> None:
    """A loop works on its own memory, so its operands may be read and passed again afterwards."""

    def run(c: Any, xs: Any) -> list[Any]:
        first, _ = scan(lambda c, x: (c + x, ()), c, xs)
        second, _ = scan(lambda c, x: (c * x, ()), c, xs)
        both, _ = scan(lambda pair, x: ((pair[0] + x, pair[1] * x), ()), (c, c), xs)
        return [c * 1, first, second, *both]

    c, xs = draw(3), draw(LENGTH, 3, seed=1)
    found = MODES[mode](run, [wf.tensor(value, dtype=wf.float32, device=device.name) for value in (c, xs)])
    for actual, wanted in zip(
        found, [c, c + xs.sum(0), c * xs.prod(0), c + xs.sum(0), c * xs.prod(0)], strict=True
    ):
        numpy.testing.assert_allclose(actual.numpy(), wanted, rtol=1e-4, atol=1e-6)


def steps_of(graph: Graph, device: Any) -> int:
    return sum(1 for _ in compile_graph(graph, device.profile).dispatches())


def test_a_loop_is_one_node_of_any_length(device) -> None:
    def run(c: Any, xs: Any) -> Any:
        c = c.detach().requires_grad_()
        last, ys = scan(cell_of, c, xs)
        return wf.autograd.grad((ys * ys).sum() + last.sum(), [c])

    weight = wf.tensor(draw(4, 4), dtype=wf.float32, device=device.name)

    def cell_of(h: Any, x: Any) -> Any:
        return cell(h, x, weight)

    counts = set()
    for length in (2, 200):
        c, xs = wf.zeros(3, 4, device=device.name), wf.zeros(length, 3, 4, device=device.name)
        graph = trace(run, c, xs).graph
        assert [dict(node.attributes)["length"] for node in graph.nodes if node.op == "scan"] == [length] * 2
        counts.add((len(graph.nodes), steps_of(graph, device)))
    assert len(counts) == 1


def test_a_long_loop_runs(device) -> None:
    decay = wf.jit(lambda c, xs: scan(lambda c, x: (c * 0.99 + x, c.sum()), c, xs))
    c, xs = wf.zeros(4, device=device.name), wf.ones(300, 4, device=device.name)
    last, sums = decay(c, xs)
    numpy.testing.assert_allclose(last.numpy(), numpy.full(4, (1 - 0.99**300) / 0.01), rtol=1e-4)
    assert tuple(sums.shape) == (300,)


# What cannot be, and what is said about it; the same in the three modes where the program is wrong in all of them.


X = (4, 3)
WRONG: dict[str, tuple[Callable[[Any, Any], Any], type[Exception], str]] = {
    "shape": (lambda c, xs: scan(lambda c, x: (c[:2], x), c, xs), ShapeError,
              r"scan: the carry that f gives is float32\[2\], expected as init: float32\[3\]"),
    "dtype": (lambda c, xs: scan(lambda c, x: (c > x, x), c, xs), ShapeError,
              r"scan: the carry that f gives is bool\[3\], expected as init"),
    "fewer": (lambda c, xs: scan(lambda c, x: (c[0], x), (c, c), xs), ShapeError, "the carry that f gives"),
    "no pair": (lambda c, xs: scan(lambda c, x: c, c, xs), ArgumentError,
                r"scan: the result of f is Tensor, expected a pair \(carry, y\)"),
    "a number in the carry": (lambda c, xs: scan(lambda c, x: (1.0, x), c, xs), ArgumentError,
                              "scan: a leaf of the tree is a float, expected a tensor"),
    "a number in y": (lambda c, xs: scan(lambda c, x: (c, 1.0), c, xs), ArgumentError,
                      "scan: a leaf of the tree is a float, expected a tensor"),
    "a number in init": (lambda c, xs: scan(lambda c, x: (c, x), 0.0, xs), ArgumentError,
                         "scan: a leaf of the tree is a float, expected a tensor"),
    "two lengths": (lambda c, xs: scan(lambda c, x: (c, ()), c, (xs, xs[:2])), ShapeError,
                    r"scan: xs is of shapes \(4, 3\), \(2, 3\), expected one first dimension"),
    "another length": (lambda c, xs: scan(lambda c, x: (c, x), c, xs, length=5), ShapeError,
                       r"scan: xs is of shapes \(4, 3\), expected one first dimension of 5"),
    "0-d xs": (lambda c, xs: scan(lambda c, x: (c, x), c, xs[0, 0]), ShapeError, r"scan: xs is of shapes \(\)"),
    "no steps": (lambda c, xs: scan(lambda c, x: (c, x), c, xs[:0]), ArgumentError,
                 "scan: xs is of length 0, expected at least one step"),
    "length 0": (lambda c, xs: scan(lambda c, x: (c, ()), c, None, length=0), ArgumentError,
                 "scan: xs is of length 0, expected at least one step"),
    "no length": (lambda c, xs: scan(lambda c, x: (c, ()), c), ArgumentError,
                  "scan: xs is None, and no length, expected sequences, or length=the number of steps"),
    "nothing": (lambda c, xs: scan(lambda c, x: (c, ()), (), None, length=3), ArgumentError,
                "scan: init is without tensors, and no xs, expected at least one tensor"),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_mistake(device, name: str, mode: str) -> None:
    run, kind, message = WRONG[name]
    given = [wf.ones(3, device=device.name), wf.ones(*X, device=device.name)]
    with pytest.raises(kind, match=message):
        MODES[mode](run, given)


def test_steps_may_give_nothing(device) -> None:
    """``(carry, None)``, as JAX's scans without results; ``None`` within trees too."""
    c, xs = wf.zeros((), device=device.name), wf.tensor([1.0, 2.0, 3.0], device=device.name)

    def without(c, xs):
        return scan(lambda c, x: (c + x, None), c, xs)

    def within(c, xs):
        return scan(
            lambda c, x: ((c[0] + x["x"], None), {"y": c[0], "none": None}), (c, None), {"x": xs, "no": None}
        )

    for run in (without, wf.jit(without)):
        total, ys = run(c, xs)
        assert total.item() == 6.0 and ys is None
    for run in (within, wf.jit(within)):
        (total, nothing), ys = run(c, xs)
        assert total.item() == 6.0 and nothing is None
        assert ys["y"].tolist() == [0.0, 1.0, 3.0] and ys["none"] is None
