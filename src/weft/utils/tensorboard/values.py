"""Conversion of values to the form of TensorBoard's events, by NumPy: numbers, histograms, pictures as PNG."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy

from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, mistake
from weft.tensors.tensor import Tensor

FORMATS = ("CHW", "HWC", "HW")
"""Dimensions of pictures: channels, height, width."""


def array_of(value: Any) -> numpy.ndarray:
    """Return a tensor, which is read, or another value as a NumPy array."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else numpy.asarray(value)


def number_of(where: str, name: str, value: Any) -> float:
    """Return a number, a NumPy scalar, or a tensor of one element as a Python number."""
    array = array_of(value)
    if array.size != 1 or array.dtype.kind not in "biufV":
        raise ArgumentTypeError(
            mistake(
                where,
                name,
                f"a {type(value).__name__} of shape {array.shape}",
                "a number, or a tensor of one",
            )
        )
    return float(array.astype(numpy.float64).reshape(()))


def histogram_of(values: Any, bins: str | int, max_bins: int | None) -> dict[str, Any]:
    """Return the fields of a histogram: right edges of the bins, counts, and sums."""
    array = array_of(values).astype(numpy.float64).reshape(-1)
    if not array.size or not numpy.isfinite(array).all():
        given = "an infinity or NaN" if array.size else "empty"
        raise ArgumentError(mistake("add_histogram", "values", given, "finite numbers, at least one"))
    edges: Any = bins
    if bins == "tensorflow":
        steps = 1e-12 * 1.1 ** numpy.arange(775)  # up to 1e20
        edges = numpy.concatenate([[-numpy.inf], -steps[::-1], [0.0], steps, [numpy.inf]])
    if max_bins is not None and bins != "tensorflow":
        edges = min(len(numpy.histogram_bin_edges(array, bins)) - 1, max_bins)
    counts, limits = numpy.histogram(array, edges)
    filled = numpy.flatnonzero(counts)
    first, last = filled[0], filled[-1] + 1
    # an empty bin in front marks the left edge of the first bin
    right = numpy.clip(
        limits[first : last + 1], -numpy.finfo(numpy.float64).max, numpy.finfo(numpy.float64).max
    )
    return {
        "min": array.min(), "max": array.max(), "num": array.size, "sum": array.sum(), "sum_squares": array @ array,
        "bucket_limit": right.tolist(), "bucket": [0.0, *counts[first:last].astype(float).tolist()],
    }  # fmt: skip


def picture_of(where: str, value: Any, dataformats: str) -> numpy.ndarray:
    """Return a picture as bytes of shape (height, width, channels)."""
    if dataformats not in FORMATS:
        raise ArgumentError(mistake(where, "dataformats", repr(dataformats), f"one of {', '.join(FORMATS)}"))
    array = array_of(value)
    if array.ndim != len(dataformats):
        raise ShapeError(
            mistake(
                where,
                "the picture",
                f"of shape {array.shape}",
                f"{len(dataformats)} dimensions, {dataformats}",
            )
        )
    if dataformats == "CHW":
        array = array.transpose(1, 2, 0)
    array = array.reshape(*array.shape[:2], -1)
    if array.shape[2] not in (1, 3, 4):
        raise ShapeError(mistake(where, "the number of channels", array.shape[2], "1, 3 or 4"))
    if array.dtype != numpy.uint8:
        array = (array.astype(numpy.float64) * 255).clip(0, 255).astype(numpy.uint8)
    return array


def tiled(pictures: list[numpy.ndarray], across: int = 8) -> numpy.ndarray:
    """Return pictures of the same size as a single picture with ``across`` columns; missing tiles are black."""
    height, width, channels = pictures[0].shape
    columns = min(across, len(pictures))
    whole = numpy.zeros((-(-len(pictures) // columns) * height, columns * width, channels), numpy.uint8)
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        whole[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return whole


def png(where: str, picture: numpy.ndarray) -> bytes:
    """Return a picture, bytes of shape (height, width, channels), as a PNG file."""
    height, width, channels = picture.shape
    if not picture.size:
        raise ShapeError(mistake(where, "the picture", f"of shape {picture.shape}", "at least one element"))
    color = {1: 0, 3: 2, 4: 6}[channels]
    rows = numpy.concatenate([numpy.zeros((height, 1), numpy.uint8), picture.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + chunk(b"IEND", b"")
    )  # fmt: skip
