"""How a tensor prints."""

from __future__ import annotations

from typing import Any

from weft.tensors import host
from weft.tensors.eager import EAGER


def text(tensor: Any) -> str:
    import numpy

    values = host.to_numpy(tensor._array("print"), EAGER)
    return "tensor(" + numpy.array2string(values.astype("float64") if values.dtype.name == "bfloat16" else values, separator=", ", prefix="tensor(") + ")"
