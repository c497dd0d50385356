"""PyTorch's import paths of layers: ``nn.modules``, ``nn.modules.batchnorm`` …, each with all names of ``weft.nn``.

Programs import layers, and some base classes and helpers, from the file of PyTorch that defines them. Each of these
modules looks its names up in ``weft.nn``, whatever weft's own files are called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from weft.nn.convolution import _Convolution as _ConvNd
from weft.nn.losses import _Loss
from weft.nn.losses import _Weighted as _WeightedLoss
from weft.nn.normalization import _BatchNorm, _InstanceNorm
from weft.nn.normalization import _Tracking as _NormBase

__path__: list[str] = []  # a module with ``__path__`` is a package to the import system

PATHS = """
    activation adaptive batchnorm channelshuffle container conv distance dropout flatten fold instancenorm lazy linear
    loss module normalization padding pixelshuffle pooling rnn sparse transformer upsampling utils
""".split()
"""The files of ``torch/nn/modules``."""


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that makes an iterable a tuple, and repeats any other value ``n`` times."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if hasattr(x, "__iter__") else (x,) * n

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")

_PRIVATE = {
    "_BatchNorm": _BatchNorm, "_ConvNd": _ConvNd, "_InstanceNorm": _InstanceNorm, "_Loss": _Loss,
    "_NormBase": _NormBase, "_WeightedLoss": _WeightedLoss, "_ntuple": _ntuple, "_pair": _pair,
    "_quadruple": _quadruple, "_single": _single, "_triple": _triple,
}  # fmt: skip
"""Names that programs import from these modules and that ``weft.nn`` does not export."""


class _Path(ModuleType):
    """A module that stands for a file of PyTorch."""

    def __getattr__(self, name: str) -> Any:
        return find(self.__name__, name)

    def __dir__(self) -> list[str]:
        return sorted({*_PRIVATE, *import_module("weft.nn").__all__})


def find(module: str, name: str) -> Any:
    """Return an object of ``weft.nn`` by its name, or of ``_PRIVATE``; ``AttributeError`` where there is none."""
    if name in _PRIVATE:
        return _PRIVATE[name]
    layers = import_module("weft.nn")
    if name.startswith("_") or not hasattr(layers, name):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    return getattr(layers, name)


def __getattr__(name: str) -> Any:
    return find(__name__, name)


for _path in PATHS:
    globals()[_path] = sys.modules[f"{__name__}.{_path}"] = _Path(
        f"{__name__}.{_path}", "See ``nn.modules``."
    )
