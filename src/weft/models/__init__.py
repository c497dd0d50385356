"""Language models: architectures as configurations of one decoder, and the checkpoints that they are read from."""

from weft.models.cache import CacheView, KVCache
from weft.models.config import DecoderConfig, LayerConfig, RopeConfig
from weft.models.decoder import Decoder

__all__ = ["CacheView", "Decoder", "DecoderConfig", "KVCache", "LayerConfig", "RopeConfig"]
