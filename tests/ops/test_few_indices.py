"""Writes by few indices take memory by the number of indices, and not by the size of the target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf

SIZE = 1 << 18
KINDS = ("int8", "uint8", "bool", "int16", "float16", "bfloat16", "int32", "float32", "int64")
"""Element types: packed in words on webgpu, and of 32 bits or more."""


@contextmanager
def allocated(device: Any) -> Iterator[list[int]]:
    """Record the bytes of each allocation."""
    asked: list[int] = []
    allocate = device.allocate

    def counted(size: int, *rest: Any, **named: Any) -> Any:
        asked.append(size)
        return allocate(size, *rest, **named)

    device.allocate = counted
    try:
        yield asked
    finally:
        del device.allocate


Write = Callable[[Any, Any, Any], Any]
WRITES: dict[str, Write] = {
    "x[i] = v": lambda x, i, v: x.__setitem__(i, v),
    "index_put_": lambda x, i, v: x.index_put_((i,), v),
    "index_copy_": lambda x, i, v: x.index_copy_(0, i, v),
}
COUNTS = (1, 2, 700, 1500)
"""Numbers of indices: a single index; few, which are compared in pairs; and more, which are sorted."""


def rows_beside_another(draw: np.random.Generator, count: int) -> Any:
    """Return random rows, many of them in the same word, some of them equal."""
    rows = draw.integers(0, SIZE // 2, count)
    rows[count // 2 :] = rows[: count - count // 2] + draw.integers(0, 3, count - count // 2)
    return rows


@pytest.mark.parametrize("layout", ["dense", "every second", "columns"])
@pytest.mark.parametrize("name", WRITES)
def test_few_indices_take_little_memory(device: Any, name: str, layout: str) -> None:
    draw = np.random.default_rng(5)
    for kind in KINDS:
        for count in COUNTS:
            rows = rows_beside_another(draw, count)
            shape = {"dense": (SIZE,), "every second": (2 * SIZE,), "columns": (2, SIZE)}[layout]
            whole = wf.zeros(shape, dtype=getattr(wf, kind), device=device.name)
            see: Callable[[Any], Any] = {
                "dense": lambda x: x, "every second": lambda x: x[::2], "columns": lambda x: x.T,
            }[layout]  # fmt: skip
            target = see(whole)
            values = draw.integers(0, 2 if kind == "bool" else 100, (count, *target.shape[1:]))
            index = wf.tensor(rows, device=device.name)
            given = wf.tensor(values, device=device.name).to(getattr(wf, kind))
            wf.zeros(1, device=device.name).tolist()  # uploads are done
            with allocated(wf.devices.open(device.name)) as asked:
                WRITES[name](target, index, given)
            expected = np.zeros(shape, values.dtype)
            for row, value in zip(rows, values, strict=True):
                see(expected)[row] = value
            np.testing.assert_array_equal(whole.long().numpy(), expected)
            assert sum(asked) <= 256 * 1024 + 200 * count, f"{kind}, {count} indices: {asked}"


FOLDS: dict[str, tuple[Write, Callable[[Any, Any, Any], None]]] = {
    "index_put_": (lambda x, i, v: x.index_put_((i,), v, accumulate=True), np.add.at),
    "index_add_": (lambda x, i, v: x.index_add_(0, i, v), np.add.at),
    "scatter_add_": (lambda x, i, v: x.scatter_add_(0, like(i, v), v), np.add.at),
    "amax": (lambda x, i, v: x.scatter_reduce_(0, like(i, v), v, "amax"), np.maximum.at),
    "amin": (lambda x, i, v: x.scatter_reduce_(0, like(i, v), v, "amin"), np.minimum.at),
    "prod": (lambda x, i, v: x.scatter_reduce_(0, like(i, v), v, "prod"), np.multiply.at),
}


def like(index: Any, values: Any) -> Any:
    """Return an index tensor that repeats each row's index for all elements of the row."""
    return index if values.ndim == 1 else index[:, None].expand(*values.shape)


@pytest.mark.parametrize("layout", ["dense", "every second", "columns"])
@pytest.mark.parametrize("name", FOLDS)
def test_folds_of_few_indices_take_little_memory(device: Any, name: str, layout: str) -> None:
    draw = np.random.default_rng(6)
    fold, expect = FOLDS[name]
    for kind in (kind for kind in KINDS if kind != "bool"):
        for count in COUNTS:
            rows = rows_beside_another(draw, count)
            shape = {"dense": (SIZE,), "every second": (2 * SIZE,), "columns": (2, SIZE)}[layout]
            see: Callable[[Any], Any] = {
                "dense": lambda x: x, "every second": lambda x: x[::2], "columns": lambda x: x.T,
            }[layout]  # fmt: skip
            expected = draw.integers(0, 3, shape)
            whole = wf.tensor(expected, device=device.name).to(getattr(wf, kind))
            target = see(whole)
            values = draw.integers(0, 3, (count, *target.shape[1:]))
            index = wf.tensor(rows, device=device.name)
            given = wf.tensor(values, device=device.name).to(getattr(wf, kind))
            wf.zeros(1, device=device.name).tolist()  # uploads are done
            with allocated(wf.devices.open(device.name)) as asked:
                fold(target, index, given)
            expect(see(expected), rows, values)
            np.testing.assert_array_equal(whole.long().numpy(), expected)
            assert sum(asked) <= 256 * 1024 + 400 * count, f"{kind}, {count} indices: {asked}"


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_in_a_word_are_written_at_once(device: Any, kind: str) -> None:
    """Every element of many words is named twice: no write is lost, in several repetitions."""
    draw = np.random.default_rng(7)
    dtype = getattr(wf, kind)
    for _ in range(5):
        rows = draw.permutation(np.repeat(np.arange(1800) + 13, 2))
        values = draw.integers(0, 2 if kind == "bool" else 100, len(rows))
        target = wf.ones(SIZE, dtype=dtype, device=device.name)
        target[wf.tensor(rows, device=device.name)] = wf.tensor(values, device=device.name).to(dtype)
        expected = np.ones(SIZE, "int64")
        for row, value in zip(rows, values, strict=True):
            expected[row] = value
        np.testing.assert_array_equal(target.long().numpy(), expected)


