"""Every block format of GGUF, against the ``gguf`` package and a block computed by hand."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import pytest

from weft.models.quant import FORMATS, Q4_0, QuantFormat

Array = np.ndarray[Any, Any]
ROWS, BLOCKS = 7, 3
BY_NUMBER = pytest.mark.parametrize(
    ("number", "form"), FORMATS.items(), ids=[form.name for form in FORMATS.values()]
)


def random_blocks(form: QuantFormat, seed: int = 0) -> Array:
    """Return random bytes (ROWS, BLOCKS, nbytes) whose floating-point fields are finite and not subnormal."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (ROWS, BLOCKS, form.nbytes), dtype=np.uint8)
    entries = form.unpack(blocks)
    for field in form.fields:
        if "float" in field.kind:
            numbers = rng.uniform(0.01, 2.0, entries[field.name].shape).astype(np.float32)
            entries[field.name] = np.where(rng.random(numbers.shape) < 0.5, -numbers, numbers)
    return form.pack(entries)


@BY_NUMBER
def test_the_number_size_and_elements_are_those_of_gguf(number: int, form: QuantFormat) -> None:
    assert gguf.GGMLQuantizationType(number).name == form.name
    assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(number)] == (form.elements, form.nbytes)
    assert form.bits_per_element == form.nbytes * 8 / form.elements


@BY_NUMBER
def test_dequantize_equals_gguf(number: int, form: QuantFormat) -> None:
    rows = random_blocks(form).reshape(ROWS, -1)
    kind = gguf.GGMLQuantizationType(number)
    data = rows if kind not in (0, 1) else rows.view({0: np.float32, 1: np.float16}[number])
    expected = np.asarray(gguf.quants.dequantize(data, kind), np.float32)
    found = form.dequantize(rows)
    assert found.dtype == np.float32
    assert found.shape == (ROWS, BLOCKS * form.elements)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)
    assert np.ptp(expected) > 0


@BY_NUMBER
def test_pack_is_the_inverse_of_unpack(number: int, form: QuantFormat) -> None:
    blocks = random_blocks(form, seed=1)
    np.testing.assert_array_equal(form.pack(form.unpack(blocks)), blocks)


@BY_NUMBER
def test_each_bit_of_a_block_belongs_to_a_single_entry(number: int, form: QuantFormat) -> None:
    taken = [
        place + bit
        for field in form.fields
        for piece in field.pieces
        for place in piece.places
        for bit in range(piece.bits)
    ]
    assert sorted(taken) == list(range(8 * form.nbytes))


def test_a_block_of_q4_0_computed_by_hand() -> None:
    block = np.zeros(18, np.uint8)
    block[:2] = 0x00, 0x38  # 0x3800 is 0.5 in float16
    block[2] = 0x9F  # element 0 is 15, element 16 is 9
    block[3] = 0x80  # element 1 is 0, element 17 is 8
    expected = np.full(32, (0 - 8) * 0.5, np.float32)
    expected[[0, 16, 1, 17]] = (15 - 8) * 0.5, (9 - 8) * 0.5, -4.0, 0.0
    np.testing.assert_array_equal(Q4_0.dequantize(block[None])[0], expected)
    entries = Q4_0.unpack(block)
    assert entries["d"].tolist() == [0.5]
    assert entries["q"][[0, 1, 16, 17]].tolist() == [15, 0, 9, 8]
