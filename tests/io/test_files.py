"""``save`` and ``load``: values, comparison with the safetensors library, and atomic writes under failures."""

from __future__ import annotations

import os
import pickle
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy
import pytest
import safetensors.torch
import torch

import weft as wf
from tests.conftest import ADAPTER
from weft.devices import Device
from weft.errors import ArgumentTypeError, DTypeError, FormatError

TYPES = [
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint32",
    "uint8",
    "bool",
]


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_read_by_the_formats_own_library(name: str, tmp_path: Path, device: Device) -> None:
    dtype = wf.dtypes.named(name)
    if not device.supports(dtype):
        with pytest.raises(DTypeError, match=f"{name} is not available on device {device.name}"):
            wf.zeros(2, dtype=dtype, device=device.name)
        return
    values = (numpy.arange(12).reshape(3, 4) % 7).astype(dtype.numpy)
    path = tmp_path / "a.safetensors"
    wf.save(
        {
            "x": wf.tensor(values, dtype=dtype, device=device.name),
            "empty": wf.zeros(0, 2, device=device.name),
        },
        path,
    )
    theirs = safetensors.torch.load_file(path)
    assert str(theirs["x"].dtype) == f"torch.{name}"
    numpy.testing.assert_array_equal(theirs["x"].double().numpy(), values.astype("float64"))
    ours = wf.load(path, device=device.name)
    assert ours["x"].dtype is dtype
    assert ours["x"].device == device.name
    numpy.testing.assert_array_equal(ours["x"].numpy(), values)
    assert ours["empty"].shape == (0, 2)


