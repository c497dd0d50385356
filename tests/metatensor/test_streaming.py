"""Streamed files: any interleaving gives the same values, each part as soon as it is complete; wrong pieces fail."""

from __future__ import annotations

import itertools
import random
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metatensor.golden_cases import FILES, FOLDER
from tests.metatensor.hostile import built, header
from tests.metatensor.test_golden import plain
from weft import metatensor as mt
from weft.errors import ArgumentError, FormatError


def all_pieces(path: Path, chunk: int, **chosen: Any) -> list[tuple[str, list[bytes]]]:
    return [(stream.name, list(stream.parts)) for stream in mt.chunks(path, chunk=chunk, **chosen)]


def same(receiver: mt.Receiver, file: mt.File) -> None:
    assert sorted(receiver.ready) == sorted(file)
    for name in file:
        got, want = receiver[name], file[name]
        if isinstance(want, np.ndarray):
            assert got.dtype == want.dtype
            assert got.tobytes() == want.tobytes()
            assert got.flags.aligned
            assert not got.flags.writeable
        else:
            assert plain(got) == plain(want)


@settings(max_examples=40)
@given(
    name=st.sampled_from([golden.name for golden in FILES]), chunk=st.integers(1, 70),
    seed=st.integers(0, 2**16), header_first=st.booleans(),
)  # fmt: skip
def test_any_interleaving(name: str, chunk: int, seed: int, header_first: bool) -> None:
    path, rng = FOLDER / f"{name}.mt", random.Random(seed)
    streams = all_pieces(path, chunk)
    receiver = mt.Receiver()
    if header_first:
        for piece in streams[0][1]:
            receiver.feed("", piece)
        del streams[0]
    done: list[str] = [] if not header_first else receiver.ready
    queues = {stream: list(pieces) for stream, pieces in streams if pieces}
    while queues:
        stream = rng.choice(list(queues))
        done += receiver.feed(stream, queues[stream].pop(0))
        if not queues[stream]:
            del queues[stream]
    assert receiver.complete
    with mt.open(path) as file:
        assert sorted(done) == sorted(file)
        same(receiver, file)


def test_order_and_subset(tmp_path: Path) -> None:
    mt.save(tmp_path / "a.mt", {name: np.full(100, number) for number, name in enumerate("abcd")})
    names = [stream.name for stream in mt.chunks(tmp_path / "a.mt", names=["d", "a"])]
    assert names == ["", "d", "a"]
    names = [stream.name for stream in mt.chunks(tmp_path / "a.mt", order=lambda name: -ord(name))]
    assert names == ["", "d", "c", "b", "a"]
    sizes = [(stream.size, sum(map(len, stream.parts))) for stream in mt.chunks(tmp_path / "a.mt", chunk=7)]
    assert all(told == sent for told, sent in sizes)
    with pytest.raises(ArgumentError, match="'x'"):
        mt.chunks(tmp_path / "a.mt", names=["x"])
    with pytest.raises(ArgumentError, match="twice"):
        mt.chunks(tmp_path / "a.mt", names=["a", "a"])
    with pytest.raises(ArgumentError, match="chunk"):
        mt.chunks(tmp_path / "a.mt", chunk=0)


def fed(*pieces: tuple[str, bytes], **options: Any) -> mt.Receiver:
    receiver = mt.Receiver(**options)
    for name, data in pieces:
        receiver.feed(name, data)
    return receiver


class TestWrongPieces:
    HEAD = built(header({"w": {"TypeDef:Tensor": {"dtype": "F32", "shape": [4]}}}, {"w": [0, 16]}))

    @pytest.mark.parametrize(
        ("pieces", "words"),
        [
            ([("", HEAD), ("v", b"1")], "'v'"),
            ([("", HEAD), ("w", bytes(17))], "longer"),
            ([("", HEAD), ("w", bytes(16)), ("w", b"1")], "longer"),
            ([("", HEAD + b"1")], "the header"),
            ([("", HEAD), ("", b"1")], "longer than it says"),
            ([("", b"\xff" * 8)], "header's length"),
            ([("v", b"1"), ("", HEAD)], "'v'"),
            ([("", built({"metatensor": 1}))], "schema"),
        ],
    )
    def test_refused(self, pieces: list[tuple[str, bytes]], words: str) -> None:
        receiver = fed(*pieces[:-1])
        with pytest.raises(FormatError, match=words):
            receiver.feed(*pieces[-1])
        with pytest.raises(FormatError, match="new Receiver"):
            receiver.feed("w", b"")
        with pytest.raises(FormatError, match="will not come"):
            receiver.wait("other", timeout=1)

    def test_claims_of_size(self) -> None:
        huge = built(header({"w": {"TypeDef:Tensor": {"dtype": "F32", "shape": [2**40]}}}, {"w": [0, 2**42]}))
        with pytest.raises(FormatError, match="limit="):
            fed(("", huge))
        with pytest.raises(FormatError, match="before the header"):
            fed(*[("a", bytes(1 << 20))] * 65)

    def test_not_there_yet(self) -> None:
        receiver = fed(("", self.HEAD), ("w", bytes(15)))
        assert not receiver.complete
        with pytest.raises(KeyError):
            receiver["w"]
        with pytest.raises(TimeoutError):
            receiver.wait("w", timeout=0.01)
        assert receiver.feed("w", b"\0") == ["w"]
        assert receiver.complete


def test_a_model_computes_while_its_tensors_are_under_way(tmp_path: Path) -> None:
    """The first layers of a Sequential run before the last layer's weights are sent."""
    import weft as wf

    wf.manual_seed(0)
    sizes = [8, 16, 16, 4]
    layers = [wf.nn.Linear(a, b, device="cpu") for a, b in itertools.pairwise(sizes)]
    model = wf.nn.Sequential(*layers)
    x = wf.randn(3, 8, device="cpu")
    expected = model(x).detach().numpy()
    mt.save(
        tmp_path / "model.mt", {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    )

    receiver, computed = mt.Receiver(), threading.Event()
    held_back = f"{len(layers) - 1}.weight"

    def source() -> None:
        """Send all but the last layer, and the last only after the first layers have run."""
        for stream in mt.chunks(tmp_path / "model.mt", order=lambda name: name == held_back, chunk=64):
            if stream.name == held_back:
                assert computed.wait(30)
            for piece in stream.parts:
                time.sleep(0.0005)
                receiver.feed(stream.name, piece)

    sender = threading.Thread(target=source)
    sender.start()
    fresh = wf.nn.Sequential(*[wf.nn.Linear(a, b, device="cpu") for a, b in itertools.pairwise(sizes)])
    value = x
    for number, layer in enumerate(fresh):
        state = {
            part: wf.from_numpy(receiver.wait(f"{number}.{part}", timeout=30).copy())
            for part in ("weight", "bias")
        }
        layer.load_state_dict(state)
        value = layer(value)
        value.detach().numpy()
        if number == len(sizes) - 3:
            assert held_back not in receiver.ready
            computed.set()
    sender.join()
    assert receiver.complete
    np.testing.assert_array_equal(value.detach().numpy(), expected)
