"""``while_loop`` compared with Python loops: eager, traced, planned and under ``debug``; side effects and errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy
import pytest

import weft as wf
from tests.control.test_cond import MODES, draw, plan_of
from weft import devices, nn
from weft.compiler import cond, scan, trace, while_loop
from weft.errors import ArgumentError, ArgumentTypeError, IndexOutOfRangeError, ShapeError, UnsupportedError
from weft.ops import lookup
from weft.plan import Loop, While


def python_loop(cond_fn: Any, body_fn: Any, carried: Any) -> Any:
    """What a while loop is, in Python."""
    while cond_fn(*carried):
        carried = body_fn(*carried)
    return carried


def number(device: Any, value: int = 0) -> Any:
    return wf.tensor(value, device=device.name)


# Each takes the loop, a limit and arrays, which are of NumPy or tensors.

Program = Callable[..., Any]


def counting(loop, limit, n, x):
    return loop(lambda n, x: n < limit, lambda n, x: (n + 1, x * 2), (n, x))


def swapped(loop, limit, n, x):
    return loop(lambda n, a, b: n < limit, lambda n, a, b: (n + 1, b, a + b), (n, x, x * 3))


def rotated(loop, limit, n, x):
    return loop(lambda n, a, b, c: n < limit, lambda n, a, b, c: (n + 1, c, a, b), (n, x, x * 2, x * 3))


def doubled(loop, limit, n, x):
    """One value becomes two."""
    return loop(lambda n, a, b: n < limit, lambda n, a, b: (n + 1, b, b), (n, x, x * 2))


def transposed(loop, limit, n, x):
    m = x.reshape(2, 2)
    return loop(lambda n, m: n < limit, lambda n, m: (n + 1, (m * 2).T), (n, m))


def from_around(loop, limit, n, x):
    w = x * 0.5
    return loop(lambda n, y: n < limit, lambda n, y: (n + 1, y * w + x), (n, w))


def by_value(loop, limit, n, x):
    """Until the carried value says so."""
    return loop(lambda n, y: (y * y).sum() < limit * 100, lambda n, y: (n + 1, y * 1.5), (n, x))


def flagged(loop, limit, n, x):
    """The condition is itself carried."""
    return loop(lambda go, n, y: go, lambda go, n, y: (n + 2 < limit, n + 1, y + 1), (n < limit, n, x))


def loops_within(loop, limit, n, x):
    def outer(n, x):
        _, x = loop(lambda k, y: k < n, lambda k, y: (k + 1, y + 1), (n * 0, x))
        return n + 1, x * 2

    return loop(lambda n, x: n < limit, outer, (n, x))


PROGRAMS = [
    counting, swapped, rotated, doubled, transposed, from_around, by_value, flagged, loops_within,
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda value: value.__name__)
def test_values_are_those_of_a_loop(device, program: Program, mode: str) -> None:
    def run(limit: Any, x: Any) -> Any:
        return program(while_loop, limit, number(device), x)

    jitted = wf.jit(run)
    x = numpy.array([0.5, 1, -2, 3], "float32")
    for limit in (0, 1, 2, 5):
        expected = program(python_loop, limit, numpy.int64(0), x)
        given = [number(device, limit), wf.tensor(x, device=device.name)]
        found = jitted(*given) if mode == "planned" else MODES[mode](run, given)
        for actual, wanted in zip(found, expected, strict=True):
            numpy.testing.assert_allclose(actual.numpy(), wanted, rtol=1e-6)


def test_newton_to_convergence(device) -> None:
    """Each row stops at its convergence, and the loop stops with the last row."""

    @wf.jit
    def roots(a: Any, tolerance: Any) -> Any:
        def body(x: Any, steps: Any) -> Any:
            return (x + a / x) / 2, steps + 1

        return while_loop(
            lambda x, steps: ((x * x - a).abs() > tolerance * a).any(), body, (a, number(device))
        )

    for values, most in ((numpy.array([2.0, 9.0, 100.0]), 12), (numpy.array([1.0, 1.0, 1.0]), 0)):
        x, steps = roots(wf.tensor(values, dtype=wf.float32, device=device.name), 1e-5)
        numpy.testing.assert_allclose(x.numpy(), numpy.sqrt(values), rtol=1e-5)
        assert steps.item() <= most and (steps.item() > 3) == (most > 0)


def test_a_decoder_that_stops_early(device) -> None:
    """Greedy decoding: a state, a token and a buffer of tokens, until the end token or the buffer is full."""
    wf.manual_seed(1)
    embedding, cell, head = nn.Embedding(8, 6), nn.GRUCell(6, 6), nn.Linear(6, 8)
    model = nn.ModuleList([embedding, cell, head]).to(device.name)
    room = 20

    def decode(loop: Any, token: Any, end: Any) -> Any:
        def step(at: Any, token: Any, h: Any, tokens: Any) -> Any:
            h = cell(embedding(token), h)
            token = (head(h) * 5).argmax(-1)
            return at + 1, token, h, tokens.index_copy(0, at.reshape(1), token)

        start = (number(device), token, wf.zeros(1, 6, device=device.name),
                 wf.full((room,), -1, dtype=wf.int64, device=device.name))  # fmt: skip
        with wf.no_grad():
            at, *_, tokens = loop(lambda at, token, *_: (at < room) & (token[0] != end), step, start)
        return at, tokens

    compiled = wf.jit(lambda token, end: decode(while_loop, token, end))
    lengths = set()
    for first in (0, 1, 4):
        token = wf.tensor([first], device=device.name)
        _, everything = decode(python_loop, token, number(device, -1))
        for end in (-1, *everything.numpy()[[0, 3, 9]].tolist()):
            at, tokens = decode(python_loop, token, number(device, end))
            found_at, found = compiled(token, number(device, end))
            assert found_at.item() == at.item()
            numpy.testing.assert_array_equal(found.numpy(), tokens.numpy())
            lengths.add(at.item())
    assert len(lengths) > 1 and compiled.compilations == 1
    assert list(model.parameters())


def test_a_plan_has_one_loop_of_the_required_steps(device) -> None:
    function = wf.jit(
        lambda limit, x: while_loop(
            lambda n, x: n < limit, lambda n, x: (n + 1, x.sin()), (number(device), x)
        )
    )
    x = wf.ones(5, device=device.name)
    function(number(device, 3), x)
    plan = plan_of(function)
    (loop,) = [step for step in plan.steps if isinstance(step, While)]
    assert "while:" in repr(plan) and f"is {loop.predicate!r}:" in repr(plan)
    if device.name == "cpu":
        outside = len(plan.steps) - 1
        for steps in (0, 1, 7):
            before = device.memory_stats().dispatches
            function(number(device, steps), x)
            executed = device.memory_stats().dispatches - before
            assert executed == outside + len(loop.condition) * (steps + 1) + len(loop.steps) * steps


def test_many_steps(device) -> None:
    most = 20000 if device.name == "cpu" else 300
    function = wf.jit(
        lambda x: while_loop(lambda n, x: n < most, lambda n, x: (n + 1, x + 1), (number(device), x))
    )
    n, x = function(wf.zeros(3, device=device.name))
    assert n.item() == most and x.numpy().tolist() == [most] * 3


def test_a_while_loop_in_a_scan_and_the_other_way_round(device) -> None:
    def steps(n: Any, x: Any) -> Any:
        return while_loop(lambda k, x: k < n, lambda k, x: (k + 1, x + k), (n * 0, x))[1]

    def run(ns: Any, x: Any) -> Any:
        last, ys = scan(lambda c, n: ((c + steps(n, x)), c), x, ns)

        def outer(k: Any, y: Any) -> Any:
            return k + 1, scan(lambda c, n: (c * 0.5 + n, ()), y, ns)[0]

        return last, ys, while_loop(lambda k, y: k < 3, outer, (number(device), x))[1]

    ns, x = numpy.array([2, 0, 3]), numpy.array([1.0, 2.0], "float32")
    c, ys, y = x, [], x
    for n in ns:
        ys.append(c)
        c = c + x + sum(range(n))
    for n in [*ns] * 3:
        y = y * 0.5 + n
    given = [wf.tensor(ns, device=device.name), wf.tensor(x, device=device.name)]
    for mode in MODES:
        for actual, wanted in zip(MODES[mode](run, given), (c, numpy.stack(ys), y), strict=True):
            numpy.testing.assert_allclose(actual.numpy(), wanted, rtol=1e-6)


def test_a_loop_in_a_branch_and_a_branch_in_a_loop(device) -> None:
    def run(c: Any, x: Any) -> Any:
        def body(n: Any, x: Any) -> Any:
            return n + 1, cond(x.sum() > 2, lambda x: x * 0.5, lambda x: x + 1, (x,))

        return cond(
            c > 0, lambda: while_loop(lambda n, x: n < 4, body, (number(device), x))[1], lambda: x * 100
        )

    for mode in MODES:
        for sign, expected in ((1, 0.75), (-1, 0.0)):
            found = MODES[mode](run, [number(device, sign), wf.zeros(2, device=device.name)])
            x = numpy.zeros(2)
            for _ in range(4):
                x = x * 0.5 if x.sum() > 2 else x + 1
            numpy.testing.assert_allclose(found.numpy(), x if sign > 0 else x * 0, err_msg=str(expected))


def test_states_and_draws_in_the_body(device) -> None:
    """Captured tensors that the body writes are carried from step to step; each step draws new random numbers."""
    state = wf.zeros(3, device=device.name)

    def run(limit: Any) -> Any:
        def body(n: Any, total: Any) -> Any:
            drawn = wf.rand(3, device=device.name)
            state.mul_(0.5)
            state[0:2].add_(drawn[0:2])
            return n + 1, total + drawn + state

        _, total = while_loop(
            lambda n, total: n < limit, body, (number(device), wf.zeros(3, device=device.name))
        )
        return total, state.sum(), wf.rand(2, device=device.name)

    results = []
    for mode in (run, wf.jit(run), lambda limit: trace(run, limit)(limit)):
        wf.manual_seed(5)
        state.zero_()
        made = [value.numpy() for limit in (2, 0, 3) for value in mode(number(device, limit))]
        results.append([*made, state.numpy()])
    for other in results[1:]:
        for result, same in zip(results[0], other, strict=True):
            numpy.testing.assert_allclose(result, same, rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_gradient_is_refused_with_advice(device, mode: str) -> None:
    def run(x: Any) -> Any:
        x = x.detach().requires_grad_()
        _, y = while_loop(lambda n, x: n < 2, lambda n, x: (n + 1, x * 2), (number(device), x))
        assert y.requires_grad
        return wf.autograd.grad(y.sum(), [x])

    with pytest.raises(
        UnsupportedError, match=r"while_loop: a gradient is needed.*use weft\.compiler\.scan with a length"
    ):
        MODES[mode](run, [wf.ones(3, device=device.name)])


def test_values_that_need_none_pass(device) -> None:
    def run(x: Any) -> Any:
        x = x.detach().requires_grad_()
        _, y = while_loop(lambda n, x: n < 2, lambda n, x: (n + 1, x * 2), (number(device), x.detach()))
        return wf.autograd.grad((x * y).sum(), [x])

    for mode in MODES:
        (found,) = MODES[mode](run, [wf.ones(3, device=device.name)])
        numpy.testing.assert_array_equal(found.numpy(), [4, 4, 4])


def test_memory_of_an_eager_loop_is_flat() -> None:
    """No tape of the steps is kept, though gradients are recorded around them."""
    x = wf.ones(1000, device="cpu").requires_grad_()
    most: list[int] = []

    def body(n: Any, y: Any) -> Any:
        most.append(devices.open("cpu").memory_stats().in_use)
        return n + 1, (y * 1.01).sin()

    while_loop(lambda n, y: n < 50, body, (wf.tensor(0, device="cpu"), x * 1))
    assert most[-1] <= most[5] + 1000


def test_an_index_out_of_range_ends_the_loop() -> None:
    table = wf.ones(4, 2, device="cpu")
    function = wf.jit(
        lambda n: while_loop(lambda n, y: n < 100, lambda n, y: (n + 1, y + table[n.reshape(1)]),
                             (n, wf.zeros(1, 2, device="cpu")))
    )  # fmt: skip
    with pytest.raises(IndexOutOfRangeError, match=r"index 4 is out of range"):
        function(wf.tensor(0, device="cpu"))


INTERRUPTED = """
import signal, sys
import weft as wf
from weft.compiler import scan, while_loop

