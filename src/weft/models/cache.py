"""``KVCache``: keys and values of the tokens so far, preallocated, written in place at slots."""

from __future__ import annotations

from dataclasses import dataclass

from weft.dtypes import DType
from weft.models.config import DecoderConfig
from weft.tensors.creation import zeros
from weft.tensors.tensor import Tensor


class KVCache:
    """Room for ``length`` tokens in each of ``rows`` sequences.

    ``keys[layer]`` and ``values[layer]`` are (rows * length, kv_heads, head_dim): the token at position p of row r has
    slot ``r * length + p``.
    """

    def __init__(
        self,
        config: DecoderConfig,
        rows: int,
        length: int,
        dtype: DType | None = None,
        device: str | None = None,
    ) -> None:
        self.rows, self.length = rows, length
        shape = (rows * length, config.num_kv_heads, config.head_dim)
        self.keys = [zeros(*shape, dtype=dtype, device=device) for _ in config.layers]
        self.values = [zeros(*shape, dtype=dtype, device=device) for _ in config.layers]

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self.keys, *self.values))


@dataclass(frozen=True)
class CacheView:
    """The part of a cache that a call writes and reads.

    ``slots`` (B * T) are written; of each row the first ``length`` positions are read: a bucket, so that few lengths
    are compiled.
    """

    cache: KVCache
    slots: Tensor
    length: int

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write (B, T, kv_heads, head_dim) at the slots; return all, (B, length, kv_heads, head_dim)."""
        cache = self.cache
        both = []
        for stored, new in ((cache.keys[layer], keys), (cache.values[layer], values)):
            stored.index_copy_(0, self.slots, new.reshape(-1, *new.shape[2:]))
            both.append(stored.reshape(cache.rows, cache.length, *stored.shape[1:])[:, : self.length])
        return both[0], both[1]
