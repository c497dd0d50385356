"""Products with quantised matrices where activations are extreme, and on processors without a dot product of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft as wf
from tests.codegen.test_llvm_machines import run_apart, x86
from weft.kernels.library.quantized import interleave, interleave_scales
from weft.ops import bind
from weft.ops.matmul.quantized import QUANTIZED_LINEAR, dequantized

ROWS, COLUMNS = 20, 96
Array = np.ndarray[Any, Any]


def matrix(share: int = 32, bits: int = 4) -> tuple[Array, Array]:
    """Return packed quants and the scales of each ``share`` columns."""
    draw = np.random.default_rng(0)
    quants = draw.integers(0, 1 << bits, (ROWS, COLUMNS), dtype=np.uint8)
    scales = draw.standard_normal((ROWS, COLUMNS // share)).astype(np.float16)
    return interleave(quants, bits), interleave_scales(scales)


def product(x: Array, device: str, share: int = 32, bits: int = 4) -> tuple[Array, Array]:
    """Return the op's result and the exact product, float64."""
    parts, zero = matrix(share, bits), 1 << (bits - 1)
    given = [wf.as_tensor(each, device=device) for each in (x, *parts)]
    found = bind(QUANTIZED_LINEAR, *given, rows=ROWS, zero=zero).numpy()
    with np.errstate(invalid="ignore"):  # infinities of both signs
        return found, x.astype(np.float64) @ dequantized(*parts, (), ROWS, zero).T.astype(np.float64)


@pytest.mark.parametrize("share", [16, 32])
@pytest.mark.parametrize("magnitude", [1e-20, 1e-6, 1e-3, 1.0, 1e6, 1e20])
def test_the_error_is_that_of_8_bits_at_every_magnitude(device: Any, magnitude: float, share: int) -> None:
    x = (np.random.default_rng(1).standard_normal((5, COLUMNS)) * magnitude).astype(np.float32)
    found, wanted = product(x, device.name, share)
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_reaches_its_row_alone(device: Any, value: float) -> None:
    x = np.random.default_rng(2).standard_normal((3, COLUMNS)).astype(np.float32)
    clean, _ = product(x, device.name)
    x[1, 40] = value
    found, _ = product(x, device.name)
    assert not np.isfinite(found[1]).any()
    np.testing.assert_array_equal(found[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("shape", [(0, COLUMNS), (2, 0, COLUMNS)])
def test_no_rows(device: Any, shape: tuple[int, ...]) -> None:
    found, _ = product(np.zeros(shape, np.float32), device.name)
    assert found.shape == (*shape[:-1], ROWS)


@x86
@pytest.mark.parametrize("bits", [4, 8])
def test_processors_without_a_dot_product_of_bytes_give_the_same(bits: int) -> None:
    script = """
        import numpy
        from weft.devices.cpu import compiler
        name, features = compiler._host()
        compiler._host = lambda: (name, features.replace("+avx512vnni", "{sign}avx512vnni"))
        from tests.ops.test_quantized import COLUMNS, product
        x = numpy.random.default_rng(3).standard_normal((5, COLUMNS)).astype("float32")
        print(product(x, "cpu", bits={bits})[0].tobytes().hex())
    """
    assert len({run_apart(script.format(bits=bits, sign=sign)) for sign in "+-"}) == 1
