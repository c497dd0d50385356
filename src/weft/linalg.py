"""``weft.linalg``: functions of the op table that PyTorch has in ``torch.linalg``.

>>> import weft as wf
>>> wf.linalg.vector_norm(wf.tensor([3.0, 4.0])).item()
5.0
"""

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
