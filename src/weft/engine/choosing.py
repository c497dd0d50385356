"""``Chooser``: chooses the next token of each slot, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from weft import dtypes
from weft.engine.sampling import Sampling, choose
from weft.tensors.creation import zeros
from weft.tensors.tensor import Tensor


@dataclass(frozen=True)
class TokenLogprob:
    """A token with its log-probability, and the likeliest tokens at its place with theirs."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Needs:
    """What the present rows need of the step's program."""

    sampled: bool = False
    masked: bool = False
    logprobs: int | None = None


@dataclass(frozen=True)
class Chosen:
    """Ids (R)."""

    ids: Tensor
    extra: tuple[Tensor, ...] = field(default=())


class Chooser:
    """Keeps the sampling parameters of every slot on the device."""

    def __init__(self, slots: int, vocab: int, device: str) -> None:
        self.state = {
            name: zeros(slots, dtype=kind, device=device)
            for name, kind in (
                ("temperature", dtypes.float32),
                ("top_k", dtypes.int64),
                ("top_p", dtypes.float32),
                ("min_p", dtypes.float32),
            )
        }
        self._sampled: set[int] = set()

    def assign(self, slot: int, sampling: Sampling, prompt: Sequence[int]) -> None:
        """Give a slot to a request."""
        for name, tensor in self.state.items():
            tensor[slot] = getattr(sampling, name)
        if sampling.temperature > 0:
            self._sampled.add(slot)

    def release(self, slot: int) -> None:
        """End a request's use."""
        self._sampled.discard(slot)

    def needs(self, slots: Sequence[int]) -> Needs:
        """Return what the program must do for these slots."""
        return Needs(sampled=bool(self._sampled.intersection(slots)))

    def choose(
        self, logits: Tensor, slots: Tensor, uniform: Tensor, needs: Needs, masks: Tensor | None
    ) -> Chosen:
        """Choose a token for each row."""
        if not needs.sampled:
            return Chosen(logits.argmax(-1))
        state = {name: tensor.index_select(0, slots) for name, tensor in self.state.items()}
        return Chosen(choose(logits, uniform=uniform, **state))
