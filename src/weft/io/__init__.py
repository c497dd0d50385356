"""File formats: state dicts as safetensors, trees of values as metatensor, shards of both, and whole trainings."""

from weft.io.files import load, save
from weft.io.training import Resumed, load_training, save_training

__all__ = ["Resumed", "load", "load_training", "save", "save_training"]
