"""Index expressions against PyTorch: random reads and writes with gradients; the order of writes; mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

import weft as wf
from tests.ops.arrays import from_torch, from_weft, to_torch, to_weft
from weft import dtypes, errors

QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def expressions(draw: st.DrawFn) -> tuple[tuple[int, ...], list[Any], bool]:
    """Draw a shape and index items for it: ints, slices, None, ..., index arrays that broadcast, masks, bools."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    common = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    items: list[Any] = []
    d = 0
    while d < len(shape):
        kind = draw(st.sampled_from(["int", "slice", "tensor", "tensor", "mask", "none", "stop", "list"]))
        size = shape[d]
        if kind == "stop":
            break
        if kind == "none":
            items.append(None)
            continue
        if kind == "int":
            items.append(draw(st.integers(-size, size - 1)))
        elif kind == "slice":
            ends = st.none() | st.integers(-size - 1, size + 1)
            items.append(slice(draw(ends), draw(ends), draw(st.none() | st.integers(1, 3))))
        elif kind == "list" and common in ((), (1,)):
            items.append([draw(st.integers(-size, size - 1))])
        elif kind == "mask" and not any(isinstance(item, np.ndarray | list) for item in items):
            # the number of true elements broadcasts with other index tensors only where there are none
            rank = draw(st.integers(1, min(2, len(shape) - d)))
            bits = draw(
                st.lists(st.booleans(), min_size=(n := int(np.prod(shape[d : d + rank]))), max_size=n)
            )
            items.append(np.array(bits).reshape(shape[d : d + rank]))
            d += rank
            break
        else:
            own = tuple(1 if draw(st.integers(0, 3)) == 0 else extent for extent in common)
            count = int(np.prod(own, dtype=int))
            values = draw(st.lists(st.integers(-size, size - 1), min_size=count, max_size=count))
            items.append(np.array(values, dtype="int64").reshape(own))
        d += 1
    if draw(st.booleans()):
        items.append(Ellipsis)
    return shape, items, draw(st.booleans())


def given_to(library: Any, items: list[Any], device: str | None) -> tuple[Any, ...]:
    """Return the items with arrays as tensors of a library."""

    def converted(item: Any) -> Any:
        if not isinstance(item, np.ndarray):
            return item
        return torch.tensor(item) if library is torch else to_weft(item, str(device))

    return tuple(converted(item) for item in items)


def reordered(x: Any) -> Any:
    """Return the same elements with the last dimension outermost in memory."""
    back = tuple(reversed(range(x.ndim)))
    return x.permute(*back).contiguous().permute(*back)


def gradient_of(leaf: Any) -> Any:
    """Return the gradient's values; zeros where there is no gradient."""
    convert = from_torch if isinstance(leaf, torch.Tensor) else from_weft
    return np.zeros(tuple(leaf.shape), "float32") if leaf.grad is None else convert(leaf.grad)


def values_of(shape: tuple[int, ...]) -> Any:
    return np.arange(int(np.prod(shape)), dtype="float32").reshape(shape)


@QUICK
@given(case=expressions())
def test_reading_and_its_gradient(device: Any, case: Any) -> None:
    shape, items, permuted = case
    ours = to_weft(values_of(shape), device.name, requires_grad=True)
    theirs = torch.tensor(values_of(shape), requires_grad=True)
    x, y = (reordered(ours), reordered(theirs)) if permuted else (ours, theirs)
    got, expected = x[given_to(wf, items, device.name)], y[given_to(torch, items, None)]
    np.testing.assert_array_equal(from_weft(got), from_torch(expected))
    weights = np.cos(np.arange(expected.numel())).astype("float32").reshape(tuple(expected.shape))
    (got * to_weft(weights, device.name)).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(gradient_of(ours), gradient_of(theirs), rtol=1e-5, atol=1e-6)


