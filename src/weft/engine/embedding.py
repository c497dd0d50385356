"""Embeddings of texts: the hidden states after the last layer, pooled and normalised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from weft import dtypes
from weft.autograd import no_grad
from weft.errors import ArgumentError, mistake
from weft.tensors.creation import arange, as_tensor
from weft.tensors.tensor import Tensor

if TYPE_CHECKING:
    from weft.engine.engine import Engine

POOLINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda hidden: hidden.mean(1),
    "last": lambda hidden: hidden[:, -1],
}
"""How the hidden states (1, T, hidden) of a text become one vector (1, hidden)."""


def embed(engine: Engine, ids: Sequence[int], pooling: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the embedding (hidden) of a text, of length 1.

    A model that was not trained for embeddings gives vectors whose distances mean little.

    Args:
        engine: the engine whose model reads the text.
        ids: the tokens of the text.
        pooling: ``"mean"`` of all tokens' states, or the state of the ``"last"`` token.

    Raises:
        ArgumentError: for no tokens, for more tokens than the context holds, and for another pooling.
    """
    if pooling not in POOLINGS:
        raise ArgumentError(mistake("embed", "pooling", repr(pooling), f"one of {', '.join(POOLINGS)}"))
    if not 0 < len(ids) <= engine.context:
        raise ArgumentError(
            f"input: {len(ids)} tokens, expected 1 to {engine.context}, the context; shorten the input"
        )
    device = str(engine.model.model.norm.weight.device)
    with engine.driver.paused(), no_grad():
        tokens = as_tensor(np.asarray([ids], np.int64), device=device)
        positions = arange(len(ids), dtype=dtypes.int64, device=device).unsqueeze(0)
        hidden = engine.model.model(tokens, positions).float()
        vector = POOLINGS[pooling](hidden)[0].numpy()
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length else vector, np.float32)
