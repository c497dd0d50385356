"""PyTorch's import path of ``DataLoader`` and ``default_collate``."""

from weft.utils.data.collate import default_collate, default_convert
from weft.utils.data.loader import DataLoader

__all__ = ["DataLoader", "default_collate", "default_convert"]
