"""``ModuleTree``: the part of ``Module`` that hooks and state dicts need; this module lies below all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from weft.nn.parameter import Parameter
from weft.tensors.tensor import Tensor


class ModuleTree(Protocol):
    """A module with its parameters, buffers and submodules."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _transient: set[str]
    """The names of the buffers that are not saved."""

    def forward(self, *inputs: Any) -> Any:
        """Compute the outputs."""

    def modules(self) -> Iterator[ModuleTree]:
        """Iterate over this module and all its submodules."""

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, ModuleTree]]:
        """Iterate over this module, under ``prefix``, and all its submodules with their dotted names."""
