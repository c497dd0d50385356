"""PyTorch's ``utils.model_zoo``, for libraries that import it: weft downloads nothing."""

from __future__ import annotations

from weft.absent import refusing

__getattr__ = refusing(
    "weft.utils.model_zoo",
    "load_url load_state_dict_from_url".split(),
    "weft downloads nothing; download the file, and read it with weft.load",
)
