"""The backend of weft for einops, which is registered when einops is imported, before weft or after it.

einops finds the backend of a tensor among the subclasses of its ``AbstractBackend``. weft does not import einops: a
finder on ``sys.meta_path`` derives from that class when the module that defines it is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from weft.dtypes import int64
from weft.ops import FUNCTIONS
from weft.tensors.creation import arange, tensor
from weft.tensors.tensor import Tensor

MODULE = "einops._backends"
"""The module of einops that defines ``AbstractBackend``."""


class Operations:
    """What einops asks of a backend, in weft's operations."""

    framework_name = "weft"

    def is_appropriate_type(self, tensor: Any) -> bool:
        """Return whether a value is a tensor of weft."""
        return isinstance(tensor, Tensor)

    def from_numpy(self, x: Any) -> Tensor:
        """Return a tensor with a copy of an array, which requires grad where it is of floating point."""
        made = tensor(x)
        return made.requires_grad_() if made.is_floating_point() else made

    def to_numpy(self, x: Tensor) -> Any:
        """Return the elements as an array."""
        return x.detach().cpu().numpy()

    def arange(self, start: int, stop: int) -> Tensor:
        """Return the integers from ``start`` on, below ``stop``."""
        return arange(start, stop, dtype=int64)

    def shape(self, x: Tensor) -> tuple[int, ...]:
        """Return the sizes of the dimensions."""
        return tuple(x.shape)

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the tensor in another shape."""
        made: Tensor = FUNCTIONS["reshape"].function(x, tuple(shape))
        return made

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Return a view with the dimensions in another order."""
        made: Tensor = FUNCTIONS["permute"].function(x, tuple(axes))
        return made

    def reduce(self, x: Tensor, operation: str, axes: Sequence[int]) -> Tensor:
        """Return the sum, mean, minimum, maximum, product, ``any`` or ``all`` over dimensions."""
        function = FUNCTIONS[{"min": "amin", "max": "amax"}.get(operation, operation)].function
        if operation in ("sum", "mean", "min", "max"):
            made: Tensor = function(x, tuple(axes))
            return made
        for axis in sorted(axes, reverse=True):
            x = function(x, axis)
        return x

    def stack_on_zeroth_dimension(self, tensors: list[Tensor]) -> Tensor:
        """Return the tensors along a new first dimension."""
        made: Tensor = FUNCTIONS["stack"].function(tensors)
        return made

    def add_axis(self, x: Tensor, new_position: int) -> Tensor:
        """Return a view with one more dimension of size 1."""
        made: Tensor = FUNCTIONS["unsqueeze"].function(x, new_position)
        return made

    def add_axes(self, x: Tensor, n_axes: int, pos2len: dict[int, int]) -> Tensor:
        """Return a view with more dimensions, along which the elements are repeated."""
        sizes = [-1] * n_axes
        for position, length in pos2len.items():
            x = self.add_axis(x, position)
            sizes[position] = length
        made: Tensor = FUNCTIONS["expand"].function(x, tuple(sizes))
        return made

    def tile(self, x: Tensor, repeats: Sequence[int]) -> Tensor:
        """Return the tensor repeated along each dimension."""
        made: Tensor = FUNCTIONS["repeat"].function(x, tuple(repeats))
        return made

    def concat(self, tensors: list[Tensor], axis: int) -> Tensor:
        """Return the tensors one after another along a dimension."""
        made: Tensor = FUNCTIONS["cat"].function(tensors, axis)
        return made

    def is_float_type(self, x: Tensor) -> bool:
        """Return whether the elements are of a floating point type."""
        return x.is_floating_point()

    def einsum(self, pattern: str, *x: Tensor) -> Tensor:
        """Return the Einstein sum."""
        made: Tensor = FUNCTIONS["einsum"].function(pattern, *x)
        return made


_backends: list[type] = []
"""The registered classes, kept alive: einops finds them by weak references."""


def _register(module: Any) -> None:
    _backends.append(
        type("WeftBackend", (Operations, module.AbstractBackend), {"__doc__": Operations.__doc__})
    )


class _Registering(Loader):
    """A loader that registers the backend after the module was executed."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See ``Loader``."""
        made: ModuleType | None = self.inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """See ``Loader``."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.inner
        self.inner.exec_module(module)
        _register(module)


class _Finder(MetaPathFinder):
    """A finder of the module of backends, whose loader registers weft's backend."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """See ``MetaPathFinder``."""
        if fullname != MODULE:
            return None
        for finder in list(sys.meta_path):
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Registering(spec.loader)
                return spec
        return None


def install() -> None:
    """Register the backend now if einops was imported, else when einops is imported."""
    module = sys.modules.get(MODULE)
    if module is not None:
        _register(module)
    else:
        sys.meta_path.insert(0, _Finder())


install()