@QUICK
@given(case=expressions(), number=st.booleans())
def test_writing_and_its_gradients(device: Any, case: Any, number: bool) -> None:
    shape, items, permuted = case
    base = torch.tensor(values_of(shape))
    region = base[given_to(torch, items, None)]
    # equal places: PyTorch does not say which write stays, weft's last one does; so write equal values there
    written = -(region + 1) if not number else None
    results = []
    for library in (wf, torch):
        leaf = (
            to_weft(values_of(shape), device.name, True)
            if library is wf
            else torch.tensor(values_of(shape), requires_grad=True)
        )
        x = leaf * 2
        x = reordered(x) if permuted else x
        value: Any = 5.0
        if written is not None:
            host = from_torch(written)
            value = (
                to_weft(host, device.name, True) if library is wf else torch.tensor(host, requires_grad=True)
            )
        x[given_to(library, items, device.name)] = value
        (x * x).sum().backward()
        results.append((leaf, x.detach(), value))
    (leaf, x, value), (leaf_, x_, value_) = results
    np.testing.assert_array_equal(from_weft(x), from_torch(x_))
    np.testing.assert_allclose(gradient_of(leaf), gradient_of(leaf_))
    if not number:
        np.testing.assert_allclose(gradient_of(value), gradient_of(value_))


@QUICK
@given(data=st.data())
def test_the_last_write_stays(device: Any, data: st.DataObject) -> None:
    rows, count = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 40))
    index = np.array(data.draw(st.lists(st.integers(0, rows - 1), min_size=count, max_size=count)))
    dtype = data.draw(st.sampled_from(["float32", "float16", "int16", "int8", "bool", "int64"]))
    values = (np.arange(count * 3).reshape(count, 3) % (2 if dtype == "bool" else 97)).astype(dtype)
    expected = np.zeros((rows, 3), dtype)
    for at, row in enumerate(index):
        expected[row] = values[at]
    x = to_weft(np.zeros((rows, 3), dtype), device.name)
    x[to_weft(index, device.name)] = to_weft(values, device.name)
    np.testing.assert_array_equal(from_weft(x), expected)
    # into a strided view, and only there
    base = to_weft(np.zeros((rows, 7), dtype), device.name)
    base[:, 1::2][to_weft(index, device.name)] = to_weft(values, device.name)
    np.testing.assert_array_equal(from_weft(base)[:, 1::2], expected)
    assert not from_weft(base)[:, ::2].any()


def test_many_equal_indices_sum_in_a_fixed_order(device: Any) -> None:
    draw = np.random.default_rng(0)
    index = draw.integers(0, 5, 3000)
    values = draw.standard_normal((3000, 2)).astype("float32")
    keys, rows = to_weft(index, device.name), to_weft(values, device.name)
    zeros = wf.zeros(7, 2, device=device.name)
    first = zeros.index_add(0, keys, rows)
    expected = np.zeros((7, 2))
    np.add.at(expected, index, values.astype("float64"))
    np.testing.assert_allclose(from_weft(first), expected, rtol=1e-5, atol=1e-4)
    for _ in range(3):
        assert from_weft(zeros.index_add(0, keys, rows)).tobytes() == from_weft(first).tobytes()


def test_half_precision_sums_are_wide(device: Any) -> None:
    index = wf.zeros(4096, dtype=wf.int64, device=device.name)
    ones = wf.ones(4096, dtype=wf.float16, device=device.name)
    assert wf.zeros(1, dtype=wf.float16, device=device.name).index_add(0, index, ones).item() == 4096.0
    ones = ones.to(wf.bfloat16)
    assert wf.zeros(1, dtype=wf.bfloat16, device=device.name).scatter_add(0, index, ones).item() == 4096.0


INPLACE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda x, i, v: x.__setitem__(i, x[i] + v),
    "index_add_": lambda x, i, v: x.index_add_(0, i, v, alpha=2),
    "index_copy_": lambda x, i, v: x.index_copy_(0, i, v),
    "index_fill_": lambda x, i, v: x.index_fill_(0, i, 3.0),
    "index_put_": lambda x, i, v: x.index_put_((i,), v, accumulate=True),
    "view": lambda x, i, v: x.t()[1:].index_add_(1, i, v.t()[1:]),
    "scatter_": lambda x, i, v: x.scatter_(0, i[:, None].expand(2, 3), v),
    "scatter_add_": lambda x, i, v: x[:, 1:].scatter_add_(0, i[:, None].expand(2, 2), v[:, :2]),
    "scatter_reduce_": lambda x, i, v: x.scatter_reduce_(0, i[:, None].expand(2, 3), v, "amax"),
    "masked_scatter_": lambda x, i, v: x.masked_scatter_(x > 11, v),
    "mask": lambda x, i, v: x.__setitem__(x > 4, 0.0),
}


