"""Language models: architectures as configurations of one decoder, and the checkpoints that they are read from."""

from weft.models import families
from weft.models.cache import CacheView, KVCache
from weft.models.config import DecoderConfig, LayerConfig, RopeConfig
from weft.models.decoder import Decoder
from weft.models.directory import load, save

__all__ = [
    "CacheView",
    "Decoder",
    "DecoderConfig",
    "KVCache",
    "LayerConfig",
    "RopeConfig",
    "families",
    "load",
    "save",
]
