"""``weft.linalg``: the functions of the op table that PyTorch keeps under that name."""

from __future__ import annotations

from weft.ops import FUNCTIONS

vector_norm = FUNCTIONS["vector_norm"].function

__all__ = ["vector_norm"]
