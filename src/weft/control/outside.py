"""Effects: memory from outside that a body writes, among it the states of random generators."""

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
    """A tensor on all of the memory that a body writes.

    ``recorded``: it has a history afterwards. ``generator``: whose state it is, with how many counters each body draws.
    """

    tensor: Tensor
    generator: Generator | None = None
    recorded: bool = False
    draws: tuple[int, ...] = ()


class Found(BaseException):
    """Raised at the end of a trace by effects that the body has: it is traced again, and knows of them."""

    def __init__(self, effects: list[Effect]) -> None:
        super().__init__()
        self.effects = effects


def generator_of(state: Tensor) -> Generator | None:
    """The generator whose state a tensor is."""
    for generator in all_generators():
        current = generator.standing()[0]
        if current is not None and current._data.alias is state._data.alias:
            return generator
    return None


def effect_of(tensor: Tensor) -> Effect:
    """The effect of a write to a tensor: on the base that it is a view of, or all of the memory."""
    generator = generator_of(tensor)
    if generator is not None:
        return Effect(generator.state(), generator)
    base = tensor if tensor._view is None else tensor._view.base
    data: Any = base._data
    if not _is_whole(data):
        if edge_of(base) is not None:
            raise UnsupportedError(
                mistake("a body", "what it writes in place", f"a part {list(base.shape)} of another tensor's memory",
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
    """Give the memory of effects what it holds after the body has run."""
    for effect, value in zip(effects, values, strict=True):
        if effect.recorded:
            effect.tensor.copy_(value)
        else:
            with no_grad():
                effect.tensor.copy_(value.detach())


def fold_generators(effects: Sequence[Effect]) -> None:
    """Bring generators' counters into their states, from which the bodies go on."""
    for effect in effects:
        if effect.generator is not None:
            effect.generator.fold()
