"""``wf.jit``: signatures, state, ownership, gradients, and errors."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum

import numpy
import pytest

import weft as wf
from weft.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeviceError,
    DisposedError,
    GradError,
    ShapeError,
    UnsupportedError,
)

F = wf.nn.functional


class Mode(Enum):
    PLUS = 1
    MINUS = 2


@dataclass
class Batch:
    x: wf.Tensor
    scale: float
    mode: Mode = Mode.PLUS
    note: str | None = None


def ones(device, *shape, **options):
    return wf.ones(*shape, device=device.name, **options)


# Signatures.


def test_arguments_and_results_are_trees(device) -> None:
    @wf.jit
    def f(batch: Batch, parts: list, options: dict):
        value = batch.x * batch.scale + parts[0][1]
        value = value if batch.mode is Mode.PLUS else -value
        return {"out": value, "same": (options["n"], "text")}, Batch(value.sum(), batch.scale)

    x, y = ones(device, 3), ones(device, 3)
    out, batch = f(Batch(x, 2.0), [("a", y)], {"n": None})
    assert out["same"] == (None, "text") and isinstance(batch, Batch)
    assert out["out"].tolist() == [3.0] * 3 and batch.x.item() == 9.0 and batch.scale.item() == 2.0
    assert f(Batch(x, 3.0), [("a", y)], {"n": None})[1].x.item() == 12.0
    assert f.compilations == 1
    assert f(Batch(x, 3.0, Mode.MINUS), [("a", y)], {"n": None})[1].x.item() == -12.0
    assert f.compilations == 2


def test_numbers_are_given_at_each_call(device) -> None:
    @wf.jit
    def f(x, rate, count):
        return x * rate + count

    x = ones(device, 2)
    for rate, count in ((0.5, 1), (0.25, 2), (-0.0, 3), (0.5, 1)):
        assert f(x, rate, count).tolist() == [rate + count] * 2
    assert f.compilations == 1
    assert f(x, rate, 1.5).tolist() == [2.0] * 2 and f.compilations == 2
    assert f(x, rate, True).tolist() == [1.5] * 2 and f.compilations == 3


def test_views_are_taken_by_value(device) -> None:
    f = wf.jit(lambda x: x * 2)
    base = wf.arange(6.0, device=device.name).reshape(2, 3)
    assert f(base).tolist() == [[0, 2, 4], [6, 8, 10]]
    assert f(base.T.contiguous().T).tolist() == [[0, 2, 4], [6, 8, 10]]
    rows = wf.arange(12.0, device=device.name).reshape(4, 3)
    assert f(rows[2:]).tolist() == [[12, 14, 16], [18, 20, 22]]
    assert f.compilations == 1


def test_recompilations_are_logged_with_their_reason(device, caplog) -> None:
    model = wf.nn.Linear(3, 2).to(device.name)
    f = wf.jit(lambda x: model(x), max_cached=3)
    with caplog.at_level(logging.INFO, "weft.compiler"):
        f(ones(device, 4, 3))
        f(ones(device, 5, 3))
        model.eval()
        f(ones(device, 5, 3))
        with wf.no_grad():
            f(ones(device, 5, 3))
        model.weight.requires_grad_(False)
        f(ones(device, 5, 3))
    text = [record.getMessage() for record in caplog.records]
    assert "compiled (" in text[0]
    assert f"x is float32[5, 3] on {device.name}, was float32[4, 3] on {device.name}" in text[1]
    assert "training of Linear is False, was True" in text[2]
    assert "gradient mode is False, was True" in text[3]
    assert (
        caplog.records[4].levelno == logging.WARNING and "max_cached=3" in text[4] and "is removed" in text[4]
    )
    assert "requires_grad" in text[5]
    assert f.compilations == 5


def test_programs_used_last_are_kept(device) -> None:
    f = wf.jit(lambda x: x + 1, max_cached=2)
    for size in (1, 2, 1, 3, 1):
        f(ones(device, size))
    assert f.compilations == 3
    f(ones(device, 2))
    assert f.compilations == 4
    f.clear_cache()
    f(ones(device, 2))
    assert f.compilations == 5


def test_arguments_that_are_not_understood(device) -> None:
    f = wf.jit(lambda x: x)
    with pytest.raises(
        ArgumentTypeError, match=r"jit: an argument is a ndarray, expected a tensor.*weft\.tensor"
    ):
        f(numpy.ones(2))
    with pytest.raises(ArgumentTypeError, match="jit: fn is a int"):
        wf.jit(3)
    with pytest.raises(ArgumentError, match="max_cached is 0"):
        wf.jit(lambda x: x, max_cached=0)
    with pytest.raises(ArgumentError, match="donate is 'y', expected the name or position"):
        wf.jit(lambda x: x, donate=["y"])


def test_modules_methods_and_decorators(device) -> None:
    model = wf.nn.Linear(3, 2).to(device.name)
    x = ones(device, 4, 3)
    expected = model(x).detach().numpy()
    numpy.testing.assert_allclose(wf.jit(model)(x).numpy(), expected, rtol=1e-6)

    class Trainer:
        def __init__(self, factor):
            self.factor = factor

        @wf.jit
        def run(self, net, x):
            return net(x) * self.factor

    one, two = Trainer(1.0), Trainer(2.0)
    numpy.testing.assert_allclose(one.run(model, x).numpy(), expected, rtol=1e-6)
    numpy.testing.assert_allclose(two.run(model, x).numpy(), 2 * expected, rtol=1e-6)
    assert one.run is one.run and one.run.compilations == 1

    @wf.jit(donate="x", max_cached=4)
    def documented(x):
        """What it does."""
        return x

    assert documented.__doc__ == "What it does." and documented.max_cached == 4


# State.


def test_state_is_read_and_written(device) -> None:
    count = wf.zeros(2, device=device.name)

    @wf.jit
    def f(x):
        count.add_(x)
        return count * 2

    kept = [f(ones(device, 2)) for _ in range(3)]
    assert count.tolist() == [3.0, 3.0]
    assert [value.tolist() for value in kept] == [[2.0, 2.0], [4.0, 4.0], [6.0, 6.0]]
    count.zero_()
    assert f(ones(device, 2)).tolist() == [2.0, 2.0]
    assert f.compilations == 1


def test_views_of_one_storage_are_one_state(device) -> None:
    base = wf.zeros(4, device=device.name)
    left, right = base[:2], base[2:]

    @wf.jit
    def f():
        left.add_(1)
        right.copy_(left * 10)
        return base.sum()

    assert [f().item() for _ in range(2)] == [22.0, 44.0]
    assert base.tolist() == [2, 2, 20, 20]


def test_writing_state_counts_its_version(device) -> None:
    w = wf.ones(2, device=device.name)
    x = ones(device, 2, requires_grad=True)
    f = wf.jit(lambda: w.mul_(2))
    f()
    loss = (x * w).sum()
    f()
    with pytest.raises(GradError, match="modified by an in-place operation"):
        loss.backward()


def test_tracing_counts_no_version(device) -> None:
    w = wf.ones(2, device=device.name)
    x = ones(device, 2, requires_grad=True)
    loss = (x * w).sum()

    @wf.jit
    def f():
        w.mul_(2)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        f()
    loss.backward()
    assert x.grad.tolist() == [1.0, 1.0] and w.tolist() == [1.0, 1.0]


def test_an_argument_that_is_also_state(device) -> None:
    w = wf.ones(2, device=device.name)

    @wf.jit
    def f(x):
        w.add_(1)
        return x * w

    assert f(w).tolist() == [2.0, 2.0]  # the argument as it was when given
    assert w.tolist() == [2.0, 2.0]


def test_constants_of_the_function_are_created_at_each_call(device) -> None:
    @wf.jit
    def f(x):
        total = wf.tensor([1.0, 2.0], device=device.name)
        total += x
        return total

    assert [f(ones(device, 2)).tolist() for _ in range(3)] == [[2.0, 3.0]] * 3


def test_state_made_inside_and_kept_is_refused(device) -> None:
    class Counter:
        total = None

        def __call__(self, x):
            if self.total is None:
                self.total = wf.tensor([0.0, 0.0], device=device.name)
            self.total.add_(x)
            return x

    counter = Counter()
    with pytest.raises(UnsupportedError, match=r"kept in the attribute `total` of Counter.*before the call"):
        wf.jit(counter)(ones(device, 2))
    wf.jit(counter)(ones(device, 2))  # now it is there
    assert counter.total.tolist() == [1.0, 1.0]


def test_replaced_parameters_and_generators_are_taken_over(device) -> None:
    model = wf.nn.Linear(2, 1).to(device.name)
    f = wf.jit(lambda x: model(x))
    x = ones(device, 1, 2)
    f(x)
    model.load_state_dict({"weight": ones(device, 1, 2), "bias": ones(device, 1)}, assign=True)
    assert f(x).item() == 3.0
    with wf.no_grad():
        model.weight.data = model.weight.data * 2
    assert f(x).item() == 5.0
    model.bias = wf.nn.Parameter(wf.zeros(1, device=device.name))
    assert f(x).item() == 4.0
    assert f.compilations == 1
    model.weight = wf.nn.Parameter(ones(device, 2, 2))
    with pytest.raises(ShapeError):
        model.bias.copy_(ones(device, 2))
    model.bias = wf.nn.Parameter(ones(device, 2))
    assert f(x).tolist() == [[3.0, 3.0]] and f.compilations == 2


def test_replaced_layers_recompile(device) -> None:
    model = wf.nn.Sequential(wf.nn.Linear(2, 2), wf.nn.ReLU()).to(device.name)
    f = wf.jit(lambda x: model(x))
    x = -ones(device, 1, 2)
    f(x)
    model[1] = wf.nn.Identity()
    numpy.testing.assert_allclose(f(x).numpy(), model(x).detach().numpy(), rtol=1e-6)
    model.append(wf.nn.Tanh())
    numpy.testing.assert_allclose(f(x).numpy(), model(x).detach().numpy(), rtol=1e-6)
    assert f.compilations == 3


def test_tied_weights_that_are_untied(device) -> None:
    class Tied(wf.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = wf.nn.Parameter(wf.ones(2, device=device.name))
            self.b = self.a

        def forward(self, x):
            return x * self.a + self.b

    model = Tied()
    f = wf.jit(lambda x: model(x))
    assert f(ones(device, 2)).tolist() == [2.0, 2.0]
    model.b = wf.nn.Parameter(wf.zeros(2, device=device.name))
    assert f(ones(device, 2)).tolist() == [1.0, 1.0] and f.compilations == 2


def test_seeding_between_calls(device) -> None:
    f = wf.jit(lambda x: F.dropout(x, 0.5))
    x = ones(device, 64)
    wf.manual_seed(3)
    first = [f(x).tolist() for _ in range(2)]
    wf.manual_seed(3)
    assert [f(x).tolist() for _ in range(2)] == first and first[0] != first[1]
    wf.manual_seed(3)
    assert [F.dropout(x, 0.5).tolist() for _ in range(2)] == first
    assert f.compilations == 1


def test_results_are_the_callers_own(device) -> None:
    w = wf.ones(2, device=device.name)
    f = wf.jit(lambda x: (x, w, x[:1], w.add_(1)))
    x = ones(device, 2)
    first = f(x)
    first[0].mul_(5), first[1].mul_(5)
    second = f(x)
    assert x.tolist() == [1.0, 1.0] and w.tolist() == [3.0, 3.0]
    assert first[0].tolist() == [5.0, 5.0] and second[0].tolist() == [1.0, 1.0]


# Gradients.


def test_gradients_are_dropped_unless_wanted(device) -> None:
    w = ones(device, 2, requires_grad=True)

    def program(x):
        w.grad = None
        (w * x).sum().backward()
        return w.grad

    x = ones(device, 2)
    assert wf.jit(program)(x).tolist() == [1.0, 1.0] and w.grad is None
    kept = wf.jit(program, keep_grads=True)
    kept(x)
    assert w.grad.tolist() == [1.0, 1.0]
    before = w.grad
    kept(x * 3)
    kept(x * 4)
    assert w.grad.tolist() == [4.0, 4.0] and before.tolist() == [1.0, 1.0]
    assert kept.compilations == 2  # without a gradient before, and with one
    plain = wf.jit(program)
    plain(x * 7)
    assert w.grad.tolist() == [7.0, 7.0]  # it was there before, so it is kept


def test_gradients_that_were_there_accumulate(device) -> None:
    w = ones(device, 2, requires_grad=True)
    (w * 2).sum().backward()
    f = wf.jit(lambda x: (w * x).sum().backward())
    f(ones(device, 2)), f(ones(device, 2))
    assert w.grad.tolist() == [4.0, 4.0]
    w.grad = None
    f(ones(device, 2))
    assert w.grad is None


def test_hessian_vector_product(device) -> None:
    def hvp(x, v):
        (gradient,) = wf.autograd.grad((x**3 * x.sum()).sum(), x, create_graph=True)
        (product,) = wf.autograd.grad((gradient * v).sum(), x)
        return product

    x = wf.tensor([0.5, -1.0, 2.0], device=device.name, requires_grad=True)
    v = wf.tensor([1.0, 2.0, -1.0], device=device.name)
    numpy.testing.assert_allclose(wf.jit(hvp)(x, v).numpy(), hvp(x, v).numpy(), rtol=1e-5)


def test_gradient_penalty(device) -> None:
    def run(compiled: bool) -> list[float]:
        wf.manual_seed(1)
        critic = wf.nn.Sequential(wf.nn.Linear(3, 8), wf.nn.Tanh(), wf.nn.Linear(8, 1)).to(device.name)
        optimizer = wf.optim.Adam(critic.parameters(), lr=0.01)

        def step(x):
            x = x.detach().requires_grad_()
            (gradient,) = wf.autograd.grad(critic(x).sum(), x, create_graph=True)
            loss = ((gradient.pow(2).sum(1).sqrt() - 1) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run_step = wf.jit(step) if compiled else step
        data = wf.tensor(
            numpy.random.default_rng(0).normal(size=(6, 3)), device=device.name, dtype=wf.float32
        )
        return [run_step(data).item() for _ in range(10)]

    numpy.testing.assert_allclose(run(True), run(False), rtol=1e-3)


def test_jits_nest(device) -> None:
    w = ones(device, 2, requires_grad=True)
    inner = wf.jit(lambda x: x * w)

    @wf.jit
    def outer(x):
        (gradient,) = wf.autograd.grad(inner(x).sum(), w)
        return gradient

    assert outer(ones(device, 2) * 3).tolist() == [3.0, 3.0]
    assert (outer.compilations, inner.compilations) == (1, 0)


# Ownership.


def test_donated_arguments_are_used_up(device) -> None:
    @wf.jit(donate=["cache"])
    def append(cache, row, at):
        places = wf.arange(4, device=device.name)
        cache.copy_(wf.where((places == at).reshape(4, 1), row, cache))
        return cache, cache.sum()

    cache = wf.zeros(4, 2, device=device.name)
    for at in range(3):
        before = cache
        cache, total = append(before, ones(device, 2) * (at + 1), at)
        with pytest.raises(
            DisposedError, match=r"donated to append at test_jit\.py:\d+; use the result of that call"
        ):
            before.tolist()
    assert cache.tolist() == [[1, 1], [2, 2], [3, 3], [0, 0]] and total.item() == 12
    assert append.compilations == 1


def test_donating_shared_memory_is_refused(device) -> None:
    w = wf.ones(2, device=device.name)

    @wf.jit(donate=0)
    def f(x, y):
        w.add_(1)
        return x + y

    with pytest.raises(ArgumentError, match="also state of the function"):
        f(w, ones(device, 2))
    x = ones(device, 2)
    with pytest.raises(ArgumentError, match="given twice"):
        f(x, x)
    assert w.tolist() == [1.0, 1.0] and x.tolist() == [1.0, 1.0]
    strided = wf.arange(4.0, device=device.name).reshape(2, 2).T
    assert wf.jit(lambda x: x + 1, donate="x")(strided).tolist() == [[1, 3], [2, 4]]
    with pytest.raises(DisposedError, match="donated"):
        strided.tolist()


def test_writing_an_argument_is_an_error(device) -> None:
    f = wf.jit(lambda batch: batch["x"].add_(1))
    with pytest.raises(
        UnsupportedError, match=r"the argument batch\['x'\] is written in place.*\(at test_jit\.py"
    ):
        f({"x": ones(device, 2)})


# Mistakes inside.


def test_a_shape_error_names_the_users_line(device) -> None:
    f = wf.jit(lambda x: x @ wf.ones(5, 2, device=device.name))
    with pytest.raises(ShapeError, match=r"matmul: .*3.*5.* \(at test_jit\.py:\d+\)"):
        f(ones(device, 2, 3))


def test_a_loss_that_is_no_scalar(device) -> None:
    w = ones(device, 2, requires_grad=True)
    with pytest.raises(GradError, match=r"expected a scalar.*\(at test_jit\.py:\d+\)"):
        wf.jit(lambda x: (w * x).backward())(ones(device, 2))


@pytest.mark.parametrize(
    ("read", "advice"),
    [
        (lambda x: x.item(), "return it from the function"),
        (lambda x: float(x), "return it from the function"),
        (lambda x: int(x), "must be known to Python"),
        (lambda x: x.tolist(), "return it"),
        (lambda x: x.detach().numpy(), "return it"),
        (lambda x: 1 if x else 2, r"weft\.where\(condition, a, b\)"),
        (repr, r"weft\.capture\(name, tensor\)"),
    ],
)
def test_reading_a_value_names_the_line_and_the_fix(read, advice: str) -> None:
    f = wf.jit(lambda x: read(x.sum()))
    with pytest.raises(UnsupportedError, match=rf"has no value yet.*{advice}.* \(at test_jit\.py:\d+\)"):
        f(wf.ones(2, device="cpu"))


SIZES = {
    "reshape": lambda x, n: x.reshape(n, -1),
    "zeros": lambda x, n: wf.zeros(n, 3),
    "full": lambda x, n: wf.full((n,), 1.0),
    "arange": lambda x, n: wf.arange(n),
    "expand": lambda x, n: x[:1].expand(n, 6),
    "a slice": lambda x, n: x[:n],
    "a dimension": lambda x, n: x.sum(n),
    "split": lambda x, n: x.split(n),
    "one_hot": lambda x, n: wf.nn.functional.one_hot(x.long(), n),
    "a range": lambda x, n: [x for _ in range(n)],
    "an if": lambda x, n: x if n else -x,
    "a list's index": lambda x, n: [x, x, x][n],
    "float": lambda x, n: x * float(n),
}


@pytest.mark.parametrize("use", SIZES)
def test_a_number_used_as_a_size_is_named(use: str) -> None:
    f = wf.jit(SIZES[use])
    message = r"the argument n is a number given to a jitted function.*close over it.*\(at test_jit\.py:\d+\)"
    with pytest.raises(UnsupportedError, match=message):
        f(wf.ones(4, 6, device="cpu"), 1)
    closed = wf.jit(lambda x: SIZES[use](x, 1 if use == "a dimension" else 2))
    closed(wf.ones(4, 6, device="cpu"))


def test_a_number_in_a_tree_is_named_by_its_path() -> None:
    with pytest.raises(UnsupportedError, match=r"the argument options\['size'\] is a number given"):
        wf.jit(lambda options: wf.zeros(options["size"]))({"size": 3})
    with pytest.raises(UnsupportedError, match="the argument size is a number given"):
        wf.jit(lambda *, size: wf.zeros(size))(size=3)


def test_reading_state_is_an_error_too() -> None:
    count = wf.zeros((), device="cpu")

    @wf.jit
    def f(x):
        count.add_(1)
        return x if count.item() > 1 else -x

    with pytest.raises(UnsupportedError, match=r"item: the tensor is read while a function is traced"):
        f(wf.ones(2, device="cpu"))
    assert count.item() == 0


def test_escaped_tracers_name_their_holder() -> None:
    class Model(wf.nn.Module):
        def forward(self, x):
            self.hidden = x * 2
            return x

    class Buffered(wf.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("last", wf.zeros(2, device="cpu"))

        def forward(self, x):
            self.last = x * 2
            return x

    history, table = [], {}
    x = wf.ones(2, device="cpu")

    def append(x):
        history.append({"loss": x * 2})
        return x

    def store(x):
        table["key"] = x * 2
        return x

    def attach(x):
        attach.kept = x * 2
        return x

    cases = [
        (Model(), r"kept in the attribute `hidden` of Model"),
        (Buffered(), r"kept in the attribute `last` of Buffered"),
        (append, r"entry 'loss' of a dict in item 0 of a list in the variable `history` of .*append"),
        (store, r"entry 'key' of a dict in the variable `table` of .*store"),
        (attach, r"attribute `kept` of function"),
    ]
    for fn, message in cases:
        with pytest.raises(UnsupportedError, match=message):
            wf.jit(fn)(x)
    assert not history and not table, "what a refused trace wrote is undone"
    with pytest.raises(UnsupportedError, match="being traced"):
        wf.jit(lambda x: x)(attach.kept)


def test_side_effects_of_the_trace_are_refused() -> None:
    p = wf.nn.Parameter(wf.ones(2, device="cpu"))
    optimizer = wf.optim.SGD([p], lr=0.1)
    schedule = wf.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    x = wf.ones(2, device="cpu")
    before = schedule.state_dict()
    for call, name in (
        (lambda: schedule.step(), "LambdaLR.step"),
        (lambda: wf.manual_seed(0), "manual_seed"),
        (lambda: optimizer.param_groups[0].update(lr=0.5), "param_groups: 'lr'"),
        (lambda: setattr(p, "data", p.data * 2), "data: is assigned a traced tensor"),
    ):
        with pytest.raises(UnsupportedError, match=name):
            wf.jit(lambda x, call=call: call() or x)(x)
    assert schedule.state_dict() == before and optimizer.param_groups[0]["lr"] == 0.1


def test_history_from_outside_is_an_error() -> None:
    w = wf.ones(2, device="cpu", requires_grad=True)
    outside = w * 2
    with pytest.raises(UnsupportedError, match=r"has a history.*detach\(\) it"):
        wf.jit(lambda x: x * outside)(wf.ones(2, device="cpu"))


@pytest.mark.webgpu
def test_two_devices_in_one_function() -> None:
    from tests.conftest import ADAPTER

    a, b = wf.ones(2, device="cpu"), wf.ones(2, device=ADAPTER)
    with pytest.raises(DeviceError, match="on one device"):
        wf.jit(lambda x: (x * 2, b * 2))(a)


def test_exceptions_change_no_state(device) -> None:
    model = wf.nn.Sequential(
        wf.nn.Linear(3, 4), wf.nn.BatchNorm1d(4), wf.nn.Dropout(), wf.nn.Linear(4, 1)
    ).to(device.name)
    optimizer = wf.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    generator = wf.random.generator.default_generator(device.name)
    F.dropout(ones(device, 3))
    x = ones(device, 5, 3)

    def state():
        words = generator.get_state()
        tensors = [*model.state_dict().values(), *optimizer.state_dict()["state"][0].values()]
        return (
            words,
            [tensor.tolist() for tensor in tensors if tensor is not None],
            [p.grad for p in model.parameters()],
        )

    @wf.jit
    def step(x, fail: bool):
        loss = model(x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if fail:
            raise KeyError("stop")
        return loss

    before = state()
    with pytest.raises(KeyError):
        step(x, True)
    assert state() == before
    with pytest.raises(ShapeError):
        step(ones(device, 5, 4), False)
    assert state() == before
    step(x, False)
    assert state() != before


def test_devices_that_fail_leave_arguments_usable(device) -> None:
    f = wf.jit(lambda x: x + 1, donate="x")
    x = ones(device, 2)

    def fail(what: str) -> None:
        if what == "dispatch":
            raise DeviceError("on purpose")

    f(ones(device, 2))
    device.before_call = fail
    try:
        with pytest.raises(DeviceError, match="on purpose"):
            f(x)
    finally:
        device.before_call = None
    assert f(x).tolist() == [2.0, 2.0]


def test_threads_share_a_jitted_function() -> None:
    from concurrent.futures import ThreadPoolExecutor

    total = wf.zeros(1, device="cpu")
    f = wf.jit(lambda x: total.add_(x.sum()))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: f(wf.ones(at % 3 + 1, device="cpu")), range(60)))
    assert total.item() == 120 and f.compilations == 3