@pytest.mark.parametrize("name", INPLACE)
def test_gradients_of_in_place_forms(device: Any, name: str) -> None:
    results = []
    for library in (wf, torch):
        options = {"device": device.name} if library is wf else {}
        leaf = library.arange(12.0, **options).reshape(4, 3).clone().requires_grad_()
        values = library.tensor([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]], requires_grad=True, **options)
        x = leaf * 1.5
        INPLACE[name](x, library.tensor([3, 1], **options), values)
        (x * x).sum().backward()
        results.append((x.detach(), leaf.grad, values.grad))
    for got, expected in zip(*results, strict=True):
        assert (got is None) == (expected is None)
        if got is not None:
            np.testing.assert_allclose(from_weft(got), from_torch(expected), rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "uint32",
        "bool",
        "float64",
    ],
)
def test_writes_through_odd_offsets_and_strides(device: Any, name: str) -> None:
    dtype = dtypes.named(name)
    if not device.supports(dtype):
        return
    host = (np.arange(60).reshape(5, 12) % 2).astype(dtype.numpy)
    for view in (
        (slice(None), slice(1, None, 2)),
        (slice(1, 4), slice(3, 10, 3)),
        (2, slice(5, 6)),
        (slice(None, None, 2), 7),
    ):
        ours, theirs = to_weft(host, device.name), host.copy()
        flipped = (1 - host.astype("int64")[view]).astype(dtype.numpy)
        ours[view] = to_weft(np.ascontiguousarray(flipped), device.name)
        theirs[view] = flipped
        np.testing.assert_array_equal(from_weft(ours).astype("float64"), theirs.astype("float64"))
        ours[view] = 1
        theirs[view] = 1
        np.testing.assert_array_equal(from_weft(ours).astype("float64"), theirs.astype("float64"))
        ours.t()[tuple(reversed(view))].fill_(0)
        theirs[view] = 0
        np.testing.assert_array_equal(from_weft(ours).astype("float64"), theirs.astype("float64"))