x = wf.ones(3, device=sys.argv[1])

@wf.jit
def forever(x):  # within a loop of known length, so that it is compiled code all the way on the cpu
    return scan(lambda c, _: (while_loop(lambda y: y.sum() > 0, lambda y: (y * 1,), (c,))[0], ()), x, None, 2)[0]

@wf.jit
def some(x):
    return while_loop(lambda y: y.sum() < 50, lambda y: (y * 2,), (x,))[0]

some(x)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
for _ in range(3):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        forever(x)
    except KeyboardInterrupt:
        print("interrupted", some(x).tolist())
"""


def test_ctrl_c_ends_a_loop_that_does_not_end(device) -> None:
    """And the device is as usable as before."""
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, device.name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.stdout.splitlines() == ["interrupted [32.0, 32.0, 32.0]"] * 3, run.stderr


def test_references_are_numpy() -> None:
    x = wf.ones(3, device="cpu")
    graph = trace(lambda x: while_loop(lambda x: x.sum() < 20, lambda x: (x * 2,), (x,)), x).graph
    (node,) = graph.nodes
    (found,) = lookup("while_loop").reference(numpy.ones(3), **dict(node.attributes))
    numpy.testing.assert_array_equal(found, [8, 8, 8])


def test_a_plan_of_a_loop_within_a_loop(device) -> None:
    function = wf.jit(lambda x: scan(
        lambda c, x: (while_loop(lambda c: c.sum() < 50, lambda c: (c * 2 + x,), (c,))[0] * 0.25, ()), x[0], x)[0])  # fmt: skip
    function(wf.ones(3, 2, device=device.name))
    (loop,) = [step for step in plan_of(function).steps if isinstance(step, Loop)]
    assert [type(step) for step in loop.steps].count(While) == 1


WRONG: dict[str, tuple[Callable[[Any, Any], Any], type[Exception], str]] = {
    "predicate": (lambda n, x: while_loop(lambda n, x: n, lambda n, x: (n, x), (n, x)), ArgumentTypeError,
                  r"while_loop: the result of cond_fn is int64\[\], expected a 0-d tensor of bool; compare"),
    "wide predicate": (lambda n, x: while_loop(lambda n, x: x > 0, lambda n, x: (n, x), (n, x)), ArgumentTypeError,
                       r"while_loop: the result of cond_fn is bool\[3\], expected a 0-d tensor of bool"),
    "python predicate": (lambda n, x: while_loop(lambda n, x: True, lambda n, x: (n, x), (n, x)), ArgumentTypeError,
                         r"while_loop: the result of cond_fn is a bool, expected a 0-d tensor of bool"),
    "shape": (lambda n, x: while_loop(lambda n, x: n < 2, lambda n, x: (n + 1, x[:2]), (n, x)), ShapeError,
              r"while_loop: the result of body_fn is int64\[\], float32\[2\], expected int64\[\], float32\[3\], as carr"),
    "dtype": (lambda n, x: while_loop(lambda n, x: n < 2, lambda n, x: (n * 0.5, x), (n, x)), ShapeError,
              r"while_loop: the result of body_fn is float32\[\], float32\[3\], expected int64\[\], float32\[3\]"),
    "no tuple": (lambda n, x: while_loop(lambda n: n < 2, lambda n: n + 1, (n,)), ArgumentTypeError,
                 r"while_loop: the result of body_fn is a Tensor, expected a tuple of the 1 carried values"),
    "fewer": (lambda n, x: while_loop(lambda n, x: n < 2, lambda n, x: (n + 1,), (n, x)), ShapeError,
              r"is a tree of 1 tensors \(result\[0\]\), expected a tree of 2 tensors \(result\[0\], result\[1\]\)"),
    "number": (lambda n, x: while_loop(lambda n: n < 2, lambda n: (n + 1,), (0,)), ArgumentError,
               "while_loop: a carried value is a int, expected a tensor"),
    "nothing": (lambda n, x: while_loop(lambda: n < 2, lambda: (), ()), ArgumentTypeError,
                "while_loop: carried_inputs is without tensors, expected at least one tensor"),
    "no tuple given": (lambda n, x: while_loop(lambda n: n < 2, lambda n: (n + 1,), n), ArgumentTypeError,
                       "while_loop: carried_inputs is a Tensor, expected a tuple of carried values"),
    "no function": (lambda n, x: while_loop(n, lambda n: (n + 1,), (n,)), ArgumentTypeError,
                    "while_loop: cond_fn is a Tensor, expected a function"),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_mistake(device, name: str, mode: str) -> None:
    run, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        MODES[mode](run, [number(device), wf.ones(3, device=device.name)])


def test_a_condition_that_writes_is_refused(device) -> None:
    state = wf.zeros(3, device=device.name)

    def test(n: Any) -> Any:
        state.add_(1)
        return n < 2

    with pytest.raises(
        UnsupportedError, match="cond_fn is a function that writes tensors from outside or draws"
    ):
        wf.jit(lambda n: while_loop(test, lambda n: (n + 1,), (n,)))(number(device))
    assert state.sum().item() == 0


def test_operands_are_not_overwritten(device) -> None:
    x = wf.tensor(draw(3), dtype=wf.float32, device=device.name)
    before = x.numpy().copy()
    function = wf.jit(
        lambda x: (while_loop(lambda x: x.sum() < 100, lambda x: (x.abs() * 2 + 1,), (x,))[0], x * 1)
    )
    found, same = function(x)
    assert found.sum().item() >= 100
    numpy.testing.assert_array_equal(x.numpy(), before)
    numpy.testing.assert_array_equal(same.numpy(), before)
