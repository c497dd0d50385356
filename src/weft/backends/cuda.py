"""PyTorch's ``backends.cuda``: settings that are accepted without effect, since weft does not use CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Matmul:
    """Settings of matrix products, without effect: weft multiplies float32 and accumulates 16-bit types in float32."""

    allow_tf32: bool = False
    allow_fp16_reduced_precision_reduction: bool = False
    allow_bf16_reduced_precision_reduction: bool = False
    allow_fp16_accumulation: bool = False
    fp32_precision: str = "none"


@dataclass
class PlanCache:
    """The cache of cuFFT plans, always empty."""

    size: int = 0
    max_size: int = 0

    def clear(self) -> None:
        """Do nothing."""


matmul = Matmul()
cufft_plan_cache = PlanCache()


def is_built() -> bool:
    """Return whether weft was built with CUDA: False."""
    return False


def flash_sdp_enabled() -> bool:
    """Return whether attention may use CUDA's flash kernel: False, weft has kernels of its own."""
    return False


def mem_efficient_sdp_enabled() -> bool:
    """Return whether attention may use CUDA's memory-efficient kernel: False."""
    return False


def cudnn_sdp_enabled() -> bool:
    """Return whether attention may use cuDNN's kernel: False."""
    return False


def math_sdp_enabled() -> bool:
    """Return whether attention may be computed by matrix products: True."""
    return True


def enable_flash_sdp(enabled: bool) -> None:
    """Accept the setting."""


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Accept the setting."""


def enable_cudnn_sdp(enabled: bool) -> None:
    """Accept the setting."""


def enable_math_sdp(enabled: bool) -> None:
    """Accept the setting."""


@contextmanager
def sdp_kernel(**settings: Any) -> Iterator[None]:
    """Accept settings of attention for a ``with`` block, without effect: weft chooses its kernel itself."""
    yield
