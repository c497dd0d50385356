"""Files: state dicts as safetensors, any tree as metatensor, shards of either, and whole trainings."""

from weft.io.files import load, save
from weft.io.training import Resumed, load_training, save_training

__all__ = ["Resumed", "load", "load_training", "save", "save_training"]
