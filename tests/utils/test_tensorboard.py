"""TensorBoard's reader reads the events that ``utils.tensorboard`` writes."""

from __future__ import annotations

import io
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError
from weft.utils.tensorboard.values import histogram_of, picture_of, png, tiled

RNG = np.random.default_rng(0)
needs_tensorboard = pytest.mark.skipif(
    find_spec("tensorboard") is None, reason="tensorboard is an extra: pip install 'weft[tensorboard]'"
)


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(
        str(folder), size_guidance={"tensors": 0, "images": 0, "histograms": 0, "scalars": 0}
    )
    return found.Reload()


@needs_tensorboard
@pytest.mark.filterwarnings("ignore")  # of the reader's own libraries
def test_everything_is_read_back(tmp_path: Path) -> None:
    from weft.utils.tensorboard import SummaryWriter

    values, picture = RNG.standard_normal(1000).astype(np.float32), RNG.random((3, 4, 5))
    with SummaryWriter(tmp_path) as writer:
        for step in range(3):
            writer.add_scalar("loss", wf.tensor(0.5 * step), step, walltime=10.0 + step)
        writer.add_scalars("pair", {"a": 1, "b": np.float32(2.5)}, wf.tensor(7))
        writer.add_histogram("weights", wf.tensor(values), 4)
        writer.add_histogram("ten", values, 4, bins=10)
        writer.add_image("picture", wf.tensor(picture, dtype=wf.float32), 1)
        writer.add_text("note", "*text*", 2)
    found = read(tmp_path)
    assert [(each.step, each.value, each.wall_time) for each in found.Scalars("loss")] == [
        (0, 0.0, 10.0), (1, 0.5, 11.0), (2, 1.0, 12.0)
    ]  # fmt: skip
    assert [(each.step, each.value) for each in read(tmp_path / "pair_b").Scalars("pair")] == [(7, 2.5)]
    for tag in ("weights", "ten"):
        (event,) = found.Histograms(tag)
        histogram = event.histogram_value
        assert (event.step, histogram.num, sum(histogram.bucket)) == (4, 1000, 1000)
        np.testing.assert_allclose(
            [histogram.min, histogram.max, histogram.sum],
            [values.min(), values.max(), values.sum()],
            rtol=1e-4,
        )
    (event,) = found.Images("picture")
    assert (event.height, event.width) == (4, 5)
    (event,) = found.Tensors("note/text_summary")
    assert list(event.tensor_proto.string_val) == [b"*text*"]


@needs_tensorboard
@pytest.mark.filterwarnings("ignore")
def test_mistakes_write_nothing(tmp_path: Path) -> None:
    from weft.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        with pytest.raises(ArgumentTypeError, match="scalar_value"):
            writer.add_scalar("loss", wf.ones(2))
        with pytest.raises(ArgumentTypeError, match="tag_scalar_dict"):
            writer.add_scalars("pair", {"a": 1, "b": "two"})
        with pytest.raises(UnsupportedError, match="add_graph"):
            writer.add_graph(wf.nn.Linear(1, 1))
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_import_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['tensorboard'] = None\n"
        "try:\n    from weft.utils.tensorboard import SummaryWriter\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert said.startswith("MissingPackageError")
    assert "weft[tensorboard]" in said


@pytest.mark.parametrize("bins", ["tensorflow", "auto", 7])
def test_histograms_count_as_numpy_does(bins: str | int) -> None:
    values = np.concatenate([RNG.standard_normal(500) * 10, [0.0, 0.0, -3e-13, 1e25]])
    made = histogram_of(values, bins, None)
    limits, counts = np.array(made["bucket_limit"]), np.array(made["bucket"])
    assert len(limits) == len(counts)
    assert (counts[0], counts.sum()) == (0, 504)
    for place in range(1, len(limits) - 1):
        inside = (values >= limits[place - 1]) & (values < limits[place])
        assert counts[place] == inside.sum()


def test_histograms_refuse_what_has_no_bin() -> None:
    for values in ([], [1.0, np.nan], [np.inf]):
        with pytest.raises(ArgumentError, match="values"):
            histogram_of(values, "tensorflow", None)
    assert len(histogram_of(RNG.standard_normal(100), 50, 5)["bucket"]) <= 6


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_are_png(channels: int) -> None:
    image = pytest.importorskip("PIL.Image")
    values = RNG.integers(0, 256, (5, 7, channels)).astype(np.uint8)
    read_back = np.asarray(image.open(io.BytesIO(png("add_image", values)))).reshape(values.shape)
    np.testing.assert_array_equal(read_back, values)
    np.testing.assert_array_equal(
        picture_of("add_image", wf.tensor(values.transpose(2, 0, 1).copy()), "CHW"), values
    )


def test_pictures_in_rows() -> None:
    parts = [np.full((2, 3, 1), value, np.uint8) for value in range(10)]
    whole = tiled(parts)
    assert whole.shape == (4, 24, 1)
    assert whole[::2, ::3, 0].tolist() == [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 0, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(
        picture_of("add_image", [[0.0, 0.5], [1.0, 2.0]], "HW")[..., 0], [[0, 127], [255, 255]]
    )
    with pytest.raises(ShapeError, match="channels"):
        picture_of("add_image", np.zeros((2, 5, 5)), "CHW")
    with pytest.raises(ArgumentError, match="dataformats"):
        picture_of("add_image", np.zeros((2, 5)), "WH")