@hypothesis.given(st.dictionaries(st.text(max_size=8).filter(lambda key: key != "__metadata__"),
                                  arrays.arrays("float32", arrays.array_shapes(min_dims=0, max_dims=3, min_side=0))))  # fmt: skip
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_dict_of_tensors_comes_back(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "any.safetensors"
    wf.save({key: wf.tensor(value, device="cpu") for key, value in values.items()}, path)
    loaded = wf.load(path, device="cpu")
    assert set(loaded) == set(values)
    for key, value in values.items():
        numpy.testing.assert_array_equal(loaded[key].numpy(), value)


def test_views_and_shared_tensors_are_written_as_they_look(tmp_path: Path, device: Device) -> None:
    base = wf.arange(24.0, device=device.name).reshape(4, 6)
    path = tmp_path / "views.safetensors"
    state = {"all": base, "part": base[1:, ::2], "turned": base.T, "wide": base[0].expand(3, 6)}
    wf.save(state, path)
    for key, value in wf.load(path, device="cpu").items():
        numpy.testing.assert_array_equal(value.numpy(), state[key].numpy())


def test_a_module_saved_and_loaded_computes_the_same(tmp_path: Path, device: Device) -> None:
    def build() -> wf.nn.Module:
        return wf.nn.Sequential(wf.nn.Conv2d(1, 2, 3), wf.nn.ReLU(), wf.nn.Flatten(), wf.nn.Linear(8, 3)).to(
            device.name
        )

    net, again = build(), build()
    path = tmp_path / "net.safetensors"
    wf.save(net.state_dict(), path)
    again.load_state_dict(wf.load(path, device=device.name))
    x = wf.randn(2, 1, 4, 4, device=device.name)
    numpy.testing.assert_array_equal(net(x).detach().numpy(), again(x).detach().numpy())


def test_what_pytorch_saved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "torch.safetensors"
    layer = torch.nn.Linear(3, 2)
    safetensors.torch.save_file(layer.state_dict(), path)
    wf.nn.Linear(3, 2).load_state_dict(wf.load(path, device="cpu"))
    large = torch.tensor([2**40, -(2**40)])
    safetensors.torch.save_file({"large": large}, path)
    assert wf.load(path, device="cpu")["large"].tolist() == large.tolist()


@pytest.mark.parametrize("call", ["open", "write", "fsync", "close", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("exists", [True, False])
def test_a_save_that_fails_leaves_the_old_file_and_no_other(
    call: str, error: BaseException, exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call of each function that accesses the disk fails once."""
    path = tmp_path / "model.safetensors"
    if exists:
        wf.save({"x": wf.ones(2)}, path)
    real = getattr(os, call)
    failed = 0
    for position in range(4):
        calls = 0

        def fail(*args: Any, position: int = position) -> Any:
            nonlocal calls, failed
            calls += 1
            if call == "close":
                real(*args)
            if calls == position + 1:
                failed += 1
                raise error
            return None if call == "close" else real(*args)

        data = {"x": wf.full((3,), float(position))}
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            before = failed
            with suppress(type(error)):
                wf.save(data, path)
            assert (failed > before) == (calls > position)
        whole = [str(entry.name) for entry in tmp_path.iterdir()]
        assert whole in ([], ["model.safetensors"])
        if whole:
            assert wf.load(path, device="cpu")["x"].shape in ((2,), (3,))
        if exists:
            assert whole
        if position == 0 and call not in ("replace",) and exists:
            assert wf.load(path, device="cpu")["x"].tolist() == [1, 1]
    assert failed >= 1


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data)[:7]))
    wf.save({"x": wf.arange(10)}, tmp_path / "x.safetensors")
    assert wf.load(tmp_path / "x.safetensors", device="cpu")["x"].tolist() == list(range(10))


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are POSIX's")
def test_permissions_and_links_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "real.safetensors", tmp_path / "link.safetensors"
    wf.save({"x": wf.ones(1)}, path)
    path.chmod(0o600)
    link.symlink_to(path)
    wf.save({"x": wf.zeros(1)}, link)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert wf.load(path, device="cpu")["x"].tolist() == [0]


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ".safetensors"])
def test_code_in_pickles_is_refused_by_name(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for write in (
        lambda path: torch.save({"x": Bomb()}, path),
        lambda path: path.write_bytes(pickle.dumps(Bomb())),
    ):
        path = tmp_path / f"model{suffix}"
        write(path)
        for weights_only in (True, False):
            with pytest.raises(
                FormatError, match=r"class or function 'posix.mkdir', expected tensors, .* no code"
            ):
                wf.load(path, weights_only=weights_only)
        assert not (tmp_path / "exploded").exists()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    wf.save({"x": wf.arange(100)}, path)
    data = path.read_bytes()
    for size in (0, 5, 8, 40, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError, match=r"open: .*x.safetensors'"):
            wf.load(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(FormatError, match=r"the header's length is .* not a whole one"):
        wf.load(path)
    safetensors.torch.save_file({"wide": torch.ones(2, dtype=torch.uint64)}, path)
    with pytest.raises(FormatError, match=r"dtype of 'wide' is U64, expected one of F64, F32"):
        wf.load(path)


def test_a_type_that_weft_lacks_is_read_as_a_wider_one(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    values = {
        "u16": torch.tensor([0, 65535], dtype=torch.uint16), "f32": torch.ones(2),
        "i16": torch.tensor([-32768, 32767], dtype=torch.int16),
    }  # fmt: skip
    safetensors.torch.save_file(values, path)
    with pytest.warns(UserWarning, match="dtype of 'u16' is U16, which weft lacks: read as int32"):
        loaded = wf.load(path, device="cpu")
    assert loaded["u16"].tolist() == [0, 65535]
    assert loaded["u16"].dtype is wf.int32
    assert loaded["i16"].dtype is wf.int16
    assert loaded["i16"].tolist() == [-32768, 32767]
    assert loaded["f32"].tolist() == [1, 1]


@pytest.mark.webgpu
def test_a_type_that_the_device_lacks_is_named_with_its_key(tmp_path: Path) -> None:
    wf.save({"wide": wf.zeros(2, dtype=wf.float64, device="cpu")}, tmp_path / "x.safetensors")
    with pytest.raises(DTypeError, match="float64 is not available on device webgpu") as caught:
        wf.load(tmp_path / "x.safetensors", device=ADAPTER)
    assert "while loading 'wide'" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (
            wf.nn.Linear(1, 1),
            r"obj is a Linear, expected a dict of names and tensors, or a tree of values; use .state_dict\(\)",
        ),
        ([1], "obj is a list, expected a dict"),
        ({"a": {"b": wf.ones(1)}}, r"obj\['a'\] is a dict, expected a tensor; safetensors holds flat dicts"),
        ({"a": wf.ones(1), "lr": 0.1}, r"obj\['lr'\] is a float, expected a tensor"),
        ({3: wf.ones(1)}, "a key is 3, expected a string"),
    ],
)
def test_what_cannot_be_saved_is_named(obj: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match=message):
        wf.save(obj, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ArgumentTypeError, match="path is a int, expected a file name"):
        wf.save({}, 3)  # type: ignore[arg-type]
    with pytest.raises(IsADirectoryError, match="a directory, expected"):
        wf.save({}, tmp_path)
    with pytest.raises(FileNotFoundError):
        wf.load(tmp_path / "missing.safetensors")
