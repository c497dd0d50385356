"""The error function and its complement; the coefficients are computed as in ``exponential``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft.expr.functions.table import add, horner

_ERF_NEAR = (0.12837916612625122, -0.3761262893676758, 0.11283625662326813, -0.02685573138296604,
             0.005192405078560114, -0.0008049769676290452, 7.996649947017431e-05)  # fmt: skip
_ERF_FAR = (-0.00017468445003032684, 1.1295149326324463, 0.6333469152450562, 0.10828004032373428,
            -0.025119351223111153, 0.004171009175479412, -0.00043444460607133806, 2.1092741008033045e-05)  # fmt: skip
_ERFCX = (0.32158541679382324, -0.4908687472343445, 0.194490447640419, -0.009284339845180511, -0.01862253248691559,
          -0.0004699103010352701, 0.0028396514244377613, 0.0011865496635437012, -0.000858900835737586)  # fmt: skip


def _by_python(name: str) -> Callable[[Any], Any]:
    def reference(x: Any) -> Any:
        import math

        import numpy

        return numpy.vectorize(getattr(math, name), otypes=["float64"])(x)

    return reference


add("erf", "x", "f", _by_python("erf"), double="erf", accuracy=4.0,
    derivative=("g * (1.1283791670955126 * exp(-(x * x)))",),
    definition=f"""
    a = minimum(abs(x), 4.0)
    z = a * a
    near = fma(x, {horner("z", *_ERF_NEAR)}, x)
    far = 1.0 - exp(-({horner("a", *_ERF_FAR)}))
    where(abs(x) < 0.921875, near, copysign(far, x))
    """)  # fmt: skip
# For large z, erfc(z) = exp(-z * z) * erfcx(z), with -z * z = -s * s + (s - z) * (s + z); s has few bits, so that s * s
# is exact.
add("erfc", "x", "f", _by_python("erfc"), double="erfc", accuracy=8.0,
    derivative=("-(g * (1.1283791670955126 * exp(-(x * x))))",),
    definition=f"""
    z = minimum(abs(x), 11.0)
    s = short(z)
    q = quotient(z - 1.5, z + 1.5)
    decay = exp(-(s * s)) * (1.0 + expm1_near((s - z) * (s + z)))
    far = decay * {horner("q", *_ERFCX)}
    where(abs(x) < 0.921875, 1.0 - erf(x), where(x < 0, 2.0 - far, far))
    """)  # fmt: skip
