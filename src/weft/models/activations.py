"""``ACTIVATIONS``: the functions between the products of a feed-forward part, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from weft.nn import functional
from weft.tensors.tensor import Tensor

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_new": lambda input: functional.gelu(input, approximate="tanh"),
    "gelu_pytorch_tanh": lambda input: functional.gelu(input, approximate="tanh"),
    "relu": functional.relu,
}
"""By the name in ``config.json``."""
