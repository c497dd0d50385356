"""``print(tensor)`` against PyTorch's text for values of every kind, and the limits of what printing reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy
import pytest
import torch
from hypothesis import given

import weft as wf
from weft.devices import Device
from weft.tensors import printing

FLOATS = st.one_of(
    st.floats(width=32, allow_nan=True, allow_infinity=True),
    st.floats(-10, 10, width=32),
    st.integers(-1000, 1000).map(float),
    st.sampled_from([0.0, -0.0, 1e-4, 9.9e-5, 1e8, 1.1e8, 1e-45, 3.4e38, float("nan"), float("inf")]),
)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@pytest.fixture(autouse=True)
def _default_options() -> Iterator[None]:
    yield
    wf.set_printoptions(profile="default")
    torch.set_printoptions(profile="default")


def ours(array: object, dtype: wf.dtypes.DType | None = None) -> str:
    return repr(wf.tensor(array, dtype=dtype, device="cpu"))


def theirs(array: object, dtype: str) -> str:
    return repr(torch.tensor(array, dtype=getattr(torch, dtype))).replace("torch.", "weft.")


def without_device(tensor: wf.Tensor) -> str:
    return re.sub(r",\s+device='[^']*'", "", repr(tensor))


@given(st.data())
def test_floats_print_as_pytorch_prints_them(data: st.DataObject) -> None:
    values = data.draw(arrays.arrays("float32", SHAPES, elements=FLOATS))
    name = data.draw(st.sampled_from(["float32", "float64", "float16", "bfloat16"]))
    with numpy.errstate(all="ignore"):
        assert ours(values, getattr(wf, name)) == theirs(values, name)


@given(arrays.arrays("float64", SHAPES, elements=st.floats(allow_nan=True)))
def test_doubles_print_as_pytorch_prints_them(values: numpy.ndarray) -> None:
    assert ours(values, wf.float64) == theirs(values, "float64")


@given(arrays.arrays("int64", SHAPES), st.sampled_from(["int64", "int32", "int16", "int8", "uint8", "bool"]))
def test_integers_print_as_pytorch_prints_them(values: numpy.ndarray, name: str) -> None:
    if name == "bool":
        assert ours(values % 2 == 0) == theirs(values % 2 == 0, name)
    else:
        small = values.astype(name)
        assert ours(small) == theirs(small, name)


@pytest.mark.parametrize(
    "shape",
    [(1001,), (2000, 3), (3, 2000), (7, 6, 60), (6, 7, 60), (1, 1, 1001), (2, 3, 4, 50), (20, 20, 20)],
)
def test_large_tensors_show_their_edges(shape: tuple[int, ...], device: Device) -> None:
    values = numpy.random.default_rng(0).standard_normal(shape).astype("float32")
    made = wf.tensor(values, device=device.name)
    assert repr(made.to("cpu")) == repr(torch.tensor(values))
    assert without_device(made) == repr(torch.tensor(values))


def test_edges_of_a_huge_tensor_are_copied_on_its_device(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "READ_AT_MOST", 4000)
    values = numpy.arange(6000, dtype="float32").reshape(4, 50, 30)
    made = wf.tensor(values, device=device.name).permute(1, 0, 2)
    read: list[int] = []
    whole = type(device).read

    def counted(self: Device, storage: object, offset: int, size: int) -> object:
        read.append(size)
        return whole(self, storage, offset, size)

    monkeypatch.setattr(type(device), "read", counted)
    expected = repr(torch.tensor(values).permute(1, 0, 2))
    assert without_device(made) == expected
    assert sum(read) < 1000 * 4  # 6 by 4 by 6 elements; nothing is read on cpu, whose memory is looked into


def test_device_dtype_and_history_are_printed(device: Device) -> None:
    place = "" if device.name == "cpu" else f", device='{device.name}'"
    x = wf.tensor([1.0, 2.0], device=device.name, requires_grad=True)
    assert repr(x) == f"tensor([1., 2.]{place}, requires_grad=True)"
    assert repr(x + 1) == f"tensor([2., 3.]{place}, grad_fn=<add backward>)"
    assert repr(x.detach()) == f"tensor([1., 2.]{place})"
    assert repr(wf.zeros(0, 2, device=device.name)) == f"tensor([]{place}, size=(0, 2))"
    assert (
        repr(wf.zeros(2, dtype=wf.float16, device=device.name))
        == f"tensor([0., 0.]{place}, dtype=weft.float16)"
    )


def test_a_strided_view_prints_its_own_elements(device: Device) -> None:
    values = numpy.arange(24.0, dtype="float32").reshape(4, 6)
    view = wf.tensor(values, device=device.name)[1:, ::2].T
    assert repr(view.to("cpu")) == repr(torch.tensor(values)[1:, ::2].T)


@pytest.mark.parametrize(
    "options",
    [{"precision": 2}, {"edgeitems": 1}, {"threshold": 5}, {"linewidth": 30}, {"sci_mode": True}, {"sci_mode": False},
     {"profile": "short"}, {"profile": "full"}],
)  # fmt: skip
def test_options_do_what_pytorchs_do(options: dict) -> None:
    wf.set_printoptions(**options)
    torch.set_printoptions(**options)
    for values in (
        numpy.linspace(-3, 7, 12),
        numpy.linspace(0, 1e-3, 1200).reshape(30, 40),
        numpy.array(1234.5678),
    ):
        assert ours(values, wf.float32) == theirs(values, "float32")


def test_wrong_options_are_refused_and_change_nothing() -> None:
    before = wf.get_printoptions()
    with pytest.raises(
        wf.errors.ArgumentError, match=r"profile is 'long', expected one of default, short, full"
    ):
        wf.set_printoptions(profile="long")
    with pytest.raises(wf.errors.ArgumentError, match="linewidth is 0"):
        wf.set_printoptions(linewidth=0)
    assert wf.get_printoptions() == before


def test_a_disposed_tensor_says_so() -> None:
    made = wf.zeros(2, device="cpu")
    made.dispose()
    with pytest.raises(wf.errors.DisposedError):
        repr(made)
