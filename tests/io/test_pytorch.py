"""PyTorch's checkpoints: weft reads PyTorch's files, PyTorch reads weft's, and no code of a file is run."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import weft as wf
from tests.conftest import ADAPTER
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, WeftError
from weft.io import pytorch


def stream(obj: Any, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(obj, file, **options)
    file.seek(0)
    return file


def equal(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, torch.Tensor):
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert ours.dtype.numpy.name == str(theirs.dtype).removeprefix("torch.")
        assert ours.requires_grad == theirs.requires_grad
        if theirs.dtype is torch.bfloat16:
            ours, theirs = ours.to(wf.float32), theirs.float()
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            equal(ours[key], theirs[key])
    elif isinstance(theirs, list | tuple) and not isinstance(theirs, torch.Size):
        assert type(ours) is type(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            equal(mine, other)
    elif isinstance(theirs, torch.Size):
        assert tuple(ours) == tuple(theirs)
    else:
        assert ours == theirs
        assert type(ours) is type(theirs)


def training() -> dict[str, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(8, 2)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.rand(3, 1, 4, 4)).sum().backward()
    optimizer.step()
    return {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "best": 0.5, "name": "résumé",
        "big": 2**70, "none": None, "list": [1, (2.5, "x"), {1: True}], "size": torch.Size([1, 2]), "set": {1, 2},
    }  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_training_that_pytorch_saved(legacy: bool, protocol: int, tmp_path: Path) -> None:
    saved, path = training(), tmp_path / "run.pt"
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol)
    equal(wf.load(path, device="cpu"), saved)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_views_types_and_parameters(legacy: bool, device: Device) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    saved = {
        "transposed": base.t(), "rows": base[1:], "expanded": torch.ones(1).expand(3), "scalar": torch.tensor(2.0),
        "empty": torch.zeros(0, 3), "parameter": torch.nn.Parameter(torch.ones(2)), "half": torch.ones(3).half(),
        "bfloat": torch.ones(3).bfloat16(), "bool": torch.tensor([True, False, True]),
        "int": torch.tensor([1, -2], dtype=torch.int32), "byte": torch.tensor([255], dtype=torch.uint8),
        "char": torch.tensor([-128], dtype=torch.int8), "short": torch.tensor([-32768, 5], dtype=torch.int16), "long": torch.tensor([2**31 - 1, -(2**31)]),
    }  # fmt: skip
    loaded = wf.load(stream(saved, _use_new_zipfile_serialization=not legacy), map_location=device.name)
    equal(loaded, saved)
    assert isinstance(loaded["parameter"], wf.nn.Parameter)
    assert all(value.device == device.name for value in loaded.values())


def test_a_state_dict_loads_into_the_same_module() -> None:
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    ours = wf.nn.Sequential(wf.nn.Linear(3, 4), wf.nn.ReLU(), wf.nn.Linear(4, 2))
    ours.load_state_dict(wf.load(stream(theirs.state_dict()), weights_only=True))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    np.testing.assert_allclose(
        ours(wf.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5
    )


TREE = {
    "w": wf.arange(6.0, device="cpu").reshape(2, 3), "t": wf.arange(6, device="cpu").reshape(2, 3).T, "n": None,
    "list": [1, 2.5, "é", True, -(2**40)], "tuple": (1,), "p": wf.nn.Parameter(wf.ones(2, device="cpu")),
    "unsigned": wf.ones(2, device="cpu").to(wf.uint32), "bfloat": wf.ones(2, device="cpu").to(wf.bfloat16),
    "short": wf.tensor([-32768, 32767], dtype=wf.int16, device="cpu"),
    "scalar": wf.tensor(2.0, device="cpu"), "empty": {}, 3: wf.zeros((0, 2), device="cpu"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_pytorch_reads_what_is_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    wf.save(TREE, path)
    theirs = torch.load(path, weights_only=True)
    equal(TREE, theirs)
    equal(wf.load(path, device="cpu"), theirs)


def test_a_tensor_twice_is_stored_once(tmp_path: Path) -> None:
    weight = wf.ones(1000, device="cpu")
    wf.save({"a": weight, "b": weight}, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").stat().st_size < 6000
    theirs = torch.load(tmp_path / "x.pt", weights_only=True)
    assert theirs["a"].data_ptr() == theirs["b"].data_ptr()


@pytest.mark.parametrize("form", ["bytes", "file"])
@pytest.mark.parametrize("suffix", ["", ".pt", ".safetensors"])
def test_open_files_are_written_and_read_at_their_position(form: str, suffix: str, tmp_path: Path) -> None:
    tree = {"w": wf.arange(3.0, device="cpu")}
    file: Any = io.BytesIO() if form == "bytes" else open(tmp_path / f"x{suffix}", "w+b")  # noqa: SIM115
    with file:
        file.write(b"before")
        wf.save(tree, file)
        file.seek(6)
        assert wf.load(file, device="cpu")["w"].tolist() == [0, 1, 2]
        with pytest.raises(ArgumentTypeError, match="save: "):
            wf.save({"w": object()}, file)
        file.seek(0)
        assert file.read(6) == b"before"
    theirs = stream({"w": torch.ones(2)})
    assert wf.load(theirs, device="cpu")["w"].tolist() == [1, 1]


@pytest.mark.webgpu
def test_map_location() -> None:
    saved = {"w": torch.ones(2)}
    for place, name in (
        ("cpu", "cpu"), (ADAPTER, ADAPTER), ({"cpu": ADAPTER}, ADAPTER), (lambda storage, location: storage, "cpu"),
        (wf.device("cpu"), "cpu"), (lambda storage, location: storage.cpu(), "cpu"),
    ):  # fmt: skip
        assert wf.load(stream(saved), map_location=place)["w"].device == name
        assert wf.load(stream(saved), place)["w"].device == name
    with pytest.raises(ArgumentError, match="device and map_location is both given"):
        wf.load(stream(saved), "cpu", device="cpu")
    with pytest.raises(ArgumentError, match="what map_location returned is 3"):
        wf.load(stream(saved), lambda storage, location: 3)
    with pytest.raises(ArgumentTypeError, match="map_location is 3"):
        wf.load(stream(saved), 3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="weights_only is 'yes'"):
        wf.load(stream(saved), weights_only="yes")  # type: ignore[arg-type]


def test_modules_are_refused_with_what_to_do(tmp_path: Path) -> None:
    for suffix in (".pt", ".mt", ".safetensors"):
        with pytest.raises(ArgumentTypeError, match=r"obj is a Linear, expected .* use .state_dict\(\)"):
            wf.save(wf.nn.Linear(1, 1), tmp_path / f"x{suffix}")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "x.pt")
    with pytest.raises(
        FormatError, match=r"class or function 'torch.nn.modules.linear.Linear'.*save the state_dict\(\)"
    ):
        wf.load(tmp_path / "x.pt")
    torch.save({"x": np.float64(1)}, tmp_path / "x.pt")
    with pytest.raises(FormatError, match=r"function 'numpy.*scalar'"):
        wf.load(tmp_path / "x.pt")


def archive(pickled: bytes, **members: bytes) -> io.BytesIO:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("x/data.pkl", pickled)
        for name, data in members.items():
            file.writestr(f"x/data/{name}", data)
    made.seek(0)
    return made


def tensor_of(
    count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...], data: bytes
) -> io.BytesIO:
    scalar = pytorch._scalar
    numbers = [b"(" + b"".join(scalar(number, "") for number in part) + b"t" for part in (size, stride)]
    pickled = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((" + scalar("storage", "") + b"ctorch\nFloatStorage\n"
        + scalar("0", "") + scalar("cpu", "") + scalar(count, "") + b"tQ" + scalar(offset, "") + b"".join(numbers)
        + b"\x89ccollections\nOrderedDict\n)RtR."
    )  # fmt: skip
    return archive(pickled, **{"0": data})


HOSTILE = {
    "stride outside": tensor_of(4, 0, (2, 2), (4, 1), bytes(16)),
    "offset outside": tensor_of(4, 4, (1,), (1,), bytes(16)),
    "offset far outside": tensor_of(4, 2**40, (0,), (1,), bytes(16)),
    "negative size": tensor_of(4, 0, (-1,), (1,), bytes(16)),
    "negative stride": tensor_of(4, 3, (4,), (-1,), bytes(16)),
    "product of sizes": tensor_of(4, 0, (2**40, 2**40), (0, 0), bytes(16)),
    "short storage": tensor_of(4, 0, (4,), (1,), bytes(12)),
    "negative count": tensor_of(-1, 0, (4,), (1,), bytes(12)),
    "a call of os.system": archive(b"cposix\nsystem\n(X\x02\x00\x00\x00lstR."),
    "an attribute of a call": archive(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93."),
    "a wrong call": archive(b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01tR."),
    "a tensor of nothing": archive(b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))tR."),
    "an instance": archive(b"(icollections\nOrderedDict\n."),
    "a class as a value": archive(b"ccollections\nOrderedDict\n."),
    "a mark as a value": archive(b"(."),
    "nothing": archive(b"."),
    "no end": archive(b"]"),
    "an empty stack": archive(b"a."),
    "a memo that is missing": archive(b"h\x07."),
    "a huge memo": archive(b"Nr\xff\xff\xff\xffNj\xff\xff\xff\x7f."),
    "a huge text": archive(b"\x8d" + struct.pack("<Q", 2**62) + b"."),
    "a number of many digits": archive(b"I" + b"9" * 10_000 + b"\n."),
    "a tuple for a key": archive(b"}K\x01\x85K\x02s."),
    "keys without values": archive(b"}(K\x01u."),
    "no pickle": io.BytesIO(b"PK\x03\x04" + bytes(60)),
    "no checkpoint": io.BytesIO(pickle.dumps([1])),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_checkpoints_are_format_errors(name: str) -> None:
    HOSTILE[name].seek(0)
    with pytest.raises(FormatError, match="load: "):
        wf.load(HOSTILE[name], device="cpu")


def test_compressed_members_are_refused() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/data.pkl", bytes(10**7))
    made.seek(0)
    with pytest.raises(FormatError, match="compressed"):
        wf.load(made)


SAVED = stream({"a": torch.arange(3.0), "b": [1, "x"]}).getvalue()
LEGACY = stream({"a": torch.arange(3.0), "b": [1, "x"]}, _use_new_zipfile_serialization=False).getvalue()


@pytest.mark.parametrize("data", [SAVED, LEGACY], ids=["zip", "legacy"])
@given(st.data())
def test_damaged_checkpoints_load_or_are_weft_errors(data: bytes, drawn: Any) -> None:
    changed = bytearray(data)
    for _ in range(drawn.draw(st.integers(1, 4))):
        changed[drawn.draw(st.integers(0, len(data) - 1))] = drawn.draw(st.integers(0, 255))
    cut = drawn.draw(st.integers(0, len(data)) | st.just(len(data)))
    try:
        wf.load(io.BytesIO(bytes(changed[:cut])), device="cpu")
    except WeftError:
        return


def test_ordered_dicts_keep_their_type_and_order() -> None:
    saved = OrderedDict([("b", torch.ones(1)), ("a", torch.zeros(1))])
    loaded = wf.load(stream(saved))
    assert isinstance(loaded, OrderedDict)
    assert list(loaded) == ["b", "a"]
