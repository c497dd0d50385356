"""``weft.linalg``: the functions of the op table that PyTorch keeps under that name."""

from __future__ import annotations

from weft.ops import FUNCTIONS

cross = FUNCTIONS["linalg_cross"].function
matrix_norm = FUNCTIONS["matrix_norm"].function
norm = FUNCTIONS["linalg_norm"].function
vector_norm = FUNCTIONS["vector_norm"].function

__all__ = ["cross", "matrix_norm", "norm", "vector_norm"]
