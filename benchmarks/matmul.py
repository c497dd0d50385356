"""float32 matrix products against NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import weft as wf
from benchmarks.harness import Row, measure, report

SIZES = ((1024, 1024, 1024), (512, 512, 512), (64, 784, 128), (1, 4096, 4096))


def _rows(m: int, k: int, n: int, rng: np.random.Generator) -> Iterator[Row]:
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n)))
    bt, product = np.ascontiguousarray(b.T), np.empty((m, n), np.float32)
    x, y, yt = (wf.tensor(value, device="cpu") for value in (a, b, bt))
    name = f"{m}x{k}x{n}"
    yield measure(name, lambda: x @ y, {"numpy": lambda: np.matmul(a, b, out=product)})
    yield measure(
        f"{name}, second transposed", lambda: x @ yt.T, {"numpy": lambda: np.matmul(a, bt.T, out=product)}
    )


def main() -> None:
    """Iterate over the rows of the table by (rows, inner, columns), also with a transposed operand."""
    rng = np.random.default_rng(0)
    report("matmul", [row for size in SIZES for row in _rows(*size, rng)])


if __name__ == "__main__":
    main()
