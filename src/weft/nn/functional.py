"""Functions behind the layers. Those of the op table appear here by their own declaration (``functional=True``)."""

from __future__ import annotations

from typing import Any

from weft.nn.attention import scaled_dot_product_attention
from weft.ops import FUNCTIONS
from weft.random import dropout

__all__ = ["dropout", "scaled_dot_product_attention"]


def __getattr__(name: str) -> Any:
    spec = FUNCTIONS.get(name)
    if spec is None or not spec.functional:
        raise AttributeError(f"module 'weft.nn.functional' has no attribute {name!r}")
    globals()[name] = spec.function
    return spec.function


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for name, spec in FUNCTIONS.items() if spec.functional)})
