"""Quantised formats, declared: a block's fields and the expression of a value."""

from weft.models.quant.format import Field, Piece, QuantFormat
from weft.models.quant.gguf import FORMATS, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0

__all__ = [
    "FORMATS",
    "Q4_0",
    "Q4_1",
    "Q4_K",
    "Q5_0",
    "Q5_1",
    "Q5_K",
    "Q6_K",
    "Q8_0",
    "Field",
    "Piece",
    "QuantFormat",
]  # fmt: skip
