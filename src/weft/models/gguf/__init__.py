"""GGUF files: one file with configuration, vocabulary, template and weights."""

from weft.models.gguf.checkpoint import load_gguf
from weft.models.gguf.reader import GGUFFile, GGUFTensor

__all__ = ["GGUFFile", "GGUFTensor", "load_gguf"]