MISTAKES: dict[str, tuple[Callable[[Any, Any], Any], type[Exception], str]] = {
    "float index": (
        lambda x, i: x[x],
        TypeError,
        "index tensor's dtype is float32, expected an integer type",
    ),
    "uint8": (lambda x, i: x[i.to(wf.uint8)], IndexError, r"mask's shape is \(2,\), expected \(3,\)"),
    "mask shape": (lambda x, i: x[i > 0], IndexError, r"mask's shape is \(2,\), expected \(3,\)"),
    "too many": (lambda x, i: x[i, i, i], IndexError, "too many indices: 3"),
    "broadcast": (lambda x, i: x[i, x[0].to(wf.int64)], IndexError, "do not broadcast"),
    "value shape": (
        lambda x, i: x.__setitem__(i, x),
        RuntimeError,
        r"value's shape is \(3, 4\), expected one that broadcasts to \(2, 4\)",
    ),
    "value type": (lambda x, i: x.__setitem__(i, i), TypeError, "value's dtype is int64, expected float32"),
    "source type": (
        lambda x, i: x.index_add(0, i, x[:2].half()),
        TypeError,
        "index_add: source's dtype is float16, expected float32",
    ),
    "source shape": (
        lambda x, i: x.index_add(0, i, x),
        RuntimeError,
        r"index_add: source's shape is \(3, 4\), expected \(2, 4\)",
    ),
    "reduce": (
        lambda x, i: x.scatter_reduce(0, i[:, None], x, "max"),
        ValueError,
        "scatter_reduce: reduce is 'max'",
    ),
    "few values": (
        lambda x, i: x.masked_scatter(x > 0, i.float()),
        RuntimeError,
        "masked_scatter: source is 2 elements, expected at least 11",
    ),
    "mask type": (
        lambda x, i: x.masked_select(x),
        TypeError,
        "masked_select: mask's dtype is float32, expected bool",
    ),
    "negative count": (lambda x, i: (i - 5).bincount(), RuntimeError, "bincount: input is a tensor with -4"),
    "repeats": (
        lambda x, i: x.repeat_interleave(i, 0),
        RuntimeError,
        r"repeats' shape is \(2,\), expected \(3,\)",
    ),
    "leaf": (
        lambda x, i: x.detach().requires_grad_().index_add_(0, i, x[:2]),
        RuntimeError,
        "leaf tensor that requires grad is written in place",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(device: Any, name: str) -> None:
    call, kind, words = MISTAKES[name]
    x = to_weft(values_of((3, 4)), device.name)
    index = wf.tensor([2, 1], device=device.name)
    with pytest.raises(kind, match=words) as raised:
        call(x, index)
    assert isinstance(raised.value, errors.WeftError)
    assert x.tolist() == values_of((3, 4)).tolist()


WRONG: dict[str, Callable[[Any, Any], Any]] = {
    "read": lambda x, bad: x[bad],
    "write": lambda x, bad: x.clone().__setitem__(bad, 1.0),
    "index_add": lambda x, bad: x.index_add(0, bad, x[:1]),
    "index_select": lambda x, bad: x.index_select(0, bad),
    "take": lambda x, bad: x.take(bad * 4),
    "scatter": lambda x, bad: x.scatter(0, bad[:, None], 1.0),
    "one_hot": lambda x, bad: wf.nn.functional.one_hot(bad, 3),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("bad", [3, -4, 1 << 30])
def test_indices_out_of_range_are_reported(device: Any, name: str, bad: int) -> None:
    x = to_weft(values_of((3, 4)), device.name)
    index = wf.tensor([bad], device=device.name)
    if name == "take" and bad > 3:
        index = wf.tensor([100], device=device.name)
    with pytest.raises(errors.IndexOutOfRangeError, match="is out of range"):
        WRONG[name](x, index)
        x.sum().item()
    device.synchronize()
    assert x.tolist() == values_of((3, 4)).tolist()


def test_masks_and_lists_and_numpy(device: Any) -> None:
    host = values_of((3, 4))
    x, y = to_weft(host, device.name), to_torch(host)
    assert x[[0, -1]].tolist() == y[[0, -1]].tolist()
    assert x[np.array([True, False, True])].tolist() == y[torch.tensor([True, False, True])].tolist()
    assert x[np.int64(1), [1, 2]].tolist() == y[1, [1, 2]].tolist()
    assert x[True].shape == (1, 3, 4)
    assert x[False].shape == (0, 3, 4)
    assert x[[]].shape == (0, 4)
    assert x[wf.tensor(2, device=device.name)].tolist() == y[torch.tensor(2)].tolist()


def test_splits_share_memory(device: Any) -> None:
    x = to_weft(values_of((4, 3)), device.name)
    for part in (
        *x.split(3),
        *x.chunk(2),
        *x.tensor_split([1]),
        *x.unbind(),
        x.diagonal(),
        x.unfold(0, 2, 1),
    ):
        assert part._data.alias is x._data.alias
    x.diagonal().fill_(-1)
    assert [x[i, i].item() for i in range(3)] == [-1.0] * 3
    first, second = x.chunk(2)
    first.zero_()
    assert x[:2].sum().item() == 0.0
    assert second.tolist() == x[2:].tolist()


def test_many_tensors_are_joined(device) -> None:
    """More tensors than a kernel concatenates, of several lengths."""
    arrays = [np.full((at % 3 + 1, 2), at, np.float32) for at in range(150)]
    tensors = [wf.tensor(array, device=device.name) for array in arrays]
    np.testing.assert_array_equal(wf.cat(tensors).numpy(), np.concatenate(arrays))
    numbers = wf.stack([tensor.sum() for tensor in tensors])
    assert numbers.tolist() == [float(array.sum()) for array in arrays]
