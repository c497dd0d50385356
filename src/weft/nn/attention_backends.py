"""PyTorch's choice among attention kernels, accepted for compatibility: weft always chooses by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum

from weft.errors import ArgumentTypeError, mistake


class SDPBackend(IntEnum):
    """The kernels of attention that PyTorch has."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: SDPBackend | Iterable[SDPBackend], set_priority: bool = False) -> Iterator[None]:
    """Accept a choice of kernels for a block, as ``torch.nn.attention.sdpa_kernel``; it changes nothing in weft.

    >>> import weft as wf
    >>> from weft.nn.attention import SDPBackend, sdpa_kernel
    >>> q = wf.ones(1, 2, 4)
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     wf.nn.functional.scaled_dot_product_attention(q, q, q).shape.numel()
    8
    """
    listed = [backends] if isinstance(backends, SDPBackend) else list(backends)
    for backend in listed:
        if not isinstance(backend, SDPBackend):
            raise ArgumentTypeError(mistake("sdpa_kernel", "backends", repr(backend), "of SDPBackend"))
    yield
