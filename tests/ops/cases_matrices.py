"""Cases of decompositions of matrices and of least squares, as functions and as ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.ops.arrays import Arg
from tests.ops.cases import Case, OpCase, S
from weft import dtypes as d


def svd_with_signs(A: Any, full_matrices: bool = True) -> Any:
    """PyTorch's decomposition with the signs of NumPy's, which singular vectors leave open."""
    u, s, vh = torch.linalg.svd(A, full_matrices)
    given = np.linalg.svd(A.detach().numpy(), full_matrices)
    left = torch.from_numpy(np.sign((given[0] * u.detach().numpy()).sum(-2))).to(A.dtype)
    right = torch.from_numpy(np.sign((given[2] * vh.detach().numpy()).sum(-1))).to(A.dtype)
    return u * left[..., None, :], s * 1, vh * right[..., :, None]


FULL = (d.float32, d.float64)
FUNCTION_CASES: dict[str, list[Case]] = {
    "linalg_svd": [Case((Arg((3, 4), S), False), svd_with_signs, dtypes=(d.float32, d.float64), scale=32), Case((Arg((2, 4, 3), S), False), svd_with_signs, scale=32),
                   Case((Arg((2, 3, 3), S),), svd_with_signs, scale=64), Case((Arg((4, 3), S),), svd_with_signs, scale=32, gradient=False),
                   Case((Arg((2, 0, 3)),), torch.linalg.svd, gradient=False), Case((Arg((3, 0)), False), torch.linalg.svd, gradient=False)],
    "svdvals": [Case((Arg((3, 4), S),), torch.linalg.svdvals, dtypes=(d.float32, d.float64), scale=16), Case((Arg((2, 4, 3), S),), torch.linalg.svdvals, scale=16),
                Case((Arg((2, 0, 3)),), torch.linalg.svdvals)],
    "lstsq": [Case((Arg((4, 3), S), Arg((4, 2))), torch.linalg.lstsq, dtypes=(d.float32, d.float64), scale=64),
              *(Case((Arg((2, 4, 2), S), Arg((2, 4, 3))), torch.linalg.lstsq, {"driver": driver}, scale=64) for driver in ("gels", "gelsy", "gelsd", "gelss")),
              Case((Arg((2, 3, 4), S), Arg((2, 3))), torch.linalg.lstsq, {"driver": "gelsd"}, scale=64), Case((Arg((1, 4, 3), S), Arg((3, 4, 2)), 1e-5), torch.linalg.lstsq, scale=64),
              Case((Arg((4, 3), S), Arg((4,))), torch.linalg.lstsq, {"driver": "gels"}, scale=64), Case((Arg((0, 3)), Arg((0, 2))), torch.linalg.lstsq, gradient=False)],
}  # fmt: skip

OP_CASES: dict[str, list[OpCase]] = {
    "svd": [OpCase((Arg((2, 3, 4), S),), {"full_matrices": full}, FULL, 16) for full in (False, True)],
    "pinv": [OpCase((Arg(shape, S),), {}, FULL, 64) for shape in ((2, 3, 2), (2, 4))],
    "least_squares": [OpCase((Arg((2, 4, 3), S), Arg((2, 4, 2))), {"rcond": 1e-6}, FULL, 64)],
}  # fmt: skip
