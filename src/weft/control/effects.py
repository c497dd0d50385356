"""Effects: captured tensors that a body writes, including the states of random generators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.autograd.mode import no_grad
from weft.autograd.operands import edge_of
from weft.errors import UnsupportedError, mistake
from weft.graph import Tracer
from weft.ops import Geometry
from weft.random.generator import Generator, all_generators
from weft.tensors.array import Array
from weft.tensors.tensor import Tensor


@dataclass(frozen=True, eq=False)
class Effect:
    """A tensor over the whole memory that a body writes.

    ``recorded``: whether the tensor has a history afterwards. ``generator``: the generator whose state it is, if any.
    ``draws``: the number of counters that each body draws.
    """

    tensor: Tensor
    generator: Generator | None = None
    recorded: bool = False
    draws: tuple[int, ...] = ()


class NewEffects(BaseException):
    """Raised at the end of a trace that has found new effects, so that the body is traced again with them."""

    def __init__(self, effects: list[Effect]) -> None:
        super().__init__()
        self.effects = effects


def generator_of(state: Tensor) -> Generator | None:
    """Return the generator whose state a tensor is; ``None`` for other tensors."""
    for generator in all_generators():
        current = generator.standing()[0]
        if current is not None and current._data.alias is state._data.alias:
            return generator
    return None


def effect_of(tensor: Tensor) -> Effect:
    """Return the effect of a write to a tensor: its base, or a tensor over the whole memory."""
    generator = generator_of(tensor)
    if generator is not None:
        return Effect(generator.state(), generator)
    base = tensor if tensor._view is None else tensor._view.base
    data: Any = base._data
    if not _is_whole(data):
        if edge_of(base) is not None:
            raise UnsupportedError(
                mistake("a body", "the target of a write", f"a part {list(base.shape)} of another tensor's memory",
                        "a whole tensor", "write the whole tensor, or clone() the part")
            )  # fmt: skip
        base = Tensor.wrap(_whole(data))
    return Effect(base)


def _is_whole(data: Any) -> bool:
    if isinstance(data, Tracer):
        return not data.path
    if not isinstance(data, Array):
        return True
    geometry = data.geometry
    elements = data.storage.size // data.device.itemsize(data.dtype)
    return geometry.is_contiguous and geometry.offset == 0 and geometry.numel == elements


def _whole(data: Any) -> Any:
    if isinstance(data, Tracer):
        geometry = Geometry.contiguous(data.cell.var.type.shape)
        return Tracer(data.tracing, data.cell, data.dtype, geometry, (), data.device_name)
    elements = data.storage.size // data.device.itemsize(data.dtype)
    return Array(data.storage, data.dtype, (elements,), (1,), 0)


def write_back(effects: Sequence[Effect], values: Sequence[Tensor]) -> None:
    """Write the contents of effects back after a body has run."""
    for effect, value in zip(effects, values, strict=True):
        if effect.recorded:
            effect.tensor.copy_(value)
        else:
            with no_grad():
                effect.tensor.copy_(value.detach())


def fold_generators(effects: Sequence[Effect]) -> None:
    """Fold the counters of generators into their states, which the bodies read."""
    for effect in effects:
        if effect.generator is not None:
            effect.generator.fold()
