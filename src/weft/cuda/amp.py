"""PyTorch's ``cuda.amp``: ``autocast`` and ``GradScaler`` for CUDA, which warn and are disabled, as without a GPU."""

from __future__ import annotations

from typing import Any

from weft import amp
from weft.dtypes import DType

__all__ = ["GradScaler", "autocast"]


class autocast(amp.autocast):
    """``weft.autocast("cuda", …)``: a region without effect, with a warning unless ``enabled`` is False."""

    def __init__(
        self, enabled: bool = True, dtype: DType | None = None, cache_enabled: bool | None = None
    ) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """``weft.amp.GradScaler("cuda", …)``: a disabled scaler, with a warning."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__("cuda", *arguments, **options)
