"""``STACKINGS``: how the experts of a mixture lie in checkpoints, and how they are stacked when they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from weft.models.config import DecoderConfig
from weft.models.source import Source
from weft.ops.index.indexing import stack
from weft.tensors.creation import zeros
from weft.tensors.tensor import Tensor

PROJECTIONS = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Stacking:
    """``read(config, source)`` gives the stacked weights of ``Experts``, ``write`` those of the checkpoint."""

    read: Callable[[DecoderConfig, Source], dict[str, Tensor]]
    write: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def _read_separate(config: DecoderConfig, source: Source) -> dict[str, Tensor]:
    """Read three matrices for each expert; each is copied to its place in the stack as soon as it is read."""
    hidden, inner = config.hidden_size, config.expert_size
    result: dict[str, Tensor] = {}
    for expert in range(config.experts):
        for name, target, rows, columns, at in (
            ("gate_proj", "gate_up", inner, hidden, 0),
            ("up_proj", "gate_up", inner, hidden, inner),
            ("down_proj", "down", hidden, inner, 0),
        ):
            part = (source / f"{expert}.{name}").tensor("weight", (rows, columns))
            if target not in result:
                shape = (config.experts, 2 * inner if target == "gate_up" else hidden, columns)
                result[target] = zeros(*shape, dtype=part.dtype, device=str(part.device))
            if tuple(part.shape) == (rows, columns):  # a source gives an empty tensor for a missing weight
                result[target][expert, at : at + rows].copy_(part)
    return result


def _write_separate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    inner = weights["down"].shape[2]
    written = {}
    for expert in range(weights["down"].shape[0]):
        parts = (
            weights["gate_up"][expert, :inner], weights["gate_up"][expert, inner:], weights["down"][expert]
        )  # fmt: skip
        for name, part in zip(PROJECTIONS, parts, strict=True):
            written[f"{expert}.{name}.weight"] = part
    return written


def _read_interleaved(config: DecoderConfig, source: Source) -> dict[str, Tensor]:
    """Read stacked weights (E, in, out), in which columns of gate and other factor alternate."""
    count, hidden, inner = config.experts, config.hidden_size, config.expert_size
    given = {
        "gate_up": source.tensor("gate_up_proj", (count, hidden, 2 * inner)),
        "gate_up_bias": source.tensor("gate_up_proj_bias", (count, 2 * inner)),
        "down": source.tensor("down_proj", (count, inner, hidden)),
        "down_bias": source.tensor("down_proj_bias", (count, hidden)),
    }
    return {
        name: weight if not weight.numel() else _turned(_separated(weight) if "gate" in name else weight)
        for name, weight in given.items()
    }


def _turned(weight: Tensor) -> Tensor:
    """Exchange the last two dimensions of a stack of matrices; a stack of biases stays."""
    return weight.transpose(1, 2).contiguous() if weight.ndim == 3 else weight


def _separated(weight: Tensor) -> Tensor:
    """Put the even entries of the last dimension before the odd ones."""
    separated: Tensor = weight.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
    return separated


def _write_interleaved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    def alternated(weight: Tensor) -> Tensor:
        halves = [*weight.unflatten(-1, (2, -1)).unbind(-2)]
        together: Tensor = stack(halves, -1).flatten(-2).contiguous()
        return together

    return {
        "gate_up_proj": alternated(_turned(weights["gate_up"])),
        "gate_up_proj_bias": alternated(weights["gate_up_bias"]),
        "down_proj": _turned(weights["down"]),
        "down_proj_bias": weights["down_bias"],
    }


STACKINGS: Mapping[str, Stacking] = {
    "separate": Stacking(_read_separate, _write_separate),
    "interleaved": Stacking(_read_interleaved, _write_interleaved),
}
"""By ``DecoderConfig.expert_stacking``."""