FORMS: dict[str, tuple[tuple[int, ...], Callable[[Any, Any, Any, Any], Any]]] = {
    "x[i] = v": ((3, 512), lambda x, i, j, v: x.__setitem__(i, v)),
    "x[:, i] = v": ((512, 3), lambda x, i, j, v: x.__setitem__((slice(None), i), v)),
    "x[i, j] = v": ((3,), lambda x, i, j, v: x.__setitem__((i, j), v)),
    "x[i, 3] = v": ((3,), lambda x, i, j, v: x.__setitem__((i, 3), v)),
    "x[i, 1:3] = v": ((3, 2), lambda x, i, j, v: x.__setitem__((i, slice(1, 3)), v)),
    "x[i] = number": ((), lambda x, i, j, v: x.__setitem__(i, 7)),
    "x[list] = v": ((2, 512), lambda x, i, j, v: x.__setitem__([1, 5], v)),
    "x[i] += v": ((3, 512), lambda x, i, j, v: x.__setitem__(i, x[i] + v)),
    "x[0-d i] = v": ((512,), lambda x, i, j, v: x.__setitem__(i[0], v)),
    "x[5] = v": ((512,), lambda x, i, j, v: x.__setitem__(5, v)),
    "x[5, 7] = number": ((), lambda x, i, j, v: x.__setitem__((5, 7), 3)),
    "index_put_ of two": ((3,), lambda x, i, j, v: x.index_put_((i, j), v, accumulate=True)),
    "index_copy_ of columns": ((512, 3), lambda x, i, j, v: x.index_copy_(1, i, v)),
    "index_fill_": ((), lambda x, i, j, v: x.index_fill_(0, i, 3)),
    "index_fill_ with a tensor": ((), lambda x, i, j, v: x.index_fill_(1, i, v)),
    "index_add_ to columns": ((512, 3), lambda x, i, j, v: x.index_add_(1, i, v)),
    "index_add_ with alpha": ((3, 512), lambda x, i, j, v: x.index_add_(0, i, v, alpha=2)),
    "scatter_": ((1, 3), lambda x, i, j, v: x.scatter_(0, i[None], v)),
    "scatter_ of a number": ((), lambda x, i, j, v: x.scatter_(0, i[None], 7)),
    "scatter_add_": ((3, 1), lambda x, i, j, v: x.scatter_add_(1, i[:, None], v)),
    "scatter_reduce_ without self": (
        (3, 1),
        lambda x, i, j, v: x.scatter_reduce_(1, i[:, None], v, "amax", include_self=False),
    ),
    "index_reduce_ without self": (
        (3, 512),
        lambda x, i, j, v: x.index_reduce_(0, i, v, "prod", include_self=False),
    ),
}
"""Writes and folds into a matrix, each with the shape of the values."""


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in FORMS for kind in KINDS if (name[:12], kind) != ("index_reduce", "bool")],
)
def test_every_form_of_a_write_takes_little_memory(device: Any, name: str, kind: str) -> None:
    shape, write = FORMS[name]
    draw = np.random.default_rng(8)
    base, given = draw.integers(0, 2, (512, 512)), draw.integers(0, 2, shape)

    def written(m: Any, **on: Any) -> Any:
        made = m.tensor(base, **on).to(getattr(m, kind))
        values, i, j = (
            m.tensor(given, **on).to(made.dtype),
            m.tensor([1, 5, 1], **on),
            m.tensor([2, 3, 2], **on),
        )
        if m is torch:
            write(made, i, j, values)
            return made.long().numpy()
        wf.zeros(1, device=device.name).tolist()  # uploads are done
        with allocated(wf.devices.open(device.name)) as asked:
            write(made, i, j, values)
        assert sum(asked) <= 160 * 1024, asked
        return made.long().numpy()

    np.testing.assert_array_equal(written(wf, device=device.name), written(torch))


@pytest.mark.parametrize("count", [2, 1500])
def test_index_fill_takes_little_memory(device: Any, count: int) -> None:
    target = wf.zeros(SIZE, device=device.name)
    rows = np.arange(count) * 7
    index = wf.tensor(rows, device=device.name)
    with allocated(wf.devices.open(device.name)) as asked:
        target.index_fill_(0, index, 2.0)
    expected = np.zeros(SIZE, "float32")
    expected[rows] = 2
    np.testing.assert_array_equal(target.numpy(), expected)
    assert sum(asked) <= 256 * 1024 + 200 * count


def test_two_indices_into_many_bytes() -> None:
    """A write into 64 MiB of int8 on the cpu takes no table of 512 MiB."""
    target = wf.zeros(1 << 26, dtype=wf.int8, device="cpu")
    index, values = wf.tensor([5, (1 << 26) - 1]), wf.tensor([1, 2], dtype=wf.int8)
    with allocated(wf.devices.open("cpu")) as asked:
        target[index] = values
    assert sum(asked) < 1 << 16
    assert (target[5].item(), target[-1].item(), target.sum().item()) == (1, 2, 3)
