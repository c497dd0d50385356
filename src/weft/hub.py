"""PyTorch's ``hub``, for libraries that import it: weft downloads nothing."""

from __future__ import annotations

from weft.absent import refusing

__getattr__ = refusing(
    "weft.hub",
    "download_url_to_file get_dir help list load load_state_dict_from_url set_dir".split(),
    "weft downloads nothing; download the file, and read it with weft.load",
)
