"""What surrounds training: data loading (``utils.data``), ``weft.save`` and ``weft.load``, recomputation, turns."""

from weft.utils import checkpoint, checkpoints, data
from weft.utils.flights import SingleFlight, single_flight

__all__ = ["SingleFlight", "checkpoint", "checkpoints", "data", "single_flight"]
