"""weft's own formats of 4 and 8 bits: the quantiser, products, and loading float files quantised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from tests.models.checkpoints import Case, model, write
from tests.models.test_decoder import cached
from weft.devices.base import Device
from weft.engine import Engine
from weft.errors import ArgumentError
from weft.models.gguf import GGUFFile, load_gguf
from weft.models.quant import QuantFormat
from weft.models.quant.integers import INTEGERS, QUANTIZE, quantize, rounded
from weft.models.quant.projection import QuantizedMatrix

SIZES = {
    "hidden_size": 64, "intermediate_size": 96, "vocab_size": 131, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16,
}  # fmt: skip
EVERY = pytest.mark.parametrize("form", INTEGERS.values(), ids=list(INTEGERS))


def weights(rows: int = 37, columns: int = 256) -> np.ndarray[Any, Any]:
    """Return normal numbers, a row of zeros and a row of a single value among them."""
    made = np.random.default_rng(0).normal(0.1, 0.5, (rows, columns)).astype(np.float32)
    made[3], made[4] = 0.0, 0.25
    return made


@EVERY
def test_the_error_is_at_most_that_of_rounding_to_the_whole_range(form: QuantFormat) -> None:
    given = weights()
    found = form.dequantize(quantize(form, given))
    groups, kept = (each.reshape(-1, form.elements).astype(np.float64) for each in (given, found))
    bits = 8 if "int8" in form.name else 4
    if form.minimum:
        step = np.ptp(groups, axis=1) / (2**bits - 1)
    else:
        step = np.abs(groups).max(1) / (127 if bits == 8 else 7)
    error = np.sqrt(np.square(groups - kept).mean(1))
    assert (error <= 0.5 * step + 2e-3 * np.abs(groups).max(1)).all()
    assert (found[3] == 0).all()


@EVERY
def test_blocks_hold_what_the_quantiser_gives(form: QuantFormat) -> None:
    quants, scales, minima = rounded(form, weights())
    again = form.groups(quantize(form, weights()))
    np.testing.assert_array_equal(again[0], quants)
    np.testing.assert_array_equal(again[1], scales)
    assert (again[2] is None) == (minima is None) == (not form.minimum)
    if minima is not None:
        np.testing.assert_array_equal(again[2], minima)


@EVERY
def test_products_equal_those_of_the_dequantised_matrix(device: Device, form: QuantFormat) -> None:
    expected = form.dequantize(quantize(form, weights())).astype(np.float64)
    matrix = QuantizedMatrix.of_weights(form, weights(), device.name)
    x = np.random.default_rng(1).integers(-127, 128, (3, 256)).astype(np.float32)
    x[:, ::16] = 127
    found = matrix.multiply(wf.tensor(x, device=device.name)).numpy()
    bound = np.abs(x) @ np.abs(expected.T)
    assert (np.abs(found - x @ expected.T) <= 1e-3 * bound + 1e-6).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_weights_beyond_float16_scales_are_refused(value: float) -> None:
    given = weights()
    given[1, 7] = value
    with pytest.raises(ArgumentError, match="weights"), np.errstate(all="ignore"):
        quantize(INTEGERS["int4-32"], given)


def test_columns_that_no_group_divides_are_refused() -> None:
    with pytest.raises(ArgumentError, match="multiple of 64"):
        quantize(INTEGERS["int4-64"], weights(5, 96))


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="'int8'"):
        Engine.load(tmp_path / "model.gguf", quantize="int3")


@pytest.mark.parametrize("name", QUANTIZE)
def test_a_float_file_loads_quantised(tmp_path: Path, name: str) -> None:
    form, made = QUANTIZE[name], model(Case("llama", SIZES))
    ids = np.arange(12)[None] * 7 % 131
    with GGUFFile(write(tmp_path / "model.gguf", made)) as file:
        found = load_gguf(file, quantize=form)
    matrices = [part for part in found.modules() if isinstance(part, QuantizedMatrix)]
    assert len(matrices) >= 3 * 7 + 1
    assert {matrix.format for matrix in matrices} == {form.name}
    # the reference multiplies by the dequantised weights; what differs is the activations' rounding
    with torch.no_grad():
        for weight in made.parameters():
            if weight.dim() == 2:
                weight.copy_(torch.from_numpy(form.dequantize(quantize(form, weight.numpy()))))
        wanted = made(torch.from_numpy(ids)).logits.numpy()
    error = np.abs(cached(found, ids, "cpu", [12]) - wanted).max() / np.abs(wanted).max()
    assert 0 < error < 0.05, error
