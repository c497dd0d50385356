"""What surrounds training: data loading (``utils.data``), ``weft.save`` and ``weft.load``, recomputation."""

from weft.utils import checkpoint, checkpoints, data

__all__ = ["checkpoint", "checkpoints", "data"]
