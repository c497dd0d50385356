"""A model of the devices' float32 arithmetic, operation by operation, on which definitions of functions are evaluated.

``run`` evaluates an expanded expression in NumPy, rounding after each operation, with ``fma`` either rounded once
or as a product and a sum: WGSL allows both. ``ulps`` measures a result against a reference in higher precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from weft.expr import FUNCTIONS, Expr, expand, walk

Array = np.ndarray[Any, Any]


def run(root: Expr, values: Mapping[str, Array], fused: bool, wide: bool = False) -> Array:
    """Return the value of ``root``, with each primitive operation rounded to its type."""
    done: dict[Expr, Any] = {}
    with np.errstate(all="ignore"):
        for node in walk(expand(root, wide)):
            if node.function == "const":
                result: Any = np.asarray(node.data, node.dtype.numpy)
            elif node.function == "variable":
                result = values[node.data]
            elif node.function == "cast":
                result = done[node.args[0]].astype(node.dtype.numpy)
            else:
                args = [done[arg] for arg in node.args]
                multiply_add = fused and node.function == "fma"
                result = np.asarray(_fused(*args) if multiply_add else FUNCTIONS[node.function].numpy(*args))
            assert result.dtype == node.dtype.numpy, f"{node!r} was computed as {result.dtype}"
            done[node] = result
    return np.asarray(done[node])


def _fused(x: Array, y: Array, z: Array) -> Array:
    """Return x * y + z rounded once: the product is exact in 64 bits, the sum nearly (double rounding is rare)."""
    return np.asarray(x.astype("longdouble") * y + z).astype("float32")


def ulps(got: Array, reference: Array) -> Array:
    """Return the distance from a float32 result to a longdouble reference, in units of the reference's last place.

    The distance of equal special values is 0, that of different special values infinite.
    """
    assert got.dtype == np.float32
    with np.errstate(all="ignore"):
        rounded = reference.astype("float32")
        same = (np.isnan(got) & np.isnan(reference)) | (got == rounded)
        spacing = np.spacing(np.clip(np.abs(rounded), np.float32(2.0**-126), np.float32(2.0**127)))
        distance = np.abs(got.astype("longdouble") - reference) / spacing
        return np.where(same, np.minimum(np.nan_to_num(distance, nan=0.0, posinf=0.0), 0.5), np.where(
            np.isnan(distance), np.inf, distance))  # fmt: skip


def bits_of_every_kind(count: int, seed: int = 0) -> Array:
    """Return random bit patterns: every exponent, both signs, denormals, infinities and NaN."""
    words = np.random.default_rng(seed).integers(0, 2**32, count, dtype="uint64").astype("uint32")
    floats = words.view("float32")
    return np.where(np.isnan(floats), np.float32(np.nan), floats)  # NumPy warns about signalling ones


EDGES = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754944e-38, -1.1754942e-38, 3.4028235e38, -3.4028235e38,
     1, -1, 0.5, -0.5, 2, 3, -3, 0.99999994, 1.0000001, -0.99999994, 0.70710677, 0.7071068, 1.4142135, 0.25, 1e-8,
     88.72283, 88.72284, -87.33655, -103.97207, -103.97208, 127.99999, 128, -126, -149, -150, 16777216, 8388607.5,
     2.5, -2.5, 1e12, 1.1e12, 20, -20, 9.0109, 0.921875, 3.9, 4.1],
    dtype="float32",
)  # fmt: skip
