"""``Mixture``: a feed-forward part that is a mixture of experts, of which each token takes a few.

An expert's matrices are slices of stacked weights. ``N`` tokens that take ``k`` of ``E`` experts are ``N * k`` pairs.
Pairs are put together in tiles of an expert's rows, and each tile is multiplied by its expert's matrices. A cost in
rows chooses the tiles (``ways_of``): besides its own rows a tile costs ``READING`` rows for each time that its matrices
are moved. A decode step has tiles of one row, which read only the chosen experts' matrices, where they lie: gathering
them first would move three times as many bytes. A long prompt has tiles of many rows, whose matrices are gathered one
after another and multiplied by the fastest product. With few experts, all rows are multiplied by each of them, with a
share of 0 for rows that did not choose it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft import dtypes
from weft.control import scan
from weft.models.activations import ACTIVATIONS
from weft.models.config import DecoderConfig
from weft.models.source import Source
from weft.models.stacking import STACKINGS
from weft.nn import functional
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops import bind
from weft.ops.matmul.indexed import INDEXED_LINEAR
from weft.tensors.creation import arange, zeros, zeros_like
from weft.tensors.tensor import Tensor

READING = 8
"""Rows whose product with a matrix takes about the time of reading the matrix."""


@dataclass(frozen=True)
class Way:
    """A way to multiply pairs by their experts' matrices, and its ``cost`` in rows.

    ``tile`` is the number of rows in a tile; 0 means that all rows are multiplied by all experts. ``gathered``: the
    matrices of a tile are gathered before they are multiplied.
    """

    tile: int
    gathered: bool
    cost: int


def tiles_for(pairs: int, experts: int, tile: int) -> int:
    """Return the most tiles that pairs can need: each expert may have one that is not full."""
    return pairs if tile == 1 else pairs // tile + min(experts, pairs)


def ways_of(rows: int, chosen: int, experts: int) -> list[Way]:
    """Return the ways to multiply ``rows`` tokens that take ``chosen`` experts each, the cheapest first.

    >>> [ways_of(rows, 8, 128)[0].tile for rows in (1, 64, 1024)]
    [1, 4, 32]
    """
    ways = [Way(0, False, experts * (rows + READING))]
    for tile, gathered in ((1, False), (4, False), (32, True)):
        count = tiles_for(rows * chosen, experts, tile)
        ways.append(Way(tile, gathered, count * (tile + READING * (3 if gathered else 1))))
    return sorted(ways, key=lambda way: way.cost)


@dataclass(frozen=True)
class Tiles:
    """Rows in tiles, each of one expert: ``index`` (G) names the experts of tiles.

    ``source`` (G * M) is the row in each place of the tiles, and ``places`` (P) the place of each pair.
    """

    index: Tensor
    source: Tensor
    places: Tensor


def tiled(chosen: Tensor, experts: int, tile: int) -> Tiles:
    """Return tiles of ``tile`` rows for the experts ``chosen`` (N, k) of each row."""
    device, pairs = str(chosen.device), chosen.numel()
    index = chosen.reshape(-1)
    order = arange(pairs, dtype=dtypes.int64, device=device)
    rows = order // chosen.shape[1]
    if tile == 1:
        return Tiles(index, rows, order)
    count = tiles_for(pairs, experts, tile)
    hits = index.unsqueeze(1) == arange(experts, dtype=index.dtype, device=device)
    running = hits.to(dtypes.int64).cumsum(0)
    rank = running.gather(1, index.unsqueeze(1)).squeeze(1) - 1
    needed = (running[-1] + tile - 1) // tile
    ends = needed.cumsum(0)
    places = (ends - needed).index_select(0, index) * tile + rank
    before = ends.unsqueeze(0) <= arange(count, dtype=dtypes.int64, device=device).unsqueeze(1)
    owners = before.to(dtypes.int64).sum(1).clamp(max=experts - 1)
    source = zeros(count * tile, dtype=dtypes.int64, device=device).index_copy(0, places, rows)
    return Tiles(owners, source, places)


class Mixture(Module):
    """A mixture of experts (Shazeer et al. 2017): (B, T, hidden), shape kept.

    The router scores each expert for each token. A token's result is the sum of its ``k`` best experts' results by
    their shares: the softmax of the chosen scores, or without ``renormalise`` the softmax of all scores at the chosen.
    """

    def __init__(self, config: DecoderConfig, source: Source) -> None:
        super().__init__()
        self.count, self.chosen, self.renormalise = config.experts, config.experts_chosen, config.renormalise
        self.router = source.linear("router", self.count, config.hidden_size, config.expert_bias)
        self.experts = Experts(config, source / "experts")

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden), shape kept."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        scores = self.router(rows).to(dtypes.float32)
        best, chosen = scores.topk(self.chosen, dim=-1)
        shares = best.softmax(-1) if self.renormalise else scores.softmax(-1).gather(1, chosen)
        result: Tensor = self.experts(rows, shares.to(hidden.dtype), chosen).reshape(*hidden.shape)
        return result


class Experts(Module):
    """Gated feed-forward parts with stacked weights.

    ``gate_up`` (E, 2 * inner, hidden) holds the gates' rows before those of the other factor, ``down`` is
    (E, hidden, inner); ``gate_up_bias`` and ``down_bias`` lack the last dimension, and may be None.
    """

    def __init__(self, config: DecoderConfig, source: Source) -> None:
        super().__init__()
        self.inner, self.limits = config.expert_size, (config.gate_slope, config.gate_limit)
        self.activation = ACTIVATIONS[config.activation]
        self.stacking = STACKINGS[config.expert_stacking]
        weights = {
            name: Parameter(weight, requires_grad=False)
            for name, weight in self.stacking.read(config, source).items()
        }
        self.gate_up, self.down = weights["gate_up"], weights["down"]
        self.gate_up_bias, self.down_bias = weights.get("gate_up_bias"), weights.get("down_bias")

    def forward(self, rows: Tensor, shares: Tensor, chosen: Tensor) -> Tensor:
        """Map (N, hidden) to (N, hidden); ``chosen`` and ``shares`` (N, k) name each row's experts."""
        way = ways_of(chosen.shape[0], chosen.shape[1], self.gate_up.shape[0])[0]
        return self.by(way, rows, shares, chosen)

    def by(self, way: Way, rows: Tensor, shares: Tensor, chosen: Tensor) -> Tensor:
        """Map (N, hidden) to (N, hidden) in one of the ways."""
        if not way.tile:
            return self._all(rows, shares, chosen)
        tiles = tiled(chosen, self.gate_up.shape[0], way.tile)
        given = rows.index_select(0, tiles.source).reshape(-1, way.tile, rows.shape[1])
        outer = (self._gathered if way.gathered else self._indexed)(given, tiles.index)
        pairs = outer.reshape(-1, rows.shape[1]).index_select(0, tiles.places)
        return (pairs.reshape(*chosen.shape, -1) * shares.unsqueeze(-1)).sum(1)

    def stored(self) -> Mapping[str, Tensor]:
        """Return the weights as the family's checkpoints have them."""
        return self.stacking.write(dict(self.named_parameters()))

    def _indexed(self, given: Tensor, index: Tensor) -> Tensor:
        """Multiply tiles (G, M, hidden) by matrices that are read where they lie."""
        inner: Tensor = bind(INDEXED_LINEAR, given, self.gate_up, index)
        if self.gate_up_bias is not None:
            inner = inner + self.gate_up_bias.index_select(0, index).unsqueeze(1)
        outer: Tensor = bind(INDEXED_LINEAR, self._gated(inner), self.down, index)
        if self.down_bias is not None:
            outer = outer + self.down_bias.index_select(0, index).unsqueeze(1)
        return outer

    def _gathered(self, given: Tensor, index: Tensor) -> Tensor:
        """Multiply tiles (G, M, hidden) one after another by their gathered matrices."""
        names = ("gate_up", "down", "gate_up_bias", "down_bias")
        weights = {name: getattr(self, name) for name in names if getattr(self, name) is not None}

        def tile(_: None, own: Sequence[Tensor]) -> tuple[None, Tensor]:
            rows, expert = own
            matrices = {name: weight.index_select(0, expert).squeeze(0) for name, weight in weights.items()}
            return None, self._expert(rows, matrices)

        outer: Tensor = scan(tile, None, (given, index.unsqueeze(1)))[1]
        return outer

    def _expert(self, rows: Tensor, own: Mapping[str, Tensor]) -> Tensor:
        """Multiply rows by an expert's matrices."""
        inner = functional.linear(rows, own["gate_up"], own.get("gate_up_bias"))
        return functional.linear(self._gated(inner), own["down"], own.get("down_bias"))

    def _all(self, rows: Tensor, shares: Tensor, chosen: Tensor) -> Tensor:
        """Multiply all rows by each expert's matrices in turn."""
        spread = zeros(
            rows.shape[0], self.gate_up.shape[0], dtype=shares.dtype, device=str(rows.device)
        ).scatter(1, chosen, shares)
        stacked = {"gate_up": self.gate_up, "down": self.down, "share": spread.t().unsqueeze(-1)}
        if self.gate_up_bias is not None and self.down_bias is not None:
            stacked |= {"gate_up_bias": self.gate_up_bias, "down_bias": self.down_bias}

        def expert(total: Tensor, own: Mapping[str, Tensor]) -> tuple[Tensor, None]:
            return total + self._expert(rows, own) * own["share"], None

        result: Tensor = scan(expert, zeros_like(rows), stacked)[0]
        return result

    def _gated(self, inner: Tensor) -> Tensor:
        """Return the product of the two halves of (*, 2 * inner), the gates activated."""
        gate, up = inner[..., : self.inner], inner[..., self.inner :]
        slope, limit = self.limits
        if slope is None or limit is None:
            return self.activation(gate) * up
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
        return (up + 1) * gate * (gate * slope).sigmoid()
