"""``install_as_torch``: libraries that ``import torch`` run on weft, in a process that asks for it.

A finder in front of ``sys.meta_path`` answers for ``torch`` and all below it: a module of weft under the same path,
or the attributes of what weft has there (``weft.jit`` is a function). What weft lacks is a ``ModuleNotFoundError`` or
an ``AttributeError`` with the name, as in a version of PyTorch that lacks it.
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
    """A module whose names are the attributes of something else."""

    def __init__(self, name: str, target: Any) -> None:
        super().__init__(name, f"``weft`` in the place of ``{name}``.")
        self.__dict__.update(_target=target, __path__=[])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self.__dict__["_target"], name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__dict__["_target"]), *self.__dict__})


def _found(path: str) -> ModuleType | None:
    """The module of weft at a path below ``torch``, or a stand-in for what is no module; ``None`` for neither."""
    weft = import_module("weft")
    if not path:
        made = StandIn(NAME, weft)
        made.__dict__["__version__"] = import_module("weft.version").torch
        return made
    try:
        return import_module(f"weft.{path}")
    except ModuleNotFoundError as error:
        if error.name is None or not f"weft.{path}".startswith(error.name):
            raise  # something else is missing, which a module of weft needs
    target = weft
    for part in path.split("."):
        if not hasattr(target, part):
            return None
        target = getattr(target, part)
    return StandIn(f"{NAME}.{path}", target)


class _Given(Loader):
    """Gives a module that exists, and leaves its own description of where it came from as it is."""

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
    """Answers for ``torch`` and what is below it."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """See ``MetaPathFinder``."""
        if fullname != NAME and not fullname.startswith(f"{NAME}."):
            return None
        module = _found(fullname.removeprefix(NAME).removeprefix("."))
        if module is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: weft stands in for torch and has no weft{fullname.removeprefix(NAME)}",
                name=fullname,
            )
        return ModuleSpec(fullname, _Given(module), is_package=hasattr(module, "__path__"))


def install_as_torch() -> None:
    """Let ``import torch`` give weft in this process from now on, for libraries that are written for PyTorch.

    Call it before the first ``import torch``: raises ``UnsupportedError`` where PyTorch was imported already.
    ``torch.__version__`` is then ``weft.version.torch``, which compares as the PyTorch version that weft follows.
    Pickles of weft's objects name weft. A second call changes nothing.

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
