"""``KVCache``: what the layers of a decoder keep of the tokens so far, preallocated, written in place.

Keys and values lie in pages of ``PAGE`` tokens; a sequence has a table of the pages that hold its positions in order.
The state of a recurrent layer lies in rows, one for each sequence. Page 0 and row 0 take what padding writes, and are
read by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from weft import dtypes
from weft.dtypes import DType
from weft.models.attending import AttentionForm, masked_attention, visible
from weft.tensors.creation import arange, as_tensor, zeros
from weft.tensors.tensor import Tensor

PAGE = 32
"""Tokens of a page."""


@dataclass(frozen=True)
class Stored:
    """A tensor that a layer keeps: ``shape`` for each token, or with ``of_sequence`` for each sequence."""

    shape: tuple[int, ...]
    of_sequence: bool = False
    dtype: DType | None = None


class KVCache:
    """Room for tokens in ``pages`` pages and for ``rows`` sequences; ``layers`` say what each layer keeps.

    ``stored[layer][name]`` is (pages, PAGE, *shape), or (rows, *shape) of a sequence's state. Page 0 and row 0 are
    among them.
    """

    def __init__(
        self, layers: Sequence[Mapping[str, Stored]], pages: int, rows: int,
        dtype: DType | None = None, device: str | None = None,
    ) -> None:  # fmt: skip
        self.pages, self.rows, self.device = pages, rows, device
        self.stored = [
            {
                name: zeros(
                    *((rows,) if part.of_sequence else (pages, PAGE)),
                    *part.shape,
                    dtype=part.dtype or dtype,
                    device=device,
                )
                for name, part in layer.items()
            }
            for layer in layers
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of all that is stored."""
        return sum(
            tensor.numel() * tensor.element_size() for layer in self.stored for tensor in layer.values()
        )

    def view(
        self, positions: np.ndarray, lengths: Sequence[int] | None = None, reach: Sequence[int] | None = None
    ) -> CacheView:
        """Return the view of sequence r at ``positions`` (B, T) in row r + 1, with the pages in equal shares.

        ``lengths`` are the tokens of each sequence that are no padding; None for all. ``reach``: see ``CacheView``.
        """
        batch, tokens = positions.shape
        share = (self.pages - 1) // batch
        pages = 1 + np.arange(batch * share, dtype=np.int32).reshape(batch, share)
        real = np.full(batch, tokens) if lengths is None else np.asarray(lengths)
        slots = slots_of(pages, positions, real)
        put = {
            "pages": pages, "slots": slots.reshape(-1), "rows": 1 + np.arange(batch),
            "positions": positions.astype(np.int64), "lengths": real.astype(np.int64),
        }  # fmt: skip
        if reach is not None:
            put["reach"] = np.asarray(reach, np.int64)
        return CacheView(self, **{name: as_tensor(part, device=self.device) for name, part in put.items()})


def pages_for(tokens: int) -> int:
    """Return the pages that hold so many tokens.

    >>> pages_for(33)
    2
    """
    return -(-tokens // PAGE)


def slots_of(pages: np.ndarray, positions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return where tokens (B, T) at ``positions`` lie by the tables ``pages`` (B, M); padding lies in page 0."""
    own = np.take_along_axis(pages, np.minimum(positions // PAGE, pages.shape[1] - 1), 1)
    slots = own.astype(np.int64) * PAGE + positions % PAGE
    padding = np.arange(positions.shape[1]) >= lengths[:, None]
    return np.where(padding, positions % PAGE, slots)


@dataclass(frozen=True)
class CacheView:
    """Where a call of B sequences with T tokens each writes and reads a cache.

    Args:
        cache: the cache.
        pages: int32 (B, M): the pages of each sequence in order of their positions.
        slots: int64 (B * T): where keys and values go, as page * PAGE + place in the page.
        rows: int64 (B): the row of each sequence's state.
        positions: int64 (B, T): of the tokens in their sequence.
        lengths: int64 (B): tokens that are no padding; padding comes last.
        reach: int64 (B): tokens of each sequence when its prompt is read, where rotations depend on the length in use;
            None: up to this call's last token.
    """

    cache: KVCache
    pages: Tensor
    slots: Tensor
    rows: Tensor
    positions: Tensor
    lengths: Tensor
    reach: Tensor | None = None

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, form: AttentionForm,
        sinks: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Write keys and values (B, T, KV, D); attend from queries (B, T, H, D) to all of the sequence so far."""
        stored = self.cache.stored[layer]
        batch, length = self.pages.shape[0], self.pages.shape[1] * PAGE
        both = []
        for name, new in (("keys", keys), ("values", values)):
            flat = stored[name].view(-1, *stored[name].shape[2:])
            flat.index_copy_(0, self.slots, new.reshape(-1, *new.shape[2:]).to(flat.dtype))
            own = stored[name].index_select(0, self.pages.reshape(-1))
            both.append(own.reshape(batch, length, *own.shape[2:]).to(new.dtype))
        theirs = arange(length, device=str(self.pages.device)).unsqueeze(0)
        seen = visible(self.positions, theirs, form.window)
        return masked_attention(queries, both[0], both[1], seen, form, sinks)

    @cached_property
    def begins(self) -> Tensor:
        """Which sequences begin with this call, bool (B)."""
        return self.positions[:, 0] == 0

    @cached_property
    def real(self) -> Tensor:
        """Which tokens are no padding, bool (B, T)."""
        count = arange(self.positions.shape[1], device=str(self.positions.device), dtype=dtypes.int64)
        return count.unsqueeze(0) < self.lengths.unsqueeze(1)

    def state(self, layer: int, name: str) -> Tensor:
        """Return a recurrent layer's state (B, *shape), zeros where a sequence begins."""
        state = self.cache.stored[layer][name].index_select(0, self.rows)
        begins = self.begins.reshape(-1, *(1 for _ in state.shape[1:]))
        return state.masked_fill(begins, 0.0)

    def keep(self, layer: int, name: str, state: Tensor) -> None:
        """Write a recurrent layer's state (B, *shape)."""
        stored = self.cache.stored[layer][name]
        stored.index_copy_(0, self.rows, state.to(stored.dtype))
