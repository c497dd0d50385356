"""``weft.special``: functions of the op table under their names in ``torch.special``.

>>> import weft as wf
>>> wf.special.expit(wf.zeros(1))
tensor([0.5000])
"""

from __future__ import annotations

from typing import Any

from weft.errors import AbsentError
from weft.ops import FUNCTIONS

NAMES = {
    "digamma": "digamma", "entr": "entr", "erf": "erf", "erfc": "erfc", "erfcx": "erfcx", "erfinv": "erfinv",
    "exp2": "exp2", "expit": "sigmoid", "expm1": "expm1", "gammainc": "gammainc", "gammaincc": "gammaincc",
    "gammaln": "lgamma", "i0": "i0", "i0e": "i0e", "i1": "i1", "i1e": "i1e", "log1p": "log1p",
    "log_ndtr": "log_ndtr", "log_softmax": "log_softmax", "logit": "logit", "logsumexp": "logsumexp",
    "multigammaln": "mvlgamma", "ndtr": "ndtr", "ndtri": "ndtri", "polygamma": "polygamma", "psi": "digamma",
    "round": "round", "sinc": "sinc", "softmax": "softmax", "xlog1py": "xlog1py", "xlogy": "xlogy", "zeta": "zeta",
}  # fmt: skip
"""The names of ``torch.special``, with the names of the op table."""


def __getattr__(name: str) -> Any:
    found = FUNCTIONS.get(NAMES.get(name, ""))
    if found is None:
        if name in NAMES:
            raise AbsentError(f"special.{name}: is not in weft yet; available: {', '.join(__dir__())}")
        raise AttributeError(f"module 'weft.special' has no attribute {name!r}")
    globals()[name] = found.function
    return found.function


def __dir__() -> list[str]:
    return sorted(name for name, known in NAMES.items() if known in FUNCTIONS)
