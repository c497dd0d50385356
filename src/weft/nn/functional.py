"""The functions of the layers. Functions of the table with ``functional=True`` are looked up when first used."""

from __future__ import annotations

from typing import Any

from weft.nn.attention import scaled_dot_product_attention
from weft.nn.stochastic import (
    alpha_dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
    gumbel_softmax,
    rrelu,
)
from weft.ops import FUNCTIONS
from weft.random import dropout

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
    "gumbel_softmax",
    "rrelu",
    "scaled_dot_product_attention",
]


_RENAMED = {spec.functional: key for key, spec in FUNCTIONS.items() if isinstance(spec.functional, str)}
"""Keys of functions whose name here differs, since a tensor method of that name does something else."""


def __getattr__(name: str) -> Any:
    spec = FUNCTIONS.get(_RENAMED.get(name, name))
    if spec is None or spec.functional_name != name:
        raise AttributeError(f"module 'weft.nn.functional' has no attribute {name!r}")
    globals()[name] = spec.function
    return spec.function


def __dir__() -> list[str]:
    return sorted({*globals(), *(spec.functional_name for spec in FUNCTIONS.values() if spec.functional)})
