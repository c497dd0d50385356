"""Writes by few indices take memory by their number, and not by the size of what they are written into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import weft as wf

SIZE = 1 << 18
KINDS = {"cpu": ("int8", "float16", "float32", "int64"), "webgpu": ("int32", "float32", "int64")}
"""Types of elements that are no part of a word, on each device."""


@contextmanager
def allocated(device: Any) -> Iterator[list[int]]:
    """The bytes that each allocation asks for."""
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
COUNTS = (2, 700, 1500)
"""Indices that are compared with one another, and indices that are sorted where they are more."""


@pytest.mark.parametrize("layout", ["dense", "every second", "columns"])
@pytest.mark.parametrize("name", WRITES)
def test_few_indices_take_little_memory(device: Any, name: str, layout: str) -> None:
    draw = np.random.default_rng(5)
    for kind in KINDS["cpu" if device.name == "cpu" else "webgpu"]:
        for count in COUNTS:
            rows = draw.integers(0, SIZE // 2, count)
            rows[-1] = rows[0]  # of equal places the last one stays
            shape = {"dense": (SIZE,), "every second": (2 * SIZE,), "columns": (2, SIZE)}[layout]
            whole = wf.zeros(shape, dtype=getattr(wf, kind), device=device.name)
            see: Callable[[Any], Any] = {
                "dense": lambda x: x, "every second": lambda x: x[::2], "columns": lambda x: x.T,
            }[layout]  # fmt: skip
            target = see(whole)
            values = draw.integers(1, 100, (count, *target.shape[1:]))
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
    """64 MiB of int8 on the cpu take no table of 512 MiB."""
    target = wf.zeros(1 << 26, dtype=wf.int8, device="cpu")
    index, values = wf.tensor([5, (1 << 26) - 1]), wf.tensor([1, 2], dtype=wf.int8)
    with allocated(wf.devices.open("cpu")) as asked:
        target[index] = values
    assert sum(asked) < 1 << 16
    assert (target[5].item(), target[-1].item(), target.sum().item()) == (1, 2, 3)
