"""Products with matrices of every block format, against the ``gguf`` package's numbers in float64."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

import weft as wf
from tests.models.test_quant_formats import ROWS, random_blocks
from weft.devices.base import Device
from weft.models.quant import FORMATS, Q6_K, QuantFormat
from weft.models.quant.projection import QuantizedMatrix

SCALED = {number: form for number, form in FORMATS.items() if form.scale}
BY_NUMBER = pytest.mark.parametrize(
    ("number", "form"), SCALED.items(), ids=[form.name for form in SCALED.values()]
)


@BY_NUMBER
@pytest.mark.parametrize("count", [1, 5])
def test_products_and_rows_equal_those_of_the_dequantised_matrix(
    device: Device, number: int, form: QuantFormat, count: int
) -> None:
    rows = random_blocks(form).reshape(ROWS, -1)
    expected = np.asarray(gguf.quants.dequantize(rows, gguf.GGMLQuantizationType(number)), np.float64)
    columns = expected.shape[1]
    assert QuantizedMatrix.suits(form, columns)
    matrix = QuantizedMatrix.of(form, rows, device.name)
    assert matrix.columns == columns
    # whole numbers with 127 in every 16 columns are unchanged by rounding to 8 bits
    x = np.random.default_rng(1).integers(-127, 128, (count, columns)).astype(np.float32)
    x[:, ::16] = 127
    found = matrix.multiply(wf.tensor(x, device=device.name)).numpy()
    wanted = x.astype(np.float64) @ expected.T
    bound = np.abs(x.astype(np.float64)) @ np.abs(expected.T)
    assert (np.abs(found - wanted) <= 1e-3 * bound).all()
    order = np.array([ROWS - 1, 0, 2])
    taken = matrix.take(wf.tensor(order, device=device.name)).numpy()
    np.testing.assert_allclose(taken, expected[order], rtol=2e-6, atol=2e-4)


def test_q6_k_takes_less_than_a_third_of_float32() -> None:
    rows = np.zeros((64, 4 * Q6_K.nbytes), np.uint8)
    matrix = QuantizedMatrix.of(Q6_K, rows, "cpu")
    assert matrix.nbytes < 64 * 1024 * 4 / 3
