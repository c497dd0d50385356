"""Arrays for the op tests: their values, the layouts in which they are stored, and the comparison of results.

A layout stores an array inside a larger or permuted base and gives the view that reads it back; the same view is
taken of a weft and of a PyTorch tensor.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch

import weft as wf
from weft import dtypes
from weft.dtypes import DType

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Arg:
    """A tensor argument: its shape, its values, and its dtype where it differs from the case's dtype.

    ``values``: ``"any"`` in [-3, 3], ``"positive"``, ``"apart"`` (no two nearly equal, none near 0: safe for
    numerical gradients), ``"index"`` (below ``bound``), ``"count"`` (1, 2, …), ``"offsets"`` (0, ``bound``, …), ``"permutation"`` (of places), ``"permutations"`` (along the last dimension), ``"bool"``, ``"state"`` (a random generator's words),
    ``"one"`` (a step count), ``"large"`` in [12, 20], ``"chances"`` (rows that sum to 1), ``"logs"`` (their logarithms),
    ``"bytes"`` (0 to 255), ``"quantised"`` (whole numbers that groups of 8 bits hold exactly).
    """

    shape: tuple[int, ...]
    values: str = "any"
    dtype: DType | None = None
    bound: int = 0
    differentiable: bool = True

    def make(self, dtype: DType, seed: str = "") -> Array:
        """Return the array: the same for the same argument, dtype and seed."""
        draw = np.random.default_rng(zlib.crc32(f"{self} {seed}".encode()))
        own = self.dtype or dtype
        made = np.asarray(VALUES[self.values](draw, self)).reshape(self.shape)
        return (np.abs(made) if own.kind == "uint" else made).astype(own.numpy)


def _any(draw: np.random.Generator, arg: Arg) -> Array:
    return draw.integers(-3, 4, arg.shape) + np.round(draw.uniform(-0.5, 0.5, arg.shape), 3)


def _apart(draw: np.random.Generator, arg: Arg) -> Array:
    count = int(np.prod(arg.shape, dtype=int))
    shift = round(draw.uniform(0.2, 0.8), 3)  # so that the elements of two arguments are apart too
    grid = (np.arange(count) - count // 2 + shift) * max(0.11, 5.0 / max(count, 1))
    return draw.permutation(grid)


def _chances(draw: np.random.Generator, arg: Arg) -> Array:
    rows = draw.uniform(0.1, 1.0, arg.shape)
    return rows / rows.sum(min(1, rows.ndim - 1), keepdims=True) if rows.ndim else np.ones(())


def _quantised(draw: np.random.Generator, arg: Arg) -> Array:
    """Whole numbers of which each group of 16 has 127 as its largest magnitude: 8 bits hold them exactly."""
    values = draw.integers(-127, 128, arg.shape)
    values[..., ::16] = 127
    return values


VALUES: dict[str, Callable[[np.random.Generator, Arg], Any]] = {
    "any": _any,
    "positive": lambda draw, arg: np.round(draw.uniform(0.3, 3.0, arg.shape), 3) + 0.2,
    "apart": _apart,
    "quantised": _quantised,
    "bytes": lambda draw, arg: draw.integers(0, 256, arg.shape),
    "index": lambda draw, arg: draw.integers(0, arg.bound, arg.shape),
    "count": lambda draw, arg: np.arange(1, arg.shape[0] + 1),
    "offsets": lambda draw, arg: np.arange(arg.shape[0]) * arg.bound,
    "permutation": lambda draw, arg: draw.permutation(arg.shape[0]),
    "permutations": lambda draw, arg: draw.permuted(
        np.broadcast_to(np.arange(arg.shape[-1]), arg.shape), axis=-1
    ),
    "bool": lambda draw, arg: draw.integers(0, 2, arg.shape),
    "state": lambda draw, arg: draw.integers(0, 2**32, arg.shape, dtype="uint32"),
    "one": lambda draw, arg: np.ones(arg.shape),
    "large": lambda draw, arg: np.round(draw.uniform(12.0, 20.0, arg.shape), 2),
    "chances": _chances,
    "logs": lambda draw, arg: np.log(_chances(draw, arg)),
    "unit": lambda draw, arg: np.tanh(0.4 * _apart(draw, arg)),
    "half": lambda draw, arg: 0.5 + 0.5 * np.tanh(0.4 * _apart(draw, arg)),
    "above": lambda draw, arg: np.round(draw.uniform(0.3, 3.0, arg.shape), 3) + 1.2,
    "grid": lambda draw, arg: np.sort(draw.integers(-3, 4, arg.shape), axis=-1),
    "orders": lambda draw, arg: draw.permuted(np.broadcast_to(np.arange(arg.shape[-1]), arg.shape), axis=-1),
    "sign": lambda draw, arg: 2 * draw.integers(0, 2, arg.shape) - 1,
    "equal": lambda draw, arg: draw.integers(-2, 3, arg.shape),
}


@dataclass(frozen=True)
class Placed:
    """An array in a layout: the base that is stored, and the view of the base that is the array."""

    base: Array
    view: Callable[[Any], Any]
    array: Array

    def on(self, device: str, requires_grad: bool = False) -> tuple[Any, Any]:
        """Return the base as a weft tensor, and its view."""
        base = to_weft(self.base, device, requires_grad)
        return base, self.view(base)

    def in_torch(self, requires_grad: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the base as a PyTorch tensor, and its view."""
        base = to_torch(self.base).requires_grad_(requires_grad)
        return base, self.view(base)


def _dense(array: Array) -> Placed:
    return Placed(array, lambda base: base, array)


def _reversed(array: Array) -> Placed:
    order = tuple(reversed(range(array.ndim)))
    return Placed(array.transpose(order).copy(), lambda base: base.permute(order), array)


def _stepped(array: Array) -> Placed:
    if not array.ndim:
        return _offset(array)
    base = np.zeros((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)
    base[..., 1::2] = array
    return Placed(base, lambda tensor: tensor[..., 1::2], array)


def _offset(array: Array) -> Placed:
    if not array.ndim:
        return Placed(np.stack([array + array, array]), lambda base: base[1], array)
    base = np.concatenate([np.zeros((1, *array.shape[1:]), array.dtype), array])
    return Placed(base, lambda tensor: tensor[1:], array)


def _expanded(array: Array) -> Placed:
    if not array.ndim or not array.shape[0]:
        return _dense(array)
    row = np.ascontiguousarray(array[:1])
    return Placed(row, lambda base: base.expand(*array.shape), np.broadcast_to(row, array.shape))


LAYOUTS: dict[str, Callable[[Array], Placed]] = {
    "dense": _dense,
    "reversed": _reversed,
    "stepped": _stepped,
    "offset": _offset,
    "expanded": _expanded,
}


def to_weft(array: Array, device: str, requires_grad: bool = False) -> Any:
    """Return a weft tensor of the array's dtype (``weft.tensor`` converts float64 to float32)."""
    made = wf.tensor(array, dtype=dtypes.from_numpy(array.dtype), device=device)
    return made.requires_grad_() if requires_grad else made


def to_torch(array: Array) -> torch.Tensor:
    """Return a PyTorch tensor of the array's values and dtype."""
    if array.dtype == ml_dtypes.bfloat16:
        return (
            torch.tensor(np.ascontiguousarray(array).view("int16")).view(torch.bfloat16).reshape(array.shape)
        )
    return torch.tensor(np.array(array))


def from_torch(tensor: torch.Tensor) -> Array:
    """Return a PyTorch tensor's values as a NumPy array, also of bfloat16."""
    plain = tensor.detach()
    if plain.dtype is torch.bfloat16:
        return np.asarray(plain.float().numpy().astype(ml_dtypes.bfloat16))
    return np.asarray(plain.numpy(force=True))


def from_weft(tensor: Any) -> Array:
    """Return a weft tensor's values as a NumPy array."""
    return np.asarray(tensor.detach().numpy())


TOLERANCES = {"float64": 1e-10, "float32": 4e-6, "float16": 2e-3, "bfloat16": 1.6e-2}
SMALLEST = {"float64": 1e-300, "float32": 1.3e-38, "float16": 6.2e-5, "bfloat16": 1.3e-38}
"""The smallest normal numbers. A device may flush smaller numbers to zero, so such differences are tolerated."""


def assert_equal(got: Array, expected: Array, what: str = "", scale: float = 1.0) -> None:
    """Assert equal shapes, dtypes and values: integers exactly, floats to a few units of their precision.

    ``scale`` widens the tolerance for sums of many terms; the error is then relative to the largest element.
    """
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    assert got.dtype == expected.dtype, f"{what}: dtype {got.dtype}, expected {expected.dtype}"
    name = expected.dtype.name
    if name not in TOLERANCES:
        np.testing.assert_array_equal(got, expected, err_msg=what)
        return
    rtol, atol = TOLERANCES[name] * scale, SMALLEST[name]
    wide = expected.astype("float64")
    finite = np.abs(wide[np.isfinite(wide)])
    if scale > 1.0 and finite.size:
        atol += TOLERANCES[name] * scale * float(finite.max())
    np.testing.assert_allclose(got.astype("float64"), wide, rtol=rtol, atol=atol, err_msg=what)
