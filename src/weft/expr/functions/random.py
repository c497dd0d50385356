"""Counter-based random numbers: Philox 4x32-10 (Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, 2011).

A number depends only on its counter and key, so every device computes each element independently. The counter is
(low, high, 0, 0). A step returns four 32-bit words, of which the functions below use the first two.
"""

from __future__ import annotations

from typing import Any

from weft.expr.functions.table import add

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85  # golden ratio, sqrt(3) - 1
_ROUNDS = 10

add("mulhi", "x y", "u", lambda x, y: (x.astype("uint64") * y) >> 32,  # the high 32 bits of the product
    wide="uint32((int64(x) * int64(y)) >> 32)",
    definition="""
    xl = x & 0xffff
    xh = x >> 16
    yl = y & 0xffff
    yh = y >> 16
    middle = xh * yl + ((xl * yl) >> 16)
    cross = xl * yh + (middle & 0xffff)
    xh * yh + (middle >> 16) + (cross >> 16)
    """)  # fmt: skip


def _philox(word: int) -> str:
    """Return the definition of ten rounds over (c0, c1, c2, c3) with key (k0, k1): word ``word`` of the result."""
    lines = [
        "c0 = counter_low",
        "c1 = counter_high",
        "k0 = key_low",
        "k1 = key_high",
        "c2 = k0 - k0",
        "c3 = c2",
    ]
    for _ in range(_ROUNDS):
        lines += [
            f"h0 = mulhi(c0, {_MULTIPLIERS[0]})", f"l0 = c0 * {_MULTIPLIERS[0]}",
            f"h1 = mulhi(c2, {_MULTIPLIERS[1]})", f"l1 = c2 * {_MULTIPLIERS[1]}",
            "c0 = h1 ^ c1 ^ k0", "c1 = l1", "c2 = h0 ^ c3 ^ k1", "c3 = l0",
            f"k0 = k0 + {_WEYL[0]}", f"k1 = k1 + {_WEYL[1]}",
        ]  # fmt: skip
    return "\n".join([*lines, f"c{word}"])


def philox(counter: tuple[Any, Any, Any, Any], key: tuple[Any, Any]) -> tuple[Any, Any, Any, Any]:
    """Return Philox 4x32-10 of Python integers or NumPy uint64 arrays of 32-bit values: the reference."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    mask = 0xFFFFFFFF
    for _ in range(_ROUNDS):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & mask, (p0 >> 32) ^ c3 ^ k1, p0 & mask
        k0, k1 = (k0 + _WEYL[0]) & mask, (k1 + _WEYL[1]) & mask
    return c0, c1, c2, c3


def _words(*given: Any) -> tuple[Any, Any, Any, Any]:
    import numpy

    c0, c1, k0, k1 = (numpy.asarray(word).astype("uint64") for word in given)
    return philox((c0, c1, numpy.zeros_like(c0), numpy.zeros_like(c0)), (k0, k1))


def _uniform(*given: Any) -> Any:
    return (_words(*given)[0] >> 8) * 2.0**-24


def _normal(*given: Any) -> Any:
    import numpy

    first, second, *_ = _words(*given)
    radius = numpy.sqrt(-2 * numpy.log(((first >> 8) + 1) * 2.0**-24))
    return radius * numpy.cos((second >> 8) * 2.0**-24 * (2 * numpy.pi))


_PARAMETERS = "counter_low counter_high key_low key_high"
_CALL = "(" + _PARAMETERS.replace(" ", ", ") + ")"
_NONE = ("",) * 4
add(
    "random_bits", _PARAMETERS, "u", lambda *given: _words(*given)[0], definition=_philox(0), derivative=_NONE
)
add(
    "random_bits2",
    _PARAMETERS,
    "u",
    lambda *given: _words(*given)[1],
    definition=_philox(1),
    derivative=_NONE,
)
add("uniform", _PARAMETERS, "u", _uniform, result="float32", derivative=_NONE,  # in [0, 1), multiples of 2**-24
    definition=f"float32(random_bits{_CALL} >> 8) * {2.0**-24!r}")  # fmt: skip
add("normal", _PARAMETERS, "u", _normal, result="float32", derivative=_NONE, accuracy=8.0,
    # Box-Muller; the radius is computed from a number in (0, 1], whose logarithm is finite
    definition=f"""
    radius = sqrt(-2.0 * log((float32(random_bits{_CALL} >> 8) + 1.0) * {2.0**-24!r}))
    radius * cos(float32(random_bits2{_CALL} >> 8) * {2.0**-24 * 6.283185307179586!r})
    """)  # fmt: skip
