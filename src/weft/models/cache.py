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
from weft.models.attending import AttentionForm
from weft.ops import bind
from weft.ops.attention.cached import CACHED_ATTENTION
from weft.ops.index.distinct_rows import write_rows
from weft.tensors.creation import arange, as_tensor, zeros
from weft.tensors.tensor import Tensor

PAGE = 32
"""Tokens of a page."""


@dataclass(frozen=True)
class Stored:
    """A tensor that a layer keeps: ``shape`` for each token, or with ``of_sequence`` for each sequence.

    Of tokens before the ``window``, nothing is read any more.
    """

    shape: tuple[int, ...]
    window: int | None = None
    of_sequence: bool = False
    dtype: DType | None = None


class KVCache:
    """Room for tokens in pages and for ``rows`` sequences; ``layers`` say what each layer keeps.

    Layers of the same window share the numbers of their pages: ``pages`` by window, or one count for all.
    ``stored[layer][name]`` is (pages * PAGE, *shape), or (rows, *shape) of a sequence's state. Page 0 and row 0 are
    among them.
    """

    def __init__(
        self, layers: Sequence[Mapping[str, Stored]], pages: int | Mapping[int | None, int], rows: int,
        dtype: DType | None = None, device: str | None = None,
    ) -> None:  # fmt: skip
        windows = {part.window for layer in layers for part in layer.values() if not part.of_sequence}
        self.pages = dict.fromkeys(windows, pages) if isinstance(pages, int) else dict(pages)
        self.rows, self.device = rows, device
        self.stored = [
            {
                name: zeros(
                    rows if part.of_sequence else self.pages[part.window] * PAGE,
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
        real = np.full(batch, tokens) if lengths is None else np.asarray(lengths)
        pages, slots = {}, {}
        for window, count in self.pages.items():
            share = (count - 1) // batch
            own = 1 + np.arange(batch * share, dtype=np.int32).reshape(batch, share)
            pages[window] = as_tensor(own, device=self.device)
            slots[window] = as_tensor(slots_of(own, positions, real).reshape(-1), device=self.device)
        rest = [1 + np.arange(batch), positions.astype(np.int64), real.astype(np.int64)]
        if reach is not None:
            rest.append(np.asarray(reach, np.int64))
        return CacheView(self, pages, slots, *(as_tensor(part, device=self.device) for part in rest))


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
        pages: by window, int32 (B, M): the pages of each sequence in order of their positions.
        slots: by window, int64 (B * T): where keys and values go, as page * PAGE + place in the page.
        rows: int64 (B): the row of each sequence's state.
        positions: int64 (B, T): of the tokens in their sequence.
        lengths: int64 (B): tokens that are no padding; padding comes last.
        reach: int64 (B): tokens of each sequence when its prompt is read, where rotations depend on the length in use;
            None: up to this call's last token.
    """

    cache: KVCache
    pages: Mapping[int | None, Tensor]
    slots: Mapping[int | None, Tensor]
    rows: Tensor
    positions: Tensor
    lengths: Tensor
    reach: Tensor | None = None

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, form: AttentionForm,
        sinks: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Write keys and values (B, T, KV, D); attend from queries (B, T, H, D) to all of the sequence so far."""
        stored, pages = self.cache.stored[layer], self.pages[form.window]
        paged = []
        for name, new in (("keys", keys), ("values", values)):
            all_of = stored[name]
            write_rows(all_of, self.slots[form.window], new.reshape(-1, *new.shape[2:]).to(all_of.dtype))
            paged.append(all_of.reshape(-1, PAGE, *all_of.shape[1:]))
        batch, tokens, heads, _ = queries.shape
        attended: Tensor = bind(
            CACHED_ATTENTION, queries.reshape(batch * tokens, heads, -1), *paged, pages,
            self.table_rows, self.positions.reshape(-1), *(() if sinks is None else (sinks,)),
            scale=form.scale, window=form.window, softcap=form.softcap,
        )  # fmt: skip
        return attended.reshape(batch, tokens, heads, -1)

    @cached_property
    def table_rows(self) -> Tensor:
        """The row of ``pages`` of each token, int64 (B * T)."""
        batch, tokens = self.positions.shape
        rows = arange(batch, device=str(self.positions.device)).unsqueeze(1)
        return rows.expand(batch, tokens).reshape(-1)

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
        write_rows(stored, self.rows, state.to(stored.dtype))
