"""Random shapes, layouts and broadcasts against NumPy: 0-d, empty, 1 to 5 dimensions, steps, offsets, repeats."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import HealthCheck, given, settings

import weft as wf
from tests.ops.arrays import assert_equal, from_weft, to_weft

QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SIZES = st.sampled_from([0, 1, 1, 2, 3, 4, 7])
SHAPES = st.lists(SIZES, max_size=5).map(tuple)


@st.composite
def broadcasting(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw two shapes that broadcast."""
    full = draw(SHAPES)

    def part() -> tuple[int, ...]:
        kept = full[draw(st.integers(0, len(full))) :]
        return tuple(1 if draw(st.booleans()) else size for size in kept)

    first = tuple(1 if draw(st.integers(0, 3)) == 0 else size for size in full)
    return (first, part()) if draw(st.booleans()) else (part(), first)


@st.composite
def viewed(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Draw a base array and a function to a view of a shape: by order, step, offset and repetition."""
    order = draw(st.permutations(range(len(shape))))
    base_shape, slices = [], []
    repeated = [draw(st.integers(0, 4)) == 0 and shape[d] > 0 for d in order]
    for d, repeats in zip(order, repeated, strict=True):
        size = 1 if repeats else shape[d]
        start, step = draw(st.integers(0, 2)), draw(st.integers(1, 3))
        base_shape.append(start + step * size + draw(st.integers(0, 1)))
        slices.append(slice(start, start + step * size, step))
    back = tuple(order.index(d) for d in range(len(shape)))
    count = int(np.prod(base_shape, dtype=int))
    base = (np.arange(count, dtype="float32") % 23 - 11).reshape(base_shape) / 4

    def view(tensor: Any) -> Any:
        taken = tensor[tuple(slices)] if slices else tensor
        taken = taken.permute(*back) if back else taken
        return taken.expand(*shape) if shape else taken

    return base, view


@QUICK
@given(data=st.data())
def test_binary_ops_broadcast_any_views(device: Any, data: st.DataObject) -> None:
    left, right = data.draw(broadcasting())
    (a, view_a), (b, view_b) = data.draw(viewed(left)), data.draw(viewed(right))
    x, y = view_a(to_weft(a, device.name)), view_b(to_weft(b, device.name))
    own, other = view_a(torch.tensor(a)).numpy(), view_b(torch.tensor(b)).numpy()
    np.testing.assert_array_equal(from_weft(x + y), own + other)
    np.testing.assert_array_equal(from_weft(x > y), own > other)


@QUICK
@given(data=st.data())
def test_reductions_of_any_view(device: Any, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    base, view = data.draw(viewed(shape))
    dims = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1)))) if shape else ()
    keep = data.draw(st.booleans())
    x, host = view(to_weft(base, device.name)), view(torch.tensor(base)).numpy()
    axes = dims or None
    assert_equal(from_weft(wf.sum(x, dims or None, keep)), np.asarray(host.sum(axes, keepdims=keep)), scale=4)
    if all(host.shape[d] for d in (dims or range(host.ndim))):
        assert_equal(from_weft(wf.amax(x, dims or None, keep)), np.asarray(host.max(axes, keepdims=keep)))
    if dims and host.shape[dims[0]]:
        np.testing.assert_array_equal(
            from_weft(wf.argmin(x, dims[0], keep)), host.argmin(dims[0], keepdims=keep)
        )


@QUICK
@given(data=st.data())
def test_movement_of_any_view(device: Any, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    base, view = data.draw(viewed(shape))
    x, theirs = view(to_weft(base, device.name)), view(torch.tensor(base))
    np.testing.assert_array_equal(from_weft(x.contiguous()), theirs.numpy())
    np.testing.assert_array_equal(
        from_weft(x.reshape(-1) if x.numel() else x.flatten()), theirs.numpy().reshape(-1)
    )
    assert x.contiguous().is_contiguous()
    if shape:
        dim = data.draw(st.integers(-len(shape), len(shape) - 1))
        np.testing.assert_array_equal(
            from_weft(wf.cat([x, x.clone(), x], dim)), torch.cat([theirs] * 3, dim).numpy()
        )
        np.testing.assert_array_equal(
            from_weft(wf.stack([x, x], dim)), torch.stack([theirs] * 2, dim).numpy()
        )
    if theirs.numel() and len(shape) > 1:
        np.testing.assert_array_equal(from_weft(x.flatten(0, 1)), theirs.flatten(0, 1).numpy())


@QUICK
@given(data=st.data())
def test_reshape_is_a_view_where_torch_has_one(device: Any, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), max_size=4).map(tuple))
    base, view = data.draw(viewed(shape))
    x, theirs = view(to_weft(base, device.name)), view(torch.tensor(base))
    wanted = data.draw(st.permutations([*shape, 1])) if data.draw(st.booleans()) else [-1]
    try:
        theirs.view(*wanted)
    except RuntimeError:
        assert (
            not x.numel()
            or wf.ops.Geometry(x.shape, x.stride()).reshape(tuple(theirs.reshape(*wanted).shape)) is None
        )
    else:
        assert x.view(*wanted).stride() == theirs.view(*wanted).stride() or 1 in theirs.view(*wanted).shape
        np.testing.assert_array_equal(from_weft(x.view(*wanted)), theirs.view(*wanted).numpy())


@QUICK
@given(
    batch_a=st.lists(st.sampled_from([1, 2, 3]), max_size=2), batch_b=st.lists(st.sampled_from([1, 2, 3]), max_size=3),
    sizes=st.tuples(*[st.sampled_from([0, 1, 2, 5, 17]) for _ in range(3)]), swap=st.tuples(st.booleans(), st.booleans()),
)  # fmt: skip
def test_matrix_products(device: Any, batch_a: list[int], batch_b: list[int], sizes: Any, swap: Any) -> None:
    n, k, m = sizes
    draw = np.random.default_rng(0)
    for at in range(1, min(len(batch_a), len(batch_b)) + 1):
        if batch_a[-at] != 1 and batch_b[-at] != 1:
            batch_b[-at] = batch_a[-at]
    shape_a = (*batch_a, k, n) if swap[0] else (*batch_a, n, k)
    shape_b = (*batch_b, m, k) if swap[1] else (*batch_b, k, m)
    a, b = (draw.standard_normal(shape).astype("float32") for shape in (shape_a, shape_b))
    x, y = to_weft(a, device.name), to_weft(b, device.name)
    x, a = (x.mT, np.swapaxes(a, -1, -2)) if swap[0] else (x, a)
    y, b = (y.mT, np.swapaxes(b, -1, -2)) if swap[1] else (y, b)
    expected = np.matmul(a.astype("float64"), b.astype("float64")).astype("float32")
    assert_equal(from_weft(x @ y), expected, scale=8)


def test_sums_of_many_elements(device: Any) -> None:
    draw = np.random.default_rng(0)
    # in one stage and in two, chunks that divide the size and that do not, and more than a software driver's loops take
    runs: list[tuple[tuple[int, ...], Any]] = [
        ((1 << 17,), None), ((3, 70001), 1), ((70001, 20), 0), ((64, 2048), None), ((2, 40, 2000), (1, 2)), ((5_000_011,), 0)
    ]  # fmt: skip
    for shape, dim in runs:
        host = draw.standard_normal(shape).astype("float32")
        x = to_weft(host, device.name)
        expected = host.astype("float64").sum(dim)
        error = np.abs(from_weft(x.sum(dim)) - expected).max()
        assert error < 1e-6 * np.abs(host.astype("float64")).sum(dim).max(), f"sum over {dim} of {shape}"
        assert_equal(from_weft(x.amax(dim)), np.asarray(host.max(dim)))
        np.testing.assert_array_equal(from_weft(x.argmax() if dim is None else x.amax(dim).argmax()),
                                      host.argmax() if dim is None else np.asarray(host.max(dim)).argmax())  # fmt: skip


def test_float16_sums_do_not_overflow_inside(device: Any) -> None:
    x = wf.full((70000,), 1.0, dtype=wf.float16, device=device.name)
    assert x.mean().item() == 1.0
    assert (x * 0.5).sum().item() == 35008.0  # 35000 in float16
    ones = wf.full((1, 5000), 1.0, dtype=wf.bfloat16, device=device.name)
    assert (ones @ ones.T).item() == 4992.0  # 5000 in bfloat16, summed wide
