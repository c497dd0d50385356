"""The block formats of GGUF, by their numbers there (ggml's ``ggml_type``; layouts from ggml-common.h)."""

from __future__ import annotations

from weft.models.quant.format import Field, Piece, QuantFormat, halves, joined, places, whole

F32 = QuantFormat("F32", 1, 4, (whole("q", "float32", 0),))
F16 = QuantFormat("F16", 1, 2, (whole("q", "float16", 0),))
BF16 = QuantFormat("BF16", 1, 2, (whole("q", "bfloat16", 0),))

Q4_0 = QuantFormat(
    "Q4_0", 32, 18, (whole("d", "float16", 0), Field("q", "uint", (Piece(4, halves(2, 32)),))), "d", 8
)
Q4_1 = QuantFormat(
    "Q4_1",
    32,
    20,
    (
        whole("d", "float16", 0),
        whole("m", "float16", 2),
        Field("q", "uint", (Piece(4, halves(4, 32)),)),
    ),
    "d",
    0,
    "m",
)
Q5_0 = QuantFormat(
    "Q5_0",
    32,
    22,
    (
        whole("d", "float16", 0),
        Field("q", "uint", (Piece(4, halves(6, 32)), Piece(1, places(2, 32, 1), up=4))),
    ),
    "d",
    16,
)
Q5_1 = QuantFormat(
    "Q5_1",
    32,
    24,
    (
        whole("d", "float16", 0),
        whole("m", "float16", 2),
        Field("q", "uint", (Piece(4, halves(8, 32)), Piece(1, places(4, 32, 1), up=4))),
    ),
    "d",
    0,
    "m",
)
Q8_0 = QuantFormat("Q8_0", 32, 34, (whole("d", "float16", 0), whole("q", "int", 2, 32)), "d")


def _scales(start: int) -> tuple[Field, Field]:
    """The K formats' 8 scales and 8 minima of 6 bits in 12 bytes: the upper two bits of the last four lie apart."""
    first = Piece(4, (*places(start, 4, 8), *places(start + 8, 4, 8)))
    upper = Piece(
        2,
        (*(place + 4 for place in places(start, 4, 8)), *(place + 6 for place in places(start, 4, 8))),
        up=4,
    )
    first_m = Piece(4, (*places(start + 4, 4, 8), *(place + 4 for place in places(start + 8, 4, 8))))
    upper_m = Piece(
        2,
        (
            *(place + 4 for place in places(start + 4, 4, 8)),
            *(place + 6 for place in places(start + 4, 4, 8)),
        ),
        up=4,
    )
    return Field("s", "uint", (first, upper)), Field("m", "uint", (first_m, upper_m))


def _low_nibbles(start: int) -> tuple[int, ...]:
    """256 entries of 4 bits: of each 32 bytes the low halves, then the high halves."""
    return joined([halves(start + 32 * run, 64) for run in range(4)])


Q4_K = QuantFormat(
    "Q4_K",
    256,
    144,
    (
        whole("d", "float16", 0),
        whole("dmin", "float16", 2),
        *_scales(4),
        Field("q", "uint", (Piece(4, _low_nibbles(16)),)),
    ),
    "d * s",
    0,
    "-dmin * m",
)
Q5_K = QuantFormat(
    "Q5_K",
    256,
    176,
    (
        whole("d", "float16", 0),
        whole("dmin", "float16", 2),
        *_scales(4),
        Field(
            "q",
            "uint",
            (
                Piece(4, _low_nibbles(48)),
                Piece(1, joined([[place + bit for place in places(16, 32, 8)] for bit in range(8)]), up=4),
            ),
        ),
    ),
    "d * s",
    0,
    "-dmin * m",
)
Q6_K = QuantFormat(
    "Q6_K",
    256,
    210,
    (
        whole("d", "float16", 208),
        whole("s", "int", 192, 16),
        Field(
            "q",
            "uint",
            (
                Piece(4, joined([halves(64 * half, 128) for half in range(2)])),
                Piece(
                    2,
                    joined(
                        [
                            [place + 2 * run for place in places(128 + 32 * half, 32, 8)]
                            for half in range(2)
                            for run in range(4)
                        ]
                    ),
                    up=4,
                ),
            ),
        ),
    ),
    "d * s",
    32,
)

FORMATS = {
    0: F32, 1: F16, 2: Q4_0, 3: Q4_1, 6: Q5_0, 7: Q5_1, 8: Q8_0, 12: Q4_K, 13: Q5_K, 14: Q6_K, 30: BF16,
}  # fmt: skip
"""By ``ggml_type``."""
