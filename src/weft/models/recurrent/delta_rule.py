"""The gated delta rule (Yang et al. 2024), token by token and in chunks.

Each head has a state S (keys by values). A token with query q, key k, value v, decay exp(g) and rate b makes

    S <- exp(g) * S + k (b * (v - k^T exp(g) S))^T        and gives        q^T S

so that reading the state at k gives v where b is 1. The chunked form computes what the tokens of a chunk write without
the states between them: with G the sum of g from the beginning of the chunk, writes U solve a unit lower triangular
system (I + L) U = b * (V - exp(G) K S), L[i, j] = b[i] k[i].k[j] exp(G[i] - G[j]) for j < i. Its inverse is built from
the inverses of diagonal blocks of 1, 2, 4, ... rows, as accurately as by substitution.
"""

from __future__ import annotations

from weft import dtypes
from weft.ops.index.indexing import cat, stack
from weft.tensors.creation import arange, eye
from weft.tensors.tensor import Tensor

CHUNK = 32
"""Tokens of a chunk: inverting its system costs about as much as the products with the state."""


def gated_delta_rule(
    queries: Tensor, keys: Tensor, values: Tensor, decays: Tensor, rates: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the results (B, H, T, V) and the new state (B, H, K, V); everything is float32.

    Args:
        queries: (B, H, T, K), scaled.
        keys: (B, H, T, K), of length 1.
        values: (B, H, T, V).
        decays: (B, H, T): g, at most 0; 0 keeps the state.
        rates: (B, H, T): b, in [0, 1]; a token with 0 writes nothing.
        state: (B, H, K, V) before the first token.
    """
    if queries.shape[2] == 1:
        return _step(queries, keys, values, decays, rates, state)
    return _chunks(queries, keys, values, decays, rates, state)


def _step(
    queries: Tensor, keys: Tensor, values: Tensor, decays: Tensor, rates: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Take one token: two passes over the state that read it and one that writes it."""
    key = keys.transpose(2, 3)
    decayed = state * decays.exp().unsqueeze(-1)
    write = (values - (decayed * key).sum(2, keepdim=True)) * rates.unsqueeze(-1)
    new = decayed + key * write
    return (new * queries.transpose(2, 3)).sum(2, keepdim=True), new


def _chunks(
    queries: Tensor, keys: Tensor, values: Tensor, decays: Tensor, rates: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Take chunk after chunk; what does not depend on the state is computed for all chunks at once."""
    batch, heads, tokens, _ = queries.shape
    size = min(CHUNK, tokens)
    count = -(-tokens // size)
    q, k, v, g, b = (
        _cut(part, count, size) for part in (queries, keys, values, decays.unsqueeze(-1), rates.unsqueeze(-1))
    )
    total = g.cumsum(1)  # (N, C, 1), N = B * H * chunks
    rows = arange(size, device=str(q.device))
    later = rows.unsqueeze(1) - rows.unsqueeze(0)
    decay = (total - total.transpose(1, 2)).masked_fill(later < 0, float("-inf")).exp()
    inverse = _inverse((b * k) @ k.transpose(1, 2) * decay, rows)
    within = (q @ k.transpose(1, 2)) * decay
    given, read = inverse @ (b * v), inverse @ (b * k * total.exp())
    last = total[:, -1:]
    q, k, last = q * total.exp(), k * (last - total).exp(), last.exp()

    def chunk(part: Tensor, at: int) -> Tensor:
        return part.reshape(batch * heads, count, *part.shape[1:])[:, at]

    current = state.reshape(batch * heads, *state.shape[2:])
    results = []
    for at in range(count):
        writes = chunk(given, at) - chunk(read, at) @ current
        results.append(chunk(q, at) @ current + chunk(within, at) @ writes)
        current = current * chunk(last, at) + chunk(k, at).transpose(1, 2) @ writes
    joined: Tensor = stack(results, 1).reshape(batch, heads, count * size, values.shape[3])
    return joined[:, :, :tokens], current.reshape(*state.shape)


def _cut(part: Tensor, count: int, size: int) -> Tensor:
    """Return (B, H, T, D) as (B * H * count, size, D), filled up with zeros, which write nothing."""
    missing = count * size - part.shape[2]
    if missing:
        part = cat([part, part.new_zeros(*part.shape[:2], missing, part.shape[3])], 2)
    return part.reshape(-1, size, part.shape[3])


def _inverse(lower: Tensor, rows: Tensor) -> Tensor:
    """Return the inverses of I + L (N, C, C) for the part L of ``lower`` below the diagonal.

    A block with inverse blocks A and D on its diagonal and L21 below has -D L21 A below in its inverse.
    """
    size = lower.shape[1]
    inverse = eye(size, dtype=dtypes.float32, device=str(lower.device)).expand(*lower.shape)
    block = 1
    while block < size:
        mine, wider = rows // block, rows // (2 * block)
        below = (mine.unsqueeze(1) > mine.unsqueeze(0)) & (wider.unsqueeze(1) == wider.unsqueeze(0))
        inverse = inverse - inverse @ lower.masked_fill(~below, 0.0) @ inverse
        block *= 2
    return inverse
