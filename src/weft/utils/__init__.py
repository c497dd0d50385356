"""What surrounds training: data loading (``utils.data``), recomputation (``utils.checkpoint``), and turns to take."""

from weft.utils import checkpoint, data
from weft.utils.flights import LatestOnly, SingleFlight, latest_only, single_flight

__all__ = ["LatestOnly", "SingleFlight", "checkpoint", "data", "latest_only", "single_flight"]
