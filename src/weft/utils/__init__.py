"""What surrounds training: data loading (``utils.data``), recomputation (``utils.checkpoint``), and turns to take."""

from weft.utils import checkpoint, data
from weft.utils.flights import SingleFlight, single_flight

__all__ = ["SingleFlight", "checkpoint", "data", "single_flight"]
