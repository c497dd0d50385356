"""``vmap`` against ``torch.func.vmap`` and against a loop: dimensions, trees, randomness, writes, chunks, mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import weft as wf
from tests.func.pairs import IDS, PROGRAMS, Program, assert_same, draws, here, there, types_of
from weft.errors import ArgumentError, ArgumentTypeError, IndexOutOfRangeError, ShapeError, UnsupportedError
from weft.func import grad, vmap

SAMPLES = 3
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.mark.parametrize("program", PROGRAMS, ids=IDS)
def test_vmap_equals_torch(device: Any, program: Program) -> None:
    for dtype in types_of(device):
        arrays = draws([(SAMPLES, *shape) for shape in program.shapes], dtype)
        ours = vmap(program.here)(*here(arrays, device.name))
        tensors = there(arrays)  # a loop: PyTorch's own vmap lacks some of the programs' writes
        theirs = torch.stack([program.there(*(tensor[n] for tensor in tensors)) for n in range(SAMPLES)])
        assert_same(ours, theirs, program.name, 4)
        assert_same(wf.jit(vmap(program.here))(*here(arrays, device.name)), theirs, f"jit {program.name}", 4)


def test_dimensions_of_trees() -> None:
    def function(a: Any, tree: Any, scale: Any) -> Any:
        return {"x": a @ tree["w"], "y": (tree["b"][0] * scale, a.sum())}

    arrays = draws([(2, 3, 5), (4, 5), (3,)], wf.float32)
    results = []
    for transform, (a, w, b) in ((vmap, here(arrays, "cpu")), (torch.func.vmap, there(arrays))):
        dims = (1, {"w": None, "b": [-1]}, None)
        mapped = transform(
            lambda a, tree, s: function(a, {**tree, "w": tree["w"].T}, s), dims, {"x": -1, "y": (0, 0)}
        )
        results.append(mapped(a, {"w": w, "b": [b]}, 2.0))
    assert_same(results[0], results[1])
    assert tuple(results[0]["x"].shape) == (2, 4, 3)


def test_results_that_are_the_same_for_all_and_keyword_arguments() -> None:
    x, c = wf.arange(6).reshape(3, 2).float(), wf.tensor([7.0, 8.0])
    assert vmap(lambda x: c)(x).tolist() == [[7.0, 8.0]] * 3
    assert tuple(vmap(lambda x: c, out_dims=1)(x).shape) == (2, 3)
    own, same = vmap(lambda x: (x, c), out_dims=(0, None))(x)
    assert tuple(own.shape) == (3, 2)
    assert same.tolist() == [7.0, 8.0]
    assert vmap(lambda x, y: x + y, in_dims=(0,))(x, y=x).tolist() == (x + x).tolist()
    with pytest.raises(ArgumentError, match="out_dims of result 0 is None, expected an int"):
        vmap(lambda x: x, out_dims=None)(x)


def test_vmap_of_vmap_equals_torch(device: Any) -> None:
    arrays = draws([(2, 3), (4, 3), (4,)], wf.float32)
    outer = [here(arrays, device.name), there(arrays)]
    made = []
    for transform, (x, y, s) in zip((vmap, torch.func.vmap), outer, strict=True):
        pairs = transform(transform(lambda x, y: (x * y).cumsum(0) @ y, (None, 0)), (0, None))(x, y)
        scaled = transform(transform(lambda p, s: p * s, (0, None)), (1, 0), 1)(pairs, s)
        made.append((pairs, scaled))
    assert_same(made[0], made[1])


def test_chunks_give_the_same(device: Any) -> None:
    x = wf.tensor(draws([(7, 3)], wf.float32)[0], device=device.name)
    whole = vmap(lambda x: (x * x, x.sum()), out_dims=(1, 0))(x)
    for size in (1, 2, 3, 7, 100):
        pieces = vmap(lambda x: (x * x, x.sum()), out_dims=(1, 0), chunk_size=size)(x)
        assert [piece.tolist() for piece in pieces] == [tensor.tolist() for tensor in whole]


# Writes.


def test_writes_into_mapped_tensors(device: Any) -> None:
    x = wf.tensor(draws([(3, 4)], wf.float32)[0], device=device.name)

    def function(x: Any) -> Any:
        y = x.clone()
        y[1:3] = x[:2]
        y.transpose(0, 0)[0] += 10.0
        y.view(2, 2).t()[1].fill_(x[0])
        z = wf.zeros_like(y)
        z = z + y
        z.index_add_(0, wf.tensor([0, 0, 3], device=device.name), y[1:])
        return y, z

    ours = vmap(function)(x)
    for n in range(3):
        for value, expected in zip(ours, function(x[n]), strict=True):
            np.testing.assert_allclose(value[n].numpy(), expected.numpy(), rtol=1e-6)


def test_gradients_of_writes_through_views_of_views() -> None:
    def function(x: Any) -> Any:
        y = x * x
        y.reshape(2, 3)[1].expand(1, 3)[:, :2] = x[:2]
        y.unfold(0, 2, 2)[2].mul_(x[0])
        y.reshape(2, 3).diagonal()[0] = x[5]
        return (y * y).sum()

    x = wf.tensor(draws([(4, 6)], wf.float64)[0], dtype=wf.float64, device="cpu")
    found = vmap(grad(function))(x)
    for n in range(4):
        np.testing.assert_allclose(found[n].numpy(), grad(function)(x[n]).numpy(), rtol=1e-12)
        own = torch.tensor(x[n].numpy(), requires_grad=True)
        function(own).backward()
        np.testing.assert_allclose(found[n].numpy(), own.grad.numpy(), rtol=1e-12)


def test_a_mapped_argument_is_written_in_place() -> None:
    x = wf.ones(3, 2)
    vmap(lambda row, s: row.mul_(s), (0, 0))(x, wf.tensor([1.0, 2.0, 3.0]))
    assert x.tolist() == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    same = wf.zeros(2)
    vmap(lambda x: same.add_(1.0) + x)(x)
    assert same.tolist() == [1.0, 1.0]


def test_samples_are_not_written_into_one_tensor_for_all() -> None:
    x, same = wf.ones(3, 2), wf.zeros(2)
    for write in (
        lambda x: same.add_(x),
        lambda x: same.copy_(x),
        lambda x: wf.zeros(2).mul_(x),
        lambda x: same[:1].add_(x[:1]),
    ):
        with pytest.raises(UnsupportedError, match="the same for all, expected a tensor with samples"):
            vmap(write)(x)
    assert same.tolist() == [0.0, 0.0]
    assert x.tolist() == [[1.0, 1.0]] * 3


# Random numbers.


def test_randomness(device: Any) -> None:
    x = wf.zeros(4, 3, device=device.name)
    with pytest.raises(UnsupportedError, match="pass randomness='different'"):
        vmap(lambda x: x + wf.rand(3, device=device.name))(x)
    for draw in (
        lambda: wf.rand(3, device=device.name),
        lambda: wf.randn(3, device=device.name),
        lambda: wf.randint(0, 1000, (3,), device=device.name).float(),
        lambda: wf.nn.functional.dropout(wf.ones(3, device=device.name), 0.5),
    ):
        wf.manual_seed(3)
        same = vmap(lambda x, draw=draw: x + draw(), randomness="same")(x)
        assert (same == same[0]).all()
        wf.manual_seed(3)
        assert same[0].tolist() == draw().tolist()
    wf.manual_seed(3)
    different = vmap(lambda x: x + wf.rand(3, device=device.name), randomness="different")(x)
    after = wf.rand(3, device=device.name)
    wf.manual_seed(3)
    stream = wf.rand(
        5, 3, device=device.name
    )  # as the samples draw one after another, and what follows goes on behind
    assert different.tolist() == stream[:4].tolist()
    assert after.tolist() == stream[4].tolist()


def test_random_draws_of_nested_maps_and_in_graphs() -> None:
    def mapped(x: Any) -> Any:
        inner = vmap(lambda y: y + wf.rand(2), randomness="different")
        return vmap(lambda row: inner(row), randomness="different")(x)

    x = wf.zeros(2, 3)
    wf.manual_seed(5)
    eager, after = mapped(x), wf.rand(1)
    wf.manual_seed(5)
    assert eager.tolist() == wf.rand(2, 3, 2).tolist()
    jitted = wf.jit(mapped)
    wf.manual_seed(5)
    assert jitted(x).tolist() == eager.tolist()
    assert wf.rand(1).tolist() == after.tolist()


def test_dropout_on_samples() -> None:
    x = wf.tensor(draws([(64, 50)], wf.float32)[0])
    drop = lambda x: wf.nn.functional.dropout(x, 0.5)  # noqa: E731
    same, different = (vmap(drop, randomness=mode)(x) for mode in ("same", "different"))
    kept = same != 0
    assert (kept == kept[0]).all()
    np.testing.assert_allclose(same.numpy(), np.where(kept.numpy(), 2 * x.numpy(), 0))
    kept = (different != 0).numpy()
    assert len({row.tobytes() for row in kept}) == 64
    assert 0.4 < kept.mean() < 0.6
    grads = vmap(grad(lambda x: drop(x).sum()), randomness="same")(x)
    assert sorted(set(grads.numpy().ravel().tolist())) == [0.0, 2.0]


# Random programs.

UNARY = {
    "sin": lambda x: x.sin(), "tanh": lambda x: x.tanh(), "square": lambda x: x.square(), "neg": lambda x: -x,
    "relu": lambda x: x.relu(), "half": lambda x: x * 0.5, "softmax": lambda x: x.softmax(-1) if x.ndim else x,
    "cumsum": lambda x: x.cumsum(0) if x.ndim else x, "sort": lambda x: x.sort(0)[0] if x.ndim else x,
    "flip": lambda x: x.flip(0) if x.ndim else x,
}  # fmt: skip
SHAPING = {
    "T": lambda x: x.permute(*reversed(range(x.ndim))) if x.ndim else x,
    "flat": lambda x: x.reshape(-1),
    "unsqueeze": lambda x: x.unsqueeze(0) if x.ndim < 3 else x,
    "expand": lambda x: x.expand(2, *x.shape) if x.ndim < 3 else x,
    "slice": lambda x: x[:, ::2] if x.ndim > 1 else x,
    "first": lambda x: x[0] if x.ndim else x,
    "narrow": lambda x: x[1:] if x.ndim and x.shape[0] > 1 else x,
}
FOLDS = {
    "sum": lambda x: x.sum(-1) if x.ndim else x, "mean": lambda x: x.mean(0, keepdim=True) if x.ndim else x,
    "amax": lambda x: x.amax(-1) if x.ndim else x, "var": lambda x: x.var(0, correction=0) if x.ndim else x,
    "total": lambda x: x.sum(),
}  # fmt: skip
ONE = {**UNARY, **SHAPING, **FOLDS}
PAIRS = {
    "add": lambda a, b: a + b if _broadcasts(a, b) else a, "mul": lambda a, b: a * b if _broadcasts(a, b) else b,
    "where": lambda a, b: wf.where(a > b, a, b * 2) if _broadcasts(a, b) else a,
    "matmul": lambda a, b: a @ b if _multiplies(a, b) else b,
    "gram": lambda a, b: a.reshape(-1, 1) @ a.reshape(1, -1) if a.numel() < 9 else a,
    "cat": lambda a, b: wf.cat([a.reshape(-1), b.reshape(-1)]),
    "write": lambda a, b: _written(a, b),
}  # fmt: skip


def _broadcasts(a: Any, b: Any) -> bool:
    sizes = zip(reversed(a.shape), reversed(b.shape), strict=False)
    return all(x == y or 1 in (x, y) for x, y in sizes)


def _multiplies(a: Any, b: Any) -> bool:
    return a.ndim in (1, 2) and b.ndim in (1, 2) and a.shape[-1] == b.shape[0]


def _written(a: Any, b: Any) -> Any:
    made = a + 0 * b.sum()
    made.reshape(-1)[:1] = b.sum()
    return made


@st.composite
def programs(draw: Any) -> list[tuple[str, int, int]]:
    names = st.sampled_from([*ONE, *PAIRS])
    count = draw(st.integers(1, 7))
    return [(draw(names), draw(st.integers(0, 9)), draw(st.integers(0, 9))) for _ in range(count)]


def run_program(steps: list[tuple[str, int, int]], *inputs: Any) -> Any:
    """Each step takes earlier values, and appends a value."""
    values = list(inputs)
    for name, first, second in steps:
        a, b = values[first % len(values)], values[second % len(values)]
        made = ONE[name](a) if name in ONE else PAIRS[name](a, b)
        values.append(made if made.numel() <= 200 else made.reshape(-1)[:8])
    return values[-1]


@given(
    steps=programs(), mapped=st.tuples(st.booleans(), st.booleans()).filter(any), differentiate=st.booleans()
)
def test_random_programs_equal_a_loop(steps: Any, mapped: Any, differentiate: bool) -> None:
    def function(a: Any, b: Any) -> Any:
        return run_program(steps, a, b)

    def gradient(a: Any, b: Any) -> Any:
        return grad(lambda *xs: function(*xs).tanh().sum(), (0, 1))(a, b)[0]

    chosen = gradient if differentiate else function
    shapes = [(SAMPLES, 2, 3) if mapped[0] else (2, 3), (SAMPLES, 3) if mapped[1] else (3,)]
    a, b = (wf.tensor(draw, dtype=wf.float64, device="cpu") for draw in draws(shapes, wf.float64))
    found = vmap(chosen, in_dims=tuple(0 if is_mapped else None for is_mapped in mapped))(a, b)
    for n in range(SAMPLES):
        expected = chosen(a[n] if mapped[0] else a, b[n] if mapped[1] else b)
        np.testing.assert_allclose(found[n].numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)


# Types and mistakes.


def test_types_are_those_of_a_sample() -> None:
    half = wf.tensor([1.0, 2.0], dtype=wf.float16)
    scales = wf.tensor([2.0, 3.0, 4.0])  # 0-d in a sample: it does not widen a tensor with dimensions
    found = vmap(lambda s: half * s + s)(scales)
    assert found.dtype is wf.float16
    assert found.tolist() == [[4.0, 6.0], [6.0, 9.0], [8.0, 12.0]]
    wide = wf.tensor(1.5, dtype=wf.float64, device="cpu")
    both = vmap(lambda s: s + wide)(wf.tensor([1.0, 2.0], device="cpu"))
    assert both.dtype is wf.float64
    assert vmap(lambda i: i / 2)(wf.tensor([1, 2])).dtype is wf.float32


def test_values_cannot_be_read() -> None:
    x = wf.ones(3, 2)
    for read in (
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: x.numpy(),
        lambda x: x.tolist(),
        lambda x: x[x > 0],
        lambda x: wf.nonzero(x),
    ):
        with pytest.raises(
            UnsupportedError, match="has a value for each of the 3 samples that vmap maps over"
        ):
            vmap(read)(x)
    assert vmap(lambda x: x * wf.tensor(2.0).item())(x).tolist() == [[2.0, 2.0]] * 3
    shown: list[str] = []
    vmap(lambda x: (shown.append(repr(x)), x)[1])(x)
    assert shown[0].startswith("vmap(3 samples of tensor([[1., 1.]")


def test_mistakes() -> None:
    x, y = wf.ones(3, 2), wf.ones(4, 2)
    add = lambda a, b: a + b  # noqa: E731
    with pytest.raises(
        ArgumentError, match=r"in_dims is \(0,\) with 1 entries, expected one entry for each of 2"
    ):
        vmap(add, in_dims=(0,))(x, x)
    with pytest.raises(
        ArgumentError, match=r"in_dims is \(0, 0\), expected an int, None, or a tree of these like \*"
    ):
        vmap(add, in_dims=((0, 0), 0))(x, x)
    with pytest.raises(ArgumentError, match="in_dims is 'rows'"):
        vmap(add, in_dims="rows")(x, x)
    with pytest.raises(ArgumentError, match="at least one dimension that is not None"):
        vmap(add, in_dims=None)(x, x)
    with pytest.raises(ShapeError, match="3 in argument 0, 4 in argument 1, expected one common size"):
        vmap(add)(x, y)
    with pytest.raises(
        IndexOutOfRangeError, match="in_dims of argument 1 is 2, expected a dimension of a tensor of 2"
    ):
        vmap(add, in_dims=(0, 2))(x, x)
    with pytest.raises(IndexOutOfRangeError, match="in_dims of argument 0 is 0"):
        vmap(lambda x: x)(wf.tensor(1.0))
    with pytest.raises(ArgumentTypeError, match=r"argument 1\['s'\] is of type float with in_dims 0"):
        vmap(lambda x, o: x * o["s"])(x, {"s": 2.0})
    with pytest.raises(
        IndexOutOfRangeError, match="out_dims of result 0 is 2, expected a dimension of a tensor of 2"
    ):
        vmap(lambda x: x, out_dims=2)(x)
    with pytest.raises(ArgumentError, match="out_dims is"):
        vmap(lambda x: x, out_dims=(0, 0))(x)
    with pytest.raises(ArgumentTypeError, match="result is a int, expected a tree of tensors"):
        vmap(lambda x: 3)(x)
    with pytest.raises(ArgumentError, match="randomness is 'some'"):
        vmap(add, randomness="some")
    with pytest.raises(ArgumentError, match="chunk_size is 0"):
        vmap(add, chunk_size=0)
    with pytest.raises(ArgumentError, match="no arguments are given"):
        vmap(lambda: x)()
    with pytest.raises(ShapeError, match=r"matmul: shapes \(2,\) and \(3, 1\)"):  # in a sample's shapes
        vmap(lambda x: x @ wf.ones(3))(x)
    kept: list[Any] = []
    vmap(lambda x: (kept.append(x), x)[1])(x)
    with pytest.raises(UnsupportedError, match="a tensor of a finished vmap is used outside of it"):
        kept[0] + 1
