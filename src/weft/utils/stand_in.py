"""``install_as_torch``: make ``import torch`` import weft in this process.

A finder at the front of ``sys.meta_path`` resolves ``torch`` and its submodules: to the module of weft at the same
path, or to a module with the attributes of the object there (``weft.jit`` is a function). A name that weft lacks raises
``ModuleNotFoundError`` or ``AttributeError``, as in a version of PyTorch that lacks it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from weft.errors import UnsupportedError

NAME = "torch"


class StandIn(ModuleType):
    """A module whose names are the attributes of another object."""

    def __init__(self, name: str, target: Any) -> None:
        super().__init__(name, f"``weft`` in the place of ``{name}``.")
        self.__dict__.update(_target=target, __path__=[])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self.__dict__["_target"], name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__dict__["_target"]), *self.__dict__})


def _resolved(path: str) -> ModuleType | None:
    """Return weft's module at a path below ``torch``, a stand-in for an object that is no module, or None."""
    weft = import_module("weft")
    if not path:
        torch = StandIn(NAME, weft)
        torch.__dict__["__version__"] = import_module("weft.version").torch
        return torch
    try:
        return import_module(f"weft.{path}")
    except ModuleNotFoundError as error:
        if error.name is None or not f"weft.{path}".startswith(error.name):
            raise  # a module of weft exists, but lacks one of its dependencies
    target = weft
    for part in path.split("."):
        if not hasattr(target, part):
            return None
        target = getattr(target, part)
    return StandIn(f"{NAME}.{path}", target)


class _Given(Loader):
    """A loader that returns an existing module and keeps its ``__spec__``."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """See ``Loader``."""
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        """See ``Loader``."""
        if self.spec is not None:
            module.__spec__ = self.spec


class _Finder(MetaPathFinder):
    """Finds ``torch`` and its submodules."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """See ``MetaPathFinder``."""
        if fullname != NAME and not fullname.startswith(f"{NAME}."):
            return None
        module = _resolved(fullname.removeprefix(NAME).removeprefix("."))
        if module is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: weft stands in for torch and has no weft{fullname.removeprefix(NAME)}",
                name=fullname,
            )
        return ModuleSpec(fullname, _Given(module), is_package=hasattr(module, "__path__"))


def install_as_torch() -> None:
    """Make ``import torch`` import weft in this process from now on, for libraries that are written for PyTorch.

    Call it before the first ``import torch``; it raises ``UnsupportedError`` if PyTorch is already imported.
    ``torch.__version__`` is then ``weft.version.torch``, which compares as the PyTorch version that weft follows.
    Pickles of weft's objects name weft. A second call has no effect.

    >>> import weft as wf
    >>> wf.utils.install_as_torch()                 # doctest: +SKIP
    >>> from einops.layers.torch import Rearrange   # doctest: +SKIP
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if NAME in sys.modules:
        raise UnsupportedError(
            "install_as_torch: torch was imported already, expected before its first import; call it at the start of "
            "the program"
        )
    sys.meta_path.insert(0, _Finder())
