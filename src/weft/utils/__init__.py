"""Data loading (``utils.data``), recomputation in the backward pass (``utils.checkpoint``), calls from event loops."""

from weft.utils import checkpoint, data, model_zoo
from weft.utils.flights import LatestOnly, SingleFlight, latest_only, single_flight
from weft.utils.stand_in import install_as_torch

__all__ = [
    "LatestOnly",
    "SingleFlight",
    "checkpoint",
    "data",
    "install_as_torch",
    "latest_only",
    "model_zoo",
    "single_flight",
]
