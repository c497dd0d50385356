"""What surrounds training: data loading (``utils.data``) and checkpoints (``weft.save``, ``weft.load``)."""

from weft.utils import checkpoints, data

__all__ = ["checkpoints", "data"]
