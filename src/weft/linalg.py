"""``weft.linalg``: the functions of the op table that PyTorch keeps under that name."""

from __future__ import annotations

from weft.errors import LinAlgError
from weft.ops import FUNCTIONS

cross = FUNCTIONS["linalg_cross"].function
lstsq = FUNCTIONS["lstsq"].function
matrix_norm = FUNCTIONS["matrix_norm"].function
norm = FUNCTIONS["linalg_norm"].function
svd = FUNCTIONS["linalg_svd"].function
svdvals = FUNCTIONS["svdvals"].function
vector_norm = FUNCTIONS["vector_norm"].function

__all__ = ["LinAlgError", "cross", "lstsq", "matrix_norm", "norm", "svd", "svdvals", "vector_norm"]
